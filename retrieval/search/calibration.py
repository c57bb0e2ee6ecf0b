"""Calibration of the verdict "nothing matches": what is usual for this embedder on this collection.

For the FIRST nearest images

    fit(image) = (cosine(query, image) - SHARE * mean cosine of the TOP of PICTURES that fit it best
                    - (1 - SHARE) * mean cosine of sentence and image) / spread of a sentence's cosines
    likeness   = (mean cosine among the nearest SEVERAL - theirs with their surroundings) / its usual spread
    fitness    = (1 - a) * best fit + a * (mean fit of SEVERAL + LIKENESS * likeness)
    signal     = QUANTILE of the fitness of the sentences about images - mean of that of those about nothing
    evidence   = fitness - USUAL * signal * ordinary

with a = images / (images + MANY), the sentences of ``null_captions``, and ``ordinary`` the query's cosine
with the nearest of PICTURES in standard deviations of theirs. A query matches by what images show when its
evidence is above the mean of the sentences about NOTHING by more than NEEDED of the signal.
``docs/explanation/no-match.md`` gives the reasons.
"""

import logging
import math
import zipfile
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from askpix.core.files import written_whole
from askpix.core.log import tolerated
from askpix.core.types import Vectors, Where
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.stores.base import VectorStore
from askpix.retrieval.text.null_captions import NOTHING, PICTURES

_log = logging.getLogger(__name__)
FIRST = 10
"""Images looked at for a verdict: the nearest ones."""
_SHARE = 0.5
_TOP = 10
_SEVERAL = 5
_LIKENESS = 0.5
_USUAL = 0.025
_MANY = 200
_QUANTILE = 0.98
_NEEDED = 0.22
_SAMPLE = 512
_SURROUNDINGS = 256
_TENTH = 10
_ROUNDING = 1e-4
_REACH = 100
"""Images nearest to a sentence about nothing, among which those that show something are looked for."""
_MIN_SENTENCES = 20
"""Fewer are no measure: then images of all sorts are."""
_MIN_SPREAD = 0.01
_MIN_SIGNAL = 0.1
_GROWTH = 0.2
_PRIOR = 10
"""Few images say little about one query's cosines: what is known of all sentences' counts as so many."""
_CAPTIONS = crc32("\n".join((*PICTURES, *NOTHING)).encode())


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration of an embedder on a collection of ``count`` images."""

    model_id: str
    count: int
    mean: Vectors
    """``(dim,)`` mean of the images' vectors: a query's dot product with it is its usual cosine."""
    centre: float
    """Mean cosine of sentence and image."""
    spread: float
    """Usual standard deviation of one sentence's cosines over the collection, above 0."""
    threshold: float
    """The least evidence that means something."""
    pictures: Vectors
    """``(len(PICTURES), dim)``"""
    nothing: Vectors
    """``(len(NOTHING), dim)``"""
    sample: Vectors
    """``(n, dim)`` images of the collection."""
    likeness: float = 0.0
    """Mean cosine of two images."""
    likeness_spread: float = 1.0
    """Standard deviation of the likeness, above 0."""
    captions: int = _CAPTIONS
    """Checksum of the sentences."""
    signal: float = 1.0
    """Gain of sentences about what is there over those about nothing, above 0."""
    needed: float = _NEEDED
    """Margin of this version: a file with another one, or without, is made anew."""

    def fits(self, model_id: str, count: int) -> bool:
        """Return whether it still holds for a collection that has ``count`` images now."""
        current = self._same_model(model_id) and self.needed == _NEEDED
        return current and abs(count - self.count) <= _GROWTH * self.count

    def _same_model(self, model_id: str) -> bool:
        return self.model_id == model_id and self.captions == _CAPTIONS

    def usual(self, query: Vectors) -> float:
        """The cosine that a query ``(dim,)`` has with images of this collection on the average."""
        return _blend(self.count, float(query @ self.mean), self.centre)

    def evidence(self, query: Vectors, vectors: Vectors) -> float:
        """Return how strongly the nearest images ``(n, dim)`` show what is asked; -inf without any."""
        return self._fitness(query, vectors) - _USUAL * self.signal * self._ordinary(query)

    def _fitness(self, query: Vectors, vectors: Vectors) -> float:
        if len(vectors) == 0:
            return -math.inf
        cosines = vectors @ query
        order = np.argsort(-cosines, kind="stable")
        # Of few sentences (a test's) the best few and not all.
        # Not "@": OpenBLAS would wake a second thread, and wait 8 ms for it where the cores are busy.
        near = np.einsum("pd,nd->pn", self.pictures, vectors)
        top = min(_TOP, len(near))
        usual = np.partition(near, len(near) - top, axis=0)[len(near) - top :].mean(axis=0)
        fits = (cosines - _SHARE * usual - (1 - _SHARE) * self.centre) / self.spread
        several = vectors[order[:_SEVERAL]]
        alike = 0.0
        if len(several) > 1:
            among = (several @ several.T)[~np.eye(len(several), dtype=bool)].mean()
            alike = float(among - self._surroundings(several)) / self.likeness_spread
        share = self.count / (self.count + _MANY)
        many = float(fits[order[:_SEVERAL]].mean()) + _LIKENESS * alike
        return (1 - share) * float(fits.max()) + share * many

    def _surroundings(self, vectors: Vectors) -> float:
        """Mean cosine of images with the tenth of the collection that is nearest to each."""
        if len(self.sample) < 3:
            return self.likeness
        near = np.einsum("sd,nd->sn", self.sample, vectors)
        tenth = max(2, len(near) // _TENTH)
        # Less the nearest: it may be the image itself.
        nearest = np.sort(np.partition(near, len(near) - tenth, axis=0)[len(near) - tenth :], axis=0)
        return float(nearest[:-1].mean())

    def shows(self, vectors: Vectors) -> NDArray[np.bool_]:
        """Return whether sentences about images fit each of ``(n, dim)`` better than those about nothing
        do.
        """
        best = [
            np.sort(sentences @ vectors.T, axis=0)[-max(1, len(sentences) // _TENTH) :].mean(axis=0)
            for sentences in (self.pictures, self.nothing)
        ]
        shown: NDArray[np.bool_] = best[0] > best[1] - _ROUNDING
        return shown

    def _ordinary(self, query: Vectors) -> float:
        if len(self.pictures) < 2:
            return 0.0
        mean, spread = self._among
        return (float((self.pictures @ query).max()) - mean) / spread

    @cached_property
    def _among(self) -> tuple[float, float]:
        """Mean and standard deviation of the cosines of the sentences with each other."""
        among = (self.pictures @ self.pictures.T)[~np.eye(len(self.pictures), dtype=bool)]
        return float(among.mean()), max(float(among.std()), _MIN_SPREAD)

    def confidence(self, evidence: float) -> float:
        """0..1, and 0.5 at the threshold: for ordering verdicts, not a probability of any population."""
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, evidence - self.threshold))))

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        with written_whole(path) as draft, draft.open("wb") as file:
            half = {
                name: value.astype(np.float16) if isinstance(value, np.ndarray) else np.array(value)
                for name, value in asdict(self).items()
            }
            np.savez(file, **half)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "Calibration | None":
        """Load what ``save`` wrote; None when it is missing, damaged or of another version: it is only a
        cache.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                found = {field.name: held[field.name] for field in fields(cls)}
            return cls(**{k: v.astype(np.float32) if v.ndim else v.item() for k, v in found.items()})
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
            _log.debug("no calibration at %r", str(path))
            return None


def calibrate(embedder: Embedder, store: VectorStore, known: Calibration | None = None) -> Calibration:
    """Embed the sentences, unless ``known`` has them, and search the collection for each."""
    if known is not None and known._same_model(embedder.model_id):
        pictures = known.pictures
        nothing = known.nothing
    else:
        pictures = embedder.embed_texts(PICTURES)
        nothing = embedder.embed_texts(NOTHING)
    count = store.count()
    sample = store.sample_vectors(_SAMPLE)
    if count == 0 or len(sample) == 0:
        mean = np.zeros(embedder.dim, np.float32)
        return Calibration(embedder.model_id, 0, mean, 0.0, 1.0, 0.0, pictures, nothing, sample)
    cosines = pictures @ sample.T
    among = (sample @ sample.T)[~np.eye(len(sample), dtype=bool)] if len(sample) > 1 else np.ones(1)
    made = Calibration(
        model_id=embedder.model_id,
        count=count,
        mean=sample.mean(axis=0),
        centre=float(cosines.mean()),
        spread=max(_blend(count, float(cosines.std(axis=1).mean()), float(cosines.std())), _MIN_SPREAD),
        threshold=0.0,
        pictures=pictures,
        nothing=nothing,
        sample=sample[:: max(1, -(-len(sample) // _SURROUNDINGS))],
        likeness=float(among.mean()),
        likeness_spread=max(float(among.std()), _MIN_SPREAD),
    )
    found = [_nearest(sentence, store, _REACH) for sentence in nothing]
    shows = np.split(made.shows(np.concatenate(found)), np.cumsum([len(vectors) for vectors in found])[:-1])
    shown = [vectors[kept][:FIRST] for vectors, kept in zip(found, shows, strict=True)]
    if sum(len(vectors) > 0 for vectors in shown) < min(_MIN_SENTENCES, len(nothing)):
        shown = [vectors[:FIRST] for vectors in found]
    measured = [(sentence, vectors) for sentence, vectors in zip(nothing, shown, strict=True) if len(vectors)]
    if not measured:  # emptied a moment ago
        return made
    silent = float(np.mean([made._fitness(*each) for each in measured]))
    plain = [made._fitness(sentence, _nearest(sentence, store, FIRST)) for sentence in pictures]
    signal = max(float(np.quantile(plain, _QUANTILE)) - silent, _MIN_SIGNAL)
    ordinary = float(np.mean([made._ordinary(sentence) for sentence, _ in measured]))
    return replace(made, signal=signal, threshold=silent + (_NEEDED - _USUAL * ordinary) * signal)


def load_calibration(path: Path, embedder: Embedder, store: VectorStore) -> Calibration:
    """The calibration kept at ``path``, made anew when the collection has outgrown it."""
    found = Calibration.load(path)
    if found is not None and found.fits(embedder.model_id, store.count()):
        return found
    _log.info("measuring anew which similarities are usual in the collection")
    made = calibrate(embedder, store, found)
    with tolerated(_log, "the calibration is not kept", OSError):  # slower, not wrong
        made.save(path)
    return made


def _blend(count: int, own: float, prior: float) -> float:
    return (count * own + _PRIOR * prior) / (count + _PRIOR)


def _nearest(sentence: Vectors, store: VectorStore, limit: int) -> Vectors:
    found = store.search("image", sentence, where=Where(), limit=limit)
    return store.image_vectors([hit.id for hit in found])
