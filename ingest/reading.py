"""Stage two of ingestion: the words in pictures, read after all of them can be found by what they show.

Lines go to the catalog as they are read, so that a kill costs a few pictures. The store is opened only now
and then, to hand over what was read: meanwhile other processes may search.
"""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from core.errors import BadImageError, StoreUnavailableError
from core.images import ImageLimits, read_bytes
from core.types import Box, TextLine, join_lines
from ingest.catalog import Catalog, Collection, PendingText
from ingest.documents import open_page
from ingest.pipeline import OnProgress, OpenStore
from ingest.report import Failure, Progress, ReadReport
from ingest.text import TextReader, passages
from retrieval.embedder import TextEmbedder

_MIN_SIDE = 1600
"""A large photo is decoded down to this shorter side: more pixels do not make its words more readable."""
_GROUP = 8
"""Pages of one file that a worker reads with one look at its bytes."""
_STORE_EVERY_S = 30.0
_STORE_BATCH = 256


@dataclass(slots=True)
class _Read:
    lines: dict[str, list[TextLine]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    gone: int = 0


def read_texts(
    *,
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    reader: TextReader,
    text_embedder: TextEmbedder,
    limits: ImageLimits,
    on_progress: OnProgress | None = None,
) -> ReadReport:
    """Read every picture that has not been read, and make the words searchable.

    A picture that cannot be read is marked and the run goes on; one whose file is gone or away is left for
    the next run. On KeyboardInterrupt what was read is kept.
    """
    began = stored = time.perf_counter()
    pending = catalog.pending_texts(collection)
    groups = iter(_groups(pending))
    uris = {item.image_id: item.uris[0] + (f"#page={item.page}" if item.page else "") for item in pending}
    failures: list[Failure] = []
    done = with_text = 0
    pool = ThreadPoolExecutor(reader.workers, thread_name_prefix="reading")
    running: set[Future[_Read]] = set()
    try:
        while True:
            while len(running) < 2 * reader.workers and (group := next(groups, None)):
                running.add(pool.submit(_read_group, group, reader, limits))
            if not running:
                break
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                found = future.result()
                _keep(catalog, found, reader)
                done += len(found.lines) + len(found.errors)
                with_text += sum(bool(lines) for lines in found.lines.values())
                failures += [Failure(uris[image_id], error) for image_id, error in found.errors.items()]
            if on_progress:
                rate = done / (time.perf_counter() - began)
                on_progress(Progress("reading", done, len(pending), rate, len(failures)))
            if time.perf_counter() - stored > _STORE_EVERY_S:
                took = _store(collection, catalog, open_store, text_embedder, final=False)
                # Opening a large store takes long: never spend more than a twentieth of the time on it.
                stored = (
                    time.perf_counter() + 19 * took - _STORE_EVERY_S if took > 1.5 else time.perf_counter()
                )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for future in running:
            if not future.cancelled() and future.exception() is None:
                _keep(catalog, future.result(), reader)
        _store(collection, catalog, open_store, text_embedder, final=True)
    return ReadReport(done, with_text, tuple(failures), round(time.perf_counter() - began, 3))


def _groups(pending: Sequence[PendingText]) -> list[list[PendingText]]:
    """Pages of one file together, a few at a time."""
    groups: list[list[PendingText]] = []
    for _, same in groupby(pending, key=lambda item: item.sha256):
        pages = list(same)
        groups += [pages[i : i + _GROUP] for i in range(0, len(pages), _GROUP)]
    return groups


def _read_group(group: Sequence[PendingText], reader: TextReader, limits: ImageLimits) -> _Read:
    """On a worker's thread."""
    found = _Read()
    data = _first_readable(group[0].uris, limits)
    if data is None:
        found.gone = len(group)
        return found
    for item in group:
        try:
            picture = open_page(data, item.page, limits=limits, min_side=_MIN_SIDE)
            scale = picture.width / picture.image.width
            found.lines[item.image_id] = [
                TextLine(line.text, Box(*(side * scale for side in line.box)), line.confidence)
                for line in reader.read(picture.image)
            ]
        except BadImageError as error:
            found.errors[item.image_id] = str(error)
    return found


def _first_readable(uris: Sequence[str], limits: ImageLimits) -> bytes | None:
    for uri in uris:
        try:
            return read_bytes(Path(uri), limits=limits)
        except BadImageError:
            continue
    return None


def _keep(catalog: Catalog, found: _Read, reader: TextReader) -> None:
    catalog.save_lines(found.lines, engine=reader.engine_id)
    catalog.fail_texts(found.errors)


def _store(
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    text_embedder: TextEmbedder,
    *,
    final: bool,
) -> float:
    """Hand over what was read; seconds it took. Until the end a busy store is simply asked again later."""
    began = time.perf_counter()
    while ids := catalog.unstored_texts(collection, limit=_STORE_BATCH):
        lines = catalog.lines(ids)
        pieces = [passages(lines.get(image_id, ())) for image_id in ids]
        flat = text_embedder.embed_texts([piece for group in pieces for piece in group])
        rows = np.split(flat, np.cumsum([len(group) for group in pieces])[:-1])
        texts = [join_lines(lines.get(image_id, ())) for image_id in ids]
        try:
            with open_store() as store:
                store.set_text(ids, texts, rows)
        except StoreUnavailableError:
            if final:
                raise
            break
        catalog.mark_texts_stored(ids)
    return time.perf_counter() - began
