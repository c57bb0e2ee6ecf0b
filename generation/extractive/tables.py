"""The table that a page or a chart prints: rows of labels and numbers, by where words stand.

Three layouts are known, all by the boxes of the words that were read:

    a grid            rows that begin with a label, their numbers in columns that stand over each other
    bars to the side  rows of one label and one number, wherever the number stands
    bars upwards      a row of labels, and over each of them the numbers printed at its bars

Nothing is measured off a chart: bars without numbers printed at them give no table. ``sure`` is False where a
number may belong to another label, and ``why`` says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from askpix.core.types import Box, TextLine
from askpix.generation.extractive.page import Cell, Page

_NUMBER = re.compile(
    r"[-+−–(]?\s?[$€£¥]?\s?\d[\d.,' ]*\s?(?:%|pp|[KkMmBb]n?|million|billion|trillion)?\)?[*†]?"
)
_YEAR = re.compile(r"(?:FY|Q[1-4] )?(?:19|20)\d\d(?:[-/–]\d\d(?:\d\d)?)?\*?")
_LEAST = 3
"""Rows, or bars: fewer may stand beside each other by chance."""


@dataclass(frozen=True, slots=True)
class Table:
    """``rows[i][0]`` is a label; a cell is None where nothing stands. ``boxes`` are as ``rows``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    boxes: tuple[tuple[Box | None, ...], ...]
    sure: bool
    why: str


def table_by_rules(lines: Sequence[TextLine]) -> Table | None:
    """The largest table on a page; None when no numbers stand by labels of their own."""
    page = Page(lines)
    found = [each for each in (_grid(page), _sideways(page), _upwards(page)) if each is not None]
    return max(found, key=lambda each: (each.sure, _filled(each)), default=None)


def _filled(table: Table) -> int:
    return sum(cell is not None for row in table.rows for cell in row[1:])


def is_number(text: str) -> bool:
    """Return whether a cell is a number and nothing else; a year is a label."""
    text = text.strip()
    return bool(_NUMBER.fullmatch(text)) and not _YEAR.fullmatch(text)


def _grid(page: Page) -> Table | None:
    """Rows of a label and two numbers or more."""
    body = [row for row in page.rows if _labelled(row) and len(row) >= 3]
    if len(body) < _LEAST - 1:
        return None
    width = max(len(row) - 1 for row in body)
    full = [row for row in body if len(row) - 1 == width]
    centres = [sum(_centre(row[i + 1]) for row in full) / len(full) for i in range(width)]
    gap = min((b - a for a, b in pairwise(centres)), default=0.0)
    if gap <= 0:
        return None
    cells: list[list[Cell | None]] = []
    misplaced = 0
    for row in body:
        placed: list[Cell | None] = [None] * width
        for cell in row[1:]:
            at = min(range(width), key=lambda i: abs(centres[i] - _centre(cell)))
            misplaced += placed[at] is not None or abs(centres[at] - _centre(cell)) > 0.5 * gap
            placed[at] = cell
        cells.append([row[0], *placed])
    heads = _heads(page, body[0][0].row, centres, gap)
    columns = ("", *(heads or tuple(f"value {i + 1}" for i in range(width))))
    sure = heads is not None and not misplaced
    why = "each number stands in a row of its label, under its head" if sure else (
        "some numbers stand between two columns" if misplaced else "the columns have no heads that were read"
    )  # fmt: skip
    return _table(columns, cells, sure=sure, why=why)


def _sideways(page: Page) -> Table | None:
    """Rows of one label and one number."""
    body = [row for row in page.rows if _labelled(row) and len(row) == 2]
    if len(body) < _LEAST:
        return None
    # Labels of one table begin, or end, under each other.
    starts, ends = ([edge(row[0].line.box) for row in body] for edge in (_left, _right))
    height = body[0][0].line.box.y1 - body[0][0].line.box.y0
    aligned = [
        [row for row, x in zip(body, edges, strict=True) if abs(x - _median(edges)) <= 2 * height]
        for edges in (starts, ends)
    ]
    body = max(aligned, key=len)
    if len(body) < _LEAST:
        return None
    cells: list[list[Cell | None]] = [list(row) for row in body]
    return _table(("", "value"), cells, sure=True, why="each number stands in the row of its label")


def _upwards(page: Page) -> Table | None:
    """A row of labels with numbers over each."""
    best: Table | None = None
    for at in range(len(page.rows) - 1, 0, -1):
        labels = [cell for cell in page.rows[at] if not is_number(cell.text)]
        if len(labels) < _LEAST or len(labels) < len(page.rows[at]):
            continue
        centres = [_centre(cell) for cell in labels]
        gap = min(b - a for a, b in pairwise(centres))
        if gap <= 0:
            continue
        over: list[list[Cell]] = [[] for _ in labels]
        for row in page.rows[:at]:
            for cell in row:
                nearest = min(range(len(labels)), key=lambda i: abs(centres[i] - _centre(cell)))
                # Numbers left of all labels are the axis'.
                if is_number(cell.text) and abs(centres[nearest] - _centre(cell)) <= 0.5 * gap:
                    over[nearest].append(cell)
        counts = {len(each) for each in over}
        if max(counts) == 0 or sum(bool(each) for each in over) < 0.7 * len(labels):
            continue
        most = max(counts)
        one = counts == {1}
        cells: list[list[Cell | None]] = [
            [label, *each, *([None] * (most - len(each)))] for label, each in zip(labels, over, strict=True)
        ]
        columns = ("", "value") if most == 1 else ("", *(f"value {i + 1}" for i in range(most)))
        why = "one number stands over each label" if one else "several numbers, or none, stand over a label"
        made = _table(columns, cells, sure=one, why=why)
        if best is None or (made.sure, _filled(made)) > (best.sure, _filled(best)):
            best = made
    return best


def _labelled(row: Sequence[Cell]) -> bool:
    """Return whether a row is a label and numbers."""
    return len(row) > 1 and not is_number(row[0].text) and all(is_number(cell.text) for cell in row[1:])


def _heads(page: Page, first: int, centres: Sequence[float], gap: float) -> tuple[str, ...] | None:
    """Return the heads of the columns, from one of the two rows above them."""
    for at in (first - 1, first - 2):
        if at < 0:
            continue
        heads = [""] * len(centres)
        for cell in page.rows[at]:
            nearest = min(range(len(centres)), key=lambda i: abs(centres[i] - _centre(cell)))
            if not is_number(cell.text) and abs(centres[nearest] - _centre(cell)) <= 0.6 * gap:
                heads[nearest] = f"{heads[nearest]} {cell.text}".strip()
        if all(heads):
            return tuple(heads)
    return None


def _table(
    columns: tuple[str, ...], cells: Sequence[Sequence[Cell | None]], *, sure: bool, why: str
) -> Table:
    rows = tuple(tuple(cell.text.strip() if cell else None for cell in row) for row in cells)
    boxes = tuple(tuple(cell.line.box if cell else None for cell in row) for row in cells)
    return Table(columns, rows, boxes, sure, why)


def _centre(cell: Cell) -> float:
    return (cell.line.box.x0 + cell.line.box.x1) / 2


def _left(box: Box) -> float:
    return box.x0


def _right(box: Box) -> float:
    return box.x1


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
