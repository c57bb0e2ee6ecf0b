"""A collection into an archive and out of one: from any store into any other, on this machine or another."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from core.database import transaction
from core.errors import AskpixError
from core.types import Box, ImageRecord
from ingest.about import About
from ingest.archive import PART, SOURCES, ArchiveReader, ArchiveWriter, Part, Picture, Source
from ingest.catalog import Catalog
from ingest.collection import Collection
from ingest.content import place_at
from ingest.tables import collections, images, notes, sources, texts, vocabularies
from ingest.text_ledger import chunks
from retrieval.late_interaction import Matrix
from retrieval.page_store import PageStore
from retrieval.store import VectorStore

OpenPages = Callable[[], AbstractContextManager[PageStore]]
OpenStore = Callable[[], AbstractContextManager[VectorStore]]
Progress = Callable[[int, int], None]
_PAGES = 32
"""Page matrices written at once."""


@dataclass(frozen=True, slots=True)
class TransferReport:
    """``missing``: pictures of the catalog that the store did not have; index them again."""

    collection: str
    pictures: int
    sources: int
    missing: int = 0


def export_collection(
    collection: Collection,
    path: Path,
    *,
    engine: Engine,
    catalog: Catalog,
    open_store: OpenStore,
    open_pages: OpenPages | None = None,
    open_sheets: OpenPages | None = None,
    on_progress: Progress | None = None,
) -> TransferReport:
    """Write all of a collection to ``path``, whole or not at all; a file that is there is replaced.

    Vectors of the embedder in use, words, tags and the catalog's rows, and with ``open_pages`` the many
    vectors of pages, with ``open_sheets`` those of pictures on sheets; not the pictures themselves. Raises
    ``AskpixError`` when ``path`` cannot be written.
    """
    draft = path.with_name(path.name + ".part")
    total, done, missing, files = catalog.count_images(collection), 0, 0, 0
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
) -> Picture:
    return Picture(
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


def import_parts(
    reader: ArchiveReader,
    collection: Collection,
    *,
    engine: Engine,
    open_store: OpenStore,
    open_pages: OpenPages | None = None,
    open_sheets: OpenPages | None = None,
    on_progress: Progress | None = None,
) -> TransferReport:
    """Fill ``collection``, which is new and empty, from an archive; the store first, the catalog after it."""
    done = files = 0
    with open_store() as store, (open_pages or nullcontext)() as pages:
        for rows in reader.sources():
            with transaction(engine) as connection:
                entries = [{**row.model_dump(), "collection_id": collection.id} for row in rows]
                connection.execute(insert(sources), entries)
            files += len(rows)
        for part in reader.parts():
            if not part.pictures:
                continue
            records = [_record(collection, picture) for picture in part.pictures]
            if len({record.id for record in records}) != len(records):
                raise AskpixError("cannot import: a picture is in it twice")
            store.upsert(records, part.image)
            worded = [at for at, picture in enumerate(part.pictures) if picture.passages]
            if worded:
                store.set_text(
                    [records[at].id for at in worded],
                    [records[at].text for at in worded],
                    [part.passages[at] for at in worded],
                )
            told = list(zip(records, part.pictures, strict=True))
            if pages and part.pages:
                _set_pages(pages, [record.id for record, one in told if one.patches], part.pages)
            if open_sheets and part.sheets:
                with open_sheets() as sheets:
                    _set_pages(
                        sheets, [record.id for record, one in told if one.embedded_regions], part.sheets
                    )
            _enter(engine, collection, records, part.pictures)
            done += len(records)
            if on_progress:
                on_progress(done, reader.manifest.pictures)
        _use_vocabulary(engine, collection, reader.manifest.vocabulary)
        store.optimize()
    return TransferReport(collection.name, done, files)


def _set_pages(store: PageStore, ids: Sequence[str], matrices: Sequence[Matrix]) -> None:
    for at in range(0, len(ids), _PAGES):
        store.set_pages(ids[at : at + _PAGES], matrices[at : at + _PAGES])


def _record(collection: Collection, picture: Picture) -> ImageRecord:
    try:
        taken = datetime.fromisoformat(picture.taken_at).replace(tzinfo=None) if picture.taken_at else None
    except ValueError as error:
        raise AskpixError(f"cannot import: {picture.taken_at!r} is no date") from error
    return ImageRecord(
        id=collection.image_id(picture.sha256, _place(picture)),
        uri=picture.uri,
        kind=picture.kind,
        width=picture.width,
        height=picture.height,
        page=picture.page or None,
        time_s=picture.time_s,
        taken_at=taken,
        camera=picture.camera,
        lat=picture.lat,
        lon=picture.lon,
        phash=picture.phash,
        tags=picture.tags,
        copies=picture.copies,
        text=picture.text,
        regions=tuple(Box(*corners) for corners in picture.regions),
    )


def _place(picture: Picture) -> int | None:
    return place_at(picture.time_s) if picture.time_s is not None else picture.page or None


def _enter(
    engine: Engine, collection: Collection, records: list[ImageRecord], pictures: tuple[Picture, ...]
) -> None:
    same = ("id", "kind", "width", "height", "taken_at", "camera", "lat", "lon", "phash")
    abouts = [About.from_json(picture.about) for picture in pictures]
    rows = [
        {
            **{name: getattr(record, name) for name in same},
            "collection_id": collection.id,
            "sha256": picture.sha256,
            "page": _place(picture) or 0,
            "embedded": True,
            "text_state": picture.text_state,
            "text_error": picture.text_error,
            "tags": [tag for tag in picture.tags if tag not in about.tags] if picture.tagged else None,
            "about": about.to_json() or None,
            "regions": [list(box) for box in record.regions] or None,
        }
        for record, picture, about in zip(records, pictures, abouts, strict=True)
    ]
    # The store has their words: they came with its passages.
    written = [
        {"image_id": record.id, "kind": kind, "text": text, "writer": writer, "stored": True}
        for record, picture, about in zip(records, pictures, abouts, strict=True)
        for kind, text, writer in (
            ("about", about.words, None),
            ("caption", picture.caption or "", picture.captioned_by),
        )
        if text
    ]
    read = [
        {"image_id": record.id, "engine": picture.engine, "lines": [list(line) for line in picture.lines]}
        for record, picture in zip(records, pictures, strict=True)
        if picture.engine
    ]
    with transaction(engine) as connection:
        connection.execute(insert(images), rows)
        if read:
            connection.execute(insert(texts), read)
        if written:
            connection.execute(insert(notes), written)


def _use_vocabulary(engine: Engine, collection: Collection, given: dict[str, Any] | None) -> None:
    if not given:
        return
    labels, threshold = given.get("labels"), given.get("threshold")
    fits = isinstance(labels, tuple | list) and all(isinstance(label, str) for label in labels)
    if not fits or not (threshold is None or isinstance(threshold, int | float)):
        raise AskpixError("cannot import: its vocabulary is no list of labels")
    row = {"labels": list(labels or ()), "threshold": threshold, "embedder": str(given.get("embedder"))}
    with transaction(engine) as connection:
        connection.execute(insert(vocabularies), [{**row, "collection_id": collection.id}])


def rename(engine: Engine, collection: Collection, name: str) -> None:
    """Give a collection the name that it was made for, once it is whole. A taken one: ``AskpixError``."""
    try:
        with transaction(engine) as connection:
            mine = collections.c.id == collection.id
            connection.execute(update(collections).where(mine).values(name=name))
    except IntegrityError as error:
        raise AskpixError(f"there is a collection {name!r} already") from error
