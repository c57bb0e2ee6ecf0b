"""The base classes of stores. One contract test suite (tests/unit/retrieval/stores/test_contract.py) runs on
every vector store."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeAlias

from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.stores.facets import MOST, Facets

SubQuery: TypeAlias = Literal["image", "text", "words"]


@dataclass(frozen=True, slots=True)
class Scored:
    """An id and how well it fits: cosine for ``image`` and ``text``, BM25 for ``words``."""

    id: str
    score: float


class Closing:
    """Something that is closed at the end of its ``with``."""

    def close(self) -> None:
        """Flush and let go. Closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class VectorStore(Closing, ABC):
    """Images of one collection: an image vector, text vectors and words each, and a payload to filter on.

    A store is created for ``(model_id, dim, text_model_id, text_dim)`` and refuses to be opened with
    others (``IndexMismatchError``). Writes are durable when the call returns. Threads may share one store.
    """

    @property
    def behind(self) -> bool:
        """True if filters on dates, places and sums miss images until the next ``optimize``: an older version
        wrote them without the fields that these filters use.
        """
        return False

    @property
    def without_regions(self) -> bool:
        """True if filters on first-level regions miss images until the next ``optimize``."""
        return self.behind

    @abstractmethod
    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        """Add or replace images; ``image_vectors`` is ``(len(records), dim)``.

        A replaced image keeps no text vectors of its former self: call ``set_text`` after it.
        """

    @abstractmethod
    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        """Attach the words read in images that are already there.

        ``vectors[i]`` is ``(n_i, text_dim)``, one row per passage; ``n_i`` may be 0 (no text). Ids that are
        not in the store are ignored (the image was removed meanwhile).
        """

    @abstractmethod
    def set_copies(self, record: ImageRecord, /) -> None:
        """Rewrite ``uri`` and ``copies`` of an image that is already there; ignored if it is not."""

    @abstractmethod
    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        """Rewrite the tags of images by id; unknown ids are ignored."""

    @abstractmethod
    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Best first, ties by id. ``query`` is a ``(dim,)`` vector for ``image`` and ``text`` (best passage
        counts) and a string for ``words`` (BM25 over the text)."""

    @abstractmethod
    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Ids that satisfy ``where``, newest ``taken_at`` first, then undated ones, ties by id."""

    @abstractmethod
    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records in the order of ``ids``; unknown ids are left out."""

    @abstractmethod
    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim)``. An unknown id is a ``NotFoundError``."""

    @abstractmethod
    def sample_vectors(self, n: int, /) -> Vectors:
        """Image vectors of up to ``n`` images, the same ones at every call: ``(min(n, count), dim)``."""

    @abstractmethod
    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        """The text vectors of images, ``(n_i, text_dim)`` each, in the order of ``ids``; unknown: none."""

    @abstractmethod
    def delete(self, ids: Sequence[str], /) -> None:
        """Remove images; unknown ids are ignored."""

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Every id, in any order."""

    @abstractmethod
    def count(self, where: Where | None = None, /) -> int:
        """Return how many images satisfy the filter."""

    @abstractmethod
    def facets(self, where: Where, /, *, limit: int = MOST) -> Facets:
        """Count the images that satisfy ``where`` by year, month, place, kind, camera and tag: the
        ``limit`` frequent values of each.
        """

    def optimize(self) -> None:
        """Build what makes searches fast at this size (quantisation, graph). Blocks; safe at any time."""


OpenStore: TypeAlias = Callable[[], AbstractContextManager[VectorStore]]
"""Opens a collection's store for a while; another process may have it before and after."""
