"""Pixels in flight are bounded, whatever threads decode at the same time."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from PIL import Image

from askpix.core.imaging import decode
from askpix.core.imaging.decode import open_image, open_images
from askpix.core.imaging.pixel_budget import PixelBudget
from askpix.ingest.formats import animation
from askpix.ingest.formats.pages import open_pages
from tests.support.films import moving

LIMITS = decode.ImageLimits()


def test_threads_share_the_budget_and_a_larger_image_is_alone() -> None:
    budget, lock = PixelBudget(100), threading.Lock()
    now, most = 0, 0

    def hold(pixels: int) -> None:
        nonlocal now, most
        with budget.held(pixels):
            with lock:
                now += pixels
                most = max(most, now)
                assert now <= 100 or now == pixels
            with lock:
                now -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, [30, 60, 250, 10, 90] * 40))
    assert now == 0 and most >= 250


def test_what_was_held_is_given_back_after_an_error() -> None:
    budget = PixelBudget(10)
    with pytest.raises(ValueError, match="broken"), budget.held(10):
        raise ValueError("broken")
    with budget.held(10):
        pass


class Counted:
    """A budget that counts what is in flight and lets decoders overlap where it may."""

    def __init__(self, pixels: int) -> None:
        self._budget, self._lock = PixelBudget(pixels), threading.Lock()
        self.now = self.most = self.total = 0
        self._here = threading.local()

    def held_here(self) -> int:
        """By this thread, now."""
        return getattr(self._here, "pixels", 0)

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        with self._budget.held(pixels):
            with self._lock:
                self.now += pixels
                self.most, self.total = max(self.most, self.now), self.total + pixels
            self._here.pixels = pixels
            try:
                yield
            finally:
                self._here.pixels = 0
                with self._lock:
                    self.now -= pixels


def tiff(pages: int, side: int) -> bytes:
    images = [Image.new("1", (side, side), n % 2) for n in range(pages)]
    made = io.BytesIO()
    images[0].save(made, "TIFF", save_all=True, append_images=images[1:], compression="group4")
    return made.getvalue()


def test_pages_are_decoded_within_the_bound_and_large_ones_come_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(600 * 600)
    monkeypatch.setattr(decode, "DECODING", counted)
    monkeypatch.setattr(decode, "LARGE_PIXELS", 10_000)
    data = tiff(6, 500)

    def sizes(_: int) -> list[tuple[int, int]]:
        pages = open_pages(data, limits=LIMITS, min_side=100)
        return [page.picture.image.size for page in pages if page.picture]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sizes, range(4))) == [[(125, 125)] * 6] * 4
    assert counted.total == 4 * 6 * 500 * 500
    assert counted.most <= 600 * 600, "one page of all four documents at a time"


def test_frames_of_animations_are_decoded_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(600 * 600)
    monkeypatch.setattr(animation, "DECODING", counted)
    data = moving("GIF", ("red", 8), ("green", 8), ("blue", 4))
    first = open_image(data)

    def frames(_: int) -> int:
        made = 0
        for page in open_pages(data, limits=LIMITS, min_side=20):
            assert page.picture and counted.held_here() == 0, "nobody waits for a caller who waits"
            made += 1
        return made

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(frames, range(4))) == [3] * 4
    assert counted.total == 4 * 2 * first.width * first.height
    animation.frame_at(data, 801, limits=LIMITS)
    assert counted.total == 5 * 2 * first.width * first.height and counted.now == 0


def test_a_page_is_let_go_before_the_next_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open decoders keep their pixels: those of large pages are closed."""
    monkeypatch.setattr(decode, "LARGE_PIXELS", 10_000)
    closed: list[tuple[int, int]] = []
    real = Image.Image.close

    def close(image: Image.Image) -> None:
        closed.append(image.size)
        real(image)

    monkeypatch.setattr(Image.Image, "close", close)
    for number, picture in enumerate(open_images(tiff(3, 500), min_side=100), start=1):
        assert isinstance(picture, decode.DecodedImage) and picture.image.size == (125, 125)
        assert (picture.width, picture.height, picture.pages) == (500, 500, 3)
        assert closed == [(500, 500)] * number


def test_only_large_images_are_made_smaller_and_no_smaller_than_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = io.BytesIO()
    Image.new("RGB", (400, 300), "red").save(made, "PNG")
    assert open_image(made.getvalue(), min_side=30).image.size == (400, 300)
    monkeypatch.setattr(decode, "LARGE_PIXELS", 1000)
    for min_side, size in ((30, (50, 38)), (75, (100, 75)), (151, (400, 300)), (None, (400, 300))):
        picture = open_image(made.getvalue(), min_side=min_side)
        assert picture.image.size == size and picture.image.getpixel((0, 0)) == (255, 0, 0)
        assert (picture.width, picture.height) == (400, 300)
