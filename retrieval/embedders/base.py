"""What an embedder is. Adapters stand beside this file, one per library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from askpix.core.types import Vectors


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How a model was trained to turn cosines into probabilities.

    ``softmax`` (CLIP): over the labels, of ``scale * cosine``. ``sigmoid`` (SigLIP): of each label alone, of
    ``scale * cosine + bias``. ``scale`` is the model's ``exp(logit_scale)``; ``bias`` its ``logit_bias``.
    An embedder that knows it has it as the attribute ``likelihood``; see ``likelihood_of``.
    """

    kind: Literal["softmax", "sigmoid"]
    scale: float
    bias: float = 0.0


class TextEmbedder(Protocol):
    """Words into vectors: for text read in pictures, and for the queries that look for it."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)``. Texts longer than the model's window are cut."""
        ...


class Embedder(Protocol):
    """Pictures and words into one space: a dot product says how well they fit."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def image_side(self) -> int:
        """Pixels of the side the model looks at: decoders may shrink a picture to no less than this."""
        ...

    @property
    def workers(self) -> int:
        """How many threads may call ``embed_images`` at once to keep the device busy (1 on a GPU)."""
        ...

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), dim)`` from upright RGB pictures of any size. Thread-safe."""
        ...

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` in the space of ``embed_images``. Thread-safe."""
        ...


def embed_queries(text_embedder: TextEmbedder, texts: Sequence[str]) -> Vectors:
    """``(len(texts), dim)`` of what is looked for: some models read a query otherwise than a passage."""
    own = getattr(text_embedder, "embed_queries", None)
    vectors: Vectors = text_embedder.embed_texts(texts) if own is None else own(texts)
    return vectors


def likelihood_of(embedder: Embedder) -> Likelihood | None:
    """The embedder's likelihood; None where it has none (a model of unknown training)."""
    found = getattr(embedder, "likelihood", None)
    return found if isinstance(found, Likelihood) else None
