"""Camera raw files made for tests: Adobe DNG 1.4 of a sensor's pixels, with a preview as cameras write it."""

import io
import struct
from datetime import datetime

import numpy as np
from PIL import Image

_SHORT, _LONG, _ASCII, _BYTE, _RATIONAL, _SRATIONAL = 3, 4, 2, 1, 5, 10
_FORMATS = {_SHORT: "H", _LONG: "I", _ASCII: "s", _BYTE: "B"}


def dng(
    image: Image.Image,
    *,
    preview: Image.Image | None = None,
    orientation: int = 1,
    taken: datetime | None = None,
    camera: tuple[str, str] = ("Askpix", "Test Camera"),
) -> bytes:
    """``image`` as a Bayer sensor (RGGB) would have seen it; both sides even, as the sensor lies."""
    rgb = np.asarray(image.convert("RGB"), np.float64) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cfa = np.empty(linear.shape[:2])
    cfa[0::2, 0::2], cfa[0::2, 1::2] = linear[0::2, 0::2, 0], linear[0::2, 1::2, 1]
    cfa[1::2, 0::2], cfa[1::2, 1::2] = linear[1::2, 0::2, 1], linear[1::2, 1::2, 2]
    sensor = (cfa * 65535).astype("<u2").tobytes()
    small = io.BytesIO()
    if preview:
        preview.convert("RGB").save(small, "JPEG", quality=92)
    else:
        small.write(b"\x80" * (16 * 12 * 3))
    # XYZ to linear sRGB: this camera's primaries are a monitor's.
    matrix = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    make, model = camera
    raw = [
        (254, _LONG, (0,)), (256, _LONG, (image.width,)), (257, _LONG, (image.height,)), (258, _SHORT, (16,)),
        (259, _SHORT, (1,)), (262, _SHORT, (32803,)), (273, _LONG, ("sensor",)), (277, _SHORT, (1,)),
        (278, _LONG, (image.height,)), (279, _LONG, (len(sensor),)), (33421, _SHORT, (2, 2)),
        (33422, _BYTE, (0, 1, 1, 2)), (50714, _SHORT, (0,)), (50717, _SHORT, (65535,)),
    ]  # fmt: skip
    width, height = preview.size if preview else (16, 12)
    main = [
        (254, _LONG, (1,)), (256, _LONG, (width,)), (257, _LONG, (height,)), (258, _SHORT, (8, 8, 8)),
        (259, _SHORT, (7 if preview else 1,)), (262, _SHORT, (6 if preview else 2,)),
        (271, _ASCII, make.encode() + b"\0"), (272, _ASCII, model.encode() + b"\0"),
        (273, _LONG, ("preview",)), (274, _SHORT, (orientation,)), (277, _SHORT, (3,)),
        (278, _LONG, (height,)),
        (279, _LONG, (len(small.getvalue()),)), (330, _LONG, ("raw",)), (34665, _LONG, ("exif",)),
        (50706, _BYTE, (1, 4, 0, 0)), (50708, _ASCII, model.encode() + b"\0"),
        (50721, _SRATIONAL, tuple(part for each in matrix for part in (round(each * 10_000), 10_000))),
        (50728, _RATIONAL, (1, 1, 1, 1, 1, 1)), (50778, _SHORT, (21,)),
    ]  # fmt: skip
    stamp = (taken.strftime("%Y:%m:%d %H:%M:%S") if taken else "").encode() + b"\0"
    exif = [(36867, _ASCII, stamp)] if taken else [(36864, _BYTE, (48, 50, 51, 49))]
    places: dict[str, int] = {}
    for _ in range(2):  # the first time to learn where everything lies
        out = io.BytesIO(b"II*\0" + struct.pack("<I", 8))
        out.seek(8)
        _directory(out, main, places)
        for name, entries in (("raw", raw), ("exif", exif)):
            places[name] = out.tell()
            _directory(out, entries, places)
        for name, data in (("preview", small.getvalue()), ("sensor", sensor)):
            places[name] = out.tell()
            out.write(data + b"\0" * (len(data) % 2))
    return out.getvalue()


def _directory(out: io.BytesIO, entries: list[tuple[int, int, object]], places: dict[str, int]) -> None:
    start = out.tell()
    far = start + 2 + 12 * len(entries) + 4
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, kind, values in entries:
        data, count = _packed(kind, values, places)
        if len(data) > 4:
            where = far + len(tail)
            tail += data + b"\0" * (len(data) % 2)
            data = struct.pack("<I", where)
        head += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
    out.write(head + b"\0\0\0\0" + tail)


def _packed(kind: int, values: object, places: dict[str, int]) -> tuple[bytes, int]:
    if isinstance(values, bytes):
        return values, len(values)
    assert isinstance(values, tuple)
    numbers = [places.get(value, 0) if isinstance(value, str) else value for value in values]
    if kind in (_RATIONAL, _SRATIONAL):
        return struct.pack(f"<{len(numbers)}{'i' if kind == _SRATIONAL else 'I'}", *numbers), len(
            numbers
        ) // 2
    return struct.pack(f"<{len(numbers)}{_FORMATS[kind]}", *numbers), len(numbers)
