"""Another model for a collection: its vectors are made anew beside those in use, from the same files.

    ledger -> [ read, check the hash -> decode -> embed ] x threads -> new store (image and words) -> proof

Search goes on with the old vectors meanwhile. The ledger says what there is to do and the new store what is
done, so a killed run goes on where it was. Words are not read again: the ledger has them.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.machine import usable_cores
from askpix.core.sandbox import stop_questions
from askpix.core.types import ImageRecord, Vectors
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.formats.content import label_of, place_of
from askpix.ingest.formats.pages import open_page
from askpix.ingest.pipeline.embed_images import TICK_S, OnProgress
from askpix.ingest.pipeline.report import Failure, Progress
from askpix.ingest.pipeline.text_sync import prepare, texts_of
from askpix.ingest.sources.remote import indexed_bytes
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.stores.base import OpenStore, VectorStore

_AT_ONCE = 256
"""Contents asked of the ledger, and ids compared, in one go."""
_CHUNK = 16
"""Images a thread embeds together."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Result of building vectors for another model.

    ``images`` is how many the new vectors hold, of ``expected`` in the ledger. ``missing`` names those that
    could not be embedded again and why: their file is gone, has other bytes, or cannot be decoded.
    """

    images: int
    expected: int
    embedded: int
    missing: tuple[Failure, ...]
    missing_ids: tuple[str, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Every image of the ledger is in the new vectors."""
        return not self.missing_ids


@dataclass(slots=True)
class _Made:
    """Result of one chunk, made in a thread."""

    records: list[ImageRecord] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def build(
    new: Collection,
    *,
    catalog: Catalog,
    open_store: OpenStore,
    embedder: Embedder,
    text_embedder: TextEmbedder,
    limits: ImageLimits,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> BuildReport:
    """Bring the store of ``new`` (as ``Generations.begin`` gave it) to what the ledger has.

    Doing it twice is doing it once; what is there already is kept. Hold ``collection_run`` around it, so
    that the ledger does not change meanwhile. On KeyboardInterrupt what is done is kept. Raises
    ``StoreUnavailableError`` when the new store or the catalog cannot be read or written.
    """
    began = time.perf_counter()
    with open_store() as store:
        ledger = set(catalog.embedded_ids(new))
        there = set(store.ids())
        store.delete(sorted(there - ledger))
        there &= ledger
        writer = _Writer(catalog, store, text_embedder)
        _work(
            _chunks(new, catalog, there),
            _Maker(embedder, limits),
            writer,
            total=len(ledger) - len(there),
            threads=threads or max(usable_cores(), embedder.workers) + 1,
            on_progress=on_progress,
        )
        _prove(new, catalog, store, writer)
        store.optimize()
        held = set(store.ids())
    return BuildReport(
        images=len(held & ledger),
        expected=len(ledger),
        embedded=writer.embedded,
        missing=tuple(sorted(writer.failures, key=lambda failure: failure.path)),
        missing_ids=tuple(sorted(ledger - held)),
        seconds=round(time.perf_counter() - began, 3),
    )


def align(collection: Collection, *, catalog: Catalog, store: VectorStore) -> int:
    """Bring vectors that were out of use up to the ledger, as far as it goes without the model.

    Images that were removed leave the store and copies are noted. What was added, or read, since then is
    marked in the ledger as not being there: the next indexing run does it. Returns how many those are.
    """
    ledger = set(catalog.embedded_ids(collection))
    vectors = set(store.ids())
    store.delete(sorted(vectors - ledger))
    lost = sorted(ledger - vectors)
    catalog.mark_lost(lost)
    unread: list[str] = []
    for records in _records(collection, catalog):
        ids = [record.id for record in records]
        texts = dict(zip(ids, texts_of(catalog, ids), strict=True))
        held = {record.id: record for record in store.get(ids)}
        for record in records:
            stored = held.get(record.id)
            if stored is None:
                continue
            if (stored.uri, stored.copies) != (record.uri, record.copies):
                store.set_copies(record)
            if stored.text != texts[record.id]:
                unread.append(record.id)
    catalog.texts.mark_read(unread)
    catalog.notes.mark_unstored(unread)
    return len(lost) + len(unread)


class _Maker:
    """Contents into vectors. One serves all threads."""

    def __init__(self, embedder: Embedder, limits: ImageLimits) -> None:
        self._embedder = embedder
        self._limits = limits
        self._device = threading.Semaphore(embedder.workers)
        self.stop = threading.Event()

    def __call__(self, chunk: Sequence[tuple[str, Sequence[ImageRecord]]]) -> _Made:
        made = _Made()
        images = []
        for sha256, records in chunk:
            if self.stop.is_set():
                break
            data = indexed_bytes((records[0].uri, *records[0].copies), sha256, self._limits)
            for record in records:
                name = record.uri + label_of(record)
                if data is None:
                    why = (
                        "its file is gone, cannot be read, or has other bytes by now; index its folder again"
                    )
                    made.failures.append(Failure(name, why))
                    continue
                try:
                    side = self._embedder.image_side
                    picture = open_page(data, place_of(record), limits=self._limits, min_side=side)
                except BadImageError as error:
                    made.failures.append(Failure(name, str(error)))
                    continue
                made.records.append(record)
                images.append(picture.image)
        if images:
            with self._device:
                made.vectors = list(self._embedder.embed_images(images))
        return made


class _Writer:
    """Images and their words into the new store."""

    def __init__(self, catalog: Catalog, store: VectorStore, text_embedder: TextEmbedder) -> None:
        self._catalog = catalog
        self._store = store
        self._text_embedder = text_embedder
        self.embedded = 0
        self.failures: list[Failure] = []

    def write(self, made: _Made) -> None:
        self.failures += made.failures
        if made.records:
            self._store.upsert(made.records, np.stack(made.vectors))
            self.embedded += len(made.records)
            self.write_text([record.id for record in made.records])

    def write_text(self, ids: Sequence[str]) -> None:
        """The words that the ledger has of these images."""
        ids = [i for i, text in zip(ids, texts_of(self._catalog, ids), strict=True) if text]
        if ids:
            self._store.set_text(ids, *prepare(self._catalog, ids, self._text_embedder))


def _prove(new: Collection, catalog: Catalog, store: VectorStore, writer: _Writer) -> None:
    """A kill may have come between an image and its words, and copies may have moved: what differs is
    written again."""
    for records in _records(new, catalog):
        ids = [record.id for record in records]
        texts = dict(zip(ids, texts_of(catalog, ids), strict=True))
        held = {record.id: record for record in store.get(ids)}
        writer.write_text(
            [i for i in ids if i in held and held[i].text != texts[i]],
        )
        for record in records:
            stored = held.get(record.id)
            if stored and (stored.uri, stored.copies) != (record.uri, record.copies):
                store.set_copies(record)


def _records(collection: Collection, catalog: Catalog) -> Iterator[list[ImageRecord]]:
    """Every image of the ledger, some hundred contents at a time."""
    contents = catalog.embedded_contents(collection)
    for start in range(0, len(contents), _AT_ONCE):
        found = catalog.records_by_content(collection, contents[start : start + _AT_ONCE])
        if records := [record for group in found.values() for record in group]:
            yield records


def _chunks(
    collection: Collection, catalog: Catalog, there: set[str]
) -> Iterator[list[tuple[str, list[ImageRecord]]]]:
    """Yield the remaining work, about ``_CHUNK`` images at a time; a document's pages in several parts."""
    contents = catalog.embedded_contents(collection)
    chunk: list[tuple[str, list[ImageRecord]]] = []
    size = 0
    for start in range(0, len(contents), _AT_ONCE):
        found = catalog.records_by_content(collection, contents[start : start + _AT_ONCE])
        for sha256, records in found.items():
            todo = iter([replace(record, text="") for record in records if record.id not in there])
            while part := list(islice(todo, _CHUNK - size)):
                chunk.append((sha256, part))
                size += len(part)
                if size == _CHUNK:
                    yield chunk
                    chunk = []
                    size = 0
    if chunk:
        yield chunk


def _work(
    chunks: Iterator[list[tuple[str, list[ImageRecord]]]],
    maker: _Maker,
    writer: _Writer,
    *,
    total: int,
    threads: int,
    on_progress: OnProgress | None,
) -> None:
    """Threads embed, this one writes. At most two chunks a thread are under way."""
    began = time.perf_counter()
    pool = ThreadPoolExecutor(
        threads, thread_name_prefix="reembed", initializer=stop_questions, initargs=(maker.stop,)
    )
    running: set[Future[_Made]] = set()
    finished: set[Future[_Made]] = set()
    try:
        while True:
            while len(running) < 2 * threads and (chunk := next(chunks, None)):
                running.add(pool.submit(maker, chunk))
            if not running:
                return
            finished, running = wait(running, TICK_S, return_when=FIRST_COMPLETED)
            while finished:
                writer.write(finished.pop().result())
            if on_progress:
                done = writer.embedded + len(writer.failures)
                rate = done / (time.perf_counter() - began)
                on_progress(Progress("embedding anew", done, total, rate, len(writer.failures)))
    except KeyboardInterrupt:
        # What other threads had made by then is worth keeping.
        maker.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        for future in finished | running:
            if not future.cancelled() and future.exception() is None:
                writer.write(future.result())
        raise
    finally:
        maker.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
