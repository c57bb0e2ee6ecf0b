"""Images that lie on a larger sheet: an album page, a contact sheet, a slide, a magazine's page.

Shrunk to what a model looks at, the whole of such a sheet shows none of them.

A sheet has one colour all around its edge. What differs from that colour and hangs together is a piece; one
that is large enough, fills its box, and differs much (print seen from afar is a light grey) is an image.
Measured by ``tools/measure_sheets.py`` (README): nearly as good as files, while tiles of a fixed
grid find a fifth less on album pages and would have to be made of every page.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.types import Box

MOST = 24
"""Images of one sheet that count, the largest ones."""
_SIDE = 256
"""Pixels of the longer side that is looked at, at most: 1.2 to 2.3 mm of an A4 page each."""
_EDGE = 0.75
"""Share of the outermost pixels that have the sheet's colour."""
_NEAR = 24
_FAR = 64
"""Thresholds, of 255 in any colour: up to the first a pixel is still the sheet; the second is beyond what
distant print reaches.
"""
_MIN_SIDE = 0.08
"""Shortest side of an image on a sheet, as a share of the sheet's longer side: 24 mm of A4."""
_LARGEST = 0.8
"""Largest share of the sheet: whatever fills more is the image itself, in a frame."""
_FILLED = 0.5
_MUCH = 0.35
"""Share of a box that belongs to the piece, and that differs much."""
_STEP = 2
_LIVELY = 0.35
"""Levels by which neighbours differ at least, and the share of those that do: a bar of a chart is flat."""


class _Seen(NamedTuple):
    """A sheet's colours ``(height, width)``, and how far each pixel is from the sheet's own."""

    colours: Sequence[NDArray[np.uint8]]
    apart: NDArray[np.uint8]


def images_on(image: Image.Image, small: Image.Image | None = None) -> list[Box]:
    """Return the boxes of the images on a sheet, in pixels, the largest first; none where it is no sheet.

    ``small`` is ``image`` shrunk to some 100 pixels, if that is at hand. By it nearly all photos, and most
    pages of print and charts, are told to have none.
    """
    coarse = _seen(small or _reduced(image, 128))
    # There all images may be one piece, so it may be as large as the sheet.
    if coarse is None or not any(_large(coarse, slack=0.8)):
        return []
    seen = _seen(_reduced(image, _SIDE))
    if seen is None:
        return []
    high, wide = seen.apart.shape
    x = image.width / wide
    y = image.height / high
    found = [
        (area, Box(x0 * x, y0 * y, x1 * x, y1 * y))
        for area, x0, y0, x1, y1 in _large(seen)
        if area <= _LARGEST * high * wide
    ]
    found.sort(key=lambda item: (-item[0], item[1]))
    return [box for _, box in found[:MOST]]


def _large(seen: _Seen, slack: float = 1.0) -> Iterator[tuple[int, int, int, int, int]]:
    """Area, x0, y0, x1, y1 of what may be an image; with less ``slack`` more may be."""
    apart = seen.apart
    least = max(2.0, slack * _MIN_SIDE * max(apart.shape))
    near = (apart > _NEAR).view(np.uint8)
    x, y, width, height, pieces = _opencv().connectedComponentsWithStats(near, connectivity=8)[2][1:].T
    area = width * height
    large = (np.minimum(width, height) >= least) & (pieces >= slack * _FILLED * area)
    for x0, y0, wide, high in np.stack([x, y, width, height], axis=1)[large].tolist():
        part = (slice(y0, y0 + high), slice(x0, x0 + wide))
        if (apart[part] > _FAR).mean() < slack * _MUCH:
            continue
        if _steps([colour[part] for colour in seen.colours]).mean() >= slack * _LIVELY:
            yield wide * high, x0, y0, x0 + wide, y0 + high


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Shrink by a whole number, which is fast, to a longer side of at most ``side`` pixels."""
    return image.reduce(-(-max(image.size) // side)) if max(image.size) > side else image


def _seen(image: Image.Image) -> _Seen | None:
    """Separate the sheet from what lies on it; None where the edge of the image is not of one colour."""
    shown = np.asarray(image)
    edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).astype(np.int16)
    ground: NDArray[np.int16] = np.sort(edge, axis=0)[len(edge) // 2]
    if (np.abs(edge - ground).max(axis=1) <= _NEAR).mean() < _EDGE:
        return None
    colours = [np.asarray(band) for band in image.split()]
    absdiff = _opencv().absdiff
    return _Seen(colours, _most([absdiff(c, int(shade)) for c, shade in zip(colours, ground, strict=True)]))


def _most(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    limit: NDArray[np.uint8] = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    return limit


def _steps(colours: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """Return where a pixel differs from the one before it in its row."""
    absdiff = _opencv().absdiff
    return _most([absdiff(colour[:, 1:], colour[:, :-1]) for colour in colours]) > _STEP


@cache
def _opencv() -> Any:
    """Loaded where an image has an edge of one colour: it takes 0.15 s and 16 MB."""
    import cv2  # noqa: PLC0415

    # It would wake threads for the smallest image; the workers use the cores.
    cv2.setNumThreads(1)
    return cv2
