"""Stage two of ingestion: the words in images, read after all of them can be found by what they show.

Lines go to the catalog as they are read, so that a kill costs a few images. The store is opened only now
and then, to hand over what was read: meanwhile other processes may search.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import groupby

from askpix.core.errors import BadImageError, StoreUnavailableError
from askpix.core.imaging.decode import DecodedImage, ImageLimits
from askpix.core.sandbox import StoppedError, stop_questions
from askpix.core.types import Box, TextLine, Vectors
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.texts import PendingText
from askpix.ingest.formats.base import Document
from askpix.ingest.formats.content import place_label
from askpix.ingest.formats.pages import open_document
from askpix.ingest.ocr.reader import TextReader
from askpix.ingest.ocr.resolution import CLOSER_THAN, CLOSEST, is_page
from askpix.ingest.pipeline.embed_images import TICK_S, OnProgress
from askpix.ingest.pipeline.report import Failure, Progress, ReadReport
from askpix.ingest.pipeline.text_sync import prepare
from askpix.ingest.sources.remote import indexed_bytes
from askpix.retrieval.embedders.base import TextEmbedder
from askpix.retrieval.stores.base import OpenStore

_log = logging.getLogger(__name__)
_MIN_SIDE = 1280
"""A large photo is decoded down to no less than this shorter side: more pixels make no word more
readable. Pages are decoded in full, up to ``_FULL``: their print may be small (``ingest.ocr.resolution``)."""
_FULL = 2 * CLOSEST
_GROUP = 4
"""Pages of one file that a thread reads with one look at its bytes."""
_STORE_EVERY_S = 30.0
_STORE_EVERY_IMAGES = 256
_STORE_SHARE = 0.05
"""Largest share of the time spent on opening the store: a large one takes seconds to open."""
_STORE_AT_ONCE = 2048


@dataclass(slots=True)
class _Read:
    """Result of a thread for one group: lines and errors by image id."""

    lines: dict[str, list[TextLine]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, other: "_Read") -> None:
        self.lines |= other.lines
        self.errors |= other.errors


def read_texts(
    *,
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    reader: TextReader,
    text_embedder: TextEmbedder,
    limits: ImageLimits,
    on_progress: OnProgress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> ReadReport:
    """Read every image that has not been read, and make the words searchable.

    An image that cannot be read is marked and the run goes on; one whose file is gone, away or has other
    bytes by now is left for the next run. On KeyboardInterrupt what was read is kept. Hold
    ``collection_run`` around it. Raises ``StoreUnavailableError`` when the words cannot be handed over in
    the end; they are kept in the catalog, and the next run hands them over.
    """
    began = clock()
    handover = _Handover(collection, catalog, open_store, text_embedder, clock)
    total = catalog.texts.count_pending(collection.id)
    groups = _groups(catalog.texts.pending(collection.id))
    failures: list[Failure] = []
    done = with_text = 0
    stop = threading.Event()
    found = _Read()
    running: dict[Future[_Read], Sequence[PendingText]] = {}
    pool = ThreadPoolExecutor(
        reader.workers, thread_name_prefix="reading", initializer=stop_questions, initargs=(stop,)
    )
    try:
        while True:
            # Ahead by enough for the threads to go on while the store is being written.
            while len(running) < 8 * reader.workers and (pages := next(groups, None)):
                running[pool.submit(_read_group, pages, reader, limits, stop)] = pages
            if not running:
                break
            finished, _ = wait(running, TICK_S, return_when=FIRST_COMPLETED)
            read: list[PendingText] = []
            for future in finished:
                found.add(future.result())
                read += running.pop(future)
            if finished:
                catalog.texts.save(found.lines, found.errors, engine=reader.engine_id)
            done += len(found.lines) + len(found.errors)
            with_text += sum(bool(lines) for lines in found.lines.values())
            failures += _failures(found, read)
            handover.waiting += len(found.lines)
            found = _Read()
            if on_progress:
                on_progress(Progress("reading", done, total, done / (clock() - began), len(failures)))
            if handover.is_due():
                handover.run(patient=False)
    except BaseException as error:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        for future in running:
            if not future.cancelled() and future.exception() is None:
                found.add(future.result())
        catalog.texts.save(found.lines, found.errors, engine=reader.engine_id)
        if not isinstance(error, StoreUnavailableError):
            handover.run(patient=False)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    handover.run(patient=True)
    _log.info("read %d images in %.1f s: %d with words", done, clock() - began, with_text)
    return ReadReport(done, with_text, tuple(failures), round(clock() - began, 3))


def _groups(pending: Iterable[PendingText]) -> Iterator[list[PendingText]]:
    """Pages of one file together, a few at a time."""
    for _, same in groupby(pending, key=lambda item: item.sha256):
        group: list[PendingText] = []
        for item in same:
            group.append(item)
            if len(group) == _GROUP:
                yield group
                group = []
        if group:
            yield group


def read_group(
    group: Sequence[PendingText], reader: TextReader, limits: ImageLimits
) -> tuple[dict[str, list[TextLine]], dict[str, str]]:
    """Lines and errors by image id of pages of one file, here and now; nothing when its bytes are away."""
    found = _read_group(group, reader, limits, threading.Event())
    return found.lines, found.errors


def _read_group(
    group: Sequence[PendingText], reader: TextReader, limits: ImageLimits, stop: threading.Event
) -> _Read:
    """Read one group on a thread of the pool."""
    found = _Read()
    data = indexed_bytes(group[0].uris, group[0].sha256, limits)
    if data is None:
        return found
    try:
        with open_document(data, limits) as document:
            for item in group:
                if stop.is_set():
                    break
                try:
                    found.lines[item.image_id] = _lines(document, item.place, reader)
                except BadImageError as error:
                    found.errors[item.image_id] = str(error)
    except StoppedError:
        _log.debug("stopped while %r was read", group[0].uris[0])
    except BadImageError as error:
        _log.info("not read %r: %s", group[0].uris[0], error)
        found.errors = {item.image_id: str(error) for item in group}
    return found


def _lines(document: Document, place: int | None, reader: TextReader) -> list[TextLine]:
    """A file's own text where it has one: exact, and at a hundredth of the cost of reading the image."""
    if (own := document.lines(place)) is not None:
        return own
    picture = document.picture(place, _MIN_SIDE)
    longer = round(max(picture.width, picture.height) * document.scale)
    if longer > max(CLOSER_THAN, *picture.image.size) and is_page(picture.image):
        shorter = round(min(picture.width, picture.height) * document.scale)
        picture = document.picture(place, min(shorter, max(_MIN_SIDE, _FULL * shorter // longer)))
    return on_original(reader.read(picture.image), picture)


def on_original(lines: Sequence[TextLine], picture: DecodedImage) -> list[TextLine]:
    """Boxes in pixels of the upright original instead of those of the image as it was decoded."""
    x = picture.width / picture.image.width
    y = picture.height / picture.image.height
    if x == y == 1:
        return list(lines)
    return [
        TextLine(
            line.text,
            Box(line.box.x0 * x, line.box.y0 * y, line.box.x1 * x, line.box.y1 * y),
            line.confidence,
        )
        for line in lines
    ]


def _failures(found: _Read, group: Sequence[PendingText]) -> list[Failure]:
    by_id = {item.image_id: item for item in group}
    return [
        Failure(by_id[i].uris[0] + place_label(by_id[i].kind, by_id[i].place), error)
        for i, error in found.errors.items()
    ]


class _Handover:
    """Takes words from the catalog to the store, seldom enough to leave the store to others."""

    def __init__(
        self,
        collection: Collection,
        catalog: Catalog,
        open_store: OpenStore,
        text_embedder: TextEmbedder,
        clock: Callable[[], float],
    ) -> None:
        self._collection = collection
        self._catalog = catalog
        self._open_store = open_store
        self._text_embedder = text_embedder
        self._clock = clock
        self._ended = clock()
        self._not_before = self._ended
        self.waiting = 0

    def is_due(self) -> bool:
        """Return whether enough was read, or enough time has passed, to write."""
        now = self._clock()
        enough = self.waiting >= _STORE_EVERY_IMAGES or now - self._ended > _STORE_EVERY_S
        return self.waiting > 0 and enough and now >= self._not_before

    def run(self, *, patient: bool) -> None:
        """Hand over all that is waiting. Unless ``patient``, a store in use is simply asked again later."""
        held = 0.0
        while ids := self._catalog.texts.unstored(self._collection.id, limit=_STORE_AT_ONCE):
            texts, rows = self._prepare(ids)
            began = self._clock()
            try:
                with self._open_store() as store:
                    for start in range(0, len(ids), _STORE_EVERY_IMAGES):
                        part = slice(start, start + _STORE_EVERY_IMAGES)
                        store.set_text(ids[part], texts[part], rows[part])
            except StoreUnavailableError:
                if patient:
                    raise
                held += self._clock() - began
                _log.info("the store is in use: what was read is handed over later")
                break
            held += self._clock() - began
            self._catalog.texts.mark_stored(ids)
            self.waiting = max(0, self.waiting - len(ids))
        self._ended = self._clock()
        self._not_before = self._ended + held / _STORE_SHARE

    def _prepare(self, ids: Sequence[str]) -> tuple[list[str], list[Vectors]]:
        """Texts and passage vectors, made before the store is opened."""
        return prepare(self._catalog, ids, self._text_embedder)
