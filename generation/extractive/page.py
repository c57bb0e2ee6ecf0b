"""A page of text as a reader uses it: cells in rows, with neighbours to the side, above and below."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from askpix.core.text.layout import rows
from askpix.core.types import TextLine
from askpix.generation.word_match import squeeze, tokens

_LONGEST = 1000
"""Characters of a line that are looked at: print has no longer ones, and patterns must not crawl."""


def _short(line: TextLine) -> TextLine:
    return line if len(line.text) <= _LONGEST else replace(line, text=line.text[:_LONGEST])


@dataclass(frozen=True, slots=True)
class Cell:
    """A line of text with what its words are compared by."""

    line: TextLine
    row: int
    column: int
    words: tuple[str, ...]
    squeezed: str

    @property
    def text(self) -> str:
        return self.line.text


class Page:
    """The cells of one image. ``rows`` go top to bottom, cells in a row left to right."""

    def __init__(self, lines: Sequence[TextLine]) -> None:
        self.rows: list[tuple[Cell, ...]] = [
            tuple(
                Cell(line, at, column, tuple(tokens(line.text)), squeeze(line.text))
                for column, line in enumerate(row)
            )
            for at, row in enumerate(rows([_short(line) for line in lines if line.text.strip()]))
        ]

    @cached_property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row]

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(word for cell in self.cells for word in cell.words)

    @cached_property
    def squeezed(self) -> str:
        return "\n".join(cell.squeezed for cell in self.cells)

    def row_text(self, at: int) -> str:
        return " ".join(cell.text for cell in self.rows[at])

    def left(self, cell: Cell) -> Cell | None:
        return self.rows[cell.row][cell.column - 1] if cell.column else None

    def right(self, cell: Cell) -> Cell | None:
        row = self.rows[cell.row]
        return row[cell.column + 1] if cell.column + 1 < len(row) else None

    def above(self, cell: Cell) -> Cell | None:
        return self._vertical(cell, step=-1)

    def below(self, cell: Cell) -> Cell | None:
        return self._vertical(cell, step=1)

    def _vertical(self, cell: Cell, step: int) -> Cell | None:
        """The nearest cell over or under this one that shares a part of its width, within two heights."""
        box = cell.line.box
        height = box.y1 - box.y0
        at = cell.row + step
        while 0 <= at < len(self.rows) and abs(at - cell.row) <= 4:
            best: tuple[float, Cell] | None = None
            for other in self.rows[at]:
                there = other.line.box
                shared = min(box.x1, there.x1) - max(box.x0, there.x0)
                gap = there.y0 - box.y1 if step > 0 else box.y0 - there.y1
                narrow = min(box.x1 - box.x0, there.x1 - there.x0)
                if shared > 0.3 * narrow and gap < 2 * height and (best is None or shared > best[0]):
                    best = (shared, other)
            if best:
                return best[1]
            at += step
        return None


@dataclass(frozen=True, slots=True)
class Found:
    """A value with the words it was read from, as they stand in the page."""

    value: str
    quote: str
    fit: float
    """0 to 1: how sure the rules are that this is what was asked for."""
