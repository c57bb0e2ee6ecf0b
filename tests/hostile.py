"""Hostile and awkward files, made in code: what every door that takes a picture must survive."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image


def save(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The picture encoded."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """An RGB picture that does not compress away."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def first_half(data: bytes) -> bytes:
    """A download that broke off."""
    return data[: len(data) // 2]


def corners() -> Image.Image:
    """60 x 40, a different colour in each corner: shows how it was turned."""
    image = Image.new("RGB", (60, 40), "white")
    for colour, at in (("red", (0, 0)), ("green", (30, 0)), ("blue", (0, 20)), ("black", (30, 20))):
        image.paste(colour, (*at, at[0] + 30, at[1] + 20))
    return image


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Signature and IHDR of a PNG of any claimed size."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    )


def one_bit_bomb(side: int = 20_000) -> bytes:
    """A small PNG of ``side`` x ``side`` one-bit pixels."""
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return png_header(side, side, 1, 0) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def text_bomb(size: int = 60 * 2**20) -> bytes:
    """A PNG whose compressed text inflates to ``size`` bytes."""
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))
    plain = save(Image.new("RGB", (8, 8), "red"), "PNG")
    return plain[:33] + text + plain[33:]


def broken_crc() -> bytes:
    """A PNG with a flipped bit in its pixel data."""
    data = bytearray(save(noise(), "PNG"))
    at = data.index(b"IDAT") + 40
    data[at] ^= 0xFF
    return bytes(data)


BAD: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"just words " * 40,
    "html": lambda: b"<!DOCTYPE html><html><body>404</body></html>",
    "random": lambda: np.random.default_rng(1).bytes(5000),
    "jpeg header only": lambda: save(noise(), "JPEG")[:20],
    "jpeg cut in half": lambda: first_half(save(noise(), "JPEG")),
    "png cut in half": lambda: first_half(save(noise(), "PNG")),
    "png header that lies": lambda: png_header(100_000, 100_000, 8, 6) + png_chunk(b"IEND", b""),
    "bomb of one-bit pixels": one_bit_bomb,
    "damaged checksum": broken_crc,
    "svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><text>SVG</text></svg>",
    "svg with an external entity": lambda: (
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    ),
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    "pdf given as a picture": lambda: b"%PDF-1.7\n%%EOF",
}
