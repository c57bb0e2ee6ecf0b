"""Conversion of any pixel format to RGB on white."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.errors import BadImageError

_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_WHITES = (255, 1023, 4095, 16383, 65535)
"""Scanners and cameras store 10, 12 or 14 bits in 16."""
_AT_ONCE = 2**20
"""Pixels, so that a large grey image is never in memory several times."""


def to_rgb(image: Image.Image) -> Image.Image:
    """The image itself where it is RGB already. Transparency becomes white; colour profiles are ignored.

    Raises ``BadImageError`` when no pixel has a value, and what Pillow raises for modes it cannot convert.
    """
    if image.mode in _DEEP:
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """PNG and JPEG 2000 say that 65535 is white. TIFFs do not: the smallest usual range that holds the
    brightest pixel. Floats, signed and 32-bit values are stretched from the least to the most."""
    grey: NDArray[np.generic] = np.asarray(image)
    rows = max(1, _AT_ONCE // grey.shape[1])
    strips = [grey[start : start + rows] for start in range(0, grey.shape[0], rows)]
    low = math.inf
    high = -math.inf
    for strip in strips:
        known = strip[np.isfinite(strip)]
        if known.size:
            low = min(low, float(known.min()))
            high = max(high, float(known.max()))
    if low > high:
        raise BadImageError("no pixel of it has a finite value")
    if image.mode != "F" and low >= 0 and high <= _WHITES[-1]:
        whites = _WHITES if image.format == "TIFF" else _WHITES[-1:]
        low = 0.0
        high = float(next(white for white in whites if high <= white))
    scale = 255.0 / (high - low) if high > low else 0.0
    shown = np.empty(grey.shape, np.uint8)
    for strip, out in zip(strips, np.split(shown, range(rows, grey.shape[0], rows)), strict=True):
        # In 64 bits, because the span of two floats may be no float. NaN becomes black.
        known = np.nan_to_num(strip.astype(np.float64), nan=low, posinf=high, neginf=low)
        out[:] = (known - low) * scale
    return Image.fromarray(shown).convert("RGB")
