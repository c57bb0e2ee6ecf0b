"""The ledger of words about images: which sources are to be looked into for them, and what was found.

A source is described once; again when it or a file beside it changes, or ``FORMAT`` is raised.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, delete, func, or_, select, update

from askpix.core.db.engine import transaction, upsert
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, notes, sources
from askpix.ingest.catalog.texts import chunks
from askpix.ingest.metadata.model import About

FORMAT = "2 "
"""Raised when more is read about images than before: then all sources are looked into again."""

_COLUMNS = ("taken_at", "camera", "lat", "lon", "about")

NoteKind: TypeAlias = Literal["about", "caption"]


@dataclass(frozen=True, slots=True)
class Undescribed:
    """A source that holds a content; ``beside`` as ``askpix.ingest.metadata.sidecars`` stamps it."""

    uri: str
    size: int
    mtime_ns: int
    beside: str | None


class NoteLedger:
    """The part of the catalog that knows what was written about images. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def beside(self, collection: Collection, stamps: Mapping[str, str | None]) -> None:
        """Record the present state of the files beside these sources."""
        change = (
            update(sources)
            .where(sources.c.collection_id == collection.id, sources.c.uri == bindparam("of"))
            .values(beside=bindparam("stamp"))
        )
        if stamps:
            with transaction(self._engine) as connection:
                rows = [{"of": uri, "stamp": stamp} for uri, stamp in stamps.items()]
                connection.execute(change, rows)

    def undescribed(self, collection: Collection) -> list[str]:
        """The SHA-256 of every content with a source that is to be looked into."""
        wanted = select(sources.c.sha256).where(
            sources.c.collection_id == collection.id, sources.c.sha256.is_not(None), _stale()
        )
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted.distinct().order_by(sources.c.sha256)).scalars())

    def sources_of(self, collection: Collection, shas: Sequence[str]) -> dict[str, list[Undescribed]]:
        """Return all sources of these contents, by SHA-256, each in order of uri."""
        found: dict[str, list[Undescribed]] = {}
        c = sources.c
        with transaction(self._engine, write=False) as connection:
            for part in chunks(shas):
                wanted = select(c.sha256, c.uri, c.size, c.mtime_ns, c.beside)
                wanted = wanted.where(c.collection_id == collection.id, c.sha256.in_(part)).order_by(c.uri)
                for sha256, *rest in connection.execute(wanted):
                    found.setdefault(sha256, []).append(Undescribed(*rest))
        return found

    def abouts(self, ids: Sequence[str]) -> dict[str, About]:
        """Return what is known about images, by id; images without anything known are left out."""
        found: dict[str, About] = {}
        with transaction(self._engine, write=False) as connection:
            for part in chunks(ids):
                wanted = select(images.c.id, images.c.about).where(images.c.id.in_(part))
                for image_id, about in connection.execute(wanted.where(images.c.about.is_not(None))):
                    found[image_id] = About.from_json(about)
        return found

    def describe(
        self,
        collection: Collection,
        found: Mapping[str, About],
        facts: Mapping[str, Mapping[str, Any]],
        looked: Iterable[Undescribed],
    ) -> None:
        """Enter what was found about images by id, with the columns (``facts``) that follow from it, and
        that these sources were looked into as they were."""
        change = (
            update(images)
            .where(images.c.id == bindparam("key"))
            .values({name: bindparam(f"new_{name}") for name in _COLUMNS})
        )
        rows = [
            {"key": i, "new_about": about.to_json() or None}
            | {f"new_{name}": value for name, value in facts[i].items()}
            for i, about in found.items()
        ]
        seen = (
            update(sources)
            .where(
                sources.c.collection_id == collection.id,
                sources.c.uri == bindparam("of"),
                func.coalesce(sources.c.beside, "") == bindparam("stamp"),
            )
            .values(described=bindparam("as_it_was"))
        )
        with transaction(self._engine) as connection:
            if rows:
                connection.execute(change, rows)
                self._write(connection, {i: about.words for i, about in found.items()}, "about", None)
            stamps = [
                {"of": each.uri, "stamp": each.beside or "", "as_it_was": FORMAT + (each.beside or "")}
                for each in looked
            ]
            if stamps:
                connection.execute(seen, stamps)

    def write(self, texts: Mapping[str, str], kind: NoteKind, writer: str | None) -> None:
        """Words about images by id, in place of those of this kind; images that are gone are ignored."""
        with transaction(self._engine) as connection:
            self._write(connection, texts, kind, writer)

    @staticmethod
    def _write(connection: Connection, texts: Mapping[str, str], kind: NoteKind, writer: str | None) -> None:
        before: dict[str, str] = {}
        there: set[str] = set()
        for part in chunks(list(texts)):
            there |= set(connection.execute(select(images.c.id).where(images.c.id.in_(part))).scalars())
            old = select(notes.c.image_id, notes.c.text).where(
                notes.c.image_id.in_(part), notes.c.kind == kind
            )
            before |= {row[0]: row[1] for row in connection.execute(old)}
        # An empty note stays until the store has forgotten the words that were there.
        rows = [
            {"image_id": i, "kind": kind, "text": text, "writer": writer, "stored": False}
            for i, text in texts.items()
            if i in there and text != before.get(i, "")
        ]
        if rows:
            entry = upsert(connection, notes)
            changed = {name: entry.excluded[name] for name in ("text", "writer", "stored")}
            connection.execute(
                entry.on_conflict_do_update(index_elements=["image_id", "kind"], set_=changed), rows
            )

    def texts(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """Words about images by id, the owner's before a generator's; those without are left out."""
        found: dict[str, list[str]] = {}
        with transaction(self._engine, write=False) as connection:
            for part in chunks(ids):
                wanted = select(notes.c.image_id, notes.c.text).where(notes.c.image_id.in_(part))
                wanted = wanted.where(notes.c.text != "").order_by(notes.c.kind)
                for image_id, text in connection.execute(wanted):
                    found.setdefault(image_id, []).append(text)
        return found

    def captions(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the captions that a generator wrote, by id."""
        found: dict[str, str] = {}
        with transaction(self._engine, write=False) as connection:
            for part in chunks(ids):
                wanted = select(notes.c.image_id, notes.c.text).where(notes.c.image_id.in_(part))
                rows = connection.execute(wanted.where(notes.c.kind == "caption", notes.c.text != ""))
                found |= {row[0]: row[1] for row in rows}
        return found

    def unstored(self, collection: Collection, *, limit: int) -> list[str]:
        """Ids of images of which the store does not have the words."""
        wanted = (
            select(notes.c.image_id)
            .join(images, images.c.id == notes.c.image_id)
            .where(images.c.collection_id == collection.id, images.c.embedded, ~notes.c.stored)
            .distinct()
            .limit(limit)
        )
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted).scalars())

    def mark_stored(self, ids: Sequence[str]) -> None:
        """The store has the words about these images now."""
        with transaction(self._engine) as connection:
            for part in chunks(ids):
                mine = notes.c.image_id.in_(part)
                connection.execute(delete(notes).where(mine, notes.c.text == ""))
                connection.execute(update(notes).where(mine).values(stored=True))

    def mark_unstored(self, ids: Sequence[str]) -> None:
        """The store does not have them any more."""
        with transaction(self._engine) as connection:
            unstore(connection, ids)

    def count_uncaptioned(self, collection: Collection) -> int:
        """Return how many images have no caption."""
        wanted = select(func.count()).select_from(images).where(_uncaptioned(collection))
        with transaction(self._engine, write=False) as connection:
            return connection.execute(wanted).scalar_one()

    def uncaptioned(self, collection: Collection, *, size: int = 500) -> Iterator[list[str]]:
        """Ids of the images without a caption, a page at a time; each once."""
        last = ""
        while True:
            wanted = select(images.c.id).where(_uncaptioned(collection), images.c.id > last)
            with transaction(self._engine, write=False) as connection:
                ids = list(connection.execute(wanted.order_by(images.c.id).limit(size)).scalars())
            if not ids:
                return
            last = ids[-1]
            yield ids


def unstore(connection: Connection, ids: Sequence[str]) -> None:
    """The store does not have the words about these images: within a transaction."""
    for part in chunks(ids):
        connection.execute(update(notes).where(notes.c.image_id.in_(part)).values(stored=False))


def undescribe(connection: Connection, collection: Collection, gone: ColumnElement[bool]) -> None:
    """Mark descriptions that came from these sources to be read from the remaining ones, within a
    transaction.
    """
    shas = select(sources.c.sha256).where(gone)
    others = and_(sources.c.collection_id == collection.id, sources.c.sha256.in_(shas))
    connection.execute(update(sources).where(others).values(described=None))


def _uncaptioned(collection: Collection) -> ColumnElement[bool]:
    captioned = select(notes.c.image_id).where(notes.c.image_id == images.c.id, notes.c.kind == "caption")
    return and_(images.c.collection_id == collection.id, images.c.embedded, ~captioned.exists())


def _stale() -> ColumnElement[bool]:
    c = sources.c
    return or_(c.described.is_(None), c.described != FORMAT + func.coalesce(c.beside, ""))
