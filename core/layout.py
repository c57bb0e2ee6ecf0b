"""Lines of text on a page as a reader sees them: visual rows, top to bottom, each left to right."""

from collections.abc import Iterable, Sequence

from core.types import Box, TextLine


def rows(lines: Sequence[TextLine]) -> list[tuple[TextLine, ...]]:
    """Group lines into visual rows: "GRAND TOTAL" and the "67.85" far right of it share one.

    Two lines share a row when their vertical middles differ by less than half the smaller height. Rows come
    top to bottom, lines in a row left to right.
    """
    found: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: _middle(line.box)):
        for row in reversed(found[-4:]):
            last = row[-1].box
            height = min(last.y1 - last.y0, line.box.y1 - line.box.y0)
            if abs(_middle(last) - _middle(line.box)) < 0.5 * height:
                row.append(line)
                break
        else:
            found.append([line])
    found.sort(key=lambda row: min(line.box.y0 for line in row))
    return [tuple(sorted(row, key=lambda line: line.box.x0)) for row in found]


def reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """The lines row by row."""
    return [line for row in rows(lines) for line in row]


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of them; there must be one."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def _middle(box: Box) -> float:
    return (box.y0 + box.y1) / 2
