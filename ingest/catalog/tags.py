"""Tags of a collection's own vocabulary: each image is held against it once, from the vector it has.

The catalog keeps the vocabulary, so that later runs use the same one, and each image's tags: NULL until
it has been looked at. Another vocabulary, threshold or model makes all NULL again. The store learns first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, and_, bindparam, delete, func, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from askpix.core.db.engine import transaction
from askpix.core.errors import NotFoundError
from askpix.core.types import Vectors
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, own_tags, vocabularies

Tagger = Callable[[Vectors], Sequence[Sequence[str]]]
"""Image vectors ``(n, dim)`` into the tags of each."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The labels that images are tagged with; without any, tags are removed.

    ``threshold`` is the least probability of a tag; None = the usual one of the embedder.
    """

    labels: tuple[str, ...]
    threshold: float | None = None


class TagLedger:
    """The part of the catalog that tagging works on. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def vocabulary(self, collection: Collection) -> Vocabulary | None:
        """The collection's vocabulary; None when it never had one."""
        wanted = select(vocabularies.c.labels, vocabularies.c.threshold).where(
            vocabularies.c.collection_id == collection.id
        )
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(wanted).one_or_none()
        return Vocabulary(tuple(row[0]), row[1]) if row else None

    def use(self, collection: Collection, vocabulary: Vocabulary) -> None:
        """Tag images with this vocabulary from now on; what another vocabulary or model tagged is done again.

        Raises ``NotFoundError`` when the collection was deleted meanwhile.
        """
        row = {
            "labels": list(vocabulary.labels),
            "threshold": vocabulary.threshold,
            "embedder": collection.embedder,
        }
        mine = vocabularies.c.collection_id == collection.id
        try:
            with transaction(self._engine) as connection:
                found = connection.execute(select(vocabularies).where(mine)).mappings().one_or_none()
                if found is not None and all(found[name] == value for name, value in row.items()):
                    return
                connection.execute(delete(vocabularies).where(mine))
                connection.execute(insert(vocabularies), [{**row, "collection_id": collection.id}])
                connection.execute(
                    update(images).where(images.c.collection_id == collection.id).values(tags=null())
                )
        except IntegrityError as error:
            raise NotFoundError(f"collection {collection.name!r} was deleted meanwhile") from error

    def count_untagged(self, collection: Collection) -> int:
        """Return how many images have not been compared with the vocabulary."""
        with transaction(self._engine, write=False) as connection:
            return connection.execute(select(func.count()).where(_untagged(collection))).scalar_one()

    def untagged(self, collection: Collection, *, limit: int) -> list[str]:
        """Ids of some of them."""
        wanted = select(images.c.id).where(_untagged(collection)).order_by(images.c.id).limit(limit)
        with transaction(self._engine, write=False) as connection:
            return list(connection.execute(wanted).scalars())

    def own(self, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The tags that images have from their files, whatever the vocabulary."""
        wanted = select(images.c.id, images.c.about).where(images.c.id.in_(ids), images.c.about.is_not(None))
        with transaction(self._engine, write=False) as connection:
            return {image_id: own_tags(about) for image_id, about in connection.execute(wanted)}

    def save(self, tags: Mapping[str, Sequence[str]]) -> None:
        """The store has these tags now."""
        change = update(images).where(images.c.id == bindparam("key")).values(tags=bindparam("found"))
        if tags:
            with transaction(self._engine) as connection:
                connection.execute(change, [{"key": i, "found": list(found)} for i, found in tags.items()])


def _untagged(collection: Collection) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection.id, images.c.embedded, images.c.tags.is_(None))
