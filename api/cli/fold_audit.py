"""``askpix audit``: a screenshot held against checks."""

from pathlib import Path
from typing import Annotated

import typer


def audit_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A screenshot.")],
    check: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What must hold: \"the button says 'Save'\"; repeat for several."),
    ] = None,
    accessibility: Annotated[bool, typer.Option(help="Measure contrast and size of the text too.")] = True,
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who judges; see `askpix models`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Check a screenshot: your own assertions, and whether its text can be read. PASS, FAIL or unsure."""
    from dataclasses import asdict

    from askpix.api.console.fold_text import printable
    from askpix.api.console.render import print_json, say
    from askpix.api.services.describe import audit
    from askpix.api.services.single_file import look
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    workspace = Workspace(load_settings())
    looked = look(workspace, path)
    findings = audit(workspace, looked, check or [], accessibility=accessibility, generator=generator)
    if as_json:
        rows = [{**asdict(each), "box": list(each.box) if each.box else None} for each in findings]
        print_json({"findings": rows})
        return
    for each in findings:
        box = "  at " + ",".join(f"{side:.0f}" for side in each.box) if each.box else ""
        say(f"{each.verdict.upper():6} {printable(each.check)}: {printable(each.evidence)}{box}")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("audit")(audit_command)
