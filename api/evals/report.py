"""``askpix report``: results of eval and bench as one page to look at."""

from pathlib import Path
from typing import Annotated

import typer

_MAX_BYTES = 256 * 2**20


def report_command(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT.json...", help="What `eval` and `bench` print with --json."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
) -> None:
    """Draw results: recall, risk against coverage, latency against size, cost against accuracy, peers.

    The page holds all it needs and fetches nothing.
    """
    from askpix.api.console.render import say
    from askpix.core.errors import AskpixError
    from askpix.evaluation.report.figures import figures
    from askpix.evaluation.report.page import report_page

    named = [(path.stem, _read(path)) for path in results]
    try:
        drawn = figures(named)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise AskpixError(
            f"a result has not the shape that this version writes ({error}): measure it again"
        ) from error
    page = report_page(named, drawn)
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise AskpixError(f"cannot write {str(output)!r}: {error.strerror or error}") from error
    say(f"{len(drawn)} figures from {len(named)} results in {output}")


def _read(path: Path) -> "dict[str, object]":
    import json

    from askpix.core.errors import AskpixError
    from askpix.evaluation.report.figures import kind_of

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise AskpixError(f"{str(path)!r} is too large to be a result")
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AskpixError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except ValueError as error:
        raise AskpixError(
            f"{str(path)!r} is no JSON: write it with `askpix eval ... --json > FILE`"
        ) from error
    if not isinstance(found, dict) or kind_of(found) is None:
        raise AskpixError(f"{str(path)!r} is no result of `askpix eval` or `askpix bench` with --json")
    return found


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("report")(report_command)
