"""An image in some 25 bytes: what a page paints, blurred, until the image itself has come.

ThumbHash (Evan Wallace, 2023, https://evanw.github.io/thumbhash/, MIT): the lowest frequencies of a cosine
transform of lightness and of two colour differences, in four bits each. It knows the image's shape too.
Transparency never occurs here, since every image is laid on white when it is opened.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.types import Box
from askpix.ingest.vision.regions import images_on
from askpix.retrieval.search.perceptual_hash import perceptual_hash, shrunk

_SIDE = 64
_LIGHT = 7
_COLOUR = 3
"""Pixels of the longer side that are looked at (at most 100 by the format); frequencies a side."""


def looks(image: Image.Image) -> tuple[str, str, list[Box]]:
    """The perceptual hash, the preview, and where images lie on it, with one look at its pixels."""
    small = shrunk(image)
    shown = preview(small.resize(_shape(image), Image.Resampling.BILINEAR))
    return perceptual_hash(small), shown, images_on(image, small)


def preview(image: Image.Image) -> str:
    """The hash in hexadecimal, 40 to 50 digits, of an upright RGB image of any size."""
    width, height = _shape(image)
    small = image.convert("RGB")
    if small.size != (width, height):
        blocks = (max(1, image.width // width), max(1, image.height // height))
        small = small.reduce(blocks).resize((width, height), Image.Resampling.BILINEAR)
    across = max(1, round(_LIGHT * width / max(width, height)))
    down = max(1, round(_LIGHT * height / max(width, height)))
    # Of the three colours at once; what is a sum of them is one of their waves too.
    rows = _waves(_LIGHT, height) @ np.asarray(small, np.float64).reshape(height, 3 * width)
    red, green, blue = np.moveaxis(rows.reshape(_LIGHT, width, 3), 2, 0) @ _waves(_LIGHT, width).T / 255.0
    light = _channel((red + green + blue) / 3, max(3, across), max(3, down))
    yellow = _channel((red + green) / 2 - blue, _COLOUR, _COLOUR)
    reddish = _channel(red - green, _COLOUR, _COLOUR)
    wide = width > height
    head = (
        _round(63 * light[0])
        | _round(31.5 + 31.5 * yellow[0]) << 6
        | _round(31.5 + 31.5 * reddish[0]) << 12
        | _round(31 * light[1]) << 18
        | (
            (down if wide else across)
            | _round(63 * yellow[1]) << 3
            | _round(63 * reddish[1]) << 9
            | wide << 15
        )
        << 24
    )
    steps = [_round(15 * each) for channel in (light, yellow, reddish) for each in channel[2]]
    steps += [0] * (len(steps) % 2)
    pairs = bytes(low | high << 4 for low, high in zip(steps[::2], steps[1::2], strict=True))
    return (head.to_bytes(5, "little") + pairs).hex()


def _shape(image: Image.Image) -> tuple[int, int]:
    scale = _SIDE / max(image.size)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


@cache
def _waves(count: int, side: int) -> NDArray[np.float64]:
    """``(count, side)`` rows of a cosine transform."""
    return np.cos(np.pi / side * np.arange(count)[:, None] * (np.arange(side) + 0.5)) / side


def _channel(amplitudes: NDArray[np.float64], nx: int, ny: int) -> tuple[float, float, list[float]]:
    """The mean, the largest other amplitude, and the others between 0 and 1."""
    waves = amplitudes.tolist()
    kept = [waves[cy][cx] for cy in range(ny) for cx in range(nx) if (cx or cy) and cx * ny < nx * (ny - cy)]
    largest = max(abs(each) for each in kept)
    return waves[0][0], largest, [0.5 + 0.5 / largest * each if largest else 0.0 for each in kept]


def _round(value: float) -> int:
    return int(value + 0.5)
