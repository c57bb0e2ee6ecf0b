"""Resolution at which an image must be read for its smallest print to be found.

Lines are found at a longer side of 1024 pixels. A page of A3 or A2, a newspaper or a screen of 4K has print
that is gone at that size: of 6 points on A3 a quarter of the words was read and on A2 none, all of them once
the page was looked at as closely as this module says (``tools/measure_small_print.py``). Photos stay as they
are: looking closely costs a second each, and what there is to read in them is rarely small.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.types import Box

DETECT_SIDE = 1024
"""Text is looked for at this longer side unless its print is small."""
CLOSER_THAN = 2560
"""Print of 6 pixels is found at ``DETECT_SIDE``, so up to here it is lost only below 15, which is 3.6 points
of a scan with 300 dots an inch."""
CLOSEST = 4096
"""The most that text is looked for at: 6 points on A0. A sheet of A1 with 5,500 words of 5 points took 33 CPU
seconds and 1.3 GB."""
_PAPER = 0.6
"""Share of the pixels within a twentieth of the most frequent brightness, from which an image counts as a
page. Such were 99 % of 299 receipts and forms, 97 % of 240 charts, 40 % of 30 phone screens, and 4.5 % of 600
photos."""
_LOW = 9.5
_USUAL = 12.0
"""Height of boxes found at 1024 that goes with print read to 98 % and more: they are drawn wide there."""
_ENOUGH = 7.0
"""Height of boxes found in full, shrunk to the size they are to be found at: print of 6 pixels."""
_INK = 24
_MISSED = 0.1
"""Share of the ink that may lie outside of all lines found, as rulings and images do."""
_FEW = 3
_CELL = 8
_REACH = range(-3, 4)
"""Cells of ink this near are of one region: 24 of 1024 pixels."""
_DENSE = 0.6


class Finder(Protocol):
    """Finds what looks like lines of text."""

    def find_boxes(self, image: Image.Image, side: int) -> Sequence[Box]:
        """Return boxes in pixels of ``image``, detected at a longer side of at most ``side``."""
        ...


def is_page(image: Image.Image) -> bool:
    """Return whether one brightness, within a tolerance, fills most of it: paper, or the ground of a chart or
    a screen.
    """
    small = image.convert("L") if image.mode != "L" else image
    small = small.resize(
        (min(256, image.width), min(256, image.height)), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    counts = np.bincount(np.asarray(small).ravel(), minlength=256)
    return bool(np.convolve(counts, np.ones(25), "same").max() > _PAPER * counts.sum())


def detect_side(finder: Finder, image: Image.Image) -> int:
    """The longer side at which the lines of a page are to be looked for: 1024, 2048 or 4096.

    Lines are found at 1024. The place with the most ink is looked at in full, and where much lies outside
    of those lines, that with the most of it: the height of the lines there decides, or of those found.
    """
    longer = max(image.size)
    if longer <= CLOSER_THAN:
        return DETECT_SIDE
    whole = _fitted(image, DETECT_SIDE)
    boxes = finder.find_boxes(whole, DETECT_SIDE)
    heights = [_height(box) for box in boxes]
    needed = float(DETECT_SIDE)
    if heights and (np.percentile(heights, 10) < _LOW or np.median(heights) < _USUAL):
        needed = 2.0 * DETECT_SIDE
    ink = _ink(whole)
    total = float(ink.sum())
    shown = min(longer, 2 * CLOSEST)
    # One whatever was found there: several lines that are too low are taken for one.
    windows = [_fullest(ink, DETECT_SIDE / shown)]
    for box in boxes:
        ink[_part(box, 2)] = False
    if ink.sum() > _MISSED * total:
        windows.append(_fullest(ink, DETECT_SIDE / shown))
    for window in windows:
        needed = max(needed, _needed(finder, image, window, shown))
    return next(side for side in (DETECT_SIDE, 2 * DETECT_SIDE, CLOSEST) if side >= needed or side == CLOSEST)


def regions(image: Image.Image) -> list[Box]:
    """Return the boxes of a sheet's inked areas, in pixels; the whole sheet where they cover most of it.

    On a large sheet that is nearly empty lines are missed that are found when its regions are looked at
    alone.
    """
    whole = _fitted(image, DETECT_SIDE)
    ink = _ink(whole)
    high, wide = (-(-length // _CELL) for length in ink.shape)
    cells = np.zeros((high * _CELL, wide * _CELL), np.bool_)
    cells[: ink.shape[0], : ink.shape[1]] = ink
    left = {(int(y), int(x)) for y, x in np.argwhere(cells.reshape(high, _CELL, wide, _CELL).any((1, 3)))}
    found = []
    while left:
        group = [left.pop()]
        for y, x in group:  # it grows while it is gone through
            near = [(y + v, x + h) for v in _REACH for h in _REACH if (y + v, x + h) in left]
            left.difference_update(near)
            group += near
        (y0, x0) = np.min(group, 0)
        (y1, x1) = np.max(group, 0)
        found.append(Box(float(x0 - 1), float(y0 - 1), float(x1 + 2), float(y1 + 2)))
    found = _joined(found)
    if sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in found) > _DENSE * high * wide:
        return [Box(0, 0, image.width, image.height)]
    scale = _CELL * max(image.size) / max(whole.size)
    return [
        Box(
            max(0.0, box.x0 * scale),
            max(0.0, box.y0 * scale),
            min(float(image.width), box.x1 * scale),
            min(float(image.height), box.y1 * scale),
        )
        for box in found
    ]


def _joined(boxes: list[Box]) -> list[Box]:
    """Merge overlapping boxes until none overlap."""
    kept: list[Box] = []
    while boxes:
        box = boxes.pop()
        for other in kept:
            if box.x0 < other.x1 and other.x0 < box.x1 and box.y0 < other.y1 and other.y0 < box.y1:
                kept.remove(other)
                boxes.append(
                    Box(
                        min(box.x0, other.x0),
                        min(box.y0, other.y0),
                        max(box.x1, other.x1),
                        max(box.y1, other.y1),
                    )
                )
                break
        else:
            kept.append(box)
    return kept


def _needed(finder: Finder, image: Image.Image, window: Box, shown: int) -> float:
    """The side at which lines of the height of those in ``window`` are found; 0 when there are none.

    ``window`` in shares of the image; it is looked at as it is in the image of longer side ``shown``.
    """
    pixels = tuple(
        round(share * length) for share, length in zip(window, (image.width, image.height) * 2, strict=True)
    )
    near = _fitted(image.crop(pixels), DETECT_SIDE)  # type: ignore[arg-type]
    heights = [_height(box) for box in finder.find_boxes(near, DETECT_SIDE)]
    if len(heights) < _FEW:
        return 0.0
    return _ENOUGH * shown / float(np.percentile(heights, 25))


def _ink(image: Image.Image) -> NDArray[np.bool_]:
    """Return where brightness changes much from one pixel to the next."""
    grey = np.asarray(image.convert("L"), np.int16)
    ink = np.zeros(grey.shape, np.bool_)
    ink[:, 1:] |= np.abs(np.diff(grey, axis=1)) > _INK
    ink[1:] |= np.abs(np.diff(grey, axis=0)) > _INK
    return ink


def _fullest(ink: NDArray[np.bool_], share: float) -> Box:
    """The square with the most ink, in shares of the whole; ``share``: its side, of the longer one."""
    height, width = ink.shape
    side = max(8, round(share * max(height, width)))
    tall = min(side, height)
    wide = min(side, width)
    sums = np.pad(ink.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    y, x = (int(at) for at in np.unravel_index(int(inside.argmax()), inside.shape))
    return Box(x / width, y / height, (x + wide) / width, (y + tall) / height)


def _part(box: Box, more: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (int(side) for side in box)
    return slice(max(0, y0 - more), y1 + more + 1), slice(max(0, x0 - more), x1 + more + 1)


def _height(box: Box) -> float:
    """Return the height of a line, horizontal or vertical."""
    return min(box.x1 - box.x0, box.y1 - box.y0)


def _fitted(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
