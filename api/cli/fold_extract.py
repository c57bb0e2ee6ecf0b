"""``askpix extract``: a picture into an object of a JSON schema."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from askpix.generation.extractive.tables import Table
    from askpix.generation.tasks.extract import Extraction


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
    from askpix.api.services.describe import extract, read_table
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
    print_json(extraction_json(found))


def table_json(table: "Table | None") -> dict[str, Any]:
    """A table with the place of each cell; no rows, and why, where there is none."""
    if table is None:
        why = "no numbers are printed beside labels of their own; bars and lines are not measured"
        return {"columns": [], "rows": [], "sure": False, "why": why, "boxes": []}
    boxes = [[list(box) if box else None for box in row] for row in table.boxes]
    rows = [list(row) for row in table.rows]
    return {
        "columns": list(table.columns),
        "rows": rows,
        "sure": table.sure,
        "why": table.why,
        "boxes": boxes,
    }


def extraction_json(found: "Extraction") -> dict[str, Any]:
    """What was extracted, in the contract's shape: the object's fields, and ``evidence``."""
    evidence = {
        name: {"quote": proof.quote, "box": list(proof.box) if proof.box else None}
        for name, proof in found.evidence.items()
    }
    return {**found.value, "evidence": evidence}


def read_schema(path: Path) -> Any:
    """The schema in a file. Raises ``AskpixError`` with what is wrong with it."""
    import json

    from askpix.core.errors import BadQueryError, NotFoundError
    from askpix.generation.tasks.extract import check_schema

    try:
        return check_schema(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise NotFoundError(f"cannot read the schema {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise BadQueryError(f"{str(path)!r} is not JSON: {error}") from error


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("extract")(extract_command)
