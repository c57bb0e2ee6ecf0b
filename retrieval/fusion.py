"""One ranking from three legs: what a picture shows, what its text means, which words stand in it.

The legs' scores are not comparable: a cosine of 0.3 is much for one model and little for another, and the
best of ten thousand is high by chance. Rank fusion (RRF) throws the scores away, and with them whether a leg
found anything at all: on photos the words are noise, on receipts the pictures are. So each leg is first put
on a scale of evidence:

    image   z = (cosine - mean) / spread of this query's cosines to a sample of the collection
    text    t = (cosine of the best passage - TEXT_MEAN) / TEXT_SPREAD, at least 0
    words   c = share of the query's words that stand in the text, rare words counting more, 0..1

    score = z + TEXT_WEIGHT * t + WORDS_WEIGHT * c ** WORDS_POWER

The power says that half of the words are far less than half of the proof. The constants were chosen on
photos, charts, receipts, forms and screenshots in one gallery (README, "Numbers": never worse than the best
single leg on any of them by more than a point).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT_MEAN, TEXT_SPREAD = 0.15, 0.12
"""Cosine of all-MiniLM-L6-v2 between a query and passages that have nothing to do with it."""
TEXT_WEIGHT = 0.5
WORDS_WEIGHT = 8.0
WORDS_POWER = 2.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the legs know of one picture; None = the leg was not asked or did not find it."""

    image_z: float | None = None
    text_cosine: float | None = None
    words: float = 0.0


def fuse(evidence: Evidence) -> float:
    """The score by the formula above."""
    text = 0.0
    if evidence.text_cosine is not None:
        text = max(0.0, (evidence.text_cosine - TEXT_MEAN) / TEXT_SPREAD)
    words: float = evidence.words**WORDS_POWER
    return (evidence.image_z or 0.0) + TEXT_WEIGHT * text + WORDS_WEIGHT * words


def coverage(terms: Sequence[str], documents: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """For each document the share of ``terms`` it holds, 0..1; a term counts more the fewer hold it.

    A term that no document holds weighs most: a query for what is not there must not look answered.
    """
    if not terms:
        return dict.fromkeys(documents, 0.0)
    count = len(documents)
    weights = {
        term: math.log(1 + (count + 1) / (0.5 + sum(term in held for held in documents.values())))
        for term in set(terms)
    }
    total = sum(weights.values())
    return {
        key: sum(weight for term, weight in weights.items() if term in held) / total
        for key, held in documents.items()
    }
