"""``askpix caption``, ``extract`` and ``audit``: what one image shows, without a collection."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from askpix.generation.extractive.tables import Table

from typing import Literal


def caption_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures, PDFs and folders.")],
    style: Annotated[
        Literal["short", "detailed", "alt"], typer.Option(help="alt: for who cannot see the picture.")
    ] = "short",
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who describes; see `askpix models`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Describe each picture in words. Without a model that sees: what it looks like, and what is written."""
    from askpix.api.console.render import hint, place, print_json, say
    from askpix.api.console.text import printable
    from askpix.api.schemas.results import Caption
    from askpix.api.services.describe import at_once, captions
    from askpix.api.services.single_file import Looked, pages
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import BadImageError
    from askpix.ingest.sources.walk import Skipped, check_paths, walk

    check_paths(paths)
    workspace = Workspace(load_settings())
    rows: list[Caption] = []
    failed: list[dict[str, str]] = []
    waiting: list[tuple[str, Looked]] = []

    def write() -> None:
        texts = captions(workspace, [looked for _, looked in waiting], style=style, generator=generator)
        for (uri, looked), text in zip(waiting, texts, strict=True):
            rows.append(Caption(path=uri, caption=text, page=looked.record.page))
            if not as_json:
                say(f"{printable(place(uri, looked.record.page, looked.record.time_s))}\t{printable(text)}")
        waiting.clear()

    most = at_once(workspace, generator)
    for source in walk(paths, office=workspace.limits.office is not None):
        if isinstance(source, Skipped):
            if source.reason.startswith("cannot read"):
                failed.append({"path": source.path, "error": source.reason})
            continue
        try:
            for looked in pages(workspace, source.path):
                waiting.append((source.uri, looked))
                if len(waiting) >= most:
                    write()
        except BadImageError as error:
            failed.append({"path": source.uri, "error": str(error)})
    if waiting:
        write()
    if as_json:
        print_json(rows)
    for row in failed:
        hint(f"failed {printable(row['path'])}: {printable(row['error'])}")
    if failed:
        raise typer.Exit(3)


def extract_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A picture or a PDF.")],
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
    """Fill in a JSON schema from a picture, or take its table off it; each value with its place."""
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
