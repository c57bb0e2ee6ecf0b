"""Pictures that lie on a larger sheet: an album page, a contact sheet, a slide, a magazine's page.

Shrunk to what a model looks at, the whole of such a sheet shows none of them.

A sheet has one colour all around its edge. What differs from that colour and hangs together is a piece; one
that is large enough, fills its box, and differs much (print seen from afar is a light grey) is a picture.
Measured by ``tools/measure_sheets.py`` (README): nearly as good as files, while tiles of a fixed
grid find a fifth less on album pages and would have to be made of every page.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.types import Box

MOST = 24
"""Pictures of one sheet that count, the largest ones."""
_SIDE = 256
"""Pixels of the longer side that is looked at, at most: 1.2 to 2.3 mm of an A4 page each."""
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


class _Seen(NamedTuple):
    """A sheet's colours ``(height, width)``, and how far each pixel is from the sheet's own."""

    colours: list[NDArray[np.int16]]
    apart: NDArray[np.int16]


def pictures_on(image: Image.Image, small: Image.Image | None = None) -> list[Box]:
    """Where pictures lie on it, in its pixels, the largest first; none where it is no sheet.

    ``small`` is ``image`` shrunk to some 100 pixels, if that is at hand. By it nearly all photos, and most
    pages of print and charts, are told to have none.
    """
    coarse = _seen(small or _reduced(image, 128))
    # There all pictures may be one piece, so it may be as large as the sheet.
    if coarse is None or not any(_large(coarse, slack=0.8)):
        return []
    seen = _seen(_reduced(image, _SIDE))
    if seen is None:
        return []
    high, wide = seen.apart.shape
    x, y = image.width / wide, image.height / high
    found = [
        (area, Box(x0 * x, y0 * y, x1 * x, y1 * y))
        for area, x0, y0, x1, y1 in _large(seen)
        if area <= _LARGEST * high * wide
    ]
    found.sort(key=lambda item: (-item[0], item[1]))
    return [box for _, box in found[:MOST]]


def _large(seen: _Seen, slack: float = 1.0) -> Iterator[tuple[int, int, int, int, int]]:
    """Area, x0, y0, x1, y1 of what may be a picture; with less ``slack`` more may be."""
    apart = seen.apart
    least = slack * _LEAST_SIDE * max(apart.shape)
    for piece, x0, y0, x1, y1 in _pieces(apart > _NEAR):
        area = (x1 - x0) * (y1 - y0)
        if min(x1 - x0, y1 - y0) < least or piece < slack * _FILLED * area:
            continue
        part = (slice(y0, y1), slice(x0, x1))
        if (apart[part] > _FAR).mean() < slack * _MUCH:
            continue
        if _steps([colour[part] for colour in seen.colours]).mean() >= slack * _LIVELY:
            yield area, x0, y0, x1, y1


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """By a whole number, which is fast, to a longer side of at most ``side`` pixels."""
    return image.reduce(-(-max(image.size) // side)) if max(image.size) > side else image


def _seen(image: Image.Image) -> _Seen | None:
    """None where the edge of the picture is not of one colour."""
    shown = np.asarray(image)
    edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).astype(np.int16)
    ground: NDArray[np.int16] = np.sort(edge, axis=0)[len(edge) // 2]
    if (np.abs(edge - ground).max(axis=1) <= _NEAR).mean() < _EDGE:
        return None
    colours = [np.asarray(band).astype(np.int16) for band in image.split()]
    return _Seen(colours, _most([np.abs(c - shade) for c, shade in zip(colours, ground, strict=True)]))


def _most(planes: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    most: NDArray[np.int16] = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    return most


def _steps(colours: Sequence[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """Where a pixel differs from the one before it in its row."""
    return _most([np.abs(np.diff(colour, axis=1)) for colour in colours]) > _STEP


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
