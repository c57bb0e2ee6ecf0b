"""An archive into a new collection, in any store."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, update
from sqlalchemy.exc import IntegrityError

from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError
from askpix.core.types import Box, ImageRecord
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import collections, images, notes, sources, texts, vocabularies
from askpix.ingest.formats.content import place_at
from askpix.ingest.maintenance.archive_format import DecodedImage
from askpix.ingest.maintenance.archive_reader import ArchiveReader
from askpix.ingest.metadata.model import About
from askpix.ingest.pipeline.report import OnTransfer, TransferReport
from askpix.retrieval.stores.base import OpenStore
from askpix.retrieval.stores.pages import Matrix, OpenPages, PageStore

_PAGES = 32
"""Page matrices written at once."""


def import_parts(
    reader: ArchiveReader,
    collection: Collection,
    *,
    engine: Engine,
    open_store: OpenStore,
    open_pages: OpenPages | None = None,
    open_sheets: OpenPages | None = None,
    on_progress: OnTransfer | None = None,
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
                raise AskpixError("cannot import: an image is in it twice")
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


def _record(collection: Collection, picture: DecodedImage) -> ImageRecord:
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


def _place(picture: DecodedImage) -> int | None:
    return place_at(picture.time_s) if picture.time_s is not None else picture.page or None


def _enter(
    engine: Engine, collection: Collection, records: list[ImageRecord], pictures: tuple[DecodedImage, ...]
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
    labels = given.get("labels")
    threshold = given.get("threshold")
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
