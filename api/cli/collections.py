"""``askpix collections``: list, show, create, delete, reembed, export, import."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

_SHOWN = 12
"""Values of a facet that fit on a line or two; --json gives more."""

group = typer.Typer(no_args_is_help=True, help="Named sets of images, one embedder each.")

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@group.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """The collections and what is in them."""
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.services.collections import describe
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    workspace = Workspace(load_settings())
    rows = [describe(workspace, item) for item in workspace.catalog.list_collections()]
    if as_json:
        print_json(rows)
    elif not rows:
        hint("no collection yet; `askpix index FOLDER` makes one")
    else:
        table(
            ("name", "pictures", "words pending", "embedder", "created"),
            [
                (r.name, str(r.images), str(r.text.pending), r.embedder, f"{r.created_at:%Y-%m-%d}")
                for r in rows
            ],
        )


@group.command("show")
def show_command(
    name: str,
    facets: Annotated[
        bool, typer.Option("--facets", help="Images by year, month, place, kind, camera and tag.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one collection in detail."""
    from dataclasses import replace

    from askpix.api.console.render import print_json, say
    from askpix.api.schemas.results import to_json
    from askpix.api.services.collections import describe
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    workspace = Workspace(load_settings())
    collection = workspace.collection(name)
    detail = describe(workspace, collection, disk=True, facets=facets)
    if as_json:
        print_json(detail)
        return
    for key, value in to_json(replace(detail, facets=None)).items():
        shown = ", ".join(f"{v} {k}" for k, v in value.items()) if isinstance(value, dict) else value
        say(f"{key:14} {shown}")
    for facet, counts in (detail.facets or {}).items():
        say(f"{facet:14} " + ", ".join(f"{each.label} ({each.count})" for each in counts[:_SHOWN]))


@group.command("create")
def create_command(
    name: str,
    embedder: Annotated[str | None, typer.Option(metavar="ID", help="See `askpix models`.")] = None,
    page_embedder: Annotated[
        str | None, typer.Option(metavar="ID", help="Embed pages patch by patch: transformers:DIR_OR_REPO.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """An empty collection."""
    from askpix.api.console.render import hint, print_json, say
    from askpix.api.services.collections import describe
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    workspace = Workspace(load_settings(), tell=hint)
    collection = workspace.create_collection(name, embedder, page_embedder_id=page_embedder)
    if as_json:
        print_json(describe(workspace, collection))
    else:
        say(f"created {collection.name} with embedder {collection.embedder}")


@group.command("delete")
def delete_command(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; asked for otherwise.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a collection's index; the images themselves stay."""
    from askpix.api.console.render import print_json, say
    from askpix.api.schemas.results import Deleted
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import AskpixError

    workspace = Workspace(load_settings())
    collection = workspace.collection(name)
    if not yes:
        if not sys.stdin.isatty():
            raise AskpixError(f"deleting {collection.name!r} needs --yes")
        typer.confirm(f"Delete the index of {collection.name!r}? The images stay.", abort=True)
    count = workspace.delete_collection(collection.name)
    if as_json:
        print_json(Deleted(collection.name, count))
    else:
        say(f"deleted {collection.name} ({count} images were indexed; the files are untouched)")


@group.command("reembed")
def reembed_command(
    name: str,
    embedder: Annotated[
        str | None, typer.Option(metavar="ID", help="The new one; see `askpix models`.")
    ] = None,
    without_missing: Annotated[
        bool, typer.Option("--without-missing", help="Change over though some files are gone.")
    ] = False,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Take it though it does not find the sample images.")
    ] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the embedder before.")] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Remove vectors that are not in use any more.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Give a collection another embedder; search goes on with the old one until the new one is ready.

    A run that was stopped goes on where it was. The old vectors are kept until --drop-old.
    """
    from askpix.api.console.render import print_json, say
    from askpix.api.services.reembed import drop_replaced, roll_back
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    if bool(embedder) + rollback + drop_old != 1:
        raise typer.BadParameter("give one of --embedder ID, --rollback and --drop-old")
    workspace = Workspace(load_settings())
    if embedder:
        options = {"without_missing": without_missing, "unproven": unproven}
        _change(workspace, name, embedder, options, as_json=as_json)
    elif rollback:
        collection, left = roll_back(workspace, name)
        if as_json:
            print_json({"collection": collection.name, "embedder": collection.embedder, "left": left})
        else:
            say(f"{collection.name} is back with embedder {collection.embedder}")
            if left:
                say(f"{left} images came or were read since: `askpix index` on their folders adds them")
    else:
        dropped = drop_replaced(workspace, name)
        if as_json:
            print_json({"collection": workspace.collection(name).name, "dropped": dropped})
        else:
            say(f"removed {dropped} sets of vectors that were not in use")


def _change(workspace: Any, name: str, embedder: str, options: dict[str, bool], *, as_json: bool) -> None:
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, print_json, say
    from askpix.api.console.text import printable
    from askpix.api.services.reembed import TOP, reembed

    try:
        with ProgressLine() as progress:
            report = reembed(workspace, name, embedder, **options, on_progress=progress)
    except KeyboardInterrupt:
        hint("stopped; the old embedder stays in use, the same command goes on from here")
        raise
    compared = report.comparison
    if as_json:
        print_json(report)
    else:
        say(
            f"{report.collection}: {report.images} of {report.expected} images have vectors of "
            f"{report.embedder} ({report.embedded} made in {report.seconds:.1f} s)"
        )
        if compared.overlap is None or compared.best_kept is None:
            say("no recent searches to compare the two by")
        else:
            say(
                f"on the {compared.queries} latest searches {compared.overlap:.0%} of the first {TOP} hits "
                f"are the same, and {compared.best_kept:.0%} of the first hits stay among the first {TOP}"
            )
        if report.changed_over:
            say(
                f"{report.embedder} is in use now; back: `askpix collections reembed {report.collection} "
                "--rollback`, free the disk: --drop-old"
            )
    for failure in report.missing[:20]:
        hint(f"missing {printable(failure.path)}: {printable(failure.error)}")
    if len(report.missing) > 20:
        hint(f"... and {len(report.missing) - 20} more; --json lists them all")
    if not report.changed_over:
        hint(
            f"{report.was} stays in use: index the folders of the missing images again (--prune forgets "
            "those that are gone), then run this once more, or add --without-missing"
        )
    if report.missing:
        raise typer.Exit(3)


@group.command("export")
def export_command(
    name: str,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; replaced when it is there.")],
    as_json: JsonOption = False,
) -> None:
    """Write a collection with all its vectors and words into one file; the images stay where they are."""
    from askpix.api.console.render import hint, print_json, say
    from askpix.api.services.transfer import export_to
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    report = export_to(Workspace(load_settings()), name, file, on_progress=_counter("exported"))
    if as_json:
        print_json(report)
    else:
        say(f"{report.collection}: {report.pictures} images of {report.sources} files in {str(file)!r}")
    if report.missing:
        hint(f"{report.missing} images have no vectors and are not in it: `askpix index` their folders again")
        raise typer.Exit(3)


@group.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `collections export` wrote.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the new collection; else its old one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A new collection from an exported file, in the store of ASKPIX_STORE."""
    from askpix.api.console.render import print_json, say
    from askpix.api.services.transfer import import_from
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    report = import_from(Workspace(load_settings()), file, name, on_progress=_counter("imported"))
    if as_json:
        print_json(report)
    else:
        say(f"{report.collection}: {report.pictures} images of {report.sources} files")


def _counter(what: str) -> Callable[[int, int], None]:
    """Progress on a terminal's standard error."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{done} of {total} images {what}", nl=done >= total, err=True)

    return show


def register(app: typer.Typer) -> None:
    """Add the group to the app."""
    app.add_typer(group, name="collections")
