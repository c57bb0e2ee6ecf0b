"""Base classes of embedders, and the registry of their kinds."""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from askpix.core.errors import AskpixError, ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.model_hub.options import split_options
from askpix.retrieval.model_hub.registry import Kind, KindRegistry


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Likelihood that a model was trained to make of cosines.

    ``softmax`` (CLIP): over the labels, of ``scale * cosine``. ``sigmoid`` (SigLIP): of each label alone, of
    ``scale * cosine + bias``. ``scale`` is the model's ``exp(logit_scale)``; ``bias`` its ``logit_bias``.
    """

    kind: Literal["softmax", "sigmoid"]
    scale: float
    bias: float = 0.0


def unit(vectors: Vectors) -> Vectors:
    """Return the rows at length one, float32."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


class TextEmbedder(ABC):
    """Texts into vectors of length one: words read in images, and the queries that look for them.

    An adapter sets ``model_id`` and ``dim`` and implements ``embed_texts``. Thread-safe.
    """

    model_id: str
    dim: int

    @abstractmethod
    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """Return ``(len(texts), dim)`` float32. Texts longer than the model's window are cut."""

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        """Return ``(len(texts), dim)``; override it where a query is read otherwise than a passage."""
        return self.embed_texts(texts)

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """Return ``(len(texts), dim)`` of what is looked for.

        The latest are remembered, and those of concurrent calls are encoded together.
        """
        return self._queries(texts)

    @cached_property
    def _queries(self) -> "QueryBatcher":
        return QueryBatcher(self.encode_queries)


class Embedder(TextEmbedder):
    """Images and texts into one space: a dot product says how well they fit.

    Besides what a ``TextEmbedder`` has, an adapter sets ``image_side`` and implements ``embed_images``; the
    attributes with a default are capabilities that it may have.
    """

    image_side: int
    """Pixels of the side the model looks at: decoders may shrink an image to no less than this."""
    workers: int = 1
    """Number of threads that may call ``embed_images`` at once to keep the device busy (1 on a GPU)."""
    batch: int = 16
    """Images that are embedded together fastest."""
    likelihood: Likelihood | None = None
    """Likelihood of the model; None for unknown training."""

    @property
    def base_id(self) -> str:
        """The id of the model itself, where this is one seen through an adaptation."""
        return self.model_id

    def classes(self, image: Image.Image, /, *, count: int) -> Sequence[tuple[str, float]]:
        """Return the likeliest classes of the model's own classifier with their probabilities; () without."""
        return ()

    @abstractmethod
    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """Return ``(len(images), dim)`` float32 from upright RGB images of any size. Thread-safe."""


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """Options of a model by the settings; a kind takes from them what it can."""

    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    """Threads; None: one per core this process may use."""
    compiled: bool = False
    openvino: bool = False


@dataclass(frozen=True, kw_only=True)
class EmbedderKind(Kind):
    """A kind of embedder: a package registers one under the entry-point group ``askpix.embedders``.

    ``load`` takes what follows ``KIND:`` in an id; the ``model_id`` of what it returns begins with ``KIND``
    and loads the same model again. It raises ``ModelUnavailableError`` where the model cannot be had here.
    """

    role: ClassVar[str] = "embedder"
    load: Callable[[str, EmbedderOptions], Embedder]
    pin: Callable[[str], str] | None = None
    """Returns the ``model_id`` that ``load`` would give for a reference, from files of this machine alone."""


EMBEDDERS = KindRegistry(
    "askpix.embedders",
    EmbedderKind,
    {
        "mini": "askpix.retrieval.onnx.mini:KIND",
        "onnx": "askpix.retrieval.onnx.image_embedder:KIND",
        "open_clip": "askpix.retrieval.embedders.open_clip:KIND",
        "transformers": "askpix.retrieval.embedders.transformers:KIND",
    },
)


def open_embedder(embedder_id: str, options: EmbedderOptions) -> Embedder:
    """Return the embedder with this id, loaded; ``ModelUnavailableError`` when it cannot be had here."""
    kind, reference = EMBEDDERS.resolve(embedder_id)
    kind.check(embedder_id)
    embedder = kind.load(reference, options)
    name = embedder_id.partition(":")[0]
    if embedder.model_id.partition(":")[0] != name:  # no collection could find it again
        raise ModelUnavailableError(
            f"the embedder {embedder_id!r} calls itself {embedder.model_id!r}; "
            f"its id must begin with {name!r}"
        )
    return embedder


def same_model(wanted: str, pinned: str) -> bool:
    """Return whether ``wanted``, as a person writes it, is the model that a collection has as ``pinned``.

    Looks at files of this machine alone. False also when there are none.
    """
    if split_options(wanted)[1] != split_options(pinned)[1]:
        return False
    if wanted == pinned or pinned.startswith((f"{wanted}@", f"{wanted}#")):
        return True
    try:
        kind, reference = EMBEDDERS.resolve(wanted)
        return kind.pin is not None and kind.pin(reference) == pinned
    except (AskpixError, ImportError):
        return False


@dataclass(eq=False)
class _Call:
    """Texts that one thread waits for."""

    texts: list[str]
    rows: dict[str, Vectors] = field(default_factory=dict)
    done: bool = False
    error: BaseException | None = None


class QueryBatcher:
    """Encodes the queries of concurrent threads together: who comes while a batch runs is in the next one.

    Nobody waits for a batch to fill: alone, a query is encoded at once; under load batches grow.
    """

    _CALLS = 64
    _REMEMBERED = 512

    def __init__(self, encode: Callable[[Sequence[str]], Vectors]) -> None:
        self._encode = encode
        self._waiting: list[_Call] = []
        self._recent: OrderedDict[str, Vectors] = OrderedDict()
        self._list = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, texts: Sequence[str], /) -> Vectors:
        """Return ``(len(texts), dim)``, rows of the caller's own."""
        call = _Call(list(texts))
        with self._list:
            for text in call.texts:
                if (row := self._recent.get(text)) is not None:
                    self._recent.move_to_end(text)
                    call.rows[text] = row
            call.done = bool(texts) and len(call.rows) == len(set(texts))
            if not call.done:
                self._waiting.append(call)
        if not call.done:
            with self._turn:
                # Those that came first are in front: with more than one batch's worth, ours may be later.
                while not call.done:
                    self._encode_next()
        if call.error is not None:
            raise call.error
        return np.stack([call.rows[text] for text in call.texts]) if texts else self._encode(texts)

    def _encode_next(self) -> None:
        with self._list:
            batch = self._waiting[: self._CALLS]
            self._waiting = self._waiting[self._CALLS :]
        missing = list(dict.fromkeys(t for call in batch for t in call.texts if t not in call.rows))
        try:
            rows = self._encode(missing) if missing else ()
            made = {text: np.array(row) for text, row in zip(missing, rows, strict=True)}
        except BaseException as error:  # noqa: BLE001 - each caller gets it raised in its own thread
            for call in batch:
                call.error = error
                call.done = True
            return
        for call in batch:
            call.rows |= {text: made[text] for text in call.texts if text in made}
            call.done = True
        with self._list:
            self._recent |= made
            while len(self._recent) > self._REMEMBERED:
                self._recent.popitem(last=False)
