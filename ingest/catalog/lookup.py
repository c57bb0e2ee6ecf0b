"""The catalog asked by one image: which collection it is in, and where its files are."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, bindparam, select, update

from askpix.core.db.engine import transaction
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.models import Collection, SourceState
from askpix.ingest.catalog.tables import collections, images, sources, to_record
from askpix.ingest.catalog.texts import uris_of

_COLLECTION = [collections.c[field] for field in Collection.__slots__]


class Lookup:
    """The part of the catalog that answers for single images. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def image(self, image_id: str) -> tuple[Collection, ImageRecord, str] | None:
        """An image that can be found, with its collection and SHA-256; None when there is none."""
        try:
            wanted_id = str(uuid.UUID(image_id))
        except ValueError:
            return None
        wanted = select(images).where(images.c.id == wanted_id, images.c.embedded)
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None:
                return None
            of = select(*_COLLECTION).where(collections.c.id == row.collection_id)
            collection = Collection(*connection.execute(of).one())
            uris = uris_of(connection, collection.id, [row.sha256]).get(row.sha256)
        return (collection, to_record(row, uris), row.sha256) if uris else None

    def records(self, ids: Sequence[str]) -> list[ImageRecord]:
        """Images that can be found, in the order of ``ids``; others are left out."""
        wanted = select(images).where(images.c.id.in_(ids), images.c.embedded)
        with transaction(self._engine, write=False) as connection:
            rows = {row.id: row for row in connection.execute(wanted)}
            held: dict[str, set[str]] = {}
            for row in rows.values():
                held.setdefault(row.collection_id, set()).add(row.sha256)
            uris = {each: uris_of(connection, each, sorted(shas)) for each, shas in held.items()}
        found = ((rows[i], uris[rows[i].collection_id].get(rows[i].sha256)) for i in ids if i in rows)
        return [to_record(row, names) for row, names in found if names]

    def ids_of(self, collection: Collection, sha256: str) -> list[str]:
        """The images with these bytes, in order of page."""
        wanted = (
            select(images.c.id)
            .where(images.c.collection_id == collection.id, images.c.sha256 == sha256, images.c.embedded)
            .order_by(images.c.page)
        )
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted).scalars())

    def page(self, collection: Collection, *, limit: int, offset: int) -> list[str]:
        """Ids of a collection's images, in a steady order."""
        wanted = (
            select(images.c.id)
            .where(images.c.collection_id == collection.id, images.c.embedded)
            .order_by(images.c.sha256, images.c.page)
            .limit(limit)
            .offset(offset)
        )
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted).scalars())

    def state(self, collection: Collection, uri: str) -> SourceState | None:
        """A source as it was when it was last looked into."""
        c = sources.c
        wanted = select(*(c[name] for name in SourceState.__slots__))
        wanted = wanted.where(c.collection_id == collection.id, c.uri == uri)
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(wanted).one_or_none()
        return SourceState(*row) if row else None


def move_sources(engine: Engine, old: str, new: str) -> dict[str, list[str]]:
    """Move every source below the folder ``old`` to ``new``; return the SHA-256 of those moved, by collection
    id.
    """
    begin = old.rstrip("/") + "/"
    moved: dict[str, list[str]] = {}
    rows = []
    wanted = select(sources.c.id, sources.c.collection_id, sources.c.uri, sources.c.sha256)
    with transaction(engine) as connection:
        for row in connection.execute(wanted).all():
            if not row.uri.startswith(begin):
                continue
            rows.append({"of": row.id, "there": new.rstrip("/") + "/" + row.uri[len(begin) :]})
            if row.sha256:
                moved.setdefault(row.collection_id, []).append(row.sha256)
        if rows:
            change = update(sources).where(sources.c.id == bindparam("of")).values(uri=bindparam("there"))
            connection.execute(change, rows)
    return moved
