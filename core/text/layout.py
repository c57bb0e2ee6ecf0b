"""Lines of text on a page as a reader sees them: visual rows, top to bottom, each left to right."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from askpix.core.types import Box, TextLine

Turn: TypeAlias = Literal[0, 1, 2, 3]
"""Quarter turns clockwise that the text stands away from upright: at 1 it runs downwards, at 3 upwards."""

MIN_TILT = 0.015
"""Less is taken as level: over a whole row it moves text by less than the height of a letter."""
_LOOK_BACK = 8
"""Rows that a line may still join: in an image of many columns some are begun before others end."""


def rows(
    lines: Sequence[TextLine], turn: Turn | None = None, tilt: float | None = None
) -> list[tuple[TextLine, ...]]:
    """Group lines into visual rows: "GRAND TOTAL" and the "67.85" far right of it share one.

    Columns stay separate lines, as the reader found them; only their row says that they belong together.
    Two lines share a row when their vertical middles differ by less than half the smaller height and they
    do not stand over each other. Rows come top to bottom, lines in a row left to right, as the text runs: a
    page that lies on its side or head, or was photographed askew, is read that way. ``turn`` and ``tilt``
    are ``turn_of(lines)`` and ``tilt_of(lines, turn)`` unless they are known.
    """
    turn = turn_of(lines) if turn is None else turn
    tilt = tilt_of(lines, turn) if tilt is None else tilt
    boxes = {id(line): _levelled(_turned_back(line.box, turn), tilt) for line in lines}

    def box(line: TextLine) -> Box:
        return boxes[id(line)]

    found: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: _middle(box(line))):
        row = _row_of(box(line), found[-_LOOK_BACK:], boxes)
        if row is None:
            found.append([line])
        else:
            row.append(line)
    found.sort(key=lambda row: min(box(line).y0 for line in row))
    return [tuple(sorted(row, key=lambda line: box(line).x0)) for row in found]


def reading_order(
    lines: Sequence[TextLine], turn: Turn | None = None, tilt: float | None = None
) -> list[TextLine]:
    """The lines row by row, so that what stands in one row stays together."""
    return [line for row in rows(lines, turn, tilt) for line in row]


def turn_of(lines: Sequence[TextLine]) -> Turn:
    """Return how the text of a page is turned, from the shapes of its lines and their reading order.

    Readers give lines in reading order: rows that come ever higher were read upside down. In any other
    order the text is taken as upright, or as running downwards when most of it stands in tall boxes.
    """
    sideways = is_sideways(lines)
    near: Turn = 1 if sideways else 0
    far: Turn = 3 if sideways else 2
    down = up = 0
    boxes = [_turned_back(line.box, near) for line in lines]
    for above, below in pairwise(boxes):
        step = _middle(below) - _middle(above)
        if abs(step) >= 0.5 * min(above.y1 - above.y0, below.y1 - below.y0):
            down = down + (step > 0)
            up = up + (step < 0)
    return far if up >= 2 and up > 4 * down else near


def tilt_of(lines: Sequence[TextLine], turn: Turn) -> float:
    """Pixels that rows sink per pixel to the right, in a page read askew; 0.0 when it is level.

    Told by neighbours in reading order, of which the second stands to the right. What they say must fit the
    boxes: the box around a tilted line is higher than the tilt times its width.
    """
    boxes = [_turned_back(line.box, turn) for line in lines]
    slopes: list[tuple[float, float]] = []
    for a, b in pairwise(boxes):
        along = (b.x0 + b.x1 - a.x0 - a.x1) / 2
        if b.x0 > (a.x0 + a.x1) / 2 and abs(_middle(b) - _middle(a)) < 0.3 * along:
            slopes.append(((_middle(b) - _middle(a)) / along, along))
    ratios = sorted((box.y1 - box.y0) / (box.x1 - box.x0) for box in boxes if box.x1 > box.x0)
    if not slopes or not ratios:
        return 0.0
    tilt = _weighted_median(slopes)
    return tilt if MIN_TILT <= abs(tilt) <= ratios[len(ratios) // 5] else 0.0


def is_sideways(lines: Sequence[TextLine]) -> bool:
    """Return whether most of the text, by length, stands in boxes that are taller than wide.

    Single letters and digits say nothing: they are taller than wide upright.
    """
    tall = flat = 0
    for line in lines:
        if len(line.text) > 1:
            width = line.box.x1 - line.box.x0
            height = line.box.y1 - line.box.y0
            if height > 1.5 * width:
                tall += len(line.text)
            else:
                flat += len(line.text)
    return tall > flat


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of them; there must be one."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def _row_of(box: Box, recent: list[list[TextLine]], boxes: dict[int, Box]) -> list[TextLine] | None:
    """The row whose nearest neighbour to the side is level with this box; the most level one of several."""
    best: list[TextLine] | None = None
    least = 0.5
    for row in recent:
        others = [boxes[id(line)] for line in row]
        if any(_stands_over(box, other) for other in others):
            continue
        beside = min(others, key=lambda other: max(other.x0 - box.x1, box.x0 - other.x1))
        height = min(beside.y1 - beside.y0, box.y1 - box.y0)
        off = abs(_middle(beside) - _middle(box)) / height if height > 0 else 1.0
        if off < least:
            best = row
            least = off
    return best


def _stands_over(a: Box, b: Box) -> bool:
    shared = min(a.x1, b.x1) - max(a.x0, b.x0)
    # Detectors widen their boxes, so neighbours may overlap by a letter.
    return shared > 0.5 * min(a.x1 - a.x0, b.x1 - b.x0)


def _turned_back(box: Box, turn: Turn) -> Box:
    """The box where it would be if the page stood upright; only its place relative to others counts."""
    if turn == 1:
        return Box(box.y0, -box.x1, box.y1, -box.x0)
    if turn == 2:
        return Box(-box.x1, -box.y1, -box.x0, -box.y0)
    if turn == 3:
        return Box(-box.y1, box.x0, -box.y0, box.x1)
    return box


def _levelled(box: Box, tilt: float) -> Box:
    """The box of the line itself instead of the one around it askew, where it would be if rows were level."""
    if not tilt:
        return box
    middle = _middle(box) - tilt * (box.x0 + box.x1) / 2
    half = max((box.y1 - box.y0) - abs(tilt) * (box.x1 - box.x0), 0.3 * (box.y1 - box.y0)) / 2
    return Box(box.x0, middle - half, box.x1, middle + half)


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    left = sum(weight for _, weight in values) / 2
    for value, weight in sorted(values):
        left -= weight
        if left <= 0:
            return value
    return 0.0


def _middle(box: Box) -> float:
    return (box.y0 + box.y1) / 2
