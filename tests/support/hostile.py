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


def scan_bomb(side: int = 8000, scans: int = 200) -> bytes:
    """A progressive JPEG whose last scan, a few hundred bytes over all pixels, comes again and again."""
    data = save(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + data[-2:]


def tiff(tags: dict[int, int], pixels: bytes = b"", pages: int = 1) -> bytes:
    """A little-endian TIFF of one-value tags, its directory ``pages`` times. Tag 273 or 324 of value 0 is
    pointed at ``pixels``."""
    entry = 2 + 12 * len(tags) + 4
    at = 8 + entry * pages
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for page in range(1, pages + 1):
        out += struct.pack("<H", len(tags))
        for tag, value in tags.items():
            out += struct.pack("<HHII", tag, 4, 1, at if tag in (273, 324) and not value else value)
        out += struct.pack("<I", 8 + entry * page if page < pages else 0)
    return bytes(out) + pixels


GREY = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 4, 279: 16}
"""Tags of a grey TIFF of 4 x 4 pixels, in one strip."""


def endless_tiff(pages: int = 20_000) -> bytes:
    """More pages than anybody wants to look at."""
    return tiff(GREY, bytes(16), pages)


def tile_bomb(side: int = 12_000) -> bytes:
    """A TIFF of 16 x 16 pixels, cut out of one tile of ``side`` x ``side``."""
    zeros = zlib.compress(bytes(side * side), 9)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 0, 325: len(zeros)}
    return tiff(tags, zeros)


def icon(png: bytes) -> bytes:
    """An ICO that says 16 x 16 and holds ``png``."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22) + png


def tag_bomb(tags: int = 3_000, size: int = 1_000_000) -> bytes:
    """EXIF of a megabyte, each of whose tags claims nearly all of it: together 3 GB."""
    exif = b"II*\0" + struct.pack("<IH", 8, tags)
    exif += b"".join(struct.pack("<HHII", 1000 + tag, 1, size - 16, 8) for tag in range(tags))
    return save(noise(), "PNG", exif=exif.ljust(size, b"\0"))


def pdf(
    content: bytes, *objects: bytes, page: bytes = b"", catalog: bytes = b"", trailer: bytes = b""
) -> bytes:
    """One page of 300 x 400 points; ``objects`` are numbered from 5."""
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog,
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]/Contents 4 0 R%s>>" % page,
        pdf_stream(content),
        *objects,
    ]
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (len(bodies) + 1, trailer, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1) + table + end


def pdf_stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), entries, data)


def locked_pdf() -> bytes:
    """Encrypted with a password nobody knows."""
    secret = b"<" + b"5A" * 32 + b">"
    lock = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O %s/U %s>>/ID[<00><00>]" % (secret, secret)
    return pdf(b"", trailer=lock)


def filled_form() -> bytes:
    """A PDF on which somebody has filled in a field: black, over half of the page."""
    field = b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Ann)/Rect[0 0 300 200]/F 4/AP<</N 6 0 R>>>>"
    shown = pdf_stream(b"0 g 0 0 300 200 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 300 200]")
    return pdf(b"", field, shown, page=b"/Annots[5 0 R]", catalog=b"/AcroForm<</Fields[5 0 R]>>")


def pdf_image_bomb(side: int = 12_000) -> bytes:
    """A page that shows a picture of ``side`` x ``side`` pixels, black and well compressed."""
    packer = zlib.compressobj(6)
    row = bytes(side * 3)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    size = b"/Width %d/Height %d/BitsPerComponent 8/ColorSpace/DeviceRGB/Filter/FlateDecode" % (side, side)
    return pdf(
        b"q 300 0 0 400 0 0 cm /I Do Q",
        pdf_stream(pixels, b"/Type/XObject/Subtype/Image" + size),
        page=b"/Resources<</XObject<</I 5 0 R>>>>",
    )


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
    "bomb of scans": scan_bomb,
    "tiff without end": endless_tiff,
    "bomb of one tile": tile_bomb,
    "bomb in an icon": lambda: icon(one_bit_bomb()),
    "damaged checksum": broken_crc,
    "tga, which any bytes may pass for": lambda: (
        bytes([0, 0, 2]) + bytes(9) + bytes([2, 0, 2, 0, 24, 0]) + bytes(12)
    ),
    "ppm that claims more than it has": lambda: b"P6 9000 9000 255 " + bytes(100),
    "film": lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100),
    "svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><text>SVG</text></svg>",
    "svg with an external entity": lambda: (
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    ),
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    "pdf given as a picture": lambda: b"%PDF-1.7\n%%EOF",
}
