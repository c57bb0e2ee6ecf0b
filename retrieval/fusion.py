"""One ranking from three legs: what a picture shows, what its text means, which words stand in it.

The legs' scores are not comparable: a cosine of 0.3 is much for one model and little for another, and the
best of ten thousand is high by chance. Rank fusion (RRF) throws the scores away, and with them whether a leg
found anything at all: on photos the words are noise, on receipts the pictures are (measured: RRF loses up
to 50 points of R@1 to the best leg). So each leg is put on a scale of evidence first:

    image   z = (cosine - mean) / spread of this query's cosines to a sample of the collection,
                times the trust in this query's pictures: does the best of them stand out from what sentences
                about nothing get (``retrieval.calibration``)?
    text    t = (cosine of the best passage - TEXT_MEAN) / TEXT_SPREAD, at least 0
    words   c = share of the query's words that stand in the text, rare words counting more, 0..1

    score = max(trust * z, TEXT_WEIGHT * t + WORDS_WEIGHT * c ** WORDS_POWER)

The larger and not the sum: a picture that shows what was asked need not say it too, and the noise of one
leg does not reorder what the other has found. The power says that half of the words are less than half of
the proof. The constants were chosen on photos, charts, receipts and screenshots, each alone and all in one
gallery (README, "Numbers").
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT_MEAN, TEXT_SPREAD = 0.15, 0.12
"""Cosine of all-MiniLM-L6-v2 between a query and passages that have nothing to do with it."""
TEXT_WEIGHT = 0.6
WORDS_WEIGHT = 8.0
WORDS_POWER = 1.5
LEAST_TRUST = 0.2
TRUST_AT, TRUST_WIDTH = 1.4, 0.1
"""Best cosine over the calibrated threshold at which trust is halfway, and how sharply it rises."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the legs know of one picture; None = the leg was not asked or did not find it."""

    image_z: float | None = None
    """Already times the trust."""
    text_cosine: float | None = None
    words: float = 0.0


def fuse(evidence: Evidence) -> float:
    """The score by the formula above."""
    text = 0.0
    if evidence.text_cosine is not None:
        text = max(0.0, (evidence.text_cosine - TEXT_MEAN) / TEXT_SPREAD)
    words: float = WORDS_WEIGHT * evidence.words**WORDS_POWER
    said = TEXT_WEIGHT * text + words
    return said if evidence.image_z is None else max(evidence.image_z, said)


def trust(best_cosine: float, threshold: float) -> float:
    """How much this query's image leg is worth, ``LEAST_TRUST`` to 1: from the best cosine it found."""
    if threshold <= 0:
        return 1.0
    surplus = (best_cosine / threshold - TRUST_AT) / TRUST_WIDTH
    return LEAST_TRUST + (1 - LEAST_TRUST) / (1 + math.exp(-max(-60.0, min(60.0, surplus))))


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
