"""The catalog: the ledger of collections, sources and images, and of what has been done to each.

A row in ``images`` is written only after the store has the picture's vector, so what the catalog lists can
be found. Everything here is one transaction a call.
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Row, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from core.database import transaction
from core.errors import AskpixError, NotFoundError
from core.types import Box, ImageRecord, TextLine
from ingest.tables import collections, images, sources, texts

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CHUNK = 500
"""Ids in one statement: SQLite takes a limited number of parameters."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of pictures with one embedder. ``id`` is a UUID."""

    id: str
    name: str
    embedder: str
    dim: int
    text_embedder: str
    text_dim: int
    created_at: datetime

    def image_id(self, sha256: str, page: int | None) -> str:
        """The id of a picture: the same bytes and page in the same collection, the same id."""
        return str(uuid.uuid5(uuid.UUID(self.id), f"{sha256}#{page or 0}"))


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source as the ledger knows it."""

    size: int
    mtime_ns: int
    sha256: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class PendingText:
    """A picture whose words have not been read yet, and files that hold it."""

    image_id: str
    sha256: str
    page: int | None
    uris: tuple[str, ...]


class Catalog:
    """Thread-safe; the only one that knows the tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- collections ---------------------------------------------------------------------------------

    def create_collection(
        self, name: str, *, embedder: str, dim: int, text_embedder: str, text_dim: int
    ) -> Collection:
        """A new, empty collection. Raises ``AskpixError`` for a taken or unusable name."""
        if not _NAME.fullmatch(name):
            raise AskpixError(
                f"{name!r} cannot name a collection; use up to 63 of a-z, 0-9, '.', '_' and '-', "
                "beginning with a letter or digit"
            )
        if self.get_collection(name):
            raise AskpixError(f"there is a collection {name!r} already")
        now = datetime.now(UTC).replace(tzinfo=None)
        made = Collection(str(uuid.uuid4()), name, embedder, dim, text_embedder, text_dim, now)
        with transaction(self._engine) as connection:
            connection.execute(insert(collections), [{f: getattr(made, f) for f in Collection.__slots__}])
        return made

    def get_collection(self, name: str) -> Collection | None:
        """By name; None when there is none."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(collections).where(collections.c.name == name)).one_or_none()
        return Collection(*row) if row else None

    def list_collections(self) -> list[Collection]:
        """All of them by name."""
        with transaction(self._engine) as connection:
            rows = connection.execute(select(collections).order_by(collections.c.name)).all()
        return [Collection(*row) for row in rows]

    def delete_collection(self, name: str) -> None:
        """Forget a collection and all that is in it. Raises ``NotFoundError``."""
        with transaction(self._engine) as connection:
            gone = connection.execute(delete(collections).where(collections.c.name == name)).rowcount
        if not gone:
            raise NotFoundError(f"no collection {name!r}")

    def counts(self, collection: Collection) -> dict[str, Any]:
        """``{"images", "sources", "failed", "text": {"pending", "done", "failed"}}``."""
        with transaction(self._engine) as connection:
            of_sources = select(func.count(), func.count(sources.c.error)).where(
                sources.c.collection_id == collection.id
            )
            total, failed = connection.execute(of_sources).one()
            by_state = (
                select(images.c.text_state, func.count())
                .where(images.c.collection_id == collection.id)
                .group_by(images.c.text_state)
            )
            states: dict[str, int] = {row[0]: row[1] for row in connection.execute(by_state)}
        done, failed_text = states.get("done", 0), states.get("failed", 0)
        count = sum(states.values())
        text = {"pending": count - done - failed_text, "done": done, "failed": failed_text}
        return {"images": count, "sources": total, "failed": failed, "text": text}

    # --- sources and images --------------------------------------------------------------------------

    def known_sources(self, collection: Collection) -> dict[str, SourceState]:
        """Every source by uri: one query, so that an unchanged file costs a look-up."""
        columns = (sources.c.uri, sources.c.size, sources.c.mtime_ns, sources.c.sha256, sources.c.error)
        with transaction(self._engine) as connection:
            rows = connection.execute(select(*columns).where(sources.c.collection_id == collection.id))
            return {row[0]: SourceState(*row[1:]) for row in rows}

    def contents(self, collection: Collection) -> set[str]:
        """The SHA-256 of everything that has images."""
        with transaction(self._engine) as connection:
            found = connection.execute(
                select(images.c.sha256).where(images.c.collection_id == collection.id).distinct()
            )
            return set(found.scalars())

    def record(
        self,
        collection: Collection,
        *,
        states: Mapping[str, SourceState],
        added: Mapping[str, Sequence[ImageRecord]],
    ) -> None:
        """Enter sources as they are now, and new images by SHA-256. Entering twice is entering once."""
        source_rows = [
            {
                "collection_id": collection.id,
                "uri": uri,
                "size": state.size,
                "mtime_ns": state.mtime_ns,
                "sha256": state.sha256,
                "error": state.error,
            }
            for uri, state in states.items()
        ]
        image_rows = [
            {
                "id": record.id,
                "collection_id": collection.id,
                "sha256": sha256,
                "page": record.page or 0,
                "kind": record.kind,
                "width": record.width,
                "height": record.height,
                "taken_at": record.taken_at,
                "camera": record.camera,
                "lat": record.lat,
                "lon": record.lon,
                "text_state": "pending",
            }
            for sha256, records in added.items()
            for record in records
        ]
        with transaction(self._engine) as connection:
            if source_rows:
                entry = sqlite_insert(sources)
                changed = {name: entry.excluded[name] for name in ("size", "mtime_ns", "sha256", "error")}
                connection.execute(
                    entry.on_conflict_do_update(index_elements=["collection_id", "uri"], set_=changed),
                    source_rows,
                )
            if image_rows:
                connection.execute(sqlite_insert(images).on_conflict_do_nothing(), image_rows)

    def forget_sources(self, collection: Collection, uris: Sequence[str]) -> None:
        """Remove sources; their images stay until ``forget_images``."""
        with transaction(self._engine) as connection:
            for part in _chunks(uris):
                connection.execute(
                    delete(sources).where(sources.c.collection_id == collection.id, sources.c.uri.in_(part))
                )

    def forget_images(self, ids: Sequence[str]) -> None:
        """Remove images and what was read in them."""
        with transaction(self._engine) as connection:
            for part in _chunks(ids):
                connection.execute(delete(images).where(images.c.id.in_(part)))

    def orphans(self, collection: Collection) -> list[str]:
        """Ids of images that no source holds any more."""
        held = select(sources.c.id).where(
            sources.c.collection_id == collection.id, sources.c.sha256 == images.c.sha256
        )
        wanted = select(images.c.id).where(images.c.collection_id == collection.id, ~held.exists())
        with transaction(self._engine) as connection:
            return list(connection.execute(wanted).scalars())

    def sources_of_images(self, ids: Sequence[str]) -> list[str]:
        """Uris of the sources that hold these images."""
        joined = and_(sources.c.sha256 == images.c.sha256, sources.c.collection_id == images.c.collection_id)
        found: set[str] = set()
        with transaction(self._engine) as connection:
            for part in _chunks(ids):
                wanted = select(sources.c.uri).join(images, joined).where(images.c.id.in_(part))
                found.update(connection.execute(wanted).scalars())
        return sorted(found)

    def embedded_ids(self, collection: Collection) -> list[str]:
        """Ids of every image of the collection."""
        with transaction(self._engine) as connection:
            wanted = select(images.c.id).where(images.c.collection_id == collection.id)
            return list(connection.execute(wanted).scalars())

    def count_images(self, collection: Collection) -> int:
        """How many images the collection has."""
        with transaction(self._engine) as connection:
            wanted = select(func.count()).where(images.c.collection_id == collection.id)
            return connection.execute(wanted).scalar_one()

    def records(self, collection: Collection, shas: Sequence[str]) -> list[ImageRecord]:
        """The images with these contents, with all their sources: ``uri`` the first, ``copies`` the rest."""
        result: list[ImageRecord] = []
        with transaction(self._engine) as connection:
            for part in _chunks(shas):
                of = select(sources.c.sha256, sources.c.uri).where(
                    sources.c.collection_id == collection.id, sources.c.sha256.in_(part)
                )
                uris: dict[str, list[str]] = {}
                for sha256, uri in connection.execute(of.order_by(sources.c.uri)):
                    uris.setdefault(sha256, []).append(uri)
                rows = connection.execute(
                    select(images).where(images.c.collection_id == collection.id, images.c.sha256.in_(part))
                )
                result += [_record(row, uris[row.sha256]) for row in rows if row.sha256 in uris]
        return result

    # --- words ---------------------------------------------------------------------------------------

    def pending_texts(self, collection: Collection) -> list[PendingText]:
        """Every picture whose words have not been read, pages of one file together."""
        joined = and_(sources.c.sha256 == images.c.sha256, sources.c.collection_id == images.c.collection_id)
        wanted = (
            select(images.c.id, images.c.sha256, images.c.page, sources.c.uri)
            .join(sources, joined)
            .where(images.c.collection_id == collection.id, images.c.text_state == "pending")
            .order_by(images.c.sha256, images.c.page, sources.c.uri)
        )
        found: dict[str, PendingText] = {}
        with transaction(self._engine) as connection:
            for image_id, sha256, page, uri in connection.execute(wanted):
                known = found.get(image_id)
                uris = (*known.uris, uri) if known else (uri,)
                found[image_id] = PendingText(image_id, sha256, page or None, uris)
        return list(found.values())

    def save_lines(self, lines: Mapping[str, Sequence[TextLine]], *, engine: str) -> None:
        """Keep what was read in pictures; it goes to the store later (``unstored_texts``)."""
        rows = [
            {
                "image_id": image_id,
                "engine": engine,
                "lines": [
                    [line.text, *(round(v, 1) for v in line.box), round(line.confidence, 3)] for line in found
                ],
            }
            for image_id, found in lines.items()
        ]
        if not rows:
            return
        entry = sqlite_insert(texts)
        changed = {"engine": entry.excluded.engine, "lines": entry.excluded.lines}
        with transaction(self._engine) as connection:
            there: set[str] = set()
            for part in _chunks(list(lines)):
                there.update(connection.execute(select(images.c.id).where(images.c.id.in_(part))).scalars())
            rows = [row for row in rows if row["image_id"] in there]
            if rows:
                connection.execute(
                    entry.on_conflict_do_update(index_elements=["image_id"], set_=changed), rows
                )
        self._set_text_state(dict.fromkeys(lines, ("read", None)))

    def fail_texts(self, errors: Mapping[str, str]) -> None:
        """Note why words could not be read."""
        self._set_text_state({image_id: ("failed", error) for image_id, error in errors.items()})

    def mark_texts_stored(self, ids: Iterable[str]) -> None:
        """The store has the words of these pictures now."""
        self._set_text_state(dict.fromkeys(ids, ("done", None)))

    def unstored_texts(self, collection: Collection, *, limit: int) -> list[str]:
        """Ids of pictures whose words were read but are not in the store yet."""
        wanted = select(images.c.id).where(
            images.c.collection_id == collection.id, images.c.text_state == "read"
        )
        with transaction(self._engine) as connection:
            return list(connection.execute(wanted.limit(limit)).scalars())

    def lines(self, ids: Sequence[str]) -> dict[str, tuple[TextLine, ...]]:
        """Lines of text by image id; pictures that were not read are left out."""
        found: dict[str, tuple[TextLine, ...]] = {}
        with transaction(self._engine) as connection:
            for part in _chunks(ids):
                rows = connection.execute(
                    select(texts.c.image_id, texts.c.lines).where(texts.c.image_id.in_(part))
                )
                for image_id, stored in rows:
                    found[image_id] = tuple(TextLine(row[0], Box(*row[1:5]), row[5]) for row in stored)
        return found

    def _set_text_state(self, states: Mapping[str, tuple[str, str | None]]) -> None:
        if not states:
            return
        rows = [{"key": i, "state": state, "why": why} for i, (state, why) in states.items()]
        change = (
            update(images)
            .where(images.c.id == bindparam("key"))
            .values(text_state=bindparam("state"), text_error=bindparam("why"))
        )
        with transaction(self._engine) as connection:
            connection.execute(change, rows)


def _record(row: Row[Any], uris: Sequence[str]) -> ImageRecord:
    return ImageRecord(
        id=row.id,
        uri=uris[0],
        kind=row.kind,
        width=row.width,
        height=row.height,
        page=row.page or None,
        taken_at=row.taken_at,
        camera=row.camera,
        lat=row.lat,
        lon=row.lon,
        copies=tuple(uris[1:]),
    )


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
