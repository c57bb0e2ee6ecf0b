"""A collection into an archive, from any store."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, and_, select

from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, notes, sources, texts, vocabularies
from askpix.ingest.catalog.texts import chunks
from askpix.ingest.maintenance.archive_format import PART, SOURCES, DecodedImage, Part, Source
from askpix.ingest.maintenance.archive_writer import ArchiveWriter
from askpix.ingest.pipeline.report import OnTransfer, TransferReport
from askpix.retrieval.stores.base import OpenStore, VectorStore
from askpix.retrieval.stores.pages import Matrix, OpenPages, PageStore


def export_collection(
    collection: Collection,
    path: Path,
    *,
    engine: Engine,
    catalog: Catalog,
    open_store: OpenStore,
    open_pages: OpenPages | None = None,
    open_sheets: OpenPages | None = None,
    on_progress: OnTransfer | None = None,
) -> TransferReport:
    """Write all of a collection to ``path``, whole or not at all; a file that is there is replaced.

    Vectors of the embedder in use, words, tags and the catalog's rows, and with ``open_pages`` the many
    vectors of pages, with ``open_sheets`` those of images on sheets; not the images themselves. Raises
    ``AskpixError`` when ``path`` cannot be written.
    """
    draft = path.with_name(path.name + ".part")
    total = catalog.count_images(collection)
    done = 0
    missing = 0
    files = 0
    try:
        writer = ArchiveWriter(draft)
        try:
            for rows in _sources(engine, collection):
                writer.sources(rows)
                files += len(rows)
            with (
                open_store() as store,
                (open_pages or nullcontext)() as pages,
                (open_sheets or nullcontext)() as sheets,
            ):
                for page in _pictures(engine, collection):
                    part = _part(engine, store, page, pages, sheets)
                    writer.part(part)
                    done += len(part.pictures)
                    missing += len(page) - len(part.pictures)
                    if on_progress:
                        on_progress(done, total)
            writer.finish(
                name=collection.name,
                embedder=collection.embedder,
                dim=collection.dim,
                text_embedder=collection.text_embedder,
                text_dim=collection.text_dim,
                vocabulary=_vocabulary(engine, collection),
                page_embedder=collection.page_embedder,
                page_dim=collection.page_dim,
            )
        finally:
            writer.abandon()
        draft.replace(path)
    except OSError as error:
        raise AskpixError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return TransferReport(collection.name, done, files, missing)


def _sources(engine: Engine, collection: Collection) -> Iterator[list[Source]]:
    last = 0
    while True:
        wanted = (
            select(sources)
            .where(sources.c.collection_id == collection.id, sources.c.id > last)
            .order_by(sources.c.id)
            .limit(SOURCES)
        )
        with transaction(engine, write=False) as connection:
            rows = connection.execute(wanted).all()
        if not rows:
            return
        last = rows[-1].id
        yield [Source(**{name: getattr(row, name) for name in Source.model_fields}) for row in rows]


def _pictures(engine: Engine, collection: Collection) -> Iterator[list[Row[Any]]]:
    last = ""
    while True:
        mine = and_(images.c.collection_id == collection.id, images.c.embedded, images.c.id > last)
        with transaction(engine, write=False) as connection:
            rows = list(connection.execute(select(images).where(mine).order_by(images.c.id).limit(PART)))
        if not rows:
            return
        last = rows[-1].id
        yield rows


def _part(
    engine: Engine,
    store: VectorStore,
    page: list[Row[Any]],
    pages: PageStore | None,
    sheets: PageStore | None,
) -> Part:
    ids = [row.id for row in page]
    records = {record.id: record for record in store.get(ids)}
    kept = [row for row in page if row.id in records]
    ids = [row.id for row in kept]
    read: dict[str, Row[Any]] = {}
    captions: dict[str, Row[Any]] = {}
    with transaction(engine, write=False) as connection:
        for some in chunks(ids):
            for found in connection.execute(select(texts).where(texts.c.image_id.in_(some))):
                read[found.image_id] = found
            captioned = select(notes).where(notes.c.image_id.in_(some), notes.c.kind == "caption")
            captions |= {found.image_id: found for found in connection.execute(captioned)}
    passages = store.passages(ids)
    matrices: dict[str, Matrix] = pages.matrices(ids) if pages else {}
    cut: dict[str, Matrix] = {}
    if sheets:
        boxes = {row.id: len(row.regions) for row in kept if row.regions}
        # One that was made for other boxes, before a kill, is made again where it comes to.
        cut = {key: one for key, one in sheets.matrices(list(boxes)).items() if len(one) == boxes[key]}
    pictures = tuple(
        _picture(
            row,
            records[row.id],
            read=read.get(row.id),
            caption=captions.get(row.id),
            passages=len(rows),
            patches=len(matrices.get(row.id, ())),
            on_it=len(cut.get(row.id, ())),
        )
        for row, rows in zip(kept, passages, strict=True)
    )
    paged = tuple(matrices[each] for each in ids if each in matrices)
    laid = tuple(cut[each] for each in ids if each in cut)
    return Part(pictures, store.image_vectors(ids), tuple(passages), paged, laid)


def _picture(
    row: Row[Any],
    record: ImageRecord,
    *,
    read: Row[Any] | None,
    caption: Row[Any] | None,
    passages: int,
    patches: int,
    on_it: int,
) -> DecodedImage:
    return DecodedImage(
        sha256=row.sha256,
        page=record.page or 0,
        kind=record.kind,
        width=record.width,
        height=record.height,
        uri=record.uri,
        copies=record.copies,
        time_s=record.time_s,
        taken_at=record.taken_at.isoformat() if record.taken_at else None,
        camera=record.camera,
        lat=record.lat,
        lon=record.lon,
        phash=row.phash,
        tags=record.tags,
        tagged=row.tags is not None,
        text=record.text,
        text_state=row.text_state,
        text_error=row.text_error,
        engine=read.engine if read else None,
        lines=tuple((line[0], *map(float, line[1:6])) for line in read.lines) if read else (),
        about=row.about,
        regions=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in row.regions or ()),
        caption=caption.text if caption else None,
        captioned_by=caption.writer if caption else None,
        passages=passages,
        patches=patches,
        embedded_regions=on_it,
    )


def _vocabulary(engine: Engine, collection: Collection) -> dict[str, Any] | None:
    with transaction(engine, write=False) as connection:
        mine = select(vocabularies).where(vocabularies.c.collection_id == collection.id)
        row = connection.execute(mine).one_or_none()
    return {"labels": row.labels, "threshold": row.threshold, "embedder": row.embedder} if row else None
