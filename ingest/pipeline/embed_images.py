"""Stage one of ingestion: every file decoded, embedded and written, once.

    walk -> unchanged? -> [ read, hash, known bytes? -> decode -> embed ] x threads -> store -> catalog

Each thread takes a chunk of files and does all of it: decoding and embedding release the interpreter lock, so
the cores are busy without queues between stages, and memory is that of a few chunks. The calling thread
writes (``askpix.ingest.pipeline.writer``). Ids follow from content, so doing an image again changes nothing.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import filelock

from askpix.core.errors import AskpixError, StoreUnavailableError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.log import tolerated
from askpix.core.machine import usable_cores
from askpix.core.sandbox import stop_questions
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.pipeline.plan import Task, make_plan, tried_with
from askpix.ingest.pipeline.report import IngestReport, Progress
from askpix.ingest.pipeline.worker import Contents, Outcome, Worker
from askpix.ingest.pipeline.writer import Writer, mend
from askpix.ingest.sources.read_ahead import POSSIBLE, read_ahead
from askpix.ingest.sources.remote import Remote, remote_uri
from askpix.ingest.sources.walk import Skipped
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.stores.base import OpenStore

_log = logging.getLogger(__name__)
_WRITE_EVERY_IMAGES = 128
_WRITE_EVERY_S = 2.0
_AHEAD = 8
"""Threads that wait for servers; each holds one file."""

TICK_S = 0.5
"""``OnProgress`` is called as often, whether there is progress or not: what it raises stops a run."""

OnProgress = Callable[[Progress], None]


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
    embedder: Callable[[], Embedder],
    limits: ImageLimits,
    prune: bool = False,
    ignore: Sequence[str] = (),
    remote: Remote | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> IngestReport:
    """Bring the collection up to date with what lies under ``paths``; see ``IngestReport``.

    Unchanged files (size and time, as the ledger has them) cost a look-up; touched, renamed and copied ones
    a hash. ``prune`` forgets files under ``paths`` that are gone. Bad files are reported and the run goes
    on; they are tried again when they or ``limits`` change. ``ignore``: see ``ingest.sources.walk.walk``;
    ``remote`` reads paths that are URIs. On KeyboardInterrupt what is done is kept. ``embedder`` is loaded
    where there is something to embed; ``batch_size`` None: what it likes. ``threads`` read, decode and
    embed (default: as many as there are cores or the embedder's ``workers``, and one more where files cannot
    be asked for ahead). Hold ``collection_run`` around it.

    Raises ``NotFoundError`` for a missing path and ``StoreUnavailableError`` when the store or the catalog
    cannot be read or written.
    """
    began = time.perf_counter()
    remote = remote or Remote()
    found = remote.find_all(paths, ignore, limits=limits)
    with open_store() as store:
        if catalog.begin_run(collection) or store.count() != catalog.count_images(collection):
            mend(collection, catalog, store)
        indexed = catalog.contents(collection)
        known = catalog.known_sources(collection)
        errors = {s.sha256: s.error for s in known.values() if s.error and s.sha256 in indexed}
        conditions = tried_with(limits)
        aside = {
            s.sha256: s for s in known.values() if s.sha256 and s.set_aside and s.tried_with == conditions
        }
        plan = make_plan(paths, found, known=known, contents=indexed, limits=limits, ignore=ignore)
        _log.info("%d files to look into, %d unchanged", len(plan.todo), plan.unchanged)
        catalog.notes.beside(collection, plan.beside)
        catalog.remember_ctimes(collection, plan.ctimes)
        contents = Contents(indexed, errors, aside)
        writer = Writer(
            collection=collection,
            catalog=catalog,
            store=store,
            contents=contents,
            plan=plan,
            conditions=conditions,
        )
        if plan.todo:
            model = embedder()
            busy = threads or max(usable_cores(), model.workers)
            batch = batch_size or model.batch
            worker = Worker(
                read=remote.read,
                collection=collection,
                contents=contents,
                embedder=model,
                limits=limits,
                batch=batch,
                busy=busy,
            )
            chunks = list(_chunks(plan.todo, batch, threads=busy))
            # Those beyond the cores wait for files.
            far_off = any(remote_uri(task.source.uri) for task in plan.todo[:1000])
            waiting = _AHEAD if far_off else not POSSIBLE
            try:
                _work(chunks, worker, writer, threads=threads or busy + waiting, on_progress=on_progress)
            except BaseException:
                with tolerated(_log, "notes are not withdrawn", AskpixError):
                    writer.withdraw_notes()
                raise
        writer.finish(prune=prune)
        catalog.end_run(collection)
        if prune:
            plan.skipped += [Skipped(root, "empty, so nothing was pruned") for root in plan.empty_roots]
        if writer.embedded or writer.removed:
            store.optimize()
    seconds = time.perf_counter() - began
    _log.info("embedded %d images in %.1f s", writer.embedded, seconds)
    return IngestReport(
        collection=collection.name,
        embedder=collection.embedder,
        added=writer.added,
        updated=writer.updated,
        unchanged=writer.unchanged,
        removed=writer.removed,
        duplicates=writer.duplicates,
        failed=tuple(sorted(writer.failures, key=lambda failure: failure.path)),
        skipped=tuple(writer.skipped),
        images=catalog.count_images(collection),
        seconds=round(seconds, 3),
        images_per_second=round(writer.embedded / seconds, 2),
    )


def _chunks(tasks: Sequence[Task], size: int, *, threads: int) -> Iterator[Sequence[Task]]:
    """Full ones first; towards the end down to a quarter, so that no thread is left alone with a long one."""
    start = 0
    while start < len(tasks):
        step = min(size, max((size + 3) // 4, (len(tasks) - start) // (2 * threads)))
        yield tasks[start : start + step]
        start += step


def _work(
    chunks: Sequence[Sequence[Task]],
    worker: Worker,
    writer: Writer,
    *,
    threads: int,
    on_progress: OnProgress | None,
) -> None:
    """Threads fill, this one writes. At most two chunks a thread are under way."""
    began = written = time.perf_counter()
    total = sum(map(len, chunks))
    left = iter(chunks)
    done = 0
    ready: list[Outcome] = []
    running: set[Future[list[Outcome]]] = set()
    pool = ThreadPoolExecutor(
        threads, thread_name_prefix="ingest", initializer=stop_questions, initargs=(worker.stop,)
    )
    try:
        while True:
            while len(running) < 2 * threads and (chunk := next(left, None)):
                read_ahead(task.source.uri for task in chunk)
                running.add(pool.submit(worker, chunk))
            if not running:
                break
            finished, _ = wait(running, TICK_S, return_when=FIRST_COMPLETED)
            writer.note_stuck(worker.stuck())
            for future in finished:
                outcomes = future.result()
                running.discard(future)
                ready += outcomes
                done += len(outcomes)
            now = time.perf_counter()
            images = sum(len(outcome.records) for outcome in ready)
            if images >= _WRITE_EVERY_IMAGES or (ready and now - written > _WRITE_EVERY_S):
                batch = ready
                ready = []
                written = now
                writer.write(batch)
            if on_progress:
                rate = done / (now - began)
                failed = len(writer.failures)
                on_progress(Progress("looking", done, total, rate, failed, worker.pages))
    except StoreUnavailableError:
        raise
    except BaseException:
        # Ctrl-C, or a bug: what the threads have finished is kept all the same.
        worker.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        for future in running:
            if not future.cancelled() and future.exception() is None:
                ready += future.result()
        writer.write(ready)
        writer.finish(prune=False)
        raise
    finally:
        worker.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    writer.write(ready)
