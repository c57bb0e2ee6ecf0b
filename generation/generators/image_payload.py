"""Images as they are sent to a model: the size that the budget chose; as JPEG where they travel."""

import io
from collections.abc import Callable
from typing import TypeAlias

from PIL import Image

from askpix.core.errors import LimitError
from askpix.core.types import ImageRecord, Sent

ImageOf: TypeAlias = Callable[[ImageRecord, int], Image.Image]
"""The upright image of a record, decoded to a shorter side of at least so many pixels if it has them.
Raises ``AskpixError`` when its file is gone or has other bytes by now."""

_QUALITIES = (90, 75, 60)


def render(sent: Sent, record: ImageRecord, image_of: ImageOf, *, max_bytes: int) -> bytes:
    """The JPEG to send for ``sent`` (an image or a crop). Raises what ``image_of`` raises, and
    ``LimitError`` when it cannot be made small enough."""
    return encode(cut(sent, record, image_of), max_bytes=max_bytes)


def cut(sent: Sent, record: ImageRecord, image_of: ImageOf) -> Image.Image:
    """The image or crop of ``sent`` in the size that was planned. Raises what ``image_of`` raises."""
    region = sent.box
    across = (region.x1 - region.x0) if region else record.width
    # Decoded no smaller than what is to be cut out of it needs.
    scale = min(1.0, sent.width / max(1.0, across))
    image = image_of(record, max(1, round(min(record.width, record.height) * scale)))
    if region:
        x = image.width / record.width
        y = image.height / record.height
        image = image.crop(
            (round(region.x0 * x), round(region.y0 * y), round(region.x1 * x), round(region.y1 * y))
        )
    if image.size != (sent.width, sent.height):
        image = image.resize((sent.width, sent.height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return image


def encode(image: Image.Image, *, max_bytes: int) -> bytes:
    """Encode as JPEG of at most ``max_bytes``, without any metadata. Raises ``LimitError``."""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=quality, subsampling=0 if quality == 90 else 2)
        if buffer.tell() <= max_bytes:
            return buffer.getvalue()
    raise LimitError(
        f"an image of {image.width} x {image.height} pixels does not fit {max_bytes} bytes as JPEG"
    )
