"""After stage one: the images that lie on sheets (``ingest.vision.regions``), each embedded as one of its
own.

    ledger - store of sheets -> [ read, check the hash -> decode as closely as its smallest image needs
    -> cut out -> embed ] x threads -> store of sheets, now and then

A sheet is kept as a page of many vectors, one for each image, in the order of the ledger's boxes. The
ledger says which images are sheets and the store which are done, so a killed run costs a few of them.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TypeAlias

import numpy as np

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DecodedImage, ImageLimits
from askpix.core.sandbox import stop_questions
from askpix.core.types import Box
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.regions import Sheet
from askpix.ingest.catalog.texts import PendingText
from askpix.ingest.formats.content import place_label
from askpix.ingest.formats.pages import open_page
from askpix.ingest.pipeline.embed_images import TICK_S, OnProgress
from askpix.ingest.pipeline.page_stage import PageWriter
from askpix.ingest.pipeline.report import Failure, Progress, SheetsReport
from askpix.ingest.sources.remote import indexed_bytes
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.stores.pages import Matrix, OpenPages

_AT_ONCE = 64
_MAX_SIDE = 4096
"""Shorter side that a sheet is decoded at, at most."""

_Made: TypeAlias = Matrix | BadImageError | None
"""A vector for each image on a sheet, why it cannot be decoded, or None where no file has its bytes now."""


def embed_sheets(
    *,
    collection: Collection,
    catalog: Catalog,
    open_pages: OpenPages,
    load: Callable[[], Embedder],
    limits: ImageLimits,
    on_progress: OnProgress | None = None,
) -> SheetsReport:
    """Bring the store of sheets to what the ledger has; doing it twice is doing it once.

    ``load`` is called only when there is something to embed. A sheet that cannot be decoded any more is
    marked and the run goes on; one whose file is gone, away or has other bytes is left for the next run. On
    KeyboardInterrupt what was embedded is kept. Hold ``collection_run`` around it. Raises
    ``StoreUnavailableError`` when the store cannot be had in the end.
    """
    began = time.perf_counter()
    wanted = catalog.sheets.wanted(collection)
    with open_pages() as pages:
        there = set(pages.ids())
        pages.delete(sorted(there - wanted.keys()))
    pending = [image_id for image_id in wanted if image_id not in there]
    if not pending:
        return SheetsReport(seconds=round(time.perf_counter() - began, 3))
    embedder = load()
    writer = PageWriter(catalog, open_pages)
    failures: list[Failure] = []
    pictures = done = 0
    make = partial(_cut_out, wanted=wanted, embedder=embedder, limits=limits)
    stop = threading.Event()

    def tell() -> None:
        if on_progress:
            rate = done / max(time.perf_counter() - began, 1e-9)
            on_progress(Progress("sheets", done, len(pending), rate, len(failures)))

    with ThreadPoolExecutor(
        embedder.workers, thread_name_prefix="sheets", initializer=stop_questions, initargs=(stop,)
    ) as pool:
        try:
            for start in range(0, len(pending), _AT_ONCE):
                items = catalog.pages.describe(collection, pending[start : start + _AT_ONCE])
                running = [(item, pool.submit(make, item)) for item in items]
                for item, future in running:
                    while not wait([future], TICK_S).done:
                        tell()
                    made = future.result()
                    done += 1
                    if isinstance(made, BadImageError):
                        catalog.pages.save_errors({item.image_id: str(made)})
                        where = item.uris[0] + place_label(item.kind, item.place)
                        failures.append(Failure(where, str(made)))
                    elif made is not None:
                        pictures += len(made)
                        writer.add([item.image_id], [made])
                    tell()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            writer.write(patient=False)
            raise
    writer.write(patient=True)
    return SheetsReport(writer.added, pictures, tuple(failures), round(time.perf_counter() - began, 3))


def _cut_out(
    item: PendingText, *, wanted: Mapping[str, Sheet], embedder: Embedder, limits: ImageLimits
) -> _Made:
    sheet = wanted[item.image_id]
    data = indexed_bytes(item.uris, item.sha256, limits)
    if data is None:
        return None
    try:
        side = _side(sheet, embedder.image_side)
        return _embedded(open_page(data, item.place, limits=limits, min_side=side), sheet, embedder)
    except BadImageError as error:
        return error


def _side(sheet: Sheet, needed: int) -> int:
    """The shorter side of the sheet at which its smallest image has the pixels that the model looks at."""
    least = min(min(box.x1 - box.x0, box.y1 - box.y0) for box in sheet.boxes)
    shorter = min(sheet.width, sheet.height)
    return min(shorter, _MAX_SIDE, max(needed, round(shorter * needed / max(1.0, least))))


def _embedded(picture: DecodedImage, sheet: Sheet, embedder: Embedder) -> Matrix:
    x = picture.image.width / sheet.width
    y = picture.image.height / sheet.height
    pieces = [picture.image.crop(_corners(box, x, y)) for box in sheet.boxes]
    matrix: Matrix = embedder.embed_images(pieces).astype(np.float16)
    return matrix


def _corners(box: Box, x: float, y: float) -> tuple[int, int, int, int]:
    left = round(box.x0 * x)
    top = round(box.y0 * y)
    return left, top, max(left + 1, round(box.x1 * x)), max(top + 1, round(box.y1 * y))
