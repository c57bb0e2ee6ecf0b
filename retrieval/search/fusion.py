"""Fusion of the sub-queries into one ranking: what an image shows, what its text means, which words it holds.

Their scores are not comparable, so each side is put on a scale of evidence and the stronger one counts:

    shows   z = (cosine - this query's usual cosine) / the usual spread of cosines in this collection
    says    w = WORDS * bm25 / sqrt(ln images) * share          the words
            m = max(0, cosine - TEXT_NOISE) / TEXT_SPREAD         the meaning of the best passage
            x = (w ** NORM + m ** NORM) ** (1 / NORM)
    score   = log(exp(SHARP * z) + exp(SHARP * x)) / SHARP        a soft maximum

``docs/explanation/ranking.md`` derives it and says how the constants were chosen.
"""

import math
from collections.abc import Collection, Sequence

WORDS = 3.0
NORM = 1.5
SHARP = 3.0
TEXT_NOISE = 0.1
TEXT_SPREAD = 0.13
"""Cosine of all-MiniLM-L6-v2 between a query and passages that have nothing to do with it."""


def fuse(shows: float | None, says: float) -> float:
    """The score by the formula above; ``shows`` is None where images were not compared."""
    if shows is None:
        return says
    high = max(shows, says)
    low = min(shows, says)
    return high + math.log1p(math.exp(SHARP * (low - high))) / SHARP


def evidence_of_text(cosine: float | None, bm25: float, share: float, *, pictures: int) -> float:
    """``x`` above, at least 0; ``cosine`` is None when no passage was found."""
    meaning = 0.0 if cosine is None else max(0.0, cosine - TEXT_NOISE) / TEXT_SPREAD
    words = WORDS * max(0.0, bm25) / math.sqrt(math.log(pictures + 2)) * share
    joined: float = (words**NORM + meaning**NORM) ** (1 / NORM)
    return joined


def rarity(terms: Sequence[str], documents: Sequence[Collection[str]]) -> dict[str, float]:
    """Return how much each of ``terms`` tells, by how few of ``documents`` hold it.

    A term that no document holds tells most: a query for what is not there must not look answered.
    """
    return {
        term: math.log(1 + (len(documents) + 1) / (0.5 + sum(term in held for held in documents)))
        for term in terms
    }


def rare_share(held: Collection[str], weights: dict[str, float]) -> float:
    """The part of the terms that is in ``held``, each counting by its rarity, 0..1."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in held) / total if total else 0.0
