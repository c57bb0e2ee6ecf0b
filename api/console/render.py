"""Output of results: JSON on standard output for programs, tables for people, progress on standard error.

Paths and words read from images are untrusted: control characters never reach a terminal, and Rich's
markup is never parsed in them.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import typer
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from askpix.api.console.text import printable
from askpix.api.schemas.results import to_json
from askpix.core.text.wording import plural
from askpix.core.types import Answer, Clause, Hit, ImageRecord, Query, SearchResult
from askpix.ingest.pipeline.report import Failure


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    json.dump(to_json(value), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines for a person on standard output."""
    out = file or sys.stdout
    for line in lines:
        out.write(line + "\n")


def hint(*lines: str) -> None:
    """Print lines for a person on standard error: never mixed with results."""
    sys.stdout.flush()  # what was said before comes first, also where both go to one file
    say(*lines, file=sys.stderr)


def tell_failures(failed: Sequence[Failure]) -> None:
    """Print each failure on standard error, and exit with code 3 if there are any."""
    for failure in failed:
        hint(f"failed {printable(failure.path)}: {printable(failure.error)}")
    if failed:
        raise typer.Exit(3)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table; tab-separated plain rows when standard output is not a terminal."""
    if not sys.stdout.isatty():
        for row in rows:
            say("\t".join(printable(cell) for cell in row))
        return
    grid = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(grid)


def short(uri: str) -> str:
    """Return a path as people write it: relative to the working folder, or to home, where it lies there."""
    path = Path(uri)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return str("~" / path.relative_to(Path.home())) if path.is_relative_to(Path.home()) else uri


def place(uri: str, page: int | None, time_s: float | None = None) -> str:
    """Return an image as people name it: short path, and the page of a document or the second of a video."""
    return fragment(short(uri), page, time_s)


def fragment(path: str, page: int | None, time_s: float | None) -> str:
    """Return a path with the page of a document or the second of a video."""
    if time_s is not None:
        return f"{path}#t={time_s:g}"
    return f"{path}#page={page}" if page else path


def clock(seconds: float) -> str:
    """Return a time in a video: "1:05", "1:00:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def understood_as(query: Query) -> str:
    """Return how a query was parsed, for a person to check: "[date 2018-05]  about: lunch"."""
    clauses = [clause for clause in query.clauses if clause.field not in ("filler", "picture")]
    if not clauses:
        return ""
    chips = " ".join(f"[{_sign(clause)}{clause.field} {printable(clause.value)}]" for clause in clauses)
    return f"{chips}  about: {printable(query.text)}" if query.text else chips


def _sign(clause: Clause) -> str:
    return "not " if clause.negative and clause.field not in ("not", "without") else ""


def show_result(
    result: SearchResult, *, top: int | None = None, show: Callable[[ImageRecord], str] | None = None
) -> None:
    """Print a search result for a person: whole paths, with dates where dates were asked for.

    ``show`` gives the characters that show an image in this terminal.
    """
    for note in result.notes:
        hint(f"note: {note}")
    if understood := understood_as(result.query):
        hint(f"understood as: {understood}")
    if not result.matched:
        more = "" if result.hits else " (--all shows the closest anyway)"
        hint(f"Nothing matches: {result.reason}{more}")
    dated = result.query.where.after is not None or result.query.where.before is not None
    terminal = Console() if sys.stdout.isatty() else None
    for hit in result.hits[:top]:
        _show_hit(hit, terminal, dated=dated)
        if show is not None:
            sys.stdout.write(show(hit.record))


def _show_hit(hit: Hit, terminal: Console | None, *, dated: bool) -> None:
    """Print a hit on two lines of a terminal, else as one row of tab-separated cells."""
    record = hit.record
    path = printable(fragment(record.uri, record.page, record.time_s))
    taken = f"{record.taken_at:%Y-%m-%d}" if record.taken_at else ""
    words = printable(hit.snippet or "")
    if terminal is None:
        say("\t".join((str(hit.rank), path, taken, words)))
        return
    line = Text(f"{hit.rank:>3}  ")
    line.append(path, Style(bold=True, link=_link(record)))
    if hit.duplicates:
        line.append(f"  +{plural(hit.duplicates, 'copy', 'copies')}", "dim")
    if hit.missing:
        line.append("  (file is gone)", "dim")
    if dated and taken:
        line.append(f"  {taken}")
    terminal.print(line, soft_wrap=True)
    if words:
        terminal.print(Text(f"     {words}", "dim"), soft_wrap=True)


def _link(record: ImageRecord) -> str:
    """Return the address that opens an image in a terminal with links (OSC 8)."""
    path = Path(record.uri)
    address = path.as_uri() if path.is_absolute() else quote(record.uri, safe=":/?#[]@!$&'()*+,;=%")
    return fragment(address, record.page, record.time_s)


def show_answer(answer: Answer) -> None:
    """Print an answer with its citations for a person."""
    for note in answer.notes:
        hint(f"note: {note}")
    say(printable(answer.text))
    for citation in answer.citations:
        quote = f'  "{printable(citation.quote)}"' if citation.quote else ""
        box = "  at " + ",".join(f"{value:.0f}" for value in citation.box) if citation.box else ""
        at = f" at {clock(citation.time_s)}" if citation.time_s is not None else ""
        say(f"  [{citation.marker}] {printable(place(citation.uri, citation.page))}{at}{quote}{box}")
    for doubt in answer.doubts:
        what = "left out" if doubt.dropped else "not certain"
        hint(f"{what}: {printable(doubt.claim[:200])!r}: {printable(doubt.reason)}")
