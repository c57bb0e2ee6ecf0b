import io
import json
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DecodedImage, ImageLimits, read_bytes
from askpix.ingest.formats.pages import open_page, open_pages
from askpix.ingest.sources.walk import Skipped, Source, walk
from tests.conftest import ROOT
from tests.support.hostile import filled_form, locked_pdf, noise, pdf, pdf_image_bomb, save

LIMITS = ImageLimits()


def blank(*sizes: tuple[float, float]) -> bytes:
    """Blank pages of these sizes in points."""
    document = pypdfium2.PdfDocument.new()
    for width, height in sizes:
        document.new_page(width, height).close()
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def test_a_photo_is_one_page_without_a_number() -> None:
    (page,) = open_pages(save(Image.new("RGB", (30, 20), "red"), "PNG"), limits=LIMITS)
    assert (page.page, page.kind, page.error) == (None, "photo", None)
    assert page.picture and (page.picture.width, page.picture.height) == (30, 20)


def test_pdf_pages_have_a_fixed_resolution_however_they_are_drawn() -> None:
    data = blank((595, 842), (842, 595))
    pages = list(open_pages(data, limits=LIMITS, min_side=260))
    assert [(page.page, page.kind) for page in pages] == [(1, "page"), (2, "page")]
    first = pages[0].picture
    assert first and (first.width, first.height) == (1240, 1755)
    assert 260 <= first.image.width <= 262
    whole = open_page(data, 1, limits=LIMITS)
    assert (whole.width, whole.height) == (first.width, first.height) == whole.image.size


@pytest.mark.parametrize(
    ("points", "pixels"), [((60, 60), (125, 125)), ((612, 792), (1275, 1650)), ((1, 1), (3, 3))]
)
def test_whole_sizes_stay_whole(points: tuple[int, int], pixels: tuple[int, int]) -> None:
    picture = open_page(blank(points), 1, limits=LIMITS)
    assert (picture.width, picture.height) == picture.image.size == pixels


def test_words_of_a_pdf_are_drawn() -> None:
    buffer = io.BytesIO()
    page = Image.new("RGB", (600, 800), "white")
    page.paste("black", (100, 100, 500, 200))
    page.save(buffer, "PDF", resolution=72)
    picture = open_page(buffer.getvalue(), 1, limits=LIMITS)
    assert picture.image.resize((60, 80)).getpixel((30, 15)) == (0, 0, 0)


def test_tiff_pages() -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]
    data = save(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    pages = list(open_pages(data, limits=LIMITS))
    assert [page.page for page in pages] == [1, 2, 3]
    assert [page.picture.image.getpixel((1, 1)) for page in pages if page.picture] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"%PDF-1.7\ngarbage", "damaged PDF"),
        (blank((595, 842))[:200], "damaged PDF"),
        (locked_pdf(), "needs a password"),
        (pdf(b"").replace(b"/Kids[3 0 R]/Count 1", b"/Kids[]/Count 0"), "damaged PDF"),
        (b"not a document", "not an image"),
    ],
)
def test_files_that_cannot_be_opened(data: bytes, says: str) -> None:
    with pytest.raises(BadImageError, match=says):
        list(open_pages(data, limits=LIMITS))


def test_limits() -> None:
    with pytest.raises(BadImageError, match="3 pages is over the limit of 2"):
        list(open_pages(blank(*[(50, 50)] * 3), limits=ImageLimits(max_pages=2)))
    huge, small = list(open_pages(blank((14_400, 14_400), (50, 50)), limits=LIMITS))
    assert huge.picture is None and huge.error and "over the limit" in huge.error
    assert small.picture is not None, "one bad page is not the whole document"
    with pytest.raises(BadImageError, match="no page 9"):
        open_page(blank((50, 50)), 9, limits=LIMITS)


def test_threads_may_open_pdfs_at_once() -> None:
    data = blank(*[(200, 300)] * 4)

    def draw(number: int) -> tuple[int, int]:
        return open_page(data, number % 4 + 1, limits=LIMITS).image.size

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(24)))) == 1


def test_what_people_filled_in_is_drawn() -> None:
    picture = open_page(filled_form(), 1, limits=LIMITS)
    assert picture.image.resize((3, 4)).getpixel((1, 3)) == (0, 0, 0)
    assert picture.image.resize((3, 4)).getpixel((1, 0)) == (255, 255, 255)


def test_a_image_that_speaks_of_pdf_is_a_image() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "%PDF-1.7"
    data = save(noise(), "JPEG", exif=exif)
    assert b"%PDF-" in data[:200]
    (page,) = open_pages(data, limits=LIMITS)
    assert page.kind == "photo"
    (page,) = open_pages(b"\n\n some bytes before\n" + pdf(b""), limits=LIMITS)
    assert page.kind == "page"


@pytest.mark.parametrize(
    "box", [b"0 0 1e38 1e38", b"0 0 99999999999999999999 1", b"0 0 0 0", b"5 5 nan inf", b"0 0 -9 -9"]
)
def test_absurd_pages_are_refused_or_drawn_small(box: bytes) -> None:
    data = pdf(b"").replace(b"0 0 300 400", box)
    for page in open_pages(data, limits=LIMITS):
        assert page.error or (page.picture and page.picture.width * page.picture.height <= LIMITS.max_pixels)


def test_a_pdf_full_of_pixels_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.pdf").write_bytes(pdf_image_bomb())
    code = """if True:
        import pathlib, resource, sys
        from askpix.core.imaging.decode import ImageLimits
        from askpix.ingest.formats.pages import open_pages

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        data, before = pathlib.Path(sys.argv[1]).read_bytes(), peak()
        (page,) = open_pages(data, limits=ImageLimits(), min_side=260)
        assert page.error or page.picture.image.getpixel((9, 9)) == (0, 0, 0)
        print((peak() - before) * (1 if sys.platform == "darwin" else 1024) / 2**20)
    """
    command = [sys.executable, "-c", code, str(tmp_path / "bomb.pdf")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150, "12,000 x 12,000 pixels of 3 bytes are 412 MiB"


def test_a_caller_may_stop_looking_at_any_page() -> None:
    pages = open_pages(blank(*[(50, 50)] * 9), limits=LIMITS)
    next(pages)
    other = open_page(blank((60, 60)), 1, limits=LIMITS)
    assert other.width == 125
    pages.close()  # type: ignore[attr-defined]
    assert next(open_pages(blank((50, 50)), limits=LIMITS)).picture


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([filled_form(), pdf(b"0 g 9 9 99 99 re f"), locked_pdf(), blank((50, 50), (60, 60))]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=20),
    st.floats(0.1, 1),
)
def test_mutated_documents_fail_cleanly(data: bytes, changes: list[tuple[float, int]], kept: float) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * (len(changed) - 1))] = value
    try:
        for page in open_pages(bytes(changed[: int(kept * len(changed))]), limits=LIMITS, min_side=16):
            assert (page.picture is None) != (page.error is None)
    except BadImageError as error:
        assert "\n" not in str(error)


def outcome(path: Path) -> list[DecodedImage] | str:
    """The pictures of a file, or its error."""
    try:
        pages = list(open_pages(read_bytes(path), limits=LIMITS))
    except BadImageError as error:
        return str(error)
    return [page.picture for page in pages if page.picture] or str(pages[0].error)


def small(picture: DecodedImage) -> "NDArray[np.int64]":
    return np.asarray(picture.image.resize((64, 64)), np.int64)


def test_every_row_of_the_nasty_files(shared_data: Path, tmp_path: Path) -> None:
    """Broken and awkward files, through the walk and the decoders: as each row expects."""
    with tarfile.open(shared_data / "nasty_files.tar") as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    root = tmp_path / "nasty_files"
    rows = [json.loads(line) for line in (root / "manifest.jsonl").read_text("utf-8").splitlines()]
    items = list(walk([root / "files"]))
    found = [item.uri for item in items if isinstance(item, Source)]
    skipped = {item.path: item.reason for item in items if isinstance(item, Skipped)}
    assert len(found) == len(set(found)), "nothing twice"
    seen = {uri: outcome(Path(uri)) for uri in found}
    for row in rows:
        path = str(root / row["file"])
        got = seen.get(path)
        indexed = isinstance(got, list)
        says = got if isinstance(got, str) else skipped.get(path, "")
        clear = bool(says) and "\n" not in says
        match row["expect"].partition(";")[0].partition(",")[0]:
            case (
                "per-file error"
                | "refused before decoding"
                | "refused before allocating"
                | "the entity must not be read"
            ):
                assert not indexed and clear, (row, got)
            case "indexed by its first frame":  # and one for each further scene
                assert indexed and got, (row, got)
            case "indexed" | "indexed as RGB" | "indexed by its content" | (
                "indexed upright" | "indexed on a plain background" | "recognised as the same content"
                | "near-duplicate: very close vector" | "answers the question asked"
            ):  # fmt: skip
                or_skipped = row["expect"].endswith("or skipped with a reason")
                assert (indexed and len(got) == 1) or (or_skipped and clear), (row, got)
            case (
                "either decodes or a per-file error"
                | "decodes or per-file error"
                | "indexed or a clear per-file error"
            ):
                assert indexed or clear, (row, got)
            case "page 1 at least" | "one record per page":
                assert indexed and len(got) == len(row["page_text"]), (row, got)
            case "rasterised or a clear refusal":
                assert indexed or "SVG" in says, (row, got)
            case "per-file error or skipped" | "not followed":
                assert got is None and clear, (row, got)
            case "walked as a directory":
                assert any(uri.startswith(path + "/") for uri in found)
            case "the walk ends":
                assert not any(uri.startswith(path + "/") for uri in found) and clear
            case expected:
                pytest.fail(f"no check for {expected!r}")
        if not indexed:
            continue
        if "upright_size" in row:
            assert [got[0].width, got[0].height] == row["upright_size"], row
        twin = seen.get(str(root / "files" / row.get("same_content_as", "")))
        if isinstance(twin, list):
            assert np.abs(small(got[0]) - small(twin[0])).mean() < 12, row
        if row.get("duplicate") == "exact":
            assert Path(path).read_bytes() == (root / "files" / row["duplicate_of"]).read_bytes()
        if row["file"] == "files/gray16.png":
            assert small(got[0]).std() > 20, "not all white"


def test_the_bombs_among_the_nasty_files_take_little_memory(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "nasty_files.tar") as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    code = """if True:
        import pathlib, resource, sys
        from askpix.core.errors import BadImageError
        from askpix.core.imaging.decode import ImageLimits, open_image
        from askpix.ingest.formats.pages import open_pages

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        folder = pathlib.Path(sys.argv[1])
        open_image(folder / "one_pixel.png")
        bombs, before = sorted(folder.glob("bomb_*")), peak()
        assert len(bombs) == 3
        for bomb in bombs:
            try:
                list(open_pages(bomb.read_bytes(), limits=ImageLimits()))
            except BadImageError:
                pass
        print((peak() - before) * (1 if sys.platform == "darwin" else 1024) / 2**20)
    """
    command = [sys.executable, "-c", code, str(tmp_path / "nasty_files" / "files")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30, "400 MB once decoded, and 60 MB of text"
