"""``askpix backup`` and ``askpix restore``."""

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def backup_command(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    as_json: JsonOption = False,
) -> None:
    """Back up this home into one file: catalog, keys, vectors, uploads. Nobody may write to it meanwhile.

    Images that were indexed where they lie are not in it, nor is a catalog on another server. Of vectors
    on a Qdrant server snapshots are taken there, and named in the file.
    """
    from dataclasses import asdict

    from askpix.api.console.render import hint, print_json, say
    from askpix.api.services.backup import back_up
    from askpix.api.settings import load_settings

    settings = load_settings()
    found = back_up(settings.home, target, wait_s=settings.wait_s, settings=settings)
    if as_json:
        print_json(asdict(found))
    else:
        say(f"{found.files} files, {found.size / 1e6:.1f} MB, in {target}")
    if settings.database_url:
        hint("the catalog is on PostgreSQL and not in it: back it up with pg_dump at the same time")
    for each in found.snapshots:
        hint(f"snapshot {each.name} of {each.collection}, {each.size / 1e6:.1f} MB, on {each.node}")
    if found.snapshots:
        hint("snapshots stay on the Qdrant server: keep copies of them with this file")
    for note in found.notes:
        hint(note)


def restore_command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What `askpix backup` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Fill an empty ASKPIX_HOME from a backup, once every file of it was checked."""
    from dataclasses import asdict

    from askpix.api.console.render import hint, print_json, say
    from askpix.api.services.backup import follow_home, restore
    from askpix.api.settings import load_settings

    settings = load_settings()
    home = settings.home
    found = restore(source, home)
    moved = 0
    if found.home != str(home) and not settings.database_url:
        moved = follow_home(settings, found.home)
    if as_json:
        print_json(asdict(found))
    else:
        say(f"{found.files} files, as they were on {found.created_at}, in {home}")
    if found.snapshots:
        hint(
            "vectors are on the Qdrant server; where they are gone, put its snapshots back. Each holds a"
            " physical collection with all that shares it, of other homes too:"
        )
    for each in found.snapshots:
        hint(each.recovery())
    for note in found.notes:
        hint(note)
    if moved:
        hint(f"{moved} uploaded images lie below {home} now")
    if settings.database_url and (home / "uploads").is_dir() and found.home != str(home):
        hint(f"the catalog on the server has uploads below {found.home}: put the home there to see them")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("backup")(backup_command)
    app.command("restore")(restore_command)
