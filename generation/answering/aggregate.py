"""Questions about a whole collection, carried out: a plan over catalog, words and what images show.

No model writes here. The plan goes into the answer, so that a person can see what was counted and how sure
that is: what rests on the catalog is exact, what rests on the look of images has bounds.
"""

import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from askpix.core.types import Answer, Citation, Hit, Query, SearchResult, Usage, Why
from askpix.generation.answering.aggregate_wording import LinesOf, Said, say_archive
from askpix.generation.questions.aggregate import ArchiveAsked, read_archive_question
from askpix.retrieval.classification.membership import Members, find_members
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.stores.base import VectorStore

GENERATOR = "archive"
WHY = "the question is about the whole collection, so its catalog answers, without a model"
_YEAR = re.compile(r"^(?:in|from|of|during)? ?((?:19|20)\d\d)$")
_UNKNOWN_PLACE = re.compile(r"^(?:in|at|near|from|to)\b ?(?:the )?[A-Z]")

Understand = Callable[[str], Query]


def answer_archive(
    question: str,
    *,
    understand: Understand,
    store: VectorStore,
    embedder: Embedder,
    lines_of: LinesOf,
) -> tuple[SearchResult, Answer] | None:
    """The answer with its plan; None when the question is not about the whole collection.

    ``understand`` reads dates, places and kinds off the words of a search. Exact where the catalog knows;
    counts of what images show have bounds (``retrieval.classification.membership``), and nothing is counted
    when no image shows it clearly: ``answered`` is False then.
    """
    began = time.perf_counter()
    asked = read_archive_question(question)
    if asked is None:
        return None
    query = _query(asked, understand)
    by_sight = not _UNKNOWN_PLACE.match(query.text)
    members = find_members(store, query.where, query.text, embedder, by_sight=by_sight)
    blind: list[str] = []
    for part in query.parts:
        if part.weight < 0:
            away = find_members(store, query.where, part.text, embedder)
            if away.passed and not away.clear:
                blind.append(part.text)
            members = members.without(away)
    said = say_archive(asked, query, members, lines_of)
    if blind:
        text = f"Which pictures show {blind[0]!r} cannot be told clearly enough to leave them out."
        said = Said(text, answered=False, result={"pictures": None})
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    hits = tuple(
        Hit(rank, each.record, min(1.0, each.chance), Why())
        for rank, each in enumerate(said.examples, start=1)
    )
    answer = Answer(
        question=" ".join(question.split()),
        text=said.text,
        answered=said.answered,
        citations=tuple(_citation(hit, said) for hit in hits) if said.answered else (),
        hits=hits,
        generator=GENERATOR,
        usage=Usage(),
        took_ms=took_ms,
        generator_why=WHY,
        plan=_plan(asked, query, members, said),
    )
    reason = None if hits else "no image fits the question"
    return SearchResult(query, bool(hits), reason, hits, took_ms), answer


def _query(asked: ArchiveAsked, understand: Understand) -> Query:
    if not asked.search:
        return Query(raw="")
    query = understand(asked.search)
    year = _YEAR.match(query.text)
    if year and query.where.after is None and query.where.before is None:
        # A year that the collection holds nothing of is a word for the search, and a year for a count.
        first = int(year[1])
        where = replace(query.where, after=datetime(first, 1, 1), before=datetime(first + 1, 1, 1))
        return replace(query, text="", where=where)
    return query


def _plan(asked: ArchiveAsked, query: Query, members: Members, said: Said) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for each in members.likely:
        reasons[each.reason] = reasons.get(each.reason, 0) + 1
    steps = [f"the catalog: {members.passed:,} pictures" + (" that pass the filter" if query.clauses else "")]
    if members.looked_at < members.passed:
        steps.append(f"the newest {members.looked_at:,} of them were looked at")
    if members.paper:
        steps.append(f"those whose words are a {members.paper}'s: {len(members.likely):,}")
    elif query.text:
        parts = ", ".join(f"{count:,} by {reason}" for reason, count in reasons.items()) or "none"
        steps.append(f"those that show or speak of {query.text!r}: {parts}")
    steps.append(_LAST_STEP[asked.what].format(by=asked.by or "year", limit=asked.limit))
    return {
        "what": asked.what,
        "search": asked.search,
        "subject": query.text,
        "by": asked.by,
        "clauses": [asdict(clause) for clause in query.clauses],
        "steps": steps,
        "passed": members.passed,
        "looked_at": members.looked_at,
        "reasons": reasons,
        "exact": members.exact and not (said.result or {}).get("unread"),
        "result": dict(said.result or {}),
    }


_LAST_STEP = {
    "count": "count them",
    "group": "count them by {by}",
    "most": "count them by {by}, the most",
    "fewest": "count them by {by}, the fewest",
    "first": "the first {limit} by date",
    "last": "the last {limit} by date",
    "sum": "read the total of each and add up",
    "list": "read the total of each",
    "highest": "read the total of each, the highest",
    "lowest": "read the total of each, the lowest",
    "span": "the first and the last date",
}


def _citation(hit: Hit, said: Said) -> Citation:
    record = hit.record
    quote, box = (said.quotes or {}).get(record.id, (None, None))
    return Citation(hit.rank, record.id, record.uri, record.page, quote, box, record.time_s)
