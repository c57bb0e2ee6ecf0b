"""Camera raw files, SVG drawings and JPEG XL: decoded apart, upright, within limits, opening nothing else."""

import base64
import io
import signal
from datetime import datetime
from pathlib import Path

import numpy as np
import pillow_jxl  # noqa: F401 - writes the files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from askpix.api.demo import PICTURES
from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.formats import sandboxed
from askpix.ingest.formats.pages import format_of, open_page, open_pages
from askpix.ingest.metadata.exif import read_metadata
from askpix.ingest.sources.walk import Skipped, walk
from tests.support.raw_files import dng

LIMITS = ImageLimits()
CAT = Image.open(PICTURES / "photos" / "cat.jpg").convert("RGB").resize((600, 400))
TAKEN = datetime(2020, 1, 2, 3, 4, 5)
SVG = "http://www.w3.org/2000/svg"


def opened(data: bytes, *, min_side: int | None = None, limits: ImageLimits = LIMITS) -> Image.Image:
    [page] = open_pages(data, limits=limits, min_side=min_side)
    assert page.picture and page.kind == "photo" and page.page is None
    again = open_page(data, page.place, limits=limits, min_side=min_side)
    assert np.array_equal(np.asarray(again.image), np.asarray(page.picture.image))
    return page.picture.image


def alike(one: Image.Image, other: Image.Image) -> float:
    """Correlation of their pixels, made small: developing changes brightness, not what is seen."""
    small = [np.asarray(each.convert("L").resize((48, 48)), float).ravel() for each in (one, other)]
    return float(np.corrcoef(*small)[0, 1])


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (6, 270), (3, 180), (8, 90)])
@pytest.mark.parametrize("preview", [None, (300, 200), (600, 400)])
def test_raw_files_are_upright_from_preview_or_sensor(
    preview: tuple[int, int] | None, orientation: int, turn: int
) -> None:
    data = dng(CAT, preview=CAT.resize(preview) if preview else None, orientation=orientation, taken=TAKEN)
    wanted = CAT.rotate(turn, expand=True)
    [page] = open_pages(data, limits=LIMITS)
    assert page.picture and page.picture.format == "RAW"
    assert (page.picture.width, page.picture.height) == wanted.size == page.picture.image.size
    assert alike(page.picture.image, wanted) > 0.95
    about = read_metadata(page.picture.exif)
    assert (about.taken_at, about.camera) == (TAKEN, "Askpix Test Camera")


def test_the_cameras_preview_is_taken_where_it_is_large_enough() -> None:
    other = Image.open(PICTURES / "photos" / "rocket-launch.jpg").convert("RGB").resize((300, 200))
    data = dng(CAT, preview=other)
    assert alike(opened(data, min_side=200), other) > 0.95
    developed = opened(data, min_side=300)
    assert alike(developed, CAT) > 0.95 and min(developed.size) >= 300
    assert alike(opened(data), CAT) > 0.95, "all there is"
    assert min(opened(dng(CAT), min_side=100).size) >= 100
    assert alike(opened(data, min_side=200, limits=ImageLimits(develop=True)), CAT) > 0.95, "as was asked for"


def test_a_scan_that_is_a_tiff_is_no_raw_file() -> None:
    for options in ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[271], exif[272] = "Canon", "CanoScan"
        CAT.save(buffer, "TIFF", exif=exif, **options)
        assert format_of(buffer.getvalue()).name == "TIFF"
        [page] = open_pages(buffer.getvalue(), limits=LIMITS)
        assert page.picture and page.picture.format == "TIFF"


def test_drawings_are_drawn_on_white_and_read_upright() -> None:
    drawing = f"""<?xml version="1.0"?><!-- made by hand -->
    <svg xmlns="{SVG}" viewBox="0 0 200 100"><rect x="100" width="100" height="100" fill="#f00"/></svg>"""
    image = opened(drawing.encode())
    assert image.size == (1600, 800)
    assert image.getpixel((400, 400)) == (255, 255, 255) and image.getpixel((1200, 400)) == (255, 0, 0)
    tall = opened(
        f'<svg xmlns="{SVG}" width="10mm" height="40mm"><rect width="5" height="5"/></svg>'.encode()
    )
    assert tall.height == 1600 and tall.width == pytest.approx(400, abs=8), "whole pixels first"


def test_a_drawing_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (50, 50), (0, 0, 255)).save(secret)
    links = (str(secret), secret.as_uri(), secret.name, f"../{tmp_path.name}/secret.png")
    images = "".join(
        f'<image {name}="{link}" width="50" height="50"/>'
        for link in links
        for name in ("href", "xlink:href")
    )
    head = f'<svg xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 50 50">'
    monkeypatch.chdir(tmp_path)
    image = opened(f"{head}{images}</svg>".encode())
    assert image.getextrema() == ((255, 255),) * 3, "white"
    # What a drawing carries itself is drawn.
    inside = io.BytesIO()
    Image.new("RGB", (9, 9), (0, 0, 255)).save(inside, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(inside.getvalue()).decode()
    assert opened(f'{head}<image xlink:href="{uri}" width="50" height="50"/></svg>'.encode()).getpixel(
        (800, 800)
    ) == (
        0,
        0,
        255,
    )
    entity = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "{secret.as_uri()}">]>{head}<text y="20">&x;</text></svg>'
    with pytest.raises(BadImageError, match="SVG"):
        opened(entity.encode())


def test_bombs_of_drawings_end() -> None:
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE svg [<!ENTITY l0 "lol">{lol}]><svg xmlns="{SVG}"><text>&l11;</text></svg>'
    with pytest.raises(BadImageError, match="SVG"):
        opened(bomb.encode())
    uses = "".join(f'<g id="g{n}">' + f'<use href="#g{n - 1}"/>' * 10 + "</g>" for n in range(1, 10))
    wide = f'<svg xmlns="{SVG}" viewBox="0 0 9 9"><g id="g0"><rect width="1" height="1"/></g>{uses}</svg>'
    try:
        opened(wide.encode())
    except BadImageError as error:
        assert "SVG" in str(error)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_jpeg_xl(mode: str) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "2020:01:02 03:04:05"
    CAT.convert(mode).save(buffer, "JXL", quality=90, exif=exif.tobytes())
    [page] = open_pages(buffer.getvalue(), limits=LIMITS)
    assert page.picture and page.picture.format == "JPEG XL"
    assert page.picture.image.size == (600, 400) and alike(page.picture.image, CAT) > 0.99
    assert read_metadata(page.picture.exif).taken_at == TAKEN
    with pytest.raises(BadImageError, match="over the limit"):
        opened(buffer.getvalue(), limits=ImageLimits(max_pixels=1000))


def test_a_jpeg_packed_as_jpeg_xl_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "a.jpg"
    CAT.rotate(90, expand=True).save(path, quality=95, exif=exif)
    buffer = io.BytesIO()
    with Image.open(path) as photo:
        photo.save(buffer, "JXL", lossless_jpeg=True)
    image = opened(buffer.getvalue())
    assert image.size == (600, 400) and alike(image, CAT) > 0.99


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (dng(CAT)[:3000], "damaged raw file"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(400), "damaged raw file"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1" + bytes(100), "damaged raw file"),
        (b"<svg", "damaged SVG"),
        (b"<?xml version='1.0'?><svg xmlns='nothing'/>", "SVG"),
        (b"\xff\x0a" + bytes(50), "damaged JPEG XL"),
    ],
)
def test_damage_is_one_clear_line(data: bytes, says: str) -> None:
    with pytest.raises(BadImageError, match=says) as raised:
        opened(data)
    assert "\n" not in str(raised.value)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["dng", "jxl"]),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=20),
    st.floats(0.1, 1),
)
def test_changed_bytes_give_a_image_or_one_line(
    which: str, changes: list[tuple[float, int]], kept: float
) -> None:
    small = CAT.resize((60, 40))
    if which == "dng":
        data = bytearray(dng(small, preview=small))
    else:
        buffer = io.BytesIO()
        small.save(buffer, "JXL")
        data = bytearray(buffer.getvalue())
    for at, value in changes:
        data[12 + int(at * (len(data) - 12))] = value
    try:
        for page in open_pages(bytes(data[: int(kept * len(data))]), limits=LIMITS):
            assert page.picture
    except BadImageError as error:
        assert "\n" not in str(error)


def test_a_crash_costs_its_own_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(dng(CAT))
    for child in sandboxed.CHILDREN.idle:
        child._process.send_signal(signal.SIGKILL)
        child._process.wait()
    assert alike(opened(dng(CAT)), CAT) > 0.95, "one that ended while idle is replaced"
    monkeypatch.setattr(sandboxed, "CHILDREN", sandboxed.Children("tests.no_such_module"))
    with pytest.raises(BadImageError, match="makes its decoder crash"):
        opened(dng(CAT))


def test_folders_are_searched_for_them(tmp_path: Path) -> None:
    (tmp_path / "a.DNG").write_bytes(dng(CAT))
    (tmp_path / "b.svg").write_text(f'<svg xmlns="{SVG}"/>')
    (tmp_path / "c.jxl").write_bytes(b"\xff\x0a")
    (tmp_path / "noname").write_bytes(dng(CAT))
    found = [Path(each.uri).name for each in walk([tmp_path]) if not isinstance(each, Skipped)]
    assert found == ["a.DNG", "b.svg", "c.jxl", "noname"]
