"""``askpix doctor``: what is installed, reachable and writable."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def doctor_command(
    mend: Annotated[
        bool,
        typer.Option("--mend", help="Make missing vectors again, enter lost collections, remove strays."),
    ] = False,
    models: Annotated[
        bool,
        typer.Option("--models", help="Have every model in use prove again that it works."),
    ] = False,
    forget: Annotated[
        str | None,
        typer.Option(
            "--forget", metavar="MODEL", help="Forget the kept proof of a model, or of 'all', first."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what is installed, reachable and writable, and that every image has exactly one vector set."""
    from askpix.api.console.render import print_json, table
    from askpix.api.services.doctor import examine
    from askpix.api.services.prove import forget_proofs
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import AskpixError

    workspace = Workspace(load_settings())
    if forget is not None:
        forget_proofs(workspace, forget)
    checks = examine(workspace, mend=mend, models=models)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json({"ok": not failed, "checks": checks})
    else:
        table(("check", "", "detail"), [(c.name, "ok" if c.ok else "FAILED", c.detail) for c in checks])
    if failed:
        raise AskpixError(
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(c.name for c in failed)}"
        )


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("doctor")(doctor_command)
