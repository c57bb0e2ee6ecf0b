"""Ledger of the text read in images, and its state: pending -> read -> done (in the store), or failed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, func, or_, select, update

from askpix.core.db.engine import transaction, upsert
from askpix.core.types import Box, TextLine
from askpix.ingest.catalog.tables import images, sources, texts

_CHUNK = 500
"""Ids in one statement: databases take a limited number of parameters."""


@dataclass(frozen=True, slots=True)
class PendingText:
    """An image whose words have not been read yet, and the files that hold it."""

    image_id: str
    sha256: str
    kind: str
    place: int | None
    """``askpix.ingest.formats.content.place_of``."""
    uris: tuple[str, ...]


class TextLedger:
    """The part of the catalog that stage two works on. Lines are here before the store has them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counts(self, collection_id: str) -> dict[str, int]:
        """Images by state: ``{"pending", "done", "failed"}``; pending is all that is neither."""
        wanted = (
            select(images.c.text_state, func.count())
            .where(images.c.collection_id == collection_id, images.c.embedded)
            .group_by(images.c.text_state)
        )
        with transaction(self._engine, write=False) as connection:
            states: dict[str, int] = {row[0]: row[1] for row in connection.execute(wanted)}
        done = states.get("done", 0)
        failed = states.get("failed", 0)
        return {"pending": sum(states.values()) - done - failed, "done": done, "failed": failed}

    def count_pending(self, collection_id: str) -> int:
        """Return how many images have not been read."""
        wanted = select(func.count()).where(_in_state(collection_id, "pending"))
        with transaction(self._engine, write=False) as connection:
            return connection.execute(wanted).scalar_one()

    def count_left(self, collection_id: str) -> int:
        """Return how many images wait to be read where others were; 0 where no text is ever read."""
        left = self.count_pending(collection_id)
        if not left:
            return 0
        read = select(images.c.id).where(_in_state(collection_id, "done")).limit(1)
        with transaction(self._engine, write=False) as connection:
            return left if connection.execute(read).first() else 0

    def pending(self, collection_id: str, *, page_size: int = 1000) -> Iterator[PendingText]:
        """Every image that was not read when its turn came, once; pages of one file together, in order."""
        last = ("", 0)
        while True:
            after = or_(images.c.sha256 > last[0], and_(images.c.sha256 == last[0], images.c.page > last[1]))
            wanted = (
                select(images.c.id, images.c.sha256, images.c.page, images.c.kind)
                .where(_in_state(collection_id, "pending"), after)
                .order_by(images.c.sha256, images.c.page)
                .limit(page_size)
            )
            with transaction(self._engine, write=False) as connection:
                rows = connection.execute(wanted).all()
                uris = uris_of(connection, collection_id, sorted({row[1] for row in rows}))
            for image_id, sha256, place, kind in rows:
                yield PendingText(image_id, sha256, kind, place or None, tuple(uris.get(sha256, ())))
            if len(rows) < page_size:
                return
            last = (rows[-1][1], rows[-1][2])

    def save(
        self, lines: Mapping[str, Sequence[TextLine]], errors: Mapping[str, str], *, engine: str
    ) -> None:
        """Keep what was read, and why some could not be. Images removed meanwhile are ignored."""
        if not lines and not errors:
            return
        with transaction(self._engine) as connection:
            there = _keep(connection, lines, engine)
            states = [(image_id, "read", None) for image_id in there]
            _set_states(connection, [*states, *((i, "failed", why) for i, why in errors.items())])

    def keep(self, lines: Mapping[str, Sequence[TextLine]], *, engine: str) -> None:
        """Keep what the store has of images that are still to be read."""
        with transaction(self._engine) as connection:
            _keep(connection, lines, engine)

    def mark_stored(self, ids: Iterable[str]) -> None:
        """The store has the words of these images now."""
        with transaction(self._engine) as connection:
            _set_states(connection, [(image_id, "done", None) for image_id in ids])

    def mark_handed_over(self, ids: Sequence[str]) -> None:
        """The store has the words of those that were read; the others are still to be read."""
        with transaction(self._engine) as connection:
            for part in chunks(ids):
                had = and_(images.c.id.in_(part), images.c.text_state == "read")
                connection.execute(update(images).where(had).values(text_state="done"))

    def mark_read(self, ids: Sequence[str]) -> None:
        """The store does not have the words of these images any more: they are to go there again."""
        with transaction(self._engine) as connection:
            for part in chunks(ids):
                lost = and_(images.c.id.in_(part), images.c.text_state == "done")
                connection.execute(update(images).where(lost).values(text_state="read"))

    def any_waiting(self, collection_id: str) -> bool:
        """Return whether anything is still to be read, or to be synced to the store."""
        return self.count_pending(collection_id) > 0 or bool(self.unstored(collection_id, limit=1))

    def unstored(self, collection_id: str, *, limit: int) -> list[str]:
        """Ids of images whose words were read but are not in the store yet."""
        wanted = select(images.c.id).where(_in_state(collection_id, "read")).limit(limit)
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted).scalars())

    def lines(self, ids: Sequence[str]) -> dict[str, tuple[TextLine, ...]]:
        """Lines of text by image id; images that were not read are left out."""
        found: dict[str, tuple[TextLine, ...]] = {}
        with transaction(self._engine, write=False) as connection:
            for part in chunks(ids):
                wanted = select(texts.c.image_id, texts.c.lines).where(texts.c.image_id.in_(part))
                for image_id, stored in connection.execute(wanted):
                    found[image_id] = tuple(TextLine(row[0], Box(*row[1:5]), row[5]) for row in stored)
        return found


def chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    """Slices that fit one statement."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _in_state(collection_id: str, state: str) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection_id, images.c.text_state == state, images.c.embedded)


def uris_of(connection: Connection, collection_id: str, shas: Sequence[str]) -> dict[str, list[str]]:
    """The sources that hold these contents, by SHA-256, each in order of uri."""
    found: dict[str, list[str]] = {}
    for part in chunks(shas):
        wanted = (
            select(sources.c.sha256, sources.c.uri)
            .where(sources.c.collection_id == collection_id, sources.c.sha256.in_(part))
            .order_by(sources.c.uri)
        )
        for sha256, uri in connection.execute(wanted):
            found.setdefault(sha256, []).append(uri)
    return found


def _existing(connection: Connection, ids: Sequence[str]) -> list[str]:
    parts = (select(images.c.id).where(images.c.id.in_(part)) for part in chunks(ids))
    return [image_id for part in parts for image_id in connection.execute(part).scalars()]


def _keep(connection: Connection, lines: Mapping[str, Sequence[TextLine]], engine: str) -> list[str]:
    """Enter lines; the ids of those images that are there."""
    there = _existing(connection, list(lines))
    rows = [{"image_id": i, "engine": engine, "lines": [_packed(line) for line in lines[i]]} for i in there]
    if rows:
        entry = upsert(connection, texts)
        changed = {name: entry.excluded[name] for name in ("engine", "lines")}
        connection.execute(entry.on_conflict_do_update(index_elements=["image_id"], set_=changed), rows)
    return there


def _packed(line: TextLine) -> list[str | float]:
    return [line.text, *(round(side, 1) for side in line.box), round(line.confidence, 3)]


def _set_states(connection: Connection, states: Sequence[tuple[str, str, str | None]]) -> None:
    change = (
        update(images)
        .where(images.c.id == bindparam("key"))
        .values(text_state=bindparam("state"), text_error=bindparam("why"))
    )
    if states:
        connection.execute(change, [{"key": i, "state": state, "why": why} for i, state, why in states])
