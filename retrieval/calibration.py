"""Does anything match at all? What this embedder says of this collection when nothing should.

A flat cut-off cannot work: what is a high cosine differs between models, and the best of a million pictures
is higher than the best of ten. Two sets of sentences tell what is normal (``null_captions``):

    fit(picture) = cosine(query, picture) - SHARE * mean cosine of the TOP of PICTURES that fit it best

takes down pictures that are near to every sentence, and those that show something else plainly. A query
matches by what pictures show when its best fit is above what QUANTILE of the sentences about NOTHING reach
in the same collection: one of twenty such sentences would still be shown something.

By their text pictures match when the part of the query's words in one of them, rare ones counting more, and
half the cosine of its best passage add up to ``TEXT_ENOUGH``.

Measured with ``mini``: README, "Numbers". The operating point is chosen to hide few right answers, so it
lets many wrong ones through.
"""

import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zlib import crc32

import numpy as np

from core.types import Vectors, Where
from retrieval.embedder import Embedder
from retrieval.null_captions import NOTHING, PICTURES
from retrieval.store import VectorStore

FIRST = 10
"""Pictures looked at for a verdict: the nearest ones."""
TEXT_ENOUGH = 0.35
_SHARE, _TOP, _QUANTILE = 0.5, 10, 0.95
_SAMPLE = 512
_LEAST_SPREAD = 0.01
_GROWTH = 0.2
_PRIOR = 10
"""Few pictures say little about one query's cosines: what is known of all sentences' counts as so many."""
_CAPTIONS = crc32("\n".join((*PICTURES, *NOTHING)).encode())


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is normal for an embedder on a collection of ``count`` pictures."""

    model_id: str
    count: int
    mean: Vectors
    """``(dim,)`` mean of the pictures' vectors: a query's dot product with it is its usual cosine."""
    centre: float
    """Mean cosine of sentence and picture."""
    spread: float
    """Usual standard deviation of one sentence's cosines over the collection, above 0."""
    threshold: float
    """The least fit that means something."""
    pictures: Vectors
    """``(len(PICTURES), dim)``"""
    nothing: Vectors
    """``(len(NOTHING), dim)``"""
    captions: int = _CAPTIONS
    """Checksum of the sentences."""

    def fits(self, model_id: str, count: int) -> bool:
        """Whether it still holds for a collection that has ``count`` pictures now."""
        return self._same_model(model_id) and abs(count - self.count) <= _GROWTH * self.count

    def _same_model(self, model_id: str) -> bool:
        return self.model_id == model_id and self.captions == _CAPTIONS

    def usual(self, query: Vectors) -> float:
        """The cosine that a query ``(dim,)`` has with pictures of this collection on the average."""
        return _blend(self.count, float(query @ self.mean), self.centre)

    def best_fit(self, query: Vectors, vectors: Vectors) -> float:
        """The fit above, of the best of the pictures ``(n, dim)``; -inf without any."""
        return float(_fit(query[None] @ vectors.T, self.pictures, vectors).max(initial=-np.inf))

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        draft = path.with_name(path.name + ".new")
        with draft.open("wb") as file:
            half = {
                name: value.astype(np.float16) if isinstance(value, np.ndarray) else np.array(value)
                for name, value in asdict(self).items()
            }
            np.savez(file, **half)  # type: ignore[arg-type]
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Calibration | None":
        """What ``save`` wrote; None when it is missing, damaged or of another version: it is only a cache."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                found = {field.name: held[field.name] for field in fields(cls)}
            return cls(**{k: v.astype(np.float32) if v.ndim else v.item() for k, v in found.items()})
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
            return None


def calibrate(embedder: Embedder, store: VectorStore, known: Calibration | None = None) -> Calibration:
    """Embed the sentences, unless ``known`` has them, and search the collection for those about nothing."""
    if known is not None and known._same_model(embedder.model_id):
        pictures, nothing = known.pictures, known.nothing
    else:
        pictures, nothing = embedder.embed_texts(PICTURES), embedder.embed_texts(NOTHING)
    count = store.count()
    sample = store.sample_vectors(_SAMPLE)
    if count == 0 or len(sample) == 0:
        mean = np.zeros(embedder.dim, np.float32)
        return Calibration(embedder.model_id, 0, mean, 0.0, 1.0, 0.0, pictures, nothing)
    cosines = pictures @ sample.T
    best = [_best(sentence, pictures, store) for sentence in nothing]
    return Calibration(
        model_id=embedder.model_id,
        count=count,
        mean=sample.mean(axis=0),
        centre=float(cosines.mean()),
        spread=max(_blend(count, float(cosines.std(axis=1).mean()), float(cosines.std())), _LEAST_SPREAD),
        threshold=float(np.quantile(best, _QUANTILE)),
        pictures=pictures,
        nothing=nothing,
    )


def load_calibration(path: Path, embedder: Embedder, store: VectorStore) -> Calibration:
    """The calibration kept at ``path``, made anew when the collection has outgrown it."""
    found = Calibration.load(path)
    if found is not None and found.fits(embedder.model_id, store.count()):
        return found
    made = calibrate(embedder, store, found)
    made.save(path)
    return made


def _blend(count: int, own: float, prior: float) -> float:
    return (count * own + _PRIOR * prior) / (count + _PRIOR)


def _best(sentence: Vectors, pictures: Vectors, store: VectorStore) -> float:
    found = store.search("image", sentence, where=Where(), limit=FIRST)
    vectors = store.image_vectors([hit.id for hit in found])
    return float(_fit(sentence[None] @ vectors.T, pictures, vectors).max(initial=-np.inf))


def _fit(cosines: Vectors, pictures: Vectors, vectors: Vectors) -> Vectors:
    """``(queries, n)`` fits from ``(queries, n)`` cosines to the pictures ``(n, dim)``."""
    if len(vectors) == 0:
        return cosines
    usual = np.sort(pictures @ vectors.T, axis=0)[-_TOP:].mean(axis=0)
    fitted: Vectors = cosines - _SHARE * usual
    return fitted
