"""What a store of page matrices is: beside the vector store, one for collections with a page embedder."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from askpix.retrieval.late_interaction.base import Matrix
from askpix.retrieval.stores.base import Scored

SHORTLIST = 100
"""Pages that the first pass hands to the exact second one at least."""


class PageStore(Protocol):
    """The matrices of one collection's pages. Filters are the vector store's: it says among which to look.

    Made for ``(model_id, dim)``; opening it with others is an ``IndexMismatchError``. Writes are durable when
    the call returns. Threads may share one store.
    """

    def set_pages(self, ids: Sequence[str], matrices: Sequence[Matrix], /) -> None:
        """Add or replace pages; ``matrices[i]`` is ``(n_i, dim)`` with at least one row."""
        ...

    def search_pages(
        self,
        query: Matrix,
        /,
        *,
        limit: int,
        among: Collection[str] | None = None,
        shortlist: int = SHORTLIST,
    ) -> list[Scored]:
        """Best first, ties by id: the score is the mean over the query's vectors of each one's best cosine.

        Pages are shortlisted by their pooled vectors (``max(limit, shortlist)`` of them) and ranked by all of
        their vectors. ``among`` leaves out all others; when it names no more than the shortlist holds, the
        ranking is exact.
        """
        ...

    def matrices(self, ids: Sequence[str], /) -> dict[str, Matrix]:
        """All vectors of these pages by id, in half precision; unknown ids are left out."""
        ...

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pages; unknown ids are ignored."""
        ...

    def ids(self) -> Iterator[str]:
        """Every id, in any order."""
        ...

    def count(self) -> int: ...

    def close(self) -> None:
        """Flush and let go. Closing twice is fine."""
        ...


OpenPages: TypeAlias = Callable[[], AbstractContextManager[PageStore]]
"""Opens it for a while, as ``OpenStore`` does the vector store."""
