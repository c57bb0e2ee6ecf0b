"""The models that ship with Askpix, 36 MB of weights: MiniLM for texts, ``mini`` for images and texts.

all-MiniLM-L6-v2 makes 384 numbers of a sentence, by the recipe of its model card (sentence-transformers,
Apache-2.0): lower-cased word pieces, at most 256, mean of the last hidden states over the real tokens, length
one. Weights are stored as int8 with a scale per channel and computed in float32 (tools/export_mini.py), so
that a text's vector does not depend on the texts beside it.

``mini`` is ConSE (Norouzi et al. 2013, "Zero-Shot Learning by Convex Combination of Semantic Embeddings"):
an image is the mean of the embeddings of the ImageNet classes, weighted by an image classifier's
probabilities; a text is its own embedding in the same space. Here:

    image  --squash to 260 x 260, bicubic, (x - 127) / 128-->  [n, 3, 260, 260]
             --EfficientNet-Lite2-->                             [n, 1000] logits
             --softmax at temperature 2-->                       [n, 1000] probabilities
             --times the class embeddings, each less their mean--> [n, 384], length one
    text     --all-MiniLM-L6-v2, less the same mean-->           [n, 384], length one

A class's embedding is the mean of those of its name, its WordNet lemma and its definition in six wordings.
Subtracting the mean takes out what all classes share. tools/export_mini.py makes the files;
retrieval/weights/README.md has sources, licences and measured recall.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from askpix.core.machine import usable_cores
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import Embedder, EmbedderKind, Likelihood, TextEmbedder, unit
from askpix.retrieval.model_hub.registry import ModelFact
from askpix.retrieval.onnx.session import Session, open_session
from askpix.retrieval.weights import class_names, size_of, weight_file

DIM = 384
MAX_TOKENS = 256
# Longer texts are cut before they are split into word pieces, which takes seconds for a few size_of.
_MAX_CHARACTERS = 40 * MAX_TOKENS
# Padded tokens of one run: enough to fill the matrix products, few enough to stay in the cache.
_BATCH_TOKENS = 1024
SIDE = 260
TEMPERATURE = 2.0


class MiniLM(TextEmbedder):
    """The text embedder that ships with Askpix. Thread-safe."""

    model_id = "all-MiniLM-L6-v2"
    dim = DIM

    def __init__(self, session: Session, tokenizer: Tokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, *, threads: int = 0) -> "MiniLM":
        """Load the shipped weights. ``threads=0`` is one per core. Raises ``ModelUnavailableError``."""
        tokenizer = Tokenizer.from_file(str(weight_file("minilm.tokenizer.json")))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        return cls(open_session(weight_file("minilm.onnx"), threads=threads), tokenizer)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), 384)``; an empty text has a vector too. Texts over 256 word pieces are cut."""
        vectors = np.empty((len(texts), DIM), np.float32)
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch([_clean(t) for t in texts])]
        for rows in batches([len(ids) for ids in tokens], tokens=_BATCH_TOKENS):
            width = len(tokens[rows[-1]])
            ids = np.zeros((len(rows), width), np.int64)
            mask = np.zeros((len(rows), width), np.int64)
            for row, index in enumerate(rows):
                length = len(tokens[index])
                ids[row, :length] = tokens[index]
                mask[row, :length] = 1
            (vectors[rows],) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return vectors


@cache
def shared_minilm() -> MiniLM:
    """Return the MiniLM of this process, loaded once for everyone."""
    return MiniLM.load()


def _clean(text: str) -> str:
    # File names that are not UTF-8 bring lone surrogates, which the tokenizer refuses.
    return text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def batches(lengths: Sequence[int], *, tokens: int) -> Iterator[list[int]]:
    """Yield indices of texts of like length together, shortest first, so that little is spent on padding."""
    rows: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if rows and (len(rows) + 1) * lengths[index] > tokens:
            yield rows
            rows = []
        rows.append(index)
    if rows:
        yield rows


class MiniEmbedder(Embedder):
    """The embedder for machines without a model hub, a GPU or torch. Thread-safe."""

    model_id = "mini"
    dim = DIM
    image_side = SIDE
    likelihood = Likelihood("softmax", 10.0)
    """Measured, for no loss trained it: on photos with one of 20 labels, 2 to 20 of them to choose from, the
    expected calibration error is 0.01 to 0.07 at 10 (0.02-0.17 at 8, 0.02-0.10 at 12, 0.38 at CLIP's 100)."""

    def __init__(self, session: Session, classes: Vectors, mean: Vectors, text: MiniLM, workers: int) -> None:
        self._session = session
        self._classes = classes
        self._mean = mean
        self._text = text
        self.workers = workers

    @classmethod
    def load(cls, *, text: MiniLM | None = None, workers: int | None = None) -> "MiniEmbedder":
        """Load the shipped weights; ``text``: the MiniLM of this process unless given.

        Each call runs on its caller's thread; ``workers`` (default: one per core this process may use) of
        them use the machine. Raises ``ModelUnavailableError``.
        """
        session = open_session(weight_file("efficientnet-lite2.onnx"), threads=1)
        classes = np.load(weight_file("imagenet-classes.npy"), allow_pickle=False).astype(np.float32)
        mean = classes.mean(axis=0)
        return cls(session, classes - mean, mean, text or shared_minilm(), workers or usable_cores())

    def probabilities(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), 1000)`` softmax at temperature 2 over the ImageNet-1k classes."""
        logits = np.empty((len(images), len(self._classes)), np.float32)
        # One at a time: of more, what passes between the layers falls out of the cache (a third slower at 16,
        # and at 2 up to a tenth where every core is busy).
        for row, image in enumerate(images):
            (logits[row : row + 1],) = self._session.run(None, {"pixels": np.asarray(_squash(image))[None]})
        weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / TEMPERATURE)
        result: Vectors = weights / weights.sum(axis=1, keepdims=True)
        return result

    def classes(self, image: Image.Image, /, *, count: int) -> Sequence[tuple[str, float]]:
        """Return the likeliest ImageNet classes of an image with their probabilities."""
        # At temperature 2: squared, the probabilities are the classifier's own.
        row = self.probabilities([image])[0] ** 2
        row /= row.sum()
        names = class_names()
        return [(names[i], float(row[i])) for i in row.argsort()[::-1][:count]]

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), 384)`` from upright RGB images of any size."""
        # Not "@": OpenBLAS would wake threads of its own, which spin between calls and take a tenth of the
        # cores from the workers.
        return unit(np.einsum("nk,kd->nd", self.probabilities(images), self._classes))

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), 384)`` in the space of the images."""
        return unit(self._text.embed_texts(texts) - self._mean)

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        """Return ``(len(texts), 384)``. MiniLM remembers a query for the words in images too."""
        return unit(self._text.embed_queries(texts) - self._mean)


def _squash(image: Image.Image) -> Image.Image:
    # Squashed, not cropped: captions speak of what stands at the edges too. reducing_gap shrinks by whole
    # factors first, as sharp and several times faster for large images.
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)


KIND = EmbedderKind(
    load=lambda _, options: MiniEmbedder.load(workers=options.workers),
    facts=lambda: [
        ModelFact(
            id="mini",
            name="mini",
            role="embedder",
            dim=DIM,
            licence="Apache-2.0",
            languages=("en",),
            notes="ships with Askpix: ConSE on EfficientNet-Lite2 and all-MiniLM-L6-v2; finds everyday "
            "objects, weaker than CLIP on scenes and relations",
            bytes=size_of("mini"),
        )
    ],
)
