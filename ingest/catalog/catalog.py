"""The catalog: the ledger of collections, sources and images, and of what has been done to each.

An image counts as ``embedded`` only once the store has its vector, so what the catalog lists can be found.
Every call is one transaction. The words read in images have a ledger of their own, ``Catalog.texts``.
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from askpix.core.db.engine import held, is_shared, transaction, upsert
from askpix.core.errors import AskpixError, NotFoundError, StoreUnavailableError
from askpix.core.types import ImageRecord, TextLine
from askpix.ingest.catalog.generations import Generations
from askpix.ingest.catalog.lookup import Lookup, move_sources
from askpix.ingest.catalog.models import Collection, SourceState
from askpix.ingest.catalog.notes import NoteLedger, undescribe, unstore
from askpix.ingest.catalog.pages import PageLedger
from askpix.ingest.catalog.regions import SheetLedger
from askpix.ingest.catalog.tables import (
    REWRITTEN,
    collections,
    image_row,
    images,
    page_errors,
    sources,
    to_record,
)
from askpix.ingest.catalog.tags import TagLedger
from askpix.ingest.catalog.texts import TextLedger, chunks, uris_of
from askpix.ingest.catalog.timeline import Timeline

__all__ = ["Catalog", "Collection", "SourceState"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.IGNORECASE | re.ASCII)


class Catalog:
    """Thread-safe; with its text ledger the only one that knows the tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # A search opens none of these ledgers but that of the regions.

    @cached_property
    def texts(self) -> TextLedger:
        """Ledger of the text read in images."""
        return TextLedger(self._engine)

    @cached_property
    def generations(self) -> Generations:
        """Vectors of other models: being built, or replaced."""
        return Generations(self._engine)

    @cached_property
    def pages(self) -> PageLedger:
        """Ledger of the page embedder's work."""
        return PageLedger(self._engine)

    @cached_property
    def sheets(self) -> SheetLedger:
        """Pages with several images on them."""
        return SheetLedger(self._engine)

    @cached_property
    def lookup(self) -> Lookup:
        """Images by id and by content."""
        return Lookup(self._engine)

    @cached_property
    def tags(self) -> TagLedger:
        """The vocabularies, and what has been tagged."""
        return TagLedger(self._engine)

    @cached_property
    def timeline(self) -> Timeline:
        """Images by date, for pages that show whole collections."""
        return Timeline(self._engine)

    @cached_property
    def notes(self) -> NoteLedger:
        """Ledger of what is written about images beside and in their files."""
        return NoteLedger(self._engine)

    @property
    def engine(self) -> Engine:
        """The database, for what moves whole collections."""
        return self._engine

    @property
    def shared(self) -> bool:
        """True if other machines may use the catalog too."""
        return is_shared(self._engine)

    @contextmanager
    def held(self, collection: Collection) -> Iterator[None]:
        """Reserve the collection for one process of all that share the catalog; raises
        ``StoreUnavailableError`` in the others.
        """
        with held(self._engine, collection.id) as mine:
            if not mine:
                raise StoreUnavailableError(
                    f"collection {collection.name!r} is being indexed by another machine; wait for it"
                )
            yield

    def close(self) -> None:
        """Let go of the database; the catalog opens it again when it is used again."""
        self._engine.dispose()

    # --- collections ---------------------------------------------------------------------------------

    def create_collection(
        self,
        name: str,
        *,
        embedder: str,
        dim: int,
        text_embedder: str,
        text_dim: int,
        store: str = "edge",
    ) -> Collection:
        """A new, empty collection. Raises ``AskpixError`` for a taken or unusable name."""
        if not _NAME.fullmatch(name):
            raise AskpixError(
                f"{name!r} cannot name a collection; use up to 63 letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit"
            )
        now = datetime.now(UTC).replace(tzinfo=None)
        made = Collection(str(uuid.uuid4()), name, embedder, dim, text_embedder, text_dim, now, store=store)
        self.adopt(made)
        return made

    def adopt(self, collection: Collection) -> None:
        """Enter a collection as it is, with nothing in it. Raises ``AskpixError`` when its name is taken."""
        with transaction(self._engine) as connection:
            taken = connection.execute(select(collections.c.name).where(_named(collection.name))).scalar()
            if taken is not None:
                raise AskpixError(f"there is a collection {taken!r} already")
            row = {field: getattr(collection, field) for field in Collection.__slots__}
            connection.execute(insert(collections), [{**row, "unfinished": False}])

    def set_page_embedder(self, collection: Collection, page_embedder: str | None, dim: int | None) -> None:
        """Set the model that embeds pages from now on (None: no model); failed pages are tried again."""
        mine = select(images.c.id).where(images.c.collection_id == collection.id)
        with transaction(self._engine) as connection:
            change = update(collections).where(collections.c.id == collection.id)
            connection.execute(change.values(page_embedder=page_embedder, page_dim=dim))
            connection.execute(delete(page_errors).where(page_errors.c.image_id.in_(mine)))

    def get_collection(self, name: str) -> Collection | None:
        """Return the collection with this name, ignoring case; None when there is none."""
        if not _NAME.fullmatch(name):
            return None
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(*_COLLECTION).where(_named(name))).one_or_none()
        return Collection(*row) if row else None

    def list_collections(self) -> list[Collection]:
        """Return all collections by name."""
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(select(*_COLLECTION).order_by(func.lower(collections.c.name))).all()
        return [Collection(*row) for row in rows]

    def delete_collection(self, name: str) -> None:
        """Forget a collection and all that is in it. Raises ``NotFoundError``."""
        with self.deleting(name):
            pass

    @contextmanager
    def deleting(self, name: str) -> Iterator[None]:
        """Forget a collection and all that is in it when the block has succeeded; nothing when it fails.

        Raises ``NotFoundError``.
        """
        with transaction(self._engine) as connection:
            if not connection.execute(delete(collections).where(_named(name))).rowcount:
                raise NotFoundError(f"no collection {name!r}")
            yield

    def counts(self, collection: Collection) -> dict[str, Any]:
        """``{"images", "sources", "failed", "text": {"pending", "done", "failed"}}``."""
        of_sources = select(func.count(), func.count(sources.c.error)).where(
            sources.c.collection_id == collection.id
        )
        with transaction(self._engine, write=False) as connection:
            total, failed = connection.execute(of_sources).one()
        text = self.texts.counts(collection.id)
        return {"images": sum(text.values()), "sources": total, "failed": failed, "text": text}

    def unfinished(self, collection: Collection) -> bool:
        """Return whether a run is at work on the collection, or was cut off."""
        wanted = select(collections.c.unfinished).where(collections.c.id == collection.id)
        with transaction(self._engine, write=False) as connection:
            return bool(connection.execute(wanted).scalar())

    def begin_run(self, collection: Collection) -> bool:
        """Note that a run begins; True when the one before it never came to its end."""
        mine = collections.c.id == collection.id
        with transaction(self._engine) as connection:
            before = connection.execute(select(collections.c.unfinished).where(mine)).scalar_one_or_none()
            if before is None:
                raise NotFoundError(f"collection {collection.name!r} was deleted meanwhile")
            connection.execute(update(collections).where(mine).values(unfinished=True))
        return bool(before)

    def end_run(self, collection: Collection) -> None:
        """Note that a run came to its end: store and catalog agree."""
        with transaction(self._engine) as connection:
            change = update(collections).where(collections.c.id == collection.id)
            connection.execute(change.values(unfinished=False))

    # --- sources and images --------------------------------------------------------------------------

    def known_sources(self, collection: Collection) -> dict[str, SourceState]:
        """Every source by uri: one query, so that an unchanged file costs a look-up."""
        c = sources.c
        wanted = select(c.uri, *(c[name] for name in SourceState.__slots__)).where(
            c.collection_id == collection.id
        )
        with transaction(self._engine, write=False) as connection:
            rows = connection.execution_options(yield_per=10_000).execute(wanted)
            return {row[0]: SourceState(*row[1:]) for row in rows}

    def remember_ctimes(self, collection: Collection, ctimes: Mapping[str, int]) -> None:
        """Enter when the inodes of these sources changed, for those that an earlier version wrote."""
        change = (
            update(sources)
            .where(sources.c.collection_id == collection.id, sources.c.uri == bindparam("of"))
            .values(ctime_ns=bindparam("changed"))
        )
        if ctimes:
            with transaction(self._engine) as connection:
                connection.execute(change, [{"of": uri, "changed": ns} for uri, ns in ctimes.items()])

    def contents(self, collection: Collection) -> set[str]:
        """The SHA-256 of everything whose images are all embedded."""
        wanted = (
            select(images.c.sha256)
            .where(images.c.collection_id == collection.id)
            .group_by(images.c.sha256)
            .having(func.count() == func.count(case((images.c.embedded, 1))))
        )
        with transaction(self._engine, write=False) as connection:
            return set(connection.execute(wanted).scalars())

    def embedded_among(self, collection: Collection, shas: Sequence[str]) -> set[str]:
        """Return the contents among ``shas`` whose images are all embedded."""
        mine = and_(images.c.collection_id == collection.id, images.c.sha256.in_(shas))
        whole = func.count() == func.count(case((images.c.embedded, 1)))
        wanted = select(images.c.sha256).where(mine).group_by(images.c.sha256).having(whole)
        with transaction(self._engine, write=False) as connection:
            return set(connection.execute(wanted).scalars())

    def record(
        self,
        collection: Collection,
        *,
        states: Mapping[str, SourceState],
        added: Mapping[str, Sequence[ImageRecord]],
        gone: Iterable[str] = (),
    ) -> None:
        """Enter sources as they are now, images that the store has now by SHA-256, and forget sources.

        Doing it twice is doing it once. Words that the store had for an image need to go there again.
        Raises ``NotFoundError`` when the collection was deleted meanwhile.
        """
        source_rows = [
            {
                "collection_id": collection.id,
                "uri": uri,
                **{f: getattr(state, f) for f in SourceState.__slots__},
            }
            for uri, state in states.items()
        ]
        image_rows = [
            {**image_row(record), "collection_id": collection.id, "sha256": sha256}
            for sha256, records in added.items()
            for record in records
        ]
        try:
            with transaction(self._engine) as connection:
                if source_rows:
                    entry = upsert(connection, sources)
                    changed = {name: entry.excluded[name] for name in SourceState.__slots__}
                    changed["described"] = null()
                    entry = entry.on_conflict_do_update(index_elements=["collection_id", "uri"], set_=changed)
                    connection.execute(entry, source_rows)
                if image_rows:
                    state = case((images.c.text_state == "done", "read"), else_=images.c.text_state)
                    entry = upsert(connection, images)
                    # Where it was rebuilt without its file, its content is known only now.
                    again = {"embedded": True, "text_state": state, "tags": null()}
                    again |= {"sha256": entry.excluded.sha256}
                    again |= {name: entry.excluded[name] for name in REWRITTEN} | {"about": null()}
                    entry = entry.on_conflict_do_update(index_elements=["id"], set_=again)
                    connection.execute(entry, image_rows)
                    unstore(connection, [row["id"] for row in image_rows])
                _forget_sources(connection, collection, list(gone))
        except IntegrityError as error:
            raise NotFoundError(f"collection {collection.name!r} was deleted meanwhile") from error

    def forget_images(self, ids: Sequence[str]) -> None:
        """Remove images and what was read in them."""
        with transaction(self._engine) as connection:
            for part in chunks(ids):
                connection.execute(delete(images).where(images.c.id.in_(part)))

    @contextmanager
    def forgetting(self, collection: Collection, image_id: str, uris: Sequence[str]) -> Iterator[None]:
        """Forget an image and sources when the block has succeeded; nothing when it fails."""
        with transaction(self._engine) as connection:
            connection.execute(delete(images).where(images.c.id == image_id))
            _forget_sources(connection, collection, uris)
            yield

    def mark_lost(self, ids: Sequence[str]) -> None:
        """The store does not have these images; what was read in them is kept for when it has again."""
        state = case((images.c.text_state == "done", "read"), else_=images.c.text_state)
        with transaction(self._engine) as connection:
            for part in chunks(ids):
                change = update(images).where(images.c.id.in_(part))
                connection.execute(change.values(embedded=False, text_state=state))
                unstore(connection, part)

    def orphans(self, collection: Collection, shas: Sequence[str] | None = None) -> list[str]:
        """Ids of images that no source holds any more; ``shas`` looks at these contents only."""
        held = select(sources.c.id).where(
            sources.c.collection_id == collection.id, sources.c.sha256 == images.c.sha256
        )
        wanted = select(images.c.id).where(images.c.collection_id == collection.id, ~held.exists())
        with transaction(self._engine, write=False) as connection:
            if shas is None:
                return list(connection.execute(wanted).scalars())
            parts = (wanted.where(images.c.sha256.in_(part)) for part in chunks(shas))
            return [image_id for part in parts for image_id in connection.execute(part).scalars()]

    def embedded_ids(self, collection: Collection) -> list[str]:
        """Ids of every image that the store should have."""
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(select(images.c.id).where(_embedded(collection))).scalars())

    def count_images(self, collection: Collection) -> int:
        """Return how many images the store should have."""
        with transaction(self._engine, write=False) as connection:
            return connection.execute(select(func.count()).where(_embedded(collection))).scalar_one()

    def sources_of(self, collection: Collection, shas: Sequence[str]) -> dict[str, list[str]]:
        """The sources that hold these contents, by SHA-256, each in order of uri."""
        with transaction(self._engine, write=False) as connection:
            return uris_of(connection, collection.id, shas)

    def move_sources(self, old: str, new: str) -> dict[str, list[str]]:
        """See ``askpix.ingest.catalog.lookup.move_sources``."""
        return move_sources(self._engine, old, new)

    def records(self, collection: Collection, shas: Sequence[str]) -> Iterator[ImageRecord]:
        """The embedded images with these contents: ``uri`` is the first source, ``copies`` are the rest."""
        for part in chunks(shas):
            for records in self.records_by_content(collection, part).values():
                yield from records

    def records_by_content(self, collection: Collection, shas: Sequence[str]) -> dict[str, list[ImageRecord]]:
        """The same by SHA-256, pages in order. For some hundred contents at a time."""
        uris = self.sources_of(collection, shas)
        wanted = select(images).where(_embedded(collection), images.c.sha256.in_(shas))
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(wanted.order_by(images.c.sha256, images.c.page)).all()
        found: dict[str, list[ImageRecord]] = {}
        for row in rows:
            if row.sha256 in uris:
                found.setdefault(row.sha256, []).append(to_record(row, uris[row.sha256]))
        return found

    def embedded_contents(self, collection: Collection) -> list[str]:
        """The SHA-256 of everything that has an image which the store should have, ascending."""
        wanted = select(images.c.sha256).where(_embedded(collection)).distinct().order_by(images.c.sha256)
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted).scalars())

    def lines(self, ids: Sequence[str]) -> dict[str, tuple[TextLine, ...]]:
        """Lines of text by image id; images that were not read are left out."""
        return self.texts.lines(ids)


def _forget_sources(connection: Connection, collection: Collection, uris: Sequence[str]) -> None:
    for part in chunks(uris):
        mine = and_(sources.c.collection_id == collection.id, sources.c.uri.in_(part))
        undescribe(connection, collection, mine)
        connection.execute(delete(sources).where(mine))


_COLLECTION = [collections.c[field] for field in Collection.__slots__]


def _named(name: str) -> ColumnElement[bool]:
    return func.lower(collections.c.name) == name.lower()


def _embedded(collection: Collection) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection.id, images.c.embedded)
