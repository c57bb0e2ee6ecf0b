import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from core.errors import BadImageError
from core.images import ImageLimits
from ingest.documents import open_page, open_pages
from tests.hostile import save

LIMITS = ImageLimits()


def pdf(*sizes: tuple[float, float]) -> bytes:
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
    data = pdf((595, 842), (842, 595))
    pages = list(open_pages(data, limits=LIMITS, min_side=260))
    assert [(page.page, page.kind) for page in pages] == [(1, "page"), (2, "page")]
    first = pages[0].picture
    assert first and (first.width, first.height) == (1240, 1755)
    assert 260 <= first.image.width <= 262
    whole = open_page(data, 1, limits=LIMITS)
    assert (whole.width, whole.height) == (first.width, first.height) == whole.image.size


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
        (pdf((595, 842))[:200], "damaged PDF|without pages"),
        (b"not a document", "not a picture"),
    ],
)
def test_files_that_cannot_be_opened(data: bytes, says: str) -> None:
    with pytest.raises(BadImageError, match=says):
        list(open_pages(data, limits=LIMITS))


def test_limits() -> None:
    with pytest.raises(BadImageError, match="3 pages is over the limit of 2"):
        list(open_pages(pdf(*[(50, 50)] * 3), limits=ImageLimits(max_pages=2)))
    huge, small = list(open_pages(pdf((14_400, 14_400), (50, 50)), limits=LIMITS))
    assert huge.picture is None and huge.error and "over the limit" in huge.error
    assert small.picture is not None, "one bad page is not the whole document"
    with pytest.raises(BadImageError, match="no page 9"):
        open_page(pdf((50, 50)), 9, limits=LIMITS)


def test_threads_may_open_pdfs_at_once() -> None:
    data = pdf(*[(200, 300)] * 4)

    def draw(number: int) -> tuple[int, int]:
        return open_page(data, number % 4 + 1, limits=LIMITS).image.size

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(24)))) == 1


def test_the_awkward_documents(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "nasty_files.tar") as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    files = tmp_path / "nasty_files" / "files"
    pages = list(open_pages((files / "three_pages.pdf").read_bytes(), limits=LIMITS))
    assert [page.page for page in pages] == [1, 2, 3] and all(page.picture for page in pages)
    shown = [np.asarray(page.picture.image).mean() for page in pages if page.picture]
    assert max(shown) < 255
    with pytest.raises(BadImageError):
        list(open_pages((files / "not_really.pdf").read_bytes(), limits=LIMITS))
