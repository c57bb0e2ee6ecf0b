"""Stores that hand each call on: to another store as something else sees it, or to another process."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.facets import MOST, Facets

P = ParamSpec("P")
Answer = TypeVar("Answer")


class ForwardingStore(VectorStore):
    """Every method of a store, handed on by ``_forward``; ``behind`` is left to subclasses."""

    @abstractmethod
    def _forward(self, method: Callable[Concatenate[Any, P], Answer]) -> Callable[P, Answer]:
        """Return what is called in place of this method of ``VectorStore``."""

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        self._forward(VectorStore.upsert)(records, image_vectors)

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        self._forward(VectorStore.set_text)(ids, texts, vectors)

    def set_copies(self, record: ImageRecord, /) -> None:
        self._forward(VectorStore.set_copies)(record)

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        self._forward(VectorStore.set_tags)(tags)

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        return self._forward(VectorStore.search)(sub_query, query, where=where, limit=limit, offset=offset)

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        return self._forward(VectorStore.scroll)(where, limit=limit, offset=offset)

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        return self._forward(VectorStore.get)(ids)

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        return self._forward(VectorStore.image_vectors)(ids)

    def sample_vectors(self, n: int, /) -> Vectors:
        return self._forward(VectorStore.sample_vectors)(n)

    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        return self._forward(VectorStore.passages)(ids)

    def delete(self, ids: Sequence[str], /) -> None:
        self._forward(VectorStore.delete)(ids)

    def ids(self) -> Iterator[str]:
        return iter(self._forward(VectorStore.ids)())

    def count(self, where: Where | None = None, /) -> int:
        return self._forward(VectorStore.count)(where)

    def facets(self, where: Where, /, *, limit: int = MOST) -> Facets:
        return self._forward(VectorStore.facets)(where, limit=limit)

    def optimize(self) -> None:
        self._forward(VectorStore.optimize)()


class StoreView(ForwardingStore):
    """Another store, whose owner closes it, for subclasses that change some of its methods."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    @property
    def behind(self) -> bool:
        return self._store.behind

    @property
    def without_regions(self) -> bool:
        return self._store.without_regions

    def _forward(self, method: Callable[Concatenate[Any, P], Answer]) -> Callable[P, Answer]:
        found: Callable[P, Answer] = getattr(self._store, method.__name__)
        return found
