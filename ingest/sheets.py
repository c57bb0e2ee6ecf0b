"""Pictures that lie on a larger sheet: an album page, a contact sheet, a slide, a magazine's page.

Shrunk to what a model looks at, the whole of such a sheet shows none of them.

A sheet has one colour all around its edge. What differs from that colour and hangs together is a piece; one
that is large enough, fills its box, and differs much (print seen from afar is a light grey) is a picture.
Measured by ``tools/measure_sheets.py`` (README): as good as knowing where they lie, while tiles of a fixed
grid find a fifth less on album pages and would have to be made of every page.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.types import Box

MOST = 24
"""Pictures of one sheet that count, the largest ones."""
_SIDE = 256
"""Pixels of the longer side that is looked at: 1.2 mm of an A4 page each."""
_EDGE = 0.75
"""Share of the outermost pixels that have the sheet's colour."""
_NEAR, _FAR = 24, 64
"""Of 255, in any colour: what still is the sheet, and what print seen from afar does not reach."""
_LEAST_SIDE = 0.08
"""Of the sheet's longer side, 24 mm of A4."""
_LARGEST = 0.8
"""Of the sheet: what fills more is the picture itself, in a frame."""
_FILLED, _MUCH = 0.5, 0.35
"""Share of a box that belongs to the piece, and that differs much."""
_STEP, _LIVELY = 2, 0.35
"""Levels by which neighbours differ at least, and the share of those that do: a bar of a chart is flat."""
_CELL = 10
"""Pixels of a cell, of which one at least lies inside a picture."""


def pictures_on(image: Image.Image, small: Image.Image | None = None) -> list[Box]:
    """Where pictures lie on it, in its pixels, the largest first; none where it is no sheet.

    ``small`` is ``image`` shrunk to some 100 pixels, if that is at hand: what is no sheet is told by it at
    the cost of 50 microseconds.
    """
    if _ground(np.asarray(small or image.resize(_fitted(image, 96), Image.Resampling.BOX))) is None:
        return []
    closer = image.resize(_fitted(image, _SIDE), Image.Resampling.BOX, reducing_gap=1.0)
    ground = _ground(np.asarray(closer))
    if ground is None:
        return []
    colours = [np.asarray(band).astype(np.int16) for band in closer.split()]
    red, green, blue = (np.abs(band - shade) for band, shade in zip(colours, ground, strict=True))
    apart = np.maximum(np.maximum(red, green), blue)
    high, wide = apart.shape
    if not _anywhere(apart > _FAR):
        return []
    least = _LEAST_SIDE * max(high, wide)
    found: list[tuple[int, Box]] = []
    for piece, x0, y0, x1, y1 in _pieces(apart > _NEAR):
        area = (x1 - x0) * (y1 - y0)
        if min(x1 - x0, y1 - y0) < least or area > _LARGEST * high * wide or piece < _FILLED * area:
            continue
        if (apart[y0:y1, x0:x1] > _FAR).mean() >= _MUCH and _lively(colours, y0, y1, x0, x1):
            x, y = image.width / wide, image.height / high
            found.append((area, Box(x0 * x, y0 * y, x1 * x, y1 * y)))
    found.sort(key=lambda item: (-item[0], item[1]))
    return [box for _, box in found[:MOST]]


def _fitted(image: Image.Image, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _ground(shown: NDArray[np.uint8]) -> NDArray[np.int16] | None:
    """The colour of the sheet, ``(3,)``; None where its edge is not of one."""
    edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).astype(np.int16)
    middle: NDArray[np.int16] = np.sort(edge, axis=0)[len(edge) // 2]
    same = (np.abs(edge - middle).max(axis=1) <= _NEAR).mean()
    return middle if same >= _EDGE else None


def _anywhere(much: NDArray[np.bool_]) -> bool:
    """Whether a cell of it differs much: on a page of print none does, and its letters are not looked at."""
    high, wide = (side // _CELL * _CELL for side in much.shape)
    cells = much[:high, :wide].reshape(high // _CELL, _CELL, wide // _CELL, _CELL)
    return bool(cells.size and (cells.mean(axis=(1, 3)) >= _MUCH).any())


def _lively(colours: list[NDArray[np.int16]], y0: int, y1: int, x0: int, x1: int) -> bool:
    steps = [np.abs(np.diff(colour[y0:y1, x0:x1], axis=1)) for colour in colours]
    return bool((np.maximum(np.maximum(steps[0], steps[1]), steps[2]) > _STEP).mean() >= _LIVELY)


def _pieces(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int, int]]:
    """Pixels, x0, y0, x1, y1 of what hangs together, corners included: runs of rows, joined where they touch
    (union-find; Rosenfeld and Pfaltz 1966)."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).view(np.int8), axis=1)
    rows, begins = (each.tolist() for each in np.nonzero(edges == 1))
    ends = np.nonzero(edges == -1)[1].tolist()
    owner = list(range(len(rows)))
    above = 0
    for number, (y, x0, x1) in enumerate(zip(rows, begins, ends, strict=True)):
        while rows[above] < y - 1 or (rows[above] == y - 1 and ends[above] < x0):
            above += 1
        other = above
        while rows[other] == y - 1 and begins[other] <= x1:
            a, b = _root(owner, number), _root(owner, other)
            owner[max(a, b)] = min(a, b)
            other += 1
    pieces: dict[int, list[int]] = {}
    for number, (y, x0, x1) in enumerate(zip(rows, begins, ends, strict=True)):
        piece = pieces.setdefault(_root(owner, number), [0, x0, y, x1, y + 1])
        piece[0] += x1 - x0
        piece[1], piece[3] = min(piece[1], x0), max(piece[3], x1)
        piece[4] = y + 1
    for pixels, x0, y0, x1, y1 in pieces.values():
        yield pixels, x0, y0, x1, y1


def _root(owner: list[int], number: int) -> int:
    while owner[number] != number:
        owner[number] = owner[owner[number]]
        number = owner[number]
    return number
