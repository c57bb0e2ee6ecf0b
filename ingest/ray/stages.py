"""Stages that Ray runs: decode (tasks), embed, write and read (actors), each on batches of rows between
stages.

A row is a file: ``uri`` (the id of Ray's checkpoint) and what is known of it so far, pickled by us for us.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from askpix.core.imaging.decode import ImageLimits
from askpix.core.types import Vectors
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.texts import PendingText
from askpix.ingest.ocr.reader import TextReader
from askpix.ingest.pipeline.ocr_stage import read_group
from askpix.ingest.pipeline.plan import Plan, Task, tried_with
from askpix.ingest.pipeline.text_sync import prepare
from askpix.ingest.pipeline.worker import Contents, Outcome, Worker
from askpix.ingest.pipeline.writer import Writer
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.stores.base import OpenStore

Batch = Mapping[str, Any]
_MAX_PIXELS = 100_000_000
"""Decoded pixels that travel between two stages: 300 MB. A longer document is embedded where it is read."""


class Tools(Protocol):
    """Workspace of a process of the cluster, on the settings of the run."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def limits(self) -> ImageLimits: ...
    @property
    def reader(self) -> TextReader: ...
    def store_opener(self, collection: Collection, /) -> OpenStore: ...
    def embedder(self, embedder_id: str, /) -> Embedder: ...
    def text_embedder_of(self, collection: Collection, /) -> TextEmbedder: ...


OpenTools = Callable[[], Tools]


class _TooLargeError(Exception):
    """More images than should travel."""


class _Later(Embedder):
    """Keeps the images, for a process that has the model."""

    model_id = "later"

    def __init__(self, dim: int, image_side: int) -> None:
        self.dim = dim
        self.image_side = image_side
        self.kept: list[Image.Image] = []
        self._pixels = 0

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        self._pixels += sum(image.width * image.height for image in images)
        if self._pixels > _MAX_PIXELS:
            raise _TooLargeError
        self.kept += images
        return np.zeros((len(images), self.dim), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        raise NotImplementedError  # a worker embeds images


def decode(batch: Batch, *, open_tools: OpenTools, collection: Collection, image_side: int) -> dict[str, Any]:
    """Files into images: read, hashed, held against the catalog, decoded. Bad ones carry their error."""
    tools = open_tools()
    tasks: list[Task] = [pickle.loads(data) for data in batch["state"]]  # noqa: S301 - ours
    outcomes: list[tuple[Outcome, list[Image.Image] | None]] = []
    for task in tasks:
        later = _Later(collection.dim, image_side)
        worker = Worker(
            collection=collection,
            contents=_Asked(tools.catalog, collection, task),
            embedder=later,
            limits=tools.limits,
            batch=16,
            busy=1,
        )
        try:
            [outcome] = worker([task])
            outcomes.append((outcome, later.kept))
        except _TooLargeError:
            outcomes.append((Outcome(task), None))
    tools.catalog.close()
    return {"uri": batch["uri"], "state": _packed(outcomes)}


class Embed:
    """Images into vectors: an actor, on a GPU where there are any."""

    def __init__(self, open_tools: OpenTools, collection: Collection) -> None:
        self._tools = open_tools()
        self._collection = collection
        self._embedder = self._tools.embedder(collection.embedder)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Return each file's outcome in the form of stage one on one machine."""
        rows: list[tuple[Outcome, list[Image.Image] | None]] = [pickle.loads(data) for data in batch["state"]]  # noqa: S301
        pictures = [picture for _, kept in rows for picture in kept or ()]
        size = self._embedder.batch
        vectors = [
            vector
            for start in range(0, len(pictures), size)
            for vector in self._embedder.embed_images(pictures[start : start + size])
        ]
        done: list[Outcome] = []
        for outcome, kept in rows:
            if kept is None:
                done += self._whole(outcome.task)
                continue
            outcome.vectors = vectors[: len(kept)]
            vectors = vectors[len(kept) :]
            done.append(outcome)
        return {"uri": batch["uri"], "state": _packed(done)}

    def _whole(self, task: Task) -> list[Outcome]:
        worker = Worker(
            collection=self._collection,
            contents=Contents(set(), {}),
            embedder=self._embedder,
            limits=self._tools.limits,
            batch=16,
            busy=1,
        )
        return worker([task])


class Write:
    """Vectors into the store, then rows into the catalog; durable when the batch is done."""

    def __init__(self, open_tools: OpenTools, collection: Collection) -> None:
        self._tools = open_tools()
        self._collection = collection

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Return each file's outcome for the report."""
        catalog = self._tools.catalog
        collection = self._collection
        outcomes: list[Outcome] = [pickle.loads(data) for data in batch["state"]]  # noqa: S301 - ours
        shas = sorted({outcome.sha256 for outcome in outcomes if outcome.sha256})
        with self._tools.store_opener(collection)() as store:
            writer = Writer(
                collection=collection,
                catalog=catalog,
                store=store,
                contents=Contents(catalog.embedded_among(collection, shas), {}),
                plan=Plan(),
                conditions=tried_with(self._tools.limits),
            )
            writer.write(outcomes)
        count = len(outcomes)
        return {
            "uri": batch["uri"],
            "error": np.array([outcome.error or "" for outcome in outcomes], object),
            "sha256": np.array([outcome.sha256 or "" for outcome in outcomes], object),
            "was": np.array(
                [(o.task.before.sha256 if o.task.before else "") or "" for o in outcomes], object
            ),
            "images": np.array([len(outcome.records) for outcome in outcomes]),
            "indexed": np.array([outcome.task.indexed for outcome in outcomes]),
            "embedded": np.full(count, writer.embedded / count),
        }


class Read:
    """Words in images: an actor on one core, so that a crash of the engine costs a batch."""

    def __init__(self, open_tools: OpenTools) -> None:
        self._tools = open_tools()
        self._reader = self._tools.reader

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Lines and errors by image id, one file at a time."""
        found = []
        for data in batch["state"]:
            group: list[PendingText] = pickle.loads(data)  # noqa: S301 - ours
            found.append(read_group(group, self._reader, self._tools.limits))
        return {"state": _packed(found)}


class WriteText:
    """Words into the catalog, then into the store."""

    def __init__(self, open_tools: OpenTools, collection: Collection, engine_id: str) -> None:
        self._tools = open_tools()
        self._collection = collection
        self._engine_id = engine_id
        self._embedder = self._tools.text_embedder_of(collection)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Return how many were read, had text, and failed."""
        texts = self._tools.catalog.texts
        read = with_text = failed = 0
        for data in batch["state"]:
            lines, errors = pickle.loads(data)  # noqa: S301 - ours
            texts.save(lines, errors, engine=self._engine_id)
            read += len(lines)
            with_text += sum(bool(each) for each in lines.values())
            failed += len(errors)
        hand_over(self._tools, self._collection, self._embedder)
        return {"read": np.array([read]), "with_text": np.array([with_text]), "failed": np.array([failed])}


def hand_over(tools: Tools, collection: Collection, embedder: TextEmbedder) -> None:
    """Words that the catalog has and the store has not, also those that a kill left between the two."""
    texts = tools.catalog.texts
    while ids := texts.unstored(collection.id, limit=256):
        words, rows = prepare(tools.catalog, ids, embedder)
        with tools.store_opener(collection)() as store:
            store.set_text(ids, words, rows)
        texts.mark_stored(ids)


class _Asked(Contents):
    """The bytes that the catalog has, asked for one file at a time: a hundred million fit no process."""

    def __init__(self, catalog: Catalog, collection: Collection, task: Task) -> None:
        super().__init__(set(), {})
        self._catalog = catalog
        self._collection = collection
        self._task = task

    def claim(self, sha256: str, outcome: Outcome) -> bool:
        """See ``Contents.claim``."""
        if self._catalog.embedded_among(self._collection, [sha256]):
            return False
        return super().claim(sha256, outcome)


def _packed(items: Sequence[Any]) -> Any:
    rows = np.empty(len(items), object)
    rows[:] = [pickle.dumps(item, protocol=5) for item in items]
    return rows
