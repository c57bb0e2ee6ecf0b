import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import BadImageError
from core.images import ImageLimits, open_image
from tests.conftest import ROOT
from tests.hostile import BAD, corners, noise, save, text_bomb

UPRIGHT = {(0, 0): "red", (59, 0): "green", (0, 39): "blue", (59, 39): "black"}


def test_a_plain_picture_comes_back_as_it_is() -> None:
    picture = open_image(save(corners(), "PNG"))
    assert (picture.width, picture.height, picture.format, picture.pages) == (60, 40, "PNG", 1)
    assert picture.image.mode == "RGB"
    assert np.array_equal(np.asarray(picture.image), np.asarray(corners()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_brought_upright(orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned left, shown turned right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = corners().transpose(turns[orientation]) if orientation in turns else corners()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_image(save(stored, "PNG", exif=exif))
    assert (picture.width, picture.height) == picture.image.size == (60, 40)
    assert np.array_equal(np.asarray(picture.image), np.asarray(corners()))


def test_reduced_decoding_keeps_the_shorter_side_and_reports_the_original() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(noise(1600, 1200), "JPEG", exif=exif)
    picture = open_image(data, min_side=260)
    assert (picture.width, picture.height) == (1200, 1600)
    assert 260 <= min(picture.image.size) < 600
    assert picture.image.height > picture.image.width
    assert open_image(data, min_side=5000).image.size == (1200, 1600)


def test_colour_modes() -> None:
    red = Image.new("RGB", (20, 10), (255, 0, 0))
    assert open_image(save(red.convert("CMYK"), "TIFF")).image.getpixel((5, 5)) == (254, 0, 0) or open_image(
        save(red.convert("CMYK"), "TIFF")
    ).image.getpixel((5, 5)) == (255, 0, 0)
    assert open_image(save(red.quantize(4), "PNG")).image.getpixel((5, 5)) == (255, 0, 0)
    assert open_image(save(red.convert("L"), "PNG")).image.mode == "RGB"
    assert open_image(save(red.convert("1"), "PNG")).image.mode == "RGB"


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    assert open_image(save(clear, "PNG")).image.getpixel((5, 5)) == (255, 255, 255)
    half = Image.new("LA", (20, 10), (0, 0))
    assert open_image(save(half, "PNG")).image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["16-bit", "float"])
def test_deep_greys_are_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256)[None, :].repeat(4, 0)
    if kind == "16-bit":
        data = save(Image.fromarray(ramp.astype(np.uint16)), "PNG")
    else:
        data = save(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF")
    grey = np.asarray(open_image(data).image)[0, :, 0].astype(int)
    assert grey[0] == 0 and grey[-1] == 255 and abs(int(grey[128]) - 128) <= 2
    assert (np.diff(grey) >= 0).all()


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_frame(file_format: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    data = save(frames[0], file_format, save_all=True, append_images=frames[1:])
    picture = open_image(data)
    assert picture.pages == 1
    red, green, blue = picture.image.getpixel((5, 5))  # type: ignore[misc]
    assert red > 200 and green < 60 and blue < 60


def test_a_tiff_has_pages() -> None:
    pages = [Image.new("RGB", (20, 10), "red"), Image.new("RGB", (30, 15), "blue")]
    data = save(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert open_image(data).pages == 2
    second = open_image(data, page=2)
    assert (second.width, second.height) == (30, 15)
    assert second.image.getpixel((5, 5)) == (0, 0, 255)
    with pytest.raises(BadImageError, match="no page 3"):
        open_image(data, page=3)
    with pytest.raises(BadImageError, match="more than 1 page"):
        open_image(data, limits=ImageLimits(max_pages=1))


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jpg"
    path.write_bytes(save(corners(), "PNG"))
    assert open_image(path).format == "PNG"


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_line(name: str) -> None:
    with pytest.raises(BadImageError) as caught:
        open_image(BAD[name]())
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 10


def test_what_is_no_picture_is_called_so() -> None:
    for name, says in (
        ("text", "not a picture"),
        ("html", "web page"),
        ("svg", "SVG"),
        ("postscript", "not a"),
    ):
        with pytest.raises(BadImageError, match=says):
            open_image(BAD[name]())


def test_limits_are_checked_before_decoding(tmp_path: Path) -> None:
    data = save(noise(100, 50), "PNG")
    with pytest.raises(BadImageError, match="100 x 50 pixels are over the limit of 4999"):
        open_image(data, limits=ImageLimits(max_pixels=4999))
    with pytest.raises(BadImageError, match="side is over the limit of 99"):
        open_image(data, limits=ImageLimits(max_side=99))
    path = tmp_path / "big.png"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(BadImageError, match="over the limit of 1000"):
            open_image(source, limits=ImageLimits(max_bytes=1000))
    with pytest.raises(BadImageError, match="cannot read"):
        open_image(tmp_path / "missing.png")


def test_bombs_take_little_memory() -> None:
    code = (
        "import resource; from core.errors import BadImageError; from core.images import open_image\n"
        "from tests.hostile import *\n"
        "bombs = [one_bit_bomb(), text_bomb(), BAD['png header that lies']()]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for bomb in bombs:\n"
        "    try: open_image(bomb)\n"
        "    except BadImageError: pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150, done.stdout


def test_extreme_shapes() -> None:
    assert open_image(save(Image.new("RGB", (1, 1), "red"), "PNG")).image.size == (1, 1)
    wide = open_image(save(Image.new("RGB", (12_000, 3), "red"), "PNG"), min_side=260)
    assert (wide.width, wide.height) == (12_000, 3)
    wide_jpeg = open_image(save(Image.new("RGB", (12_000, 3), "red"), "JPEG"), min_side=260)
    assert wide_jpeg.image.size == (12_000, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=30),
    st.floats(0.02, 1),
)
def test_mutated_files_decode_or_fail_cleanly(
    file_format: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(save(noise(32, 24), file_format))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    try:
        picture = open_image(bytes(data[: max(1, int(kept * len(data)))]), min_side=16)
    except BadImageError:
        return
    assert picture.image.mode == "RGB"


@given(st.binary(max_size=300))
def test_random_bytes_fail_cleanly(data: bytes) -> None:
    with pytest.raises(BadImageError):
        open_image(data)


def test_text_bomb_is_refused_or_small() -> None:
    try:
        assert open_image(text_bomb()).image.size == (8, 8)
    except BadImageError as error:
        assert "\n" not in str(error)


def test_every_row_of_the_nasty_files(shared_data: Path, tmp_path: Path) -> None:
    """The collection of broken and awkward files beside the checkout: each row as its manifest expects."""
    with tarfile.open(shared_data / "nasty_files.tar") as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    folder = tmp_path / "nasty_files"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]
    pictures = {}
    for row in rows:
        path = folder / row["file"]
        if path.is_dir() or path.is_symlink() or row["file"].endswith(".pdf"):
            continue  # walked and rendered elsewhere: tests/test_walk.py, tests/test_documents.py
        try:
            pictures[path.name] = open_image(path)
            assert row["decodable"] is not False, row
        except BadImageError as error:
            assert not row["decodable"], (row, error)
    for name, picture in pictures.items():
        row = next(row for row in rows if row["file"].endswith(name))
        if "upright_size" in row:
            assert [picture.width, picture.height] == row["upright_size"], row
        if row.get("same_content_as") in pictures:
            twin = pictures[row["same_content_as"]].image.resize((64, 64))
            difference = np.asarray(picture.image.resize((64, 64)), int) - np.asarray(twin, int)
            assert np.abs(difference).mean() < 12, row
    assert np.asarray(pictures["gray16.png"].image).std() > 20
    assert pictures["multipage.tiff"].pages == 3
