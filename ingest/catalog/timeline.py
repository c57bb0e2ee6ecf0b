"""A collection as one long wall of images, newest first: order, shapes, months and places, for a page.

Images without a date of their own come last, as their files were found. Read anew when something was added
or taken away; else the last reading is kept, since every page of a scroll asks for it.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor, log2
from typing import NamedTuple

from sqlalchemy import Connection, Engine, func, select, update

from askpix.core.db.engine import transaction
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, sources, to_record
from askpix.ingest.catalog.texts import chunks, uris_of

_KEPT = 8
_KEPT_S = 30.0
"""Collections whose order is kept, and for how many seconds at most."""
_TRUSTED_S = 1.0
"""Seconds for which a timeline is used without asking the database: the pages of one scroll come within it.
"""
_STEPS = 32
"""Steps of a shape for each doubling: 2 % apart, which nobody sees."""


class Month(NamedTuple):
    """``2024-05``, or None for images without a date; and how many there are."""

    month: str | None
    pictures: int


class Place(NamedTuple):
    """Images near each other: the middle in degrees, how many, and one of them."""

    lat: float
    lon: float
    pictures: int
    id: str


@dataclass(frozen=True, slots=True)
class Wall:
    """Every image in order. ``shapes`` has a byte each: ``128 + 32 * log2(width / height)``."""

    ids: tuple[str, ...]
    shapes: bytes
    months: tuple[Month, ...]
    spots: tuple[tuple[float, float, str], ...]
    """Latitude, longitude and id of those that know where they were taken."""

    def places(self, degrees: float) -> list[Place]:
        """``spots`` in squares of so many degrees, most images first."""
        squares: dict[tuple[int, int], list[tuple[float, float, str]]] = {}
        for spot in self.spots:
            squares.setdefault((floor(spot[0] / degrees), floor(spot[1] / degrees)), []).append(spot)
        found = [
            Place(
                sum(s[0] for s in each) / len(each),
                sum(s[1] for s in each) / len(each),
                len(each),
                each[0][2],
            )
            for each in squares.values()
        ]
        return sorted(found, key=lambda place: -place.pictures)


class _Kept(NamedTuple):
    stamp: tuple[int, ...]
    read: float
    looked: float
    wall: Wall


class Timeline:
    """The part of the catalog that a page scrolls through. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._walls: OrderedDict[str, _Kept] = OrderedDict()

    def wall(self, collection: Collection) -> Wall:
        """The whole order; a third of a second for 100,000 images, then at once."""
        with self._lock:  # those who ask while it is read wait for it rather than read it too
            kept = self._walls.get(collection.id)
            now = time.monotonic()
            if kept and now - kept.looked < _TRUSTED_S:
                return kept.wall
            with transaction(self._engine, write=False) as connection:
                stamp = _stamp(connection, collection)
                if kept and kept.stamp == stamp and now - kept.read < _KEPT_S:
                    kept = kept._replace(looked=now)
                else:
                    kept = _Kept(stamp, now, now, _read(connection, collection))
            self._walls[collection.id] = kept
            self._walls.move_to_end(collection.id)
            while len(self._walls) > _KEPT:
                self._walls.popitem(last=False)
            return kept.wall

    def records(self, collection: Collection, ids: Sequence[str]) -> list[tuple[ImageRecord, str]]:
        """Images with their SHA-256, in the order of ``ids``; those that are gone are left out."""
        found = {}
        with transaction(self._engine, write=False) as connection:
            rows = [
                row
                for part in chunks(list(ids))
                for row in connection.execute(
                    select(images).where(images.c.id.in_(part), images.c.collection_id == collection.id)
                )
            ]
            uris = uris_of(connection, collection.id, [row.sha256 for row in rows])
        for row in rows:
            if row.embedded and row.sha256 in uris:
                found[row.id] = (to_record(row, uris[row.sha256]), row.sha256)
        return [found[each] for each in ids if each in found]

    def previews(self, ids: Sequence[str]) -> dict[str, str]:
        """The blurred stand-ins of those that have one."""
        with transaction(self._engine, write=False) as connection:
            return {
                row.id: row.preview
                for part in chunks(list(ids))
                for row in connection.execute(
                    select(images.c.id, images.c.preview).where(
                        images.c.id.in_(part), images.c.preview.is_not(None)
                    )
                )
            }

    def keep_preview(self, image_id: str, preview: str) -> None:
        """Store the preview of an image that was indexed before there were previews."""
        with transaction(self._engine) as connection:
            connection.execute(update(images).where(images.c.id == image_id).values(preview=preview))


@lru_cache(maxsize=4096)
def shape(width: int, height: int) -> int:
    """A byte for how wide an image is for its height."""
    return min(255, max(0, round(128 + _STEPS * log2(max(width, 1) / max(height, 1)))))


def _stamp(connection: Connection, collection: Collection) -> tuple[int, ...]:
    pictures = select(func.count()).where(images.c.collection_id == collection.id, images.c.embedded)
    files = select(func.count(), func.max(sources.c.id)).where(sources.c.collection_id == collection.id)
    count, last = connection.execute(files).one()
    return (connection.execute(pictures).scalar() or 0, count, last or 0)


def _read(connection: Connection, collection: Collection) -> Wall:
    first = (
        select(sources.c.sha256, func.min(sources.c.id).label("number"))
        .where(sources.c.collection_id == collection.id)
        .group_by(sources.c.sha256)
        .subquery()
    )
    i = images.c
    wanted = (
        select(i.id, i.width, i.height, i.taken_at, i.lat, i.lon)
        .join(first, first.c.sha256 == i.sha256)
        .where(i.collection_id == collection.id, i.embedded)
        .order_by(i.taken_at.is_(None), i.taken_at.desc(), first.c.number, i.page)
    )
    rows = connection.execute(wanted).all()
    months = Counter(row.taken_at and f"{row.taken_at.year:04}-{row.taken_at.month:02}" for row in rows)
    return Wall(
        ids=tuple(row.id for row in rows),
        shapes=bytes(shape(row.width, row.height) for row in rows),
        months=tuple(Month(*each) for each in months.items()),
        spots=tuple((r.lat, r.lon, r.id) for r in rows if r.lat is not None and r.lon is not None),
    )
