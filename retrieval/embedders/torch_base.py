"""Common base of CLIP-like models on torch: images prepared in threads, two towers, rows of length one.

The adapters (open_clip, transformers) bring four functions; see ``Towers``.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import Embedder, Likelihood
from askpix.retrieval.embedders.torch_runner import Tensors, TorchRunner

Arrays = Mapping[str, NDArray[Any]]

_LONGEST_TEXT = 4000
"""Characters; every model's window is shorter, and tokenizers slow down on novels."""
_TEXTS_PER_IMAGE = 4
"""A text is a fraction of an image's tokens, and mostly a smaller tower."""
_MAX_ASPECT = 50
"""Largest aspect ratio; of longer strips the middle counts: cropping models would enlarge them to millions
of pixels first.
"""
_TOLERANCE = 1e-3
"""Tolerance of normalised pixels; a step of one in 255 is 0.015 at the least."""


@dataclass(frozen=True, slots=True)
class Towers:
    """A model's four functions.

    ``picture`` prepares one RGB image, without the batch axis; ``images`` takes such arrays stacked, as
    tensors on the device, and returns ``(n, dim)``. ``tokens`` prepares texts; ``texts`` encodes them.
    """

    picture: Callable[[Image.Image], Arrays]
    images: Callable[..., Any]
    tokens: Callable[[list[str]], Tensors]
    texts: Callable[..., Any]


class TorchEmbedder(Embedder):
    """An embedder on torch. Thread-safe."""

    def __init__(
        self,
        runner: TorchRunner,
        towers: Towers,
        *,
        model_id: str,
        image_side: int,
        likelihood: Likelihood | None,
    ) -> None:
        self._runner = runner
        self._towers = towers
        self.model_id = model_id
        self.image_side = image_side
        self.likelihood = likelihood
        self.workers = runner.workers
        self._tokenizing = threading.Lock()  # fast tokenizers change their settings in place
        self.dim = self._probe()
        self.batch = runner.batch

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), dim)`` from upright images of any size."""
        return self._runner.rows(images, self._pictures, self._towers.images, dim=self.dim)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)``; what does not fit the model's window is cut."""
        return self._runner.rows(
            texts, self._tokens, self._towers.texts, dim=self.dim, times=_TEXTS_PER_IMAGE
        )

    def _pictures(self, images: Sequence[Image.Image]) -> Tensors:
        return self._stacked(self._runner.map(lambda image: self._towers.picture(shaped(image)), images))

    def _stacked(self, prepared: Sequence[Arrays]) -> Tensors:
        stack = self._runner.torch.from_numpy
        return {name: stack(_stack([one[name] for one in prepared])) for name in prepared[0]}

    def _tokens(self, texts: Sequence[str]) -> Tensors:
        with self._tokenizing:
            # Half characters (from file names) stop tokenizers.
            return self._towers.tokens([t[:_LONGEST_TEXT].encode("utf-8", "replace").decode() for t in texts])

    def _probe(self) -> int:
        """The dimension, from one image and one text. Raises ``ModelUnavailableError``."""
        side = self.image_side
        prepared = self._pictures([Image.new("RGB", (side, side))])
        try:
            shown = self._runner.rows([0], lambda _: prepared, self._towers.images, dim=0).shape
            said = self._runner.rows(["a dog"], self._tokens, self._towers.texts, dim=0).shape
        except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise ModelUnavailableError(
                f"{self.model_id!r} cannot embed images and texts: {error}"
            ) from error
        if shown != said:
            raise ModelUnavailableError(
                f"{self.model_id!r} has no images and texts in one space (shapes {shown}, {said})"
            )
        self._runner.grow(
            lambda count: self._runner.rows(
                range(count),
                lambda some: {k: v.expand(len(some), *v.shape[1:]).contiguous() for k, v in prepared.items()},
                self._towers.images,
                dim=0,
            )
        )
        return int(shown[1])


def _stack(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack arrays; shorter ones are filled up with zeros (the model is told which rows are real)."""
    longest = max(len(one) for one in arrays)
    if all(len(one) == longest for one in arrays):
        return np.stack(arrays)
    whole = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, one in enumerate(arrays):
        whole[row, : len(one)] = one
    return whole


def shaped(image: Image.Image) -> Image.Image:
    """The image in RGB; of a strip, its middle."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    width, height = (min(side, _MAX_ASPECT * min(image.size)) for side in image.size)
    if (width, height) == image.size:
        return image
    left = (image.width - width) // 2
    top = (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def same_pixels(ours: NDArray[Any], library: NDArray[Any]) -> bool:
    """Return whether our shorter preprocessing gives what the library's own does."""
    return ours.shape == library.shape and bool(np.abs(ours - library).max() < _TOLERANCE)


def likelihood_from(model: Any) -> Likelihood | None:
    """Read the likelihood from the parameters that all these models name alike; None without them."""
    scale = getattr(model, "logit_scale", None)
    bias = getattr(model, "logit_bias", None)
    if scale is None:
        temperature = getattr(model, "temperature", None)  # ALIGN divides by it
        return None if temperature is None else Likelihood("softmax", 1 / float(temperature))
    factor = float(scale.detach().float().exp().reshape(-1)[0])
    if bias is None:
        return Likelihood("softmax", factor)
    return Likelihood("sigmoid", factor, float(bias.detach().float().reshape(-1)[0]))
