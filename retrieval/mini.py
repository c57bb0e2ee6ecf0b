"""The ``mini`` embedder: pictures and words in one space, from 35 MB of weights that ship with Askpix.

ConSE (Norouzi et al. 2013, "Zero-Shot Learning by Convex Combination of Semantic Embeddings"): a picture is
the mean of the embeddings of the ImageNet classes, weighted by an image classifier's probabilities; a text
is its own embedding in the same space. Here:

    picture  --squash to 260 x 260, bicubic, (x - 127) / 128-->  [n, 3, 260, 260]
             --EfficientNet-Lite2-->                             [n, 1000] logits
             --softmax at temperature 2-->                       [n, 1000] probabilities
             --times the class embeddings, each less their mean--> [n, 384], length one
    text     --all-MiniLM-L6-v2, less the same mean-->           [n, 384], length one

A class's embedding is the mean of those of its name, "a photo of a <name>", its WordNet lemma and
"<name>: <definition>". Subtracting the mean takes out what all classes share. tools/export_mini.py makes the
files; the README has its measured recall.
"""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from core.types import Vectors
from retrieval.minilm import DIM, MiniLM
from retrieval.onnx_session import Session, open_session
from retrieval.weights import weight_file

SIDE = 260
TEMPERATURE = 2.0


class MiniEmbedder:
    """An ``Embedder`` for machines without a model hub, a GPU or torch. Thread-safe."""

    model_id = "mini"
    dim = DIM
    image_side = SIDE

    def __init__(
        self,
        session: Session,
        classes: Vectors,
        mean: Vectors,
        text: MiniLM,
        workers: int,
    ) -> None:
        self._session = session
        self._classes = classes
        self._mean = mean
        self._text = text
        self.workers = workers

    @classmethod
    def load(cls, *, text: MiniLM | None = None, workers: int | None = None) -> "MiniEmbedder":
        """From the shipped weights; ``text`` shares a MiniLM that is already loaded.

        Each call runs on its caller's thread; ``workers`` (default: one per core) of them use the machine.
        Raises ``ModelUnavailableError``.
        """
        session = open_session(weight_file("efficientnet-lite2.onnx"), threads=1)
        classes = np.load(weight_file("imagenet-classes.npy"), allow_pickle=False).astype(np.float32)
        mean = classes.mean(axis=0)
        return cls(session, classes - mean, mean, text or MiniLM.load(), workers or os.cpu_count() or 1)

    def probabilities(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), 1000)`` softmax at temperature 2 over the ImageNet-1k classes."""
        if not images:
            return np.empty((0, len(self._classes)), np.float32)
        # Squashing, not cropping: captions speak of what stands at the edges too.
        pixels = np.stack([np.asarray(_squash(image), np.uint8) for image in images])
        (logits,) = self._session.run(None, {"pixels": pixels})
        scaled = (logits - logits.max(axis=1, keepdims=True)) / TEMPERATURE
        weights = np.exp(scaled)
        result: Vectors = weights / weights.sum(axis=1, keepdims=True)
        return result

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), 384)`` from upright RGB pictures of any size."""
        return _unit(self.probabilities(images) @ self._classes)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), 384)`` in the space of the pictures."""
        return _unit(self._text.embed_texts(texts) - self._mean)


def _squash(image: Image.Image) -> Image.Image:
    # reducing_gap shrinks by whole factors first: for large pictures as sharp and several times faster.
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
