"""``askpix keys``: create, list, rotate, revoke."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from askpix.api.security.keys import KeyRing

group = typer.Typer(no_args_is_help=True, help="Keys of the service: who may do what with which collections.")
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@group.command("create")
def create_command(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    collection: Annotated[
        list[str] | None, typer.Option(help="Only for this collection; repeat for several. Default: all.")
    ] = None,
    scope: Annotated[
        Literal["read", "write", "admin"], typer.Option(help="Each may what those before it may.")
    ] = "read",
    requests: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="A minute; default: the service's limit.")
    ] = None,
    upload_bytes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of one upload; default: the service's limit.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A new key. Its text is shown once."""
    from askpix.api.console.render import hint, print_json, say
    from askpix.api.security.keys import NewKey

    key, text = _ring().create(
        name,
        scope=scope,
        collections=collection or (),
        requests_per_minute=requests,
        max_upload_bytes=upload_bytes,
    )
    if as_json:
        print_json(NewKey.of(key, text))
    else:
        say(text)
        hint("keep it: it is not shown again")


@group.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """The keys, without their texts."""
    from askpix.api.console.render import hint, print_json, table

    rows = _ring().list()
    if as_json:
        print_json(rows)
    elif not rows:
        hint("no key yet; `askpix keys create NAME` makes one")
    else:
        columns = ("id", "name", "scope", "collections", "last used", "revoked")
        table(
            columns,
            [
                (
                    row.id,
                    row.name,
                    row.scope,
                    "all" if row.collections is None else ", ".join(row.collections),
                    row.used_at.isoformat(timespec="minutes") if row.used_at else "",
                    row.revoked_at.isoformat(timespec="minutes") if row.revoked_at else "",
                )
                for row in rows
            ],
        )


@group.command("revoke")
def revoke_command(key_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonOption = False) -> None:
    """Revoke a key, effective at once."""
    from askpix.api.console.render import hint, print_json, say

    ring = _ring()
    key = ring.revoke(key_id)
    if not ring.any():
        hint("no key opens the service now, and nobody comes in; `askpix keys create NAME` makes one")
    if as_json:
        print_json(key)
    else:
        say(f"revoked {key.id} ({key.name})")


@group.command("rotate")
def rotate_command(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    overlap: Annotated[
        float, typer.Option(min=0, max=2160, metavar="HOURS", help="For how long the old one still opens.")
    ] = 24,
    as_json: JsonOption = False,
) -> None:
    """A new key for the same. Its text is shown once; the old one opens nothing after the overlap."""
    from datetime import timedelta

    from askpix.api.console.render import hint, print_json, say
    from askpix.api.security.keys import NewKey

    key, text = _ring().rotate(key_id, overlap=timedelta(hours=overlap))
    if as_json:
        print_json(NewKey.of(key, text))
    else:
        say(text)
        hint(f"keep it: it is not shown again; {key_id} still opens for {overlap:g} hours")


@group.command("trail")
def trail_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 50,
    refused: Annotated[
        bool, typer.Option("--refused", help="Strangers that were turned away, by address and minute.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List what was changed through the service, by which key, and what was refused."""
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.security.audit_log import Trail
    from askpix.api.security.tables import database_of
    from askpix.api.settings import load_settings

    trail = Trail(database_of(load_settings().home))
    entries = [] if refused else trail.latest(limit=limit)
    strangers = trail.refusals(limit=limit) if refused else []
    if as_json:
        print_json([*entries, *strangers])
    elif strangers:
        counted = [(r.at.isoformat(" ", "minutes"), r.address, str(r.count), r.did) for r in strangers]
        table(("minute (UTC)", "address", "requests", "first"), counted)
    elif not entries:
        hint("nothing yet: the service writes it")
    else:
        rows = [(e.at.isoformat(" ", "seconds"), e.who, e.did, e.path, str(e.status)) for e in entries]
        table(("at (UTC)", "who", "did", "path", "status"), rows)


def _ring() -> "KeyRing":
    from askpix.api.security.keys import KeyRing
    from askpix.api.security.tables import database_of
    from askpix.api.settings import load_settings

    return KeyRing(database_of(load_settings().home))


def register(app: typer.Typer) -> None:
    """Add the group to the app."""
    app.add_typer(group, name="keys")
