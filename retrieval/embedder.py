"""What an embedder is. Adapters stand beside this file, one per library."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from core.types import Vectors


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
