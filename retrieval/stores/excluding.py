"""A store that keeps silent about some of its images: what would be found were they not there?"""

from collections.abc import Collection, Iterator, Sequence

from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.facets import MOST, Facets, count_records
from askpix.retrieval.stores.view import StoreView


class LeftOut(StoreView):
    """A ``VectorStore`` to read from, less the images ``ids``.

    Vectors are the store's own: what is usual (``sample_vectors``) does not change with a few images.
    """

    def __init__(self, store: VectorStore, ids: Collection[str]) -> None:
        super().__init__(store)
        self._ids = frozenset(ids)

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Search like the store itself, the other images moving up."""
        wanted = offset + limit
        found = self._store.search(sub_query, query, where=where, limit=wanted + len(self._ids))
        return [hit for hit in found if hit.id not in self._ids][offset:wanted]

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Scroll like the store itself, the other images moving up."""
        wanted = offset + limit
        found = self._store.scroll(where, limit=wanted + len(self._ids))
        return [point for point in found if point not in self._ids][offset:wanted]

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records of those that are not left out."""
        return self._store.get([point for point in ids if point not in self._ids])

    def ids(self) -> Iterator[str]:
        """Ids of those that are not left out."""
        return (point for point in self._store.ids() if point not in self._ids)

    def count(self, where: Where | None = None, /) -> int:
        """Return how many are not excluded."""
        if where is None or where == Where():
            return sum(1 for _ in self.ids())
        return len(self.scroll(where, limit=self._store.count(where)))

    def facets(self, where: Where, /, *, limit: int = MOST) -> Facets:
        """The facets of those that are not left out."""
        return count_records(self.get(self.scroll(where, limit=self._store.count(where))), limit=limit)
