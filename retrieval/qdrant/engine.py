"""Interface of a Qdrant engine that the stores need, in this process or on a server."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from askpix.retrieval.stores.conditions import Clause

PAGE = 1_000
"""Points that one scroll brings."""
CANDIDATES = 256
"""Fewest candidates rescored with their originals: one page more or less does not reorder the others."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Point(NamedTuple):
    """A point to write: rows as lists, sparse vectors as those of the embedded engine."""

    id: str
    vectors: dict[str, Any]
    payload: dict[str, Any]


class Engine(ABC):
    """The points of one collection. Thread-safe.

    Points that come back have ``id``, ``payload``, ``vector`` and
    ``score``: both libraries name them so. Ids are UUIDs (``point_ids``). Failures are
    ``StoreUnavailableError``.
    """

    facet_spare: int
    """Values of a facet fetched beyond what was asked for: those of equal counts are put in order later."""

    @abstractmethod
    def nearest(
        self, vector: Any, name: str, *, where: Sequence[Clause], limit: int, payload: Sequence[str]
    ) -> list[Any]:
        """Return the points whose vector ``name`` is most like ``vector``, best first."""

    @abstractmethod
    def nearest_pages(
        self, rows: Any, *, limit: int, among: Sequence[str] | None, shortlist: bool
    ) -> list[Any]:
        """Return the points (of ``among``) whose ``page`` is most like ``rows``, best first; with
        ``shortlist`` of the first ``limit`` by ``pooled``."""

    @abstractmethod
    def scroll(
        self,
        where: Sequence[Clause],
        *,
        limit: int,
        start: Any = None,
        payload: Sequence[str] = (),
        vectors: Sequence[str] = (),
        newest_first: bool = False,
    ) -> tuple[list[Any], Any]:
        """Return points by ascending id, or the dated ones newest first; and where the next ones start."""

    @abstractmethod
    def retrieve(
        self, ids: Sequence[str], *, payload: bool = False, vectors: Sequence[str] = ()
    ) -> list[Any]:
        """Return the points with these ids, in any order; unknown ones are left out."""

    @abstractmethod
    def count(self, where: Sequence[Clause] = ()) -> int:
        """Return how many points satisfy the filter."""

    @abstractmethod
    def facet(self, field: str, where: Sequence[Clause], limit: int) -> list[Any]:
        """Return the most frequent values of a field, each with its ``count``."""

    @abstractmethod
    def put(self, points: Sequence[Point]) -> None:
        """Add or replace points; durable on return."""

    @abstractmethod
    def set_payload(self, ids: Sequence[str], fields: dict[str, Any]) -> None:
        """Rewrite these fields; unknown ids are ignored."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Remove points; unknown ids are ignored."""

    @abstractmethod
    def close(self) -> None:
        """Flush and let go; closing twice is fine."""

    def each(self, where: Sequence[Clause] = (), *, payload: Sequence[str] = ()) -> Iterator[Any]:
        """Yield all points that satisfy the filter, by ascending id."""
        start: Any = None
        while True:
            points, start = self.scroll(where, limit=PAGE, start=start, payload=payload)
            yield from points
            if start is None:
                return


def point_ids(ids: Sequence[str]) -> list[Any]:
    """Return the ids that are valid point ids: the engine refuses a whole request for an invalid one."""
    return [each for each in dict.fromkeys(ids) if isinstance(each, str) and _UUID.fullmatch(each)]
