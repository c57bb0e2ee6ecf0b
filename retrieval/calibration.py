"""Does anything match at all? What this embedder says of this collection when nothing should.

A flat cut-off cannot work: what is a high cosine differs between models, between collections (the best of a
million is higher than the best of ten) and between queries. So sentences that describe no picture are
searched in the collection first; a query whose best picture does not stand out from what those sentences
get has found nothing. The verdict is kept with the collection until it has grown.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.types import Vectors, Where
from retrieval.embedder import Embedder
from retrieval.null_captions import NULL_CAPTIONS
from retrieval.store import VectorStore

SAMPLE = 512
_QUANTILE = 0.9
"""Of the null sentences' best cosines: one in ten of them would still be shown something."""
_GROWTH = 0.2


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is normal for an embedder on a collection of ``count`` pictures.

    ``threshold`` is the least cosine of a best hit that means something; ``spread`` the usual standard
    deviation of one sentence's cosines over the collection. Both 0.0 for an empty collection.
    """

    model_id: str
    count: int
    threshold: float
    spread: float

    def fits(self, model_id: str, count: int) -> bool:
        """Whether it still holds for a collection that has ``count`` pictures now."""
        return self.model_id == model_id and abs(count - self.count) <= _GROWTH * self.count


def calibrate(embedder: Embedder, store: VectorStore) -> Calibration:
    """Search the null sentences; a few milliseconds each."""
    count = store.count()
    if count == 0:
        return Calibration(embedder.model_id, 0, 0.0, 0.0)
    queries = embedder.embed_texts(NULL_CAPTIONS)
    best = [store.search("image", query, where=Where(), limit=1)[0].score for query in queries]
    cosines = queries @ store.sample_vectors(SAMPLE).T
    return Calibration(
        model_id=embedder.model_id,
        count=count,
        threshold=float(np.quantile(best, _QUANTILE)),
        spread=float(cosines.std(axis=1).mean()),
    )


def load_calibration(path: Path, embedder: Embedder, store: VectorStore) -> Calibration:
    """The calibration kept at ``path``, made anew when the collection has outgrown it."""
    try:
        found = Calibration(**json.loads(path.read_text("utf-8")))
        if found.fits(embedder.model_id, store.count()):
            return found
    except (OSError, ValueError, TypeError):
        pass  # missing or damaged: it is only a cache
    made = calibrate(embedder, store)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(made)), "utf-8")
    draft.replace(path)
    return made


def normal_scores(query: Vectors, sample: Vectors, spread: float) -> tuple[float, float]:
    """Mean and spread of a query's cosines over a sample ``(n, dim)`` of the collection.

    A small or uniform sample would make every hit look extraordinary: its spread counts as at least half
    of the usual one.
    """
    if len(sample) == 0:
        return 0.0, 1.0
    cosines = sample @ query
    return float(cosines.mean()), max(float(cosines.std()), 0.5 * spread, 1e-3)
