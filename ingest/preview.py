"""A picture in some 25 bytes: what a page paints, blurred, until the picture itself has come.

ThumbHash (Evan Wallace, 2023, https://evanw.github.io/thumbhash/, MIT): the lowest frequencies of a cosine
transform of lightness and of two colour differences, in four bits each. It knows the picture's shape too.
Transparency never occurs here, since every picture is laid on white when it is opened.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE, _LIGHT, _COLOUR = 64, 7, 3
"""Pixels of the longer side that are looked at (at most 100 by the format); frequencies a side."""


def preview(image: Image.Image) -> str:
    """The hash in hexadecimal, 40 to 50 digits, of an upright RGB picture of any size."""
    scale = _SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    blocks = (max(1, image.width // width), max(1, image.height // height))
    small = image.convert("RGB").reduce(blocks).resize((width, height), Image.Resampling.BILINEAR)
    red, green, blue = np.moveaxis(np.asarray(small, np.float64) / 255.0, 2, 0)
    across = max(1, round(_LIGHT * width / max(width, height)))
    down = max(1, round(_LIGHT * height / max(width, height)))
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


def _channel(values: NDArray[np.float64], nx: int, ny: int) -> tuple[float, float, list[float]]:
    """The mean, the largest other amplitude, and the others between 0 and 1."""
    height, width = values.shape
    rows = np.cos(np.pi / height * np.arange(ny)[:, None] * (np.arange(height) + 0.5))
    columns = np.cos(np.pi / width * np.arange(nx)[:, None] * (np.arange(width) + 0.5))
    waves = rows @ values @ columns.T / (width * height)
    kept = [
        float(waves[cy, cx])
        for cy in range(ny)
        for cx in range(nx)
        if (cx or cy) and cx * ny < nx * (ny - cy)
    ]
    largest = max(abs(each) for each in kept)
    return float(waves[0, 0]), largest, [0.5 + 0.5 / largest * each if largest else 0.0 for each in kept]


def _round(value: float) -> int:
    return int(value + 0.5)
