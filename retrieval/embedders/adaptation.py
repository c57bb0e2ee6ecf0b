"""Learning from a person's own captions: a linear map from image vectors to caption vectors, in closed form.

With image vectors X ``(n, dim)`` and the mean vector of each image's captions Y ``(n, e)``, both less their
means, ridge regression (Hoerl and Kennard 1970) gives

    W = (X'X + lambda I)^-1 X'Y      an image's second vector is unit(x W), a query's unit(caption - mean)
    score = (cosine of the embedder + weight * cosine of the second vectors) / (1 + weight)

``lambda`` and ``weight`` are chosen by cross-validation in five folds. What is reported is honest: a fold's
captions are looked for among the fold's images and those without captions, none of which the map has seen,
with what was chosen on the other folds.
A map is worth keeping when it raises the mean reciprocal rank beyond what chance would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from askpix.core.errors import AskpixError
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import unit

LEAST = 40
"""Captioned images without which no map is tried."""
MOST = 5_000
"""Captioned images that are used: more make cross-validation slow and the map no better."""
_FOLDS = 5
_LAMBDAS = (0.1, 0.3, 1.0, 3.0, 10.0)
_WEIGHTS = (0.25, 0.5, 1.0, 2.0)
_SURE = 1.645
"""Standard errors that the gain must be above zero: one-sided 95 %."""


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """Image vectors into the space of caption vectors."""

    matrix: Vectors
    """``(dim, e)``"""
    image_mean: Vectors
    """``(dim,)``"""
    caption_mean: Vectors
    """``(e,)``"""

    def of_images(self, images: Vectors, /) -> Vectors:
        """``(n, e)`` second vectors of images, length one, from ``(n, dim)``."""
        return unit(np.asarray((images - self.image_mean) @ self.matrix, np.float32))

    def of_texts(self, texts: Vectors, /) -> Vectors:
        """``(n, e)`` second vectors of queries, length one, from caption vectors ``(n, e)``."""
        return unit(texts - self.caption_mean)


@dataclass(frozen=True, slots=True)
class Recall:
    """Shares of captions whose image comes first, among the first five, ten; mean reciprocal rank."""

    at_1: float
    at_5: float
    at_10: float
    mrr: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A map and what it is worth, by cross-validation on ``pictures`` images with ``captions`` captions."""

    ridge: RidgeMap
    weight: float
    ridge_lambda: float
    before: Recall
    after: Recall
    gain: float
    """Gain of the mean reciprocal rank, averaged over images."""
    error: float
    """Standard error of ``gain``, captions of one image counted together."""
    pictures: int
    captions: int
    gallery: int
    """Images among which a caption had to find its own, on the average."""

    @property
    def wins(self) -> bool:
        """True if the gain is beyond what chance would give."""
        return self.gain > _SURE * self.error


def fit_map(
    images: Vectors, captions: Vectors, owners: Sequence[int], queries: Vectors, *, others: Vectors
) -> Fit:
    """Fit and cross-validate.

    ``images`` is ``(n, dim)``; ``captions`` ``(m, e)`` are vectors of the text embedder and ``owners[i]`` is
    the row of the image that caption i is of; ``queries`` ``(m, dim)`` the same captions by the embedder
    itself; ``others`` ``(k, dim)`` images without captions, which make the search harder.
    Raises ``AskpixError`` for fewer than ``LEAST`` images.
    """
    owner = np.asarray(owners, np.int64)
    if len(images) < LEAST:
        raise AskpixError(
            f"{len(images)} captioned images are too few to learn from; it takes {LEAST} (200 and more pay)"
        )
    counts = np.bincount(owner, minlength=len(images))
    if counts.min() == 0:
        raise ValueError("an image without a caption")
    targets = np.zeros((len(images), captions.shape[1]), np.float32)
    np.add.at(targets, owner, captions)
    targets /= counts[:, None]

    folds = np.random.default_rng(0).permutation(len(images)) % _FOLDS
    grid = [(strength, weight) for strength in _LAMBDAS for weight in _WEIGHTS]
    ranks = np.empty((len(grid), len(owner)))
    plain = np.empty(len(owner))
    for fold in range(_FOLDS):
        asked = np.flatnonzero(folds[owner] == fold)
        known = folds != fold
        gallery = np.concatenate([images[~known], others])
        right = (np.cumsum(~known) - 1)[owner[asked]]
        own = queries[asked] @ gallery.T
        plain[asked] = _reciprocal(own, right)
        for first, strength in enumerate(_LAMBDAS):
            ridge = _ridge(images[known], targets[known], strength)
            second = ridge.of_texts(captions[asked]) @ ridge.of_images(gallery).T
            for at, weight in enumerate(_WEIGHTS):
                ranks[first * len(_WEIGHTS) + at, asked] = _reciprocal(own + weight * second, right)
    honest = np.empty(len(owner))
    for fold in range(_FOLDS):
        asked = folds[owner] == fold
        honest[asked] = ranks[ranks[:, ~asked].mean(axis=1).argmax(), asked]
    strength, weight = grid[int(ranks.mean(axis=1).argmax())]
    by_picture = np.bincount(owner, honest - plain) / counts
    return Fit(
        ridge=_ridge(images, targets, strength),
        weight=weight,
        ridge_lambda=strength,
        before=_recall(plain),
        after=_recall(honest),
        gain=float(by_picture.mean()),
        error=float(by_picture.std(ddof=1) / np.sqrt(len(images))),
        pictures=len(images),
        captions=len(owner),
        gallery=round(len(images) / _FOLDS) + len(others),
    )


def _ridge(images: Vectors, targets: Vectors, strength: float) -> RidgeMap:
    image_mean = images.mean(axis=0)
    caption_mean = targets.mean(axis=0)
    centred = (images - image_mean).astype(np.float64)
    gram = centred.T @ centred + strength * np.eye(images.shape[1])
    matrix = np.linalg.solve(gram, centred.T @ (targets - caption_mean))
    return RidgeMap(matrix.astype(np.float32), image_mean, caption_mean)


def _reciprocal(scores: Vectors, right: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one over the rank of each query's right image; equal scores count as ahead of it."""
    own = scores[np.arange(len(right)), right]
    ranks: NDArray[np.float64] = 1.0 / (scores >= own[:, None]).sum(axis=1)
    return ranks


def _recall(reciprocal: NDArray[np.float64]) -> Recall:
    def within(rank: int) -> float:
        return round(float((reciprocal >= 1 / rank - 1e-9).mean()), 4)

    return Recall(within(1), within(5), within(10), round(float(reciprocal.mean()), 4))
