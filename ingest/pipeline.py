"""Stage one of ingestion: every file decoded, embedded and written, once.

    walk -> unchanged? -> [ read, hash, known content? -> decode -> embed ] x workers -> store -> catalog

Each worker takes a chunk of files and does all of it on its own thread, decoding and embedding release the
interpreter lock, so the cores are busy without queues between stages. The main thread writes: first the
store, then the catalog. A kill in between leaves pictures that are in the store and not in the catalog: ids
follow from content, so doing them again changes nothing.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import numpy as np

from core.errors import BadImageError, StoreUnavailableError
from core.images import ImageLimits, read_bytes
from core.types import ImageRecord, Vectors
from ingest.catalog import Catalog, Collection, SourceState
from ingest.documents import Page, open_pages
from ingest.metadata import read_metadata
from ingest.report import Failure, IngestReport, Progress
from ingest.walk import Skipped, Source, walk
from retrieval.embedder import Embedder
from retrieval.store import VectorStore

_MAX_PENDING_PIXELS = 64_000_000
"""Decoded pixels a worker holds before it embeds what it has: bounds memory for large pictures."""
_WRITE_EVERY_IMAGES = 128
_WRITE_EVERY_S = 2.0

OpenStore = Callable[[], AbstractContextManager[VectorStore]]
OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class _Outcome:
    """What a worker found in one file."""

    source: Source
    sha256: str | None = None
    error: str | None = None
    records: list[ImageRecord] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)


@contextmanager
def collection_run(folder: Path) -> Iterator[None]:
    """Held while a collection is being indexed. Raises ``StoreUnavailableError`` when it already is."""
    lock = filelock.FileLock(folder / "indexing.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise StoreUnavailableError(
            f"collection {folder.name!r} is being indexed by another process; wait for it, or stop it"
        ) from error
    except OSError as error:
        raise StoreUnavailableError(f"cannot write to {str(folder)!r}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def index(
    paths: Sequence[Path],
    *,
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    embedder: Embedder,
    limits: ImageLimits,
    prune: bool = False,
    batch_size: int = 16,
    on_progress: OnProgress | None = None,
) -> IngestReport:
    """Bring the collection up to date with what lies under ``paths``; see ``IngestReport``.

    Unchanged files (size and time, as the ledger has them) cost a look-up; touched, renamed and copied ones
    a hash. ``prune`` forgets files under ``paths`` that are gone. Bad files are reported and the run goes
    on; they are looked at again when they change. On KeyboardInterrupt what is done is kept.

    Raises ``NotFoundError`` for a missing path and ``StoreUnavailableError`` when nothing can be written.
    """
    began = time.perf_counter()
    with open_store() as store:
        run = _Run(
            collection=collection,
            catalog=catalog,
            store=store,
            embedder=embedder,
            limits=limits,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        run.repair()
        run.look(walk(paths))
        run.work()
        if prune:
            run.prune(paths)
        if run.embedded or run.removed:
            store.optimize()
    seconds = time.perf_counter() - began
    return IngestReport(
        collection=collection.name,
        embedder=collection.embedder,
        added=run.added,
        updated=run.updated,
        unchanged=run.unchanged,
        removed=run.removed,
        duplicates=run.duplicates,
        failed=tuple(run.failures),
        skipped=tuple(run.skipped),
        images=catalog.count_images(collection),
        seconds=round(seconds, 3),
        images_per_second=round(run.embedded / seconds, 2) if run.embedded else 0.0,
    )


class _Run:
    """One run: the state that its steps share."""

    def __init__(
        self,
        *,
        collection: Collection,
        catalog: Catalog,
        store: VectorStore,
        embedder: Embedder,
        limits: ImageLimits,
        batch_size: int,
        on_progress: OnProgress | None,
    ) -> None:
        self.collection, self.catalog, self.store = collection, catalog, store
        self.embedder, self.limits, self.batch_size = embedder, limits, batch_size
        self.on_progress = on_progress
        self.added = self.updated = self.unchanged = self.removed = self.duplicates = self.embedded = 0
        self.failures: list[Failure] = []
        self.skipped: list[Skipped] = []
        self.todo: list[Source] = []
        self.walked: set[str] = set()
        self.known: dict[str, SourceState] = {}
        self.contents: set[str] = set()

    # --- before --------------------------------------------------------------------------------------

    def repair(self) -> None:
        """Make store and catalog name the same pictures again after a crash or a lost store."""
        if self.store.count() != self.catalog.count_images(self.collection):
            ledger, vectors = set(self.catalog.embedded_ids(self.collection)), set(self.store.ids())
            if lost := sorted(ledger - vectors):
                # Without their sources they are new files, and will be embedded again.
                self.catalog.forget_sources(self.collection, self.catalog.sources_of_images(lost))
                self.catalog.forget_images(lost)
            if strays := sorted(vectors - ledger):
                self.store.delete(strays)
        self.known = self.catalog.known_sources(self.collection)
        self.contents = self.catalog.contents(self.collection)

    def look(self, found: Iterator[Source | Skipped]) -> None:
        """Sort what the walk finds into unchanged, to do and skipped."""
        for item in found:
            if isinstance(item, Skipped):
                self.skipped.append(item)
                continue
            self.walked.add(item.uri)
            state = self.known.get(item.uri)
            same = state and (state.size, state.mtime_ns) == (item.size, item.mtime_ns)
            # What could not even be read (no permission, share away) is tried again each time.
            if state and same and state.sha256 is not None:
                if state.error is None:
                    self.unchanged += 1
                else:
                    self.failures.append(Failure(item.uri, state.error))
            else:
                self.todo.append(item)

    # --- the work ------------------------------------------------------------------------------------

    def work(self) -> None:
        """Workers fill, this thread writes. At most two chunks a worker are under way."""
        size, began, written = self.batch_size, time.perf_counter(), time.perf_counter()
        chunks = iter([self.todo[i : i + size] for i in range(0, len(self.todo), size)])
        done, ready, images = 0, list[_Outcome](), 0
        pool = ThreadPoolExecutor(self.embedder.workers, thread_name_prefix="ingest")
        running: set[Future[list[_Outcome]]] = set()
        try:
            while True:
                while len(running) < 2 * self.embedder.workers and (chunk := next(chunks, None)):
                    running.add(pool.submit(self._process, chunk))
                if not running:
                    break
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    outcomes = future.result()
                    ready += outcomes
                    done += len(outcomes)
                    images += sum(len(outcome.records) for outcome in outcomes)
                if images >= _WRITE_EVERY_IMAGES or time.perf_counter() - written > _WRITE_EVERY_S:
                    self._write(ready)
                    ready, images, written = [], 0, time.perf_counter()
                if self.on_progress:
                    rate = done / (time.perf_counter() - began)
                    self.on_progress(Progress("looking", done, len(self.todo), rate, len(self.failures)))
        finally:
            # Also on Ctrl-C: what the workers have finished is kept.
            pool.shutdown(wait=True, cancel_futures=True)
            for future in running:
                if not future.cancelled() and future.exception() is None:
                    ready += future.result()
            self._write(ready)

    def _process(self, chunk: Sequence[Source]) -> list[_Outcome]:
        """On a worker's thread: read, hash, decode and embed a chunk of files."""
        outcomes = [_Outcome(source) for source in chunk]
        pending: list[tuple[_Outcome, Page]] = []
        pixels = 0
        for outcome in outcomes:
            try:
                data = read_bytes(outcome.source.path, limits=self.limits)
                outcome.sha256 = hashlib.sha256(data).hexdigest()
                if outcome.sha256 in self.contents:
                    continue
                broken: list[str] = []
                for page in open_pages(data, limits=self.limits, min_side=self.embedder.image_side):
                    if page.picture is None:
                        broken.append(f"page {page.page}: {page.error}")
                        continue
                    pending.append((outcome, page))
                    pixels += page.picture.image.width * page.picture.image.height
                    if len(pending) >= self.batch_size or pixels >= _MAX_PENDING_PIXELS:
                        self._embed(pending)
                        pixels = 0
                outcome.error = "; ".join(broken) or None
            except BadImageError as error:
                outcome.error = str(error)
        self._embed(pending)
        return outcomes

    def _embed(self, pending: list[tuple[_Outcome, Page]]) -> None:
        pictures = [page.picture for _, page in pending if page.picture]
        if not pictures:
            return
        vectors = self.embedder.embed_images([picture.image for picture in pictures])
        for (outcome, page), picture, vector in zip(pending, pictures, vectors, strict=True):
            about = read_metadata(picture.exif)
            outcome.records.append(
                ImageRecord(
                    id=self.collection.image_id(outcome.sha256 or "", page.page),
                    uri=outcome.source.uri,
                    kind=page.kind,
                    width=picture.width,
                    height=picture.height,
                    page=page.page,
                    taken_at=about.taken_at,
                    camera=about.camera,
                    lat=about.lat,
                    lon=about.lon,
                )
            )
            outcome.vectors.append(vector)
        pending.clear()

    # --- writing -------------------------------------------------------------------------------------

    def _write(self, outcomes: list[_Outcome]) -> None:
        """Store first, catalog second, counts last."""
        states: dict[str, SourceState] = {}
        added: dict[str, Sequence[ImageRecord]] = {}
        shared: set[str] = set()
        records: list[ImageRecord] = []
        vectors: list[Vectors] = []
        replaced: set[str] = set()
        for outcome in outcomes:
            uri, sha256, before = outcome.source.uri, outcome.sha256, self.known.get(outcome.source.uri)
            states[uri] = SourceState(outcome.source.size, outcome.source.mtime_ns, sha256, outcome.error)
            if outcome.error:
                self.failures.append(Failure(uri, outcome.error))
            if before and before.sha256 and before.sha256 != sha256:
                replaced.add(before.sha256)
            if sha256 is None or (not outcome.records and sha256 not in self.contents):
                continue
            if before and before.sha256 == sha256:
                self.unchanged += 1
            elif before:
                self.updated += 1
            elif sha256 in self.contents:
                self.duplicates += 1
            else:
                self.added += 1
            if sha256 in self.contents:
                shared.add(sha256)
                continue
            self.contents.add(sha256)
            added[sha256] = outcome.records
            records += outcome.records
            vectors += outcome.vectors
            self.embedded += len(outcome.records)
        if not states:
            return
        if records:
            self.store.upsert(records, np.stack(vectors))
        self.catalog.record(self.collection, states=states, added=added)
        self.known.update(states)
        self._tell_copies(shared)
        if replaced:
            self._drop_orphans(replaced)

    def _tell_copies(self, shas: set[str]) -> None:
        """The store learns where else the same bytes lie."""
        for record in self.catalog.records(self.collection, sorted(shas)):
            self.store.set_copies(record)

    def _drop_orphans(self, shas: set[str]) -> None:
        """Contents that lost a source: gone when it was the last, else told of the remaining ones."""
        gone = self.catalog.orphans(self.collection)
        self.store.delete(gone)
        self.catalog.forget_images(gone)
        kept = self.catalog.records(self.collection, sorted(shas))
        for record in kept:
            self.store.set_copies(record)
        self.contents -= shas
        self.contents |= self.catalog.contents(self.collection) & shas

    def prune(self, paths: Sequence[Path]) -> None:
        """Forget files under ``paths`` that are gone; never because a folder could not be read."""
        roots = [str(Path(path).absolute()) for path in paths]
        unread = [item.path for item in self.skipped if item.reason.startswith("cannot read")]
        gone = [
            uri
            for uri in self.known
            if uri not in self.walked
            and any(uri == root or uri.startswith(root.rstrip("/") + "/") for root in roots)
            and not any(uri.startswith(folder) for folder in unread)
            and not Path(uri).exists()
        ]
        shas = {sha for uri in gone if (sha := self.known[uri].sha256)}
        self.catalog.forget_sources(self.collection, gone)
        self._drop_orphans(shas)
        self.removed = len(gone)
