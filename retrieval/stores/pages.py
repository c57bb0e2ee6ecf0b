"""Interface of a store of page matrices: beside the vector store, one for collections with a
page embedder.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from askpix.retrieval.stores.base import Closing, Scored

Matrix: TypeAlias = NDArray[np.float16]
"""``(n, dim)`` float16, rows of length one: the vectors of one page or one query."""
SHORTLIST = 100
"""Pages that the first pass hands to the exact second one at least."""


class PageStore(Closing, ABC):
    """The matrices of one collection's pages. Filters are the vector store's: it says among which to look.

    Made for ``(model_id, dim)``; opening it with others is an ``IndexMismatchError``. Writes are durable when
    the call returns. Threads may share one store.
    """

    @abstractmethod
    def set_pages(self, ids: Sequence[str], matrices: Sequence[Matrix], /) -> None:
        """Add or replace pages; ``matrices[i]`` is ``(n_i, dim)`` with at least one row."""

    @abstractmethod
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

    @abstractmethod
    def matrices(self, ids: Sequence[str], /) -> dict[str, Matrix]:
        """All vectors of these pages by id, in half precision; unknown ids are left out."""

    @abstractmethod
    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pages; unknown ids are ignored."""

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Every id, in any order."""

    @abstractmethod
    def count(self) -> int:
        """Return how many pages there are."""


OpenPages: TypeAlias = Callable[[], AbstractContextManager[PageStore]]
"""Opens it for a while, as ``OpenStore`` does the vector store."""
