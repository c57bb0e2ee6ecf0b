"""The second look: the first hits of a search judged one by one by a slower model, and put in its order.

The sub-queries compare vectors that were made before the question was known; a reranker sees question and
image (or its text) together. Only the first ``DEPTH`` hits are looked at, always the same ones whatever page
is asked for, so pages joined are one long result; what comes after keeps its order.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from PIL import Image

from askpix.core.errors import StoreUnavailableError
from askpix.core.types import Hit, ImageRecord, Query, SearchResult

DEPTH = 50
"""Hits that get a second look."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hit as a reranker sees it: the record with its text, and the image when it is asked for."""

    record: ImageRecord
    open_image: Callable[[], Image.Image | None]
    """The upright image; None when its file is gone, away or unreadable now."""


class Reranker(Protocol):
    """Judges how well images answer a question."""

    @property
    def model_id(self) -> str: ...

    def scores(self, query: str, candidates: Sequence[Candidate], /) -> list[float | None]:
        """Return one score each, higher is better; None where it cannot tell (no text for a model of
        texts).
        """
        ...


def second_look(
    retrieve: Callable[[int, int], SearchResult],
    reranker: Reranker,
    open_image: Callable[[ImageRecord], Image.Image | None],
    *,
    top_k: int,
    offset: int = 0,
    depth: int = DEPTH,
    partial: bool = False,
) -> SearchResult:
    """``top_k`` hits after ``offset``, the first ``depth`` of all in the reranker's order.

    ``retrieve(top_k, offset)`` is the search to look at again. A query without words, and one that nothing
    matches, is left as it is. ``partial``: so is one whose reranker's store cannot be asked, with a note.
    """
    began = time.perf_counter()
    if offset >= depth:
        return retrieve(top_k, offset)
    result = retrieve(max(depth, offset + top_k), 0)
    question = words_of(result.query)
    hits = result.hits
    notes = result.notes
    if question:
        try:
            hits = rerank(question, hits, reranker, open_image, depth=depth)
        except StoreUnavailableError as error:
            if not partial:
                raise
            notes = (*notes, f"hits were not put in the order of {reranker.model_id}: {error}")
    took = (time.perf_counter() - began) * 1000
    return replace(result, hits=hits[offset : offset + top_k], took_ms=took, notes=notes)


def rerank(
    question: str,
    hits: Sequence[Hit],
    reranker: Reranker,
    open_image: Callable[[ImageRecord], Image.Image | None],
    *,
    depth: int = DEPTH,
) -> tuple[Hit, ...]:
    """The hits, the first ``depth`` in the reranker's order; equal ones keep theirs.

    A hit that the reranker cannot judge keeps its place among them. Scores belong to ranks (the highest to
    the first, as before), so that sorting by score gives the order shown; ``why`` has what the reranker said.
    """
    first = hits[:depth]
    seen = [Candidate(hit.record, _bound(open_image, hit.record)) for hit in first]
    scores = reranker.scores(question, seen) if seen else []
    if len(scores) != len(first):
        raise ValueError(f"{reranker.model_id!r} gave {len(scores)} scores for {len(first)} hits")
    judged = [at for at, score in enumerate(scores) if score is not None and math.isfinite(score)]
    best = iter(sorted(judged, key=lambda at: (-_finite(scores[at]), at)))
    order = [next(best) if at in set(judged) else at for at in range(len(first))]
    looked = [
        replace(
            first[was],
            rank=hits[at].rank,
            score=hits[at].score,
            why=replace(first[was].why, rerank=scores[was], ranked_by=reranker.model_id)
            if was in set(judged)
            else first[was].why,
        )
        for at, was in enumerate(order)
    ]
    return (*looked, *hits[depth:])


def words_of(query: Query) -> str:
    """Return the text for a reranker: the words searched by meaning and the phrases."""
    return " ".join([query.text, *query.where.phrases]).strip()


def _bound(
    open_image: Callable[[ImageRecord], Image.Image | None], record: ImageRecord
) -> Callable[[], Image.Image | None]:
    return lambda: open_image(record)


def _finite(score: float | None) -> float:
    return -math.inf if score is None else score
