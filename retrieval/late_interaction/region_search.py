"""The sub-query of search that compares a query with the images on sheets, each an image of its own.

A sheet is as near as its nearest image, by the same cosine as any other image, so both stand in one
ranking. Without this sub-query no captioned photo on a drawn album page was found among the first ten; with
it as many as when the photos are files (``tools/measure_sheets.py``).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from askpix.core.types import Box, Vectors
from askpix.retrieval.stores.pages import Matrix, PageStore

SHEET_DEPTH = 50
"""Sheets that the sub-query brings into a search, however many hits are asked for."""

BoxesOf = Callable[[Sequence[str]], Mapping[str, Sequence[Box]]]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The image on a sheet that fits best: where it lies, and its vector ``(dim,)``."""

    box: Box
    vector: Vectors


class SheetSubQuery:
    """Sub-query on an open store of sheets. Thread-safe as far as its parts are."""

    def __init__(
        self,
        pages: PageStore,
        boxes_of: BoxesOf,
        *,
        dim: int,
        lift: Callable[[Vectors], Vectors] | None = None,
    ) -> None:
        """``boxes_of`` tells where the images of sheets lie, in the order of their vectors. ``lift`` brings
        vectors of ``dim`` numbers into the space that queries come from (``retrieval.stores.adapted``)."""
        self._pages = pages
        self._boxes_of = boxes_of
        self._dim = dim
        self._lift = lift

    def find(self, query: Vectors, *, among: Collection[str] | None = None) -> dict[str, float]:
        """The cosine of the nearest image on each of the ``SHEET_DEPTH`` nearest sheets, among those ids or
        all, by id."""
        own = query[: self._dim]
        asked: Matrix = (own / max(float(np.linalg.norm(own)), 1e-12))[None].astype(np.float16)
        hits = self._pages.search_pages(asked, limit=SHEET_DEPTH, among=among)
        if self._lift is None:
            return {hit.id: hit.score for hit in hits}
        return {key: float((rows @ query).max()) for key, rows in self._rows([h.id for h in hits]).items()}

    def best(self, ids: Sequence[str], query: Vectors) -> dict[str, Piece]:
        """The image on each of these sheets that the query is nearest to; unknown ids are left out."""
        found = self._rows(ids)
        boxes = self._boxes_of(ids)
        pieces: dict[str, Piece] = {}
        for key, rows in found.items():
            at = int(np.argmax(rows @ query))
            if at < len(boxes.get(key, ())):
                pieces[key] = Piece(boxes[key][at], rows[at])
        return pieces

    def _rows(self, ids: Sequence[str]) -> dict[str, Vectors]:
        held = self._pages.matrices(ids)
        plain = {key: np.asarray(matrix, np.float32) for key, matrix in held.items() if len(matrix)}
        return plain if self._lift is None else {key: self._lift(rows) for key, rows in plain.items()}


@dataclass(slots=True)
class SheetsFound:
    """Images on sheets that one query found; empty without a sub-query on sheets."""

    sub_query: SheetSubQuery | None = None
    query: Vectors | None = None
    cosines: dict[str, float] = field(default_factory=dict)
    """Cosines of the nearest image on each sheet, by id; once joined, of those that are nearer than the
    whole.
    """

    def join(self, seen: dict[str, float], nearest: Sequence[str], *, first: int) -> list[str]:
        """Put them in ``seen``, which has the cosine of every whole image that is there: those that are
        gone, or left out, have none. Returns the ``first`` nearest of them and of ``nearest``."""
        self.cosines = {key: c for key, c in self.cosines.items() if c > seen.get(key, np.inf)}
        seen |= self.cosines
        if not self.cosines:
            return list(nearest)
        return sorted({*nearest, *self.cosines}, key=lambda key: (-seen[key], key))[:first]

    def regions(self, ids: Iterable[str]) -> dict[str, Box]:
        """Return the box, on each sheet of ``ids`` that was found so, of the image nearest to the query."""
        return {key: piece.box for key, piece in self._best(ids).items()}

    def shown(self, ids: Sequence[str], vectors: Vectors) -> Vectors:
        """``vectors`` of these images, with that of the nearest image in the place of its sheet's."""
        best = self._best(ids)
        if best:
            vectors = vectors.copy()
            for at, key in enumerate(ids):
                if key in best:
                    vectors[at] = best[key].vector
        return vectors

    def _best(self, ids: Iterable[str]) -> dict[str, Piece]:
        mine = [key for key in ids if key in self.cosines]
        if self.sub_query is None or self.query is None or not mine:
            return {}
        return self.sub_query.best(mine, self.query)
