"""Ledger of images that are pages worth many vectors, and of those that could not be embedded as such.

What is done is asked of the page store itself: an image is there or it is not, so nothing can disagree after
a kill.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select

from askpix.core.db.engine import transaction, upsert
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, page_errors, texts
from askpix.ingest.catalog.texts import PendingText, chunks, uris_of

MANY_LINES = 8
"""Lines of text from which a photo or a frame counts as a page: a sign has few, a screenshot many."""


class PageLedger:
    """The part of the catalog that stage three works on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def wanted(self, collection: Collection) -> list[str]:
        """Ids of the images that should have a page matrix, files in order, less those that failed."""
        query = (
            select(images.c.id)
            .outerjoin(texts, texts.c.image_id == images.c.id)
            .outerjoin(page_errors, page_errors.c.image_id == images.c.id)
            .where(_is_page(collection), page_errors.c.image_id.is_(None))
            .order_by(images.c.sha256, images.c.page)
        )
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(query).scalars())

    def describe(self, collection: Collection, ids: Sequence[str]) -> list[PendingText]:
        """Content, page and files of these images, in this order; removed ones are left out."""
        found: dict[str, PendingText] = {}
        with transaction(self._engine, write=False) as connection:
            for part in chunks(ids):
                columns = (images.c.id, images.c.sha256, images.c.page, images.c.kind)
                query = select(*columns).where(images.c.id.in_(part))
                rows = connection.execute(query).all()
                uris = uris_of(connection, collection.id, sorted({row[1] for row in rows}))
                for image_id, sha256, place, kind in rows:
                    held = tuple(uris.get(sha256, ()))
                    found[image_id] = PendingText(image_id, sha256, kind, place or None, held)
        return [found[image_id] for image_id in ids if image_id in found]

    def save_errors(self, errors: Mapping[str, str]) -> None:
        """Record why these could not be embedded: they are not tried again. Removed images are ignored."""
        if not errors:
            return
        with transaction(self._engine) as connection:
            there = select(images.c.id).where(images.c.id.in_(list(errors)))
            rows = [
                {"image_id": image_id, "error": errors[image_id]}
                for image_id in connection.execute(there).scalars()
            ]
            if rows:
                entry = upsert(connection, page_errors)
                changed = {"error": entry.excluded["error"]}
                entry = entry.on_conflict_do_update(index_elements=["image_id"], set_=changed)
                connection.execute(entry, rows)


def _is_page(collection: Collection) -> ColumnElement[bool]:
    much_text = func.json_array_length(texts.c.lines) >= MANY_LINES
    return and_(
        images.c.collection_id == collection.id, images.c.embedded, or_(images.c.kind == "page", much_text)
    )
