import io
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, TiffImagePlugin

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits, open_image, open_images
from tests.conftest import ROOT
from tests.support.hostile import BAD, GREY, corners, endless_tiff, noise, save, tag_bomb, text_bomb, tiff


def test_a_plain_image_comes_back_as_it_is() -> None:
    picture = open_image(save(corners(), "PNG"))
    assert (picture.width, picture.height, picture.format, picture.pages) == (60, 40, "PNG", 1)
    assert picture.image.mode == "RGB"
    assert np.array_equal(np.asarray(picture.image), np.asarray(corners()))


STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # stored turned left, shown turned right
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("HEIF", {"quality": -1, "chroma": 444}),
    ],
    ids=str,
)
def test_every_orientation_is_brought_upright_once(
    orientation: int, file_format: str, options: dict[str, object]
) -> None:
    stored = corners().transpose(STORED[orientation]) if orientation in STORED else corners()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = open_image(save(stored, file_format, exif=exif.tobytes(), **options))
    assert (picture.width, picture.height) == picture.image.size == (60, 40)
    assert np.abs(np.asarray(picture.image, int) - np.asarray(corners(), int)).mean() < 4


def test_reduced_decoding_keeps_the_shorter_side_and_reports_the_original() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(noise(1600, 1200), "JPEG", exif=exif)
    picture = open_image(data, min_side=260)
    assert (picture.width, picture.height) == (1200, 1600)
    assert 260 <= min(picture.image.size) < 600
    assert picture.image.height > picture.image.width
    assert open_image(data, min_side=5000).image.size == (1200, 1600)


def test_the_shorter_side_is_never_below_what_is_asked() -> None:
    for side in range(2060, 2100, 3):
        data = save(Image.new("L", (side + 600, side)), "JPEG", quality=10)
        for min_side in (257, 260, 516, 1030):
            assert min(open_image(data, min_side=min_side).image.size) >= min_side


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("RGBX", "TIFF"),
        ("RGBA", "TIFF"), ("P", "PNG"), ("P", "GIF"), ("P", "BMP"), ("RGB", "PPM"), ("RGBA", "WEBP"),
        ("RGBA", "JPEG2000"), ("RGBA", "AVIF"), ("RGBA", "HEIF"),
    ],
)  # fmt: skip
def test_colour_modes(mode: str, file_format: str) -> None:
    colour = Image.new("RGB", (32, 24), (200, 40, 40))
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(colour, *profiles, outputMode="LAB")
        assert converted is not None
    else:
        converted = colour.quantize(4) if mode == "P" else colour.convert(mode)
    shown = open_image(save(converted, file_format)).image
    assert shown.mode == "RGB"
    assert np.abs(np.asarray(shown, int) - (200, 40, 40)).max() < 12


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_modes(mode: str) -> None:
    image = Image.new("L", (20, 10), 255).convert(mode)
    image.putpixel((3, 3), 0)
    shown = open_image(save(image, "PNG")).image
    assert shown.getpixel((3, 3)) == (0, 0, 0) and shown.getpixel((5, 5)) == (255, 255, 255)


def test_cmyk_as_photoshop_writes_it_upside_down() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    adobe = save(red, "JPEG", quality=95)
    assert b"Adobe" in adobe[:100]
    colour = open_image(adobe).image.getpixel((5, 5))
    assert isinstance(colour, tuple) and colour[0] > 240 and max(colour[1:]) < 15


TRANSPARENT = {
    "RGBA": lambda: save(Image.new("RGBA", (20, 10), (255, 0, 0, 0)), "PNG"),
    "LA": lambda: save(Image.new("LA", (20, 10), (0, 0)), "PNG"),
    "PA": lambda: save(Image.new("P", (20, 10), 0), "PNG", transparency=b"\0"),
    "colour key of RGB": lambda: save(Image.new("RGB", (20, 10), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
    "colour key of grey": lambda: save(Image.new("L", (20, 10), 7), "PNG", transparency=7),
    "GIF": lambda: save(Image.new("P", (20, 10), 0), "GIF", transparency=0),
    "WebP": lambda: save(Image.new("RGBA", (20, 10), (255, 0, 0, 0)), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_becomes_white(name: str) -> None:
    assert open_image(TRANSPARENT[name]()).image.getpixel((5, 5)) == (255, 255, 255)


def test_half_transparent_is_halfway_to_white() -> None:
    half = Image.new("RGBA", (20, 10), (0, 0, 0, 128))
    assert open_image(save(half, "PNG")).image.getpixel((5, 5)) == (127, 127, 127)


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


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.array([0, 2048, 4095], np.uint16), [0, 127, 255]),  # 12 bits, as scanners store them
        (np.array([0, 512, 1023], np.uint16), [0, 127, 255]),
        (np.array([-3e38, 0, 3e38], np.float32), [0, 127, 255]),  # their span is no float32
        (np.array([np.nan, 0, 1], np.float32), [0, 0, 255]),
        (np.array([-np.inf, 0, 1, np.inf], np.float32), [0, 0, 255, 255]),
        (np.array([-np.inf, 0, np.inf], np.float32), [0, 0, 0]),
        (np.array([7, 7, 7], np.float32), [0, 0, 0]),
        (np.array([-1000, 0, 1000], np.int32), [0, 127, 255]),
    ],
    ids=str,
)
def test_greys_of_any_range_in_a_tiff(
    values: "np.ndarray[tuple[int], np.dtype[np.float32]]", shown: list[int]
) -> None:
    image = Image.fromarray(values[None, :].repeat(4, 0))
    assert np.asarray(open_image(save(image, "TIFF")).image)[0, :, 0].tolist() == shown


def test_a_float_tiff_without_a_value_is_refused() -> None:
    with pytest.raises(BadImageError, match="finite"):
        open_image(save(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


def test_a_dark_16_bit_png_stays_dark() -> None:
    dark = Image.fromarray(np.full((4, 4), 3000, np.uint16))
    assert open_image(save(dark, "PNG")).image.getpixel((0, 0)) == (11, 11, 11)


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


def test_pages_are_decoded_with_one_look_and_stay_apart() -> None:
    pages = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    for page, model in zip(pages, ("one", "two", "three"), strict=True):
        exif = Image.Exif()
        exif[ExifTags.Base.Model] = model
        page.encoderinfo = {"exif": exif}  # type: ignore[attr-defined]
    data = save(pages[0], "TIFF", save_all=True, append_images=pages[1:], exif=pages[0].encoderinfo["exif"])  # type: ignore[attr-defined]
    found = [page for page in open_images(data) if not isinstance(page, BadImageError)]
    assert [page.image.getpixel((1, 1)) for page in found] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert [page.exif[ExifTags.Base.Model] for page in found] == ["one", "two", "three"]
    assert [page.pages for page in found] == [3, 3, 3]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_one_broken_page_is_not_the_whole_tiff(broken: int) -> None:
    pages = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    data = bytearray(
        save(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    )
    with Image.open(io.BytesIO(bytes(data))) as whole:
        assert isinstance(whole, TiffImagePlugin.TiffImageFile)
        whole.seek(broken)
        (start,), (size,) = whole.tag_v2[273], whole.tag_v2[279]
    data[start : start + size] = b"\xff" * size
    found = list(open_images(bytes(data)))
    assert [isinstance(page, BadImageError) for page in found] == [number == broken for number in range(3)]
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for page, colour in zip(found, colours, strict=True):
        assert isinstance(page, BadImageError) or page.image.getpixel((1, 1)) == colour


def test_a_thumbnail_in_a_tiff_is_no_page() -> None:
    data = bytearray(tiff({254: 1, **GREY}, bytes(16), pages=3))
    entry = 2 + 12 * 10 + 4
    for page in (0, 2):
        struct.pack_into("<I", data, 8 + entry * page + 2 + 8, 0)
    assert open_image(bytes(data)).pages == 2


def test_a_full_document_is_taken_and_one_page_more_is_not() -> None:
    assert open_image(tiff(GREY, bytes(16), 5), limits=ImageLimits(max_pages=5)).pages == 5
    with pytest.raises(BadImageError, match="more than 5 pages"):
        open_image(tiff(GREY, bytes(16), 6), limits=ImageLimits(max_pages=5))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"MM\0*\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"x"]
)
def test_broken_exif_costs_no_image(file_format: str, exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, as they are ignored outside of tests
        assert open_image(save(noise(), file_format, exif=exif)).image.size == (64, 48)


def test_a_stereo_image_is_its_first_one() -> None:
    data = save(noise(800, 600), "MPO", save_all=True, append_images=[noise(800, 600, 1)])
    picture = open_image(data, min_side=200)
    assert (picture.pages, picture.width, picture.image.size) == (
        1,
        800,
        (267, 200),
    ) or picture.image.size == (400, 300)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jpg"
    path.write_bytes(save(corners(), "PNG"))
    assert open_image(path).format == "PNG"


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_line(name: str) -> None:
    with pytest.raises(BadImageError) as caught:
        open_image(BAD[name]())
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 10


def test_what_is_no_image_is_called_so() -> None:
    for name, says in (
        ("text", "not an image"),
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


def test_bombs_take_little_memory_and_time(tmp_path: Path) -> None:
    bombs = {
        name: make() for name, make in BAD.items() if "bomb" in name or "claims" in name or "lies" in name
    }
    bombs |= {"text": text_bomb(), "tags": tag_bomb(), "pages": endless_tiff()}
    for number, data in enumerate(bombs.values()):
        (tmp_path / f"bomb{number}").write_bytes(data)
    for file_format in ("PNG", "TIFF", "JPEG"):
        (tmp_path / f"ok.{file_format}").write_bytes(save(noise(), file_format))
    code = """if True:
        import pathlib, resource, sys, time
        from askpix.core.errors import BadImageError
        from askpix.core.imaging.decode import open_image

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        folder = pathlib.Path(sys.argv[1])
        for path in folder.glob("ok.*"):
            open_image(path)
        before = peak()
        for path in folder.glob("bomb*"):
            try:
                open_image(path, min_side=260)
            except BadImageError:
                pass
        unit = 1 if sys.platform == "darwin" else 1024
        print((peak() - before) * unit / 2**20)
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60, "MB"
    assert len(bombs) >= 9


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
