"""``askpix caption``, ``extract`` and ``audit``: what one image shows, without a collection."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from askpix.generation.extractive.tables import Table

from typing import Literal


def caption_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, PDFs and folders.")],
    style: Annotated[
        Literal["short", "detailed", "alt"], typer.Option(help="alt: for who cannot see the image.")
    ] = "short",
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who describes; see `askpix models`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Describe each image in words. Without a model that sees: what it looks like, and what is written."""
    from askpix.api.console.render import place, print_json, say, tell_failures
    from askpix.api.console.text import printable
    from askpix.api.schemas.results import Caption
    from askpix.api.services.describe import captions_under
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.pipeline.report import Failure

    rows: list[Caption] = []
    failed: list[Failure] = []
    workspace = Workspace(load_settings())
    for record, text in captions_under(workspace, paths, failed, style=style, generator=generator):
        rows.append(Caption(path=record.uri, caption=text, page=record.page))
        if not as_json:
            say(f"{printable(place(record.uri, record.page, record.time_s))}\t{printable(text)}")
    if as_json:
        print_json(rows)
    tell_failures(failed)


def extract_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An image or a PDF.")],
    schema: Annotated[Path | None, typer.Option(metavar="FILE", help="A JSON schema of an object.")] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Instead: the table, or the numbers printed at a chart's bars.")
    ] = False,
    page: Annotated[int | None, typer.Option(min=1, help="Of a document; the first by default.")] = None,
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who reads it; see `askpix models`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output (it always is).")] = False,
) -> None:
    """Fill in a JSON schema from an image, or take its table off it; each value with its place."""
    from askpix.api.console.render import print_json
    from askpix.api.services.describe import extract, extraction_object, read_table
    from askpix.api.services.single_file import look
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    if (schema is None) == (not table):
        raise typer.BadParameter("name what to extract: --schema FILE, or --table")
    workspace = Workspace(load_settings())
    if schema is None:
        print_json(table_json(read_table(workspace, look(workspace, path, page=page), generator=generator)))
        return
    wanted = read_schema(schema)
    found = extract(workspace, look(workspace, path, page=page), wanted, generator=generator)
    print_json(extraction_object(found))


def table_json(table: "Table | None") -> dict[str, Any]:
    """A table with the place of each cell; no rows, and why, where there is none."""
    from askpix.api.schemas.results import to_json

    if table is None:
        why = "no numbers are printed beside labels of their own; bars and lines are not measured"
        return {"columns": [], "rows": [], "sure": False, "why": why, "boxes": []}
    found: dict[str, Any] = to_json(table)
    return found


def read_schema(path: Path) -> Any:
    """The schema in a file. Raises ``AskpixError`` with what is wrong with it."""
    import json

    from askpix.core.errors import BadQueryError, NotFoundError
    from askpix.generation.tasks.json_schema import check_schema

    try:
        return check_schema(json.loads(path.read_text("utf-8")), patterns=True)
    except OSError as error:
        raise NotFoundError(f"cannot read the schema {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise BadQueryError(f"{str(path)!r} is not JSON: {error}") from error
    except RecursionError as error:
        raise BadQueryError(f"{str(path)!r} is nested too deeply; make it flatter") from error


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
    from askpix.api.console.render import print_json, say
    from askpix.api.console.text import printable
    from askpix.api.schemas.results import to_json
    from askpix.api.services.describe import audit
    from askpix.api.services.single_file import look
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    workspace = Workspace(load_settings())
    looked = look(workspace, path)
    findings = audit(workspace, looked, check or [], accessibility=accessibility, generator=generator)
    if as_json:
        print_json({"findings": to_json(findings)})
        return
    for each in findings:
        box = "  at " + ",".join(f"{side:.0f}" for side in each.box) if each.box else ""
        say(f"{each.verdict.upper():6} {printable(each.check)}: {printable(each.evidence)}{box}")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("caption")(caption_command)
    app.command("extract")(extract_command)
    app.command("audit")(audit_command)
