"""The vectors of a collection that are not in use: being built for another model, or replaced and kept.

The row of the collection says which are in use, so changing over is one transaction: a search sees the old
ones or the new ones, with the model that made them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from askpix.core.db.engine import transaction
from askpix.core.errors import IndexMismatchError, NotFoundError
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import collections, generations

State = Literal["building", "replaced"]
_FIELDS = ("embedder", "dim", "text_embedder", "text_dim", "generation")


class Generations:
    """The part of the catalog that changing a collection's model works on. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(
        self, collection: Collection, *, embedder: str, dim: int, text_embedder: str, text_dim: int
    ) -> Collection:
        """The collection as it will be with these models: the one being built already, or a new one."""
        models = {"embedder": embedder, "dim": dim, "text_embedder": text_embedder, "text_dim": text_dim}
        try:
            with transaction(self._engine) as connection:
                for row in _rows(connection, collection, "building"):
                    if all(row[name] == value for name, value in models.items()):
                        return _with(collection, row)
                last = select(func.max(generations.c.generation)).where(
                    generations.c.collection_id == collection.id
                )
                number = max(connection.execute(last).scalar() or 0, collection.generation) + 1
                row = {**models, "generation": number}
                connection.execute(
                    insert(generations), [{**row, "collection_id": collection.id, "state": "building"}]
                )
        except IntegrityError as error:
            raise NotFoundError(f"collection {collection.name!r} was deleted meanwhile") from error
        return _with(collection, row)

    def others(self, collection: Collection, state: State) -> list[Collection]:
        """The collection with each of its vectors in this state, newest first."""
        with transaction(self._engine, write=False) as connection:
            return [_with(collection, row) for row in _rows(connection, collection, state)]

    def change_over(self, old: Collection, new: Collection) -> None:
        """Put ``new`` in use and keep ``old`` as replaced, in one transaction.

        Raises ``IndexMismatchError`` when ``old`` is not what is in use any more.
        """
        row = {name: getattr(new, name) for name in _FIELDS}
        kept = {name: getattr(old, name) for name in _FIELDS}
        in_use = and_(collections.c.id == old.id, collections.c.generation == old.generation)
        with transaction(self._engine) as connection:
            if connection.execute(update(collections).where(in_use).values(**row)).rowcount != 1:
                raise IndexMismatchError(
                    f"{old.name!r} was given another model meanwhile, or deleted; run the command again"
                )
            connection.execute(delete(generations).where(_is(new)))
            connection.execute(insert(generations), [{**kept, "collection_id": old.id, "state": "replaced"}])

    def forget(self, generation: Collection) -> None:
        """Vectors that are not in use are no more; remove their folder first."""
        with transaction(self._engine) as connection:
            connection.execute(delete(generations).where(_is(generation)))


def _is(collection: Collection) -> ColumnElement[bool]:
    c = generations.c
    return and_(c.collection_id == collection.id, c.generation == collection.generation)


def _rows(connection: Connection, collection: Collection, state: State) -> list[dict[str, Any]]:
    c = generations.c
    wanted = (
        select(*(c[name] for name in _FIELDS))
        .where(c.collection_id == collection.id, c.state == state)
        .order_by(c.generation.desc())
    )
    return [dict(zip(_FIELDS, row, strict=True)) for row in connection.execute(wanted)]


def _with(collection: Collection, row: Mapping[str, Any]) -> Collection:
    return replace(collection, **{name: row[name] for name in _FIELDS})
