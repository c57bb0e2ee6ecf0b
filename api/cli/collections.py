"""``askpix collections``: list, show, create, delete."""

from typing import Annotated, Any

import typer

group = typer.Typer(no_args_is_help=True, help="Named sets of pictures, one embedder each.")

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@group.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """The collections and what is in them."""
    from api.cli.render import hint, print_json, table
    from api.settings import load_settings
    from api.wiring import Workspace

    workspace = Workspace(load_settings())
    rows = [_describe(workspace, item) for item in workspace.catalog.list_collections()]
    if as_json:
        print_json(rows)
    elif not rows:
        hint("no collection yet; `askpix index FOLDER` makes one")
    else:
        table(
            ("name", "pictures", "words pending", "embedder", "created"),
            [
                (r["name"], str(r["images"]), str(r["text"]["pending"]), r["embedder"], r["created_at"][:10])
                for r in rows
            ],
        )


@group.command("show")
def show_command(name: str, as_json: JsonOption = False) -> None:
    """One collection in detail."""
    from api.cli.render import print_json, say
    from api.settings import load_settings
    from api.wiring import Workspace

    workspace = Workspace(load_settings())
    collection = workspace.collection(name)
    detail = {**_describe(workspace, collection), "disk_bytes": workspace.disk_bytes(collection)}
    if as_json:
        print_json(detail)
        return
    for key, value in detail.items():
        shown = ", ".join(f"{v} {k}" for k, v in value.items()) if isinstance(value, dict) else value
        say(f"{key:14} {shown}")


@group.command("create")
def create_command(
    name: str,
    embedder: Annotated[str | None, typer.Option(metavar="ID", help="See `askpix models`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """An empty collection."""
    from api.cli.render import print_json, say
    from api.settings import load_settings
    from api.wiring import Workspace

    workspace = Workspace(load_settings())
    collection = workspace.create_collection(name, embedder)
    if as_json:
        print_json(_describe(workspace, collection))
    else:
        say(f"created {collection.name} with embedder {collection.embedder}")


@group.command("delete")
def delete_command(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; asked for otherwise.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a collection's index; the pictures themselves stay."""
    import sys

    from api.cli.render import print_json, say
    from api.settings import load_settings
    from api.wiring import Workspace
    from core.errors import AskpixError

    workspace = Workspace(load_settings())
    collection = workspace.collection(name)
    if not yes:
        if not sys.stdin.isatty():
            raise AskpixError(f"deleting {collection.name!r} needs --yes")
        typer.confirm(f"Delete the index of {collection.name!r}? The pictures stay.", abort=True)
    count = workspace.delete_collection(collection.name)
    if as_json:
        print_json({"deleted": collection.name, "images": count})
    else:
        say(f"deleted {collection.name} ({count} pictures were indexed; the files are untouched)")


def _describe(workspace: Any, collection: Any) -> dict[str, Any]:
    """A collection as JSON."""
    counts = workspace.catalog.counts(collection)
    return {
        "name": collection.name,
        "id": collection.id,
        "embedder": collection.embedder,
        "dim": collection.dim,
        "text_embedder": collection.text_embedder,
        "created_at": collection.created_at.isoformat(),
        **counts,
    }


def register(app: typer.Typer) -> None:
    """Add the group to the app."""
    app.add_typer(group, name="collections")
