"""Files that are damaged at their edges alone are decoded; what lacks its pixels is not."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits, open_image, open_images


def noise(width: int = 320, height: int = 240) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(1).randbytes(3 * width * height))


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    made = io.BytesIO()
    image.save(made, form, **options)
    return made.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def with_chunk(extra: bytes, *, at_the_end: bool = False) -> bytes:
    png = saved(noise(64, 48), "PNG")
    at = len(png) - 12 if at_the_end else 33
    return png[:at] + extra + png[at:]


BIG_TEXT = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 3 * 2**20))
BIG_PROFILE = chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x" * 3 * 2**20))
DAMAGED = chunk(b"tEXt", b"Title\0a")[:-4] + b"\0\0\0\0"


@pytest.mark.parametrize("extra", [BIG_TEXT, BIG_PROFILE, DAMAGED])
@pytest.mark.parametrize("at_the_end", [False, True])
def test_chunks_beside_the_pixels_cost_no_png(extra: bytes, at_the_end: bool) -> None:
    data = with_chunk(extra, at_the_end=at_the_end)
    found = open_image(data)
    assert found.image.tobytes() == noise(64, 48).tobytes()
    assert [each.image.size for each in open_images(data) if not isinstance(each, BadImageError)] == [
        (64, 48)
    ]


def test_a_png_without_its_pixels_is_damaged_still() -> None:
    data = with_chunk(BIG_TEXT)
    at = data.index(b"IDAT")
    with pytest.raises(BadImageError, match="damaged PNG"):
        open_image(data[: at + 8] + b"\0" * 400 + data[at + 408 :])


@pytest.mark.parametrize("missing", [1, 2, 3, 40])
def test_a_jpeg_without_its_last_bytes_is_decoded(missing: int) -> None:
    data = saved(noise(), "JPEG", quality=80)[:-missing]
    assert open_image(data).image.size == (320, 240)
    (found,) = open_images(data)
    assert not isinstance(found, BadImageError) and found.image.size == (320, 240)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.85])
def test_a_jpeg_of_which_much_is_missing_is_refused(share: float) -> None:
    data = saved(noise(), "JPEG", quality=80)
    with pytest.raises(BadImageError, match="damaged JPEG"):
        open_image(data[: int(share * len(data))])


def test_a_jpeg_over_the_limit_is_halved_as_it_is_decoded() -> None:
    data = saved(noise(), "JPEG")
    limits = ImageLimits(max_pixels=320 * 240 // 4)
    found = open_image(data, limits=limits)
    assert (found.width, found.height, found.image.size) == (320, 240, (160, 120))
    assert open_image(data, limits=limits, min_side=60).image.size == (80, 60)
    for refused in (saved(noise(), "JPEG", progressive=True), saved(noise(), "PNG")):
        with pytest.raises(BadImageError, match="over the limit"):
            open_image(refused, limits=limits)
    with pytest.raises(BadImageError, match="over the limit"):
        open_image(data, limits=ImageLimits(max_pixels=320 * 240 // 4 - 1))


def test_a_tiff_of_floats_is_refused_for_what_it_is() -> None:
    entries = (
        (256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 300), (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 1, 48), (339, 3, 3, 210),
    )  # fmt: skip
    data = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries) + b"\0" * 4
    data = data.ljust(200, b"\0") + struct.pack("<3H", 32, 32, 32)
    data = data.ljust(210, b"\0") + struct.pack("<3H", 3, 3, 3)
    with pytest.raises(BadImageError, match=r"3 x 32 bits \(floating-point\)"):
        open_image(data.ljust(300, b"\0") + struct.pack("<12f", *range(12)))
