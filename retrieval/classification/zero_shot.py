"""Labels nobody trained for: what is in an image, told by the embedder alone (Radford et al. 2021, CLIP).

A label's vector is the mean of its sentences (``prompt_templates``). Probabilities come from the cosines as
the model was trained (``Likelihood``):

    classify   softmax (CLIP): over the given labels. sigmoid (SigLIP): of each label alone.
    tag        softmax: a label c against sentences b about everyday images, so that an image may bear
               several tags or none: exp(s c) / (exp(s c) + sum exp(s b)). sigmoid: as above.

Measured with ``mini`` (scale 10, chosen by calibration) on 2,300 photos labelled with 20 everyday things:
README, "Numbers".
"""

from collections.abc import Sequence

import numpy as np

from askpix.core.errors import BadQueryError
from askpix.core.types import Vectors
from askpix.retrieval.classification.prompt_templates import DEFAULT
from askpix.retrieval.embedders.base import Embedder, Likelihood, unit
from askpix.retrieval.text.null_captions import PICTURES

MAX_LABELS = 10_000
MAX_LABEL_LENGTH = 200
_UNKNOWN = Likelihood("softmax", 100.0)
"""Likelihood of a model without a published one: CLIP's own limit of its scale, where contrastive models end
up.
"""
_TAG_THRESHOLDS = {"softmax": 0.3, "sigmoid": 0.1}
"""Softmax: measured with ``mini``, four of five tags are right. Sigmoid: SigLIP's probabilities of right
pairs are low (its bias is for one right text in thousands); no weights were at hand to measure it."""


class ZeroShot:
    """An embedder and its labels, ready for any number of images. Immutable, so threads may share it."""

    def __init__(
        self, embedder: Embedder, labels: Sequence[str], *, templates: Sequence[str] = DEFAULT
    ) -> None:
        """``labels`` as ``clean_labels`` gives them; ``BadQueryError`` for a template without ``{}``."""
        self.labels = tuple(labels)
        self.likelihood = embedder.likelihood or _UNKNOWN
        self._vectors = _label_vectors(embedder, self.labels, check_templates(templates))
        self._background = embedder.embed_texts(PICTURES) if self.likelihood.kind == "softmax" else None

    @property
    def tag_threshold(self) -> float:
        """The probability from which a tag is worth writing when nobody says otherwise."""
        return _TAG_THRESHOLDS[self.likelihood.kind]

    def probabilities(self, images: Vectors, /) -> Vectors:
        """``(n, labels)`` from image vectors ``(n, dim)``; rows sum to one for a softmax model only."""
        logits = self._logits(images)
        if self.likelihood.kind == "sigmoid":
            return _sigmoid(logits)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: Vectors = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return result

    def ranked(self, images: Vectors, /) -> list[list[tuple[str, float]]]:
        """Return the labels of each image, most probable first, ties in the given order."""
        rows = self.probabilities(images)
        orders = np.argsort(-rows, axis=1, kind="stable")
        return [
            [(self.labels[at], float(row[at])) for at in order]
            for row, order in zip(rows, orders, strict=True)
        ]

    def tags(self, images: Vectors, /, *, threshold: float | None = None) -> list[tuple[str, ...]]:
        """Return the labels of each image with at least ``threshold``, most probable first."""
        least = self.tag_threshold if threshold is None else threshold
        rows = self._apart(images)
        return [
            tuple(self.labels[at] for at in np.argsort(-row, kind="stable") if row[at] >= least)
            for row in rows
        ]

    def chances(self, images: Vectors, /) -> Vectors:
        """``(n, labels)`` probability that an image shows each label, whatever the others are."""
        return self._apart(images)

    def _logits(self, images: Vectors) -> Vectors:
        logits: Vectors = self.likelihood.scale * (images @ self._vectors.T) + self.likelihood.bias
        return logits

    def _apart(self, images: Vectors) -> Vectors:
        """``(n, labels)`` probability of each label whatever the others are."""
        logits = self._logits(images)
        if self._background is None:
            return _sigmoid(logits)
        other = self.likelihood.scale * (images @ self._background.T)
        top = other.max(axis=1, keepdims=True)
        return _sigmoid(logits - top - np.log(np.exp(other - top).sum(axis=1, keepdims=True)))


def clean_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels without empty ones and repetitions, spaces squeezed.

    Raises ``BadQueryError`` when none is left, or for too many or too long ones.
    """
    cleaned = tuple(dict.fromkeys(" ".join(label.split()) for label in labels if label.strip()))
    if not cleaned:
        raise BadQueryError("no labels given; write them as a,b,c or name a file with one a line")
    if len(cleaned) > MAX_LABELS:
        raise BadQueryError(f"{len(cleaned)} labels are over the limit of {MAX_LABELS}")
    for label in cleaned:
        if len(label) > MAX_LABEL_LENGTH:
            raise BadQueryError(f"the label {label[:40]!r}... is over {MAX_LABEL_LENGTH} characters")
    return cleaned


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates, each with one ``{}`` or more. Raises ``BadQueryError``."""
    for template in templates:
        if "{}" not in template:
            raise BadQueryError(f"the template {template!r} has no {{}} for the label to go into")
    return tuple(templates) or DEFAULT


def _label_vectors(embedder: Embedder, labels: tuple[str, ...], templates: tuple[str, ...]) -> Vectors:
    """``(labels, dim)``, each the mean of its sentences, length one."""
    # Not str.format: labels and templates are a person's, and braces in them mean nothing.
    texts = [template.replace("{}", label) for label in labels for template in templates]
    return unit(embedder.embed_texts(texts).reshape(len(labels), len(templates), -1).mean(axis=1))


def _sigmoid(logits: Vectors) -> Vectors:
    # exp of what is never positive: no overflow.
    small = np.exp(-np.abs(logits))
    result: Vectors = np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)
    return result
