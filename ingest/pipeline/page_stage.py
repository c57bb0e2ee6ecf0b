"""Stage three of ingestion, where a collection has a page embedder: pages into many vectors each.

    ledger - page store -> [ read, check the hash -> decode ] ahead -> embed -> page store, now and then

The ledger says which images are pages and the page store which are done, so a killed run costs a few pages
and the next one goes on. The store is opened now and then only: meanwhile other processes may search.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from PIL import Image

from askpix.core.errors import BadImageError, StoreUnavailableError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.sandbox import stop_questions
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.texts import PendingText
from askpix.ingest.formats.content import place_label
from askpix.ingest.formats.pages import open_page
from askpix.ingest.pipeline.embed_images import TICK_S, OnProgress
from askpix.ingest.pipeline.report import Failure, PagesReport, Progress
from askpix.ingest.sources.remote import indexed_bytes
from askpix.retrieval.late_interaction.base import LateEmbedder
from askpix.retrieval.stores.pages import Matrix, OpenPages

_log = logging.getLogger(__name__)
_STORE_EVERY = 32
"""Pages embedded between two openings of the store: what a kill costs at most."""
_AHEAD = 4
"""Pages decoded ahead of the model."""
_DESCRIBE = 500


def embed_pages(
    *,
    collection: Collection,
    catalog: Catalog,
    open_pages: OpenPages,
    load: Callable[[], LateEmbedder],
    limits: ImageLimits,
    on_progress: OnProgress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> PagesReport:
    """Bring the page store to what the ledger has; doing it twice is doing it once.

    ``load`` gives the model, and is called only when there is something to embed. A page that cannot be
    decoded is marked and the run goes on; one whose file is gone, away or has other bytes is left for the
    next run. On KeyboardInterrupt what was embedded is kept. Hold ``collection_run`` around it. Raises
    ``StoreUnavailableError`` when the store cannot be had in the end.
    """
    began = clock()
    wanted = catalog.pages.wanted(collection)
    with open_pages() as pages:
        there = set(pages.ids())
        others = sorted(there - set(wanted))
        known = {item.image_id for item in catalog.pages.describe(collection, others)}
        pages.delete([image_id for image_id in others if image_id not in known])
    pending = [image_id for image_id in wanted if image_id not in there]
    if not pending:
        return PagesReport(0, (), round(clock() - began, 3))
    embedder = load()
    writer = PageWriter(catalog, open_pages)
    failures: list[Failure] = []
    done = 0

    def tell() -> None:
        if on_progress:
            rate = writer.added / max(clock() - began, 1e-9)
            on_progress(Progress("pages", done, len(pending), rate, len(failures)))

    decoded = _decoded(collection, catalog, pending, embedder=embedder, limits=limits, tick=tell)
    try:
        for batch in _batches(decoded, embedder.batch):
            good = [(item, picture) for item, picture in batch if isinstance(picture, Image.Image)]
            matrices = embedder.embed_images([picture for _, picture in good]) if good else []
            writer.add([item.image_id for item, _ in good], matrices)
            errors = {item.image_id: str(error) for item, error in batch if isinstance(error, BadImageError)}
            catalog.pages.save_errors(errors)
            failures += [
                Failure(item.uris[0] + place_label(item.kind, item.place), errors[item.image_id])
                for item, _ in batch
                if item.image_id in errors
            ]
            done += len(batch)
            tell()
    except BaseException:
        writer.write(patient=False)
        raise
    writer.write(patient=True)
    _log.info("embedded %d pages in %.1f s", writer.added, clock() - began)
    return PagesReport(writer.added, tuple(failures), round(clock() - began, 3))


_Decoded = tuple[PendingText, Image.Image | BadImageError | None]
"""An image, why it cannot be decoded, or None where no file has its bytes now."""


def _decoded(
    collection: Collection,
    catalog: Catalog,
    pending: Sequence[str],
    *,
    embedder: LateEmbedder,
    limits: ImageLimits,
    tick: Callable[[], None],
) -> Iterator[_Decoded]:
    """Yield each pending image in turn, a few decoded ahead on a thread; ``tick`` is called meanwhile."""
    stop = threading.Event()
    running: deque[tuple[PendingText, Future[Image.Image | BadImageError | None]]] = deque()

    def taken() -> _Decoded:
        item, future = running.popleft()
        while not wait([future], TICK_S).done:
            tick()
        return item, future.result()

    with ThreadPoolExecutor(
        1, thread_name_prefix="pages", initializer=stop_questions, initargs=(stop,)
    ) as pool:
        try:
            for start in range(0, len(pending), _DESCRIBE):
                for item in catalog.pages.describe(collection, pending[start : start + _DESCRIBE]):
                    running.append((item, pool.submit(_decode, item, embedder.image_side, limits)))
                    if len(running) > _AHEAD + embedder.batch:
                        yield taken()
            while running:
                yield taken()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _decode(item: PendingText, side: int, limits: ImageLimits) -> Image.Image | BadImageError | None:
    data = indexed_bytes(item.uris, item.sha256, limits)
    if data is None:
        return None
    try:
        return open_page(data, item.place, limits=limits, min_side=side).image
    except BadImageError as error:
        return error


def _batches(items: Iterator[_Decoded], size: int) -> Iterator[list[_Decoded]]:
    batch: list[_Decoded] = []
    for item in items:
        batch.append(item)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


class PageWriter:
    """Matrices on their way to the store."""

    def __init__(self, catalog: Catalog, open_pages: OpenPages) -> None:
        self._catalog = catalog
        self._open_pages = open_pages
        self._ids: list[str] = []
        self._matrices: list[Matrix] = []
        self.added = 0

    def add(self, ids: Sequence[str], matrices: Sequence[Matrix]) -> None:
        """Keep them, and hand over when there are enough; a store in use is asked again later."""
        self._ids += ids
        self._matrices += matrices
        self.added += len(ids)
        if len(self._ids) >= _STORE_EVERY:
            # With a thousand in memory nothing goes on before they are written.
            self.write(patient=len(self._ids) >= 32 * _STORE_EVERY)

    def write(self, *, patient: bool) -> None:
        """Hand over all. Unless ``patient``, nothing happens while another process has the store."""
        if not self._ids:
            return
        try:
            with self._open_pages() as pages:
                pages.set_pages(self._ids, self._matrices)
        except StoreUnavailableError:
            if patient:
                raise
            _log.info("the store of pages is in use: they are handed over later")
            return
        self._ids = []
        self._matrices = []
