"""Ledger of sheets and of the boxes of the images on them. Their store knows which are embedded."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, exists, select

from askpix.core.db.engine import transaction
from askpix.core.types import Box
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, page_errors
from askpix.ingest.catalog.texts import chunks


class Sheet(NamedTuple):
    """Boxes in pixels of the upright original, which has ``width`` and ``height`` of them."""

    width: int
    height: int
    boxes: tuple[Box, ...]


class SheetLedger:
    """The part of the catalog that knows of images on images."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def any(self, collection: Collection) -> bool:
        """Return whether the collection has a sheet; each search asks, so an index of sheets alone knows."""
        wanted = select(exists().where(_is_sheet(collection)))
        with transaction(self._engine, write=False) as connection:
            return bool(connection.execute(wanted).scalar())

    def wanted(self, collection: Collection) -> dict[str, Sheet]:
        """The sheets by id, files in order, less those that could not be decoded."""
        c = images.c
        failed = select(page_errors.c.image_id)
        wanted = (
            select(c.id, c.width, c.height, c.regions)
            .where(_is_sheet(collection), c.embedded, c.id.not_in(failed))
            .order_by(c.sha256, c.page)
        )
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(wanted).all()
        return {row.id: Sheet(row.width, row.height, _boxes(row.regions)) for row in rows}

    def boxes(self, ids: Sequence[str]) -> Mapping[str, Sequence[Box]]:
        """Return the boxes of the images on these sheets; images that are no sheets are left out."""
        found: dict[str, Sequence[Box]] = {}
        with transaction(self._engine, write=False) as connection:
            for part in chunks(ids):
                wanted = select(images.c.id, images.c.regions).where(
                    images.c.id.in_(part), images.c.regions.is_not(None)
                )
                found |= {row.id: _boxes(row.regions) for row in connection.execute(wanted)}
        return found


def _is_sheet(collection: Collection) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection.id, images.c.regions.is_not(None))


def _boxes(stored: Sequence[Sequence[float]]) -> tuple[Box, ...]:
    return tuple(Box(*corners) for corners in stored)
