"""How results are shown: JSON on standard output for programs, tables for people, progress on standard error.

Paths and words read from pictures are untrusted: control characters never reach a terminal, and Rich's
markup is never parsed in them.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from askpix.api.console.fold_text import printable
from askpix.core.types import Answer, Citation, Hit, Query, SearchResult, Where, Why


def print_json(value: Any) -> None:
    """One JSON document on standard output."""

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        if isinstance(item, datetime):
            return item.isoformat()
        if isinstance(item, Path):
            return str(item)
        raise TypeError(type(item).__name__)

    json.dump(value, sys.stdout, default=plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def say(*lines: str, file: TextIO | None = None) -> None:
    """Lines for a person on standard output."""
    out = file or sys.stdout
    for line in lines:
        out.write(line + "\n")


def hint(*lines: str) -> None:
    """Lines for a person on standard error: never mixed with results."""
    sys.stdout.flush()  # what was said before comes first, also where both go to one file
    say(*lines, file=sys.stderr)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A table; tab-separated plain rows when standard output is not a terminal."""
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


def where_json(where: Where) -> dict[str, Any]:
    """The filter as the contract's ``where``: only what filters."""
    near = where.near
    full: dict[str, Any] = {
        "after": where.after and where.after.isoformat(),
        "before": where.before and where.before.isoformat(),
        "near": near and {"lat": near.lat, "lon": near.lon, "km": near.km},
        "path": where.path,
        "kind": where.kind,
        "tags": list(where.tags) or None,
        "camera": where.camera,
        "months": list(where.months) or None,
        "weekdays": list(where.weekdays) or None,
        "hours": list(where.hours) or None,
        "amount_min": where.amount_min,
        "amount_max": where.amount_max,
        "country": where.country,
        "spans": [[start.isoformat(), end.isoformat()] for start, end in where.spans] or None,
    }
    return {name: value for name, value in full.items() if value is not None}


def why_json(why: Why) -> dict[str, Any]:
    """The contract's ``image`` and ``text``; what else was asked, where it was."""
    more = {"page": why.page, "words": why.words, "rerank": why.rerank, "ranked_by": why.ranked_by}
    return {"image": why.image, "text": why.text} | {k: v for k, v in more.items() if v is not None}


def hit_json(hit: Hit) -> dict[str, Any]:
    """A hit in the contract's shape."""
    record = hit.record
    return {
        "rank": hit.rank,
        "id": record.id,
        "uri": record.uri,
        "kind": record.kind,
        "page": record.page,
        "time_s": record.time_s,
        "score": round(hit.score, 6),
        "why": why_json(hit.why),
        "width": record.width,
        "height": record.height,
        "taken_at": record.taken_at and record.taken_at.isoformat(),
        "snippet": hit.snippet,
        "duplicates": hit.duplicates,
        "region": list(hit.region) if hit.region else None,
        "similar": list(hit.similar),
    }


def result_json(result: SearchResult) -> dict[str, Any]:
    """A search result in the contract's shape."""
    query = result.query
    return {
        "query": {
            "text": query.text,
            "phrases": list(query.where.phrases),
            "without": list(query.where.without),
            "where": where_json(query.where),
            "clauses": [{"words": c.words, "field": c.field, "value": c.value} for c in query.clauses],
            "parts": [{"text": part.text, "weight": part.weight} for part in query.parts],
            "notes": list(result.notes),
        },
        "matched": result.matched,
        "reason": result.reason,
        "confidence": None if result.confidence is None else round(result.confidence, 4),
        "hits": [hit_json(hit) for hit in result.hits],
        "took_ms": round(result.took_ms, 1),
    }


def citation_json(citation: Citation) -> dict[str, Any]:
    """A citation in the contract's shape."""
    return {
        "marker": citation.marker,
        "id": citation.image_id,
        "uri": citation.uri,
        "page": citation.page,
        "time_s": citation.time_s,
        "quote": citation.quote,
        "box": [round(value, 1) for value in citation.box] if citation.box else None,
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer in the contract's shape."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "answered": answer.answered,
        "citations": [citation_json(citation) for citation in answer.citations],
        "hits": [hit_json(hit) for hit in answer.hits],
        "generator": answer.generator,
        "generator_why": answer.generator_why,
        "usage": asdict(answer.usage),
        "plan": answer.plan,
        "understood_as": answer.understood,
        "doubts": [asdict(doubt) for doubt in answer.doubts],
        "took_ms": round(answer.took_ms, 1),
    }


def short(uri: str) -> str:
    """A path as people write it: relative to the working folder, or to home, where it lies there."""
    path = Path(uri)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return str("~" / path.relative_to(Path.home())) if path.is_relative_to(Path.home()) else uri


def place(uri: str, page: int | None, time_s: float | None = None) -> str:
    """A picture as people name it: short path, and the page of a document or the second of a video."""
    if time_s is not None:
        return f"{short(uri)}#t={time_s:g}"
    return f"{short(uri)}#page={page}" if page else short(uri)


def clock(seconds: float) -> str:
    """A time in a video: "1:05", "1:00:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def understood_as(query: Query) -> str:
    """What the words of a query became, for a person to check: "[date 2018-05]  about: lunch"."""
    clauses = [clause for clause in query.clauses if clause.field not in ("filler", "picture")]
    if not clauses:
        return ""
    chips = " ".join(f"[{clause.field} {printable(clause.value)}]" for clause in clauses)
    return f"{chips}  about: {printable(query.text)}" if query.text else chips


def show_result(result: SearchResult, *, top: int | None = None) -> None:
    """A search result for a person."""
    for note in result.notes:
        hint(f"note: {note}")
    if understood := understood_as(result.query):
        hint(f"understood as: {understood}")
    if not result.matched:
        hint(
            f"Nothing here matches: {result.reason}"
            + ("" if result.hits else "  (--all shows the ranking anyway)")
        )
    rows = [
        (
            str(hit.rank),
            f"{hit.score:.3f}"
            if hit.why != Why()
            else "",  # a list of what a filter lets through has no scores
            place(hit.record.uri, hit.record.page, hit.record.time_s)
            + (f"  (+{hit.duplicates} copies)" if hit.duplicates else ""),
            f"{hit.record.taken_at:%Y-%m-%d}" if hit.record.taken_at else "",
            hit.snippet or "",
        )
        for hit in result.hits[:top]
    ]
    if rows:
        table(("#", "score", "picture", "date", "words in it"), rows)


def show_answer(answer: Answer) -> None:
    """An answer with its citations for a person."""
    say(printable(answer.text))
    for citation in answer.citations:
        quote = f'  "{printable(citation.quote)}"' if citation.quote else ""
        box = "  at " + ",".join(f"{value:.0f}" for value in citation.box) if citation.box else ""
        at = f" at {clock(citation.time_s)}" if citation.time_s is not None else ""
        say(f"  [{citation.marker}] {printable(place(citation.uri, citation.page))}{at}{quote}{box}")
    for doubt in answer.doubts:
        what = "left out" if doubt.dropped else "not certain"
        hint(f"{what}: {printable(doubt.claim[:200])!r}: {printable(doubt.reason)}")
