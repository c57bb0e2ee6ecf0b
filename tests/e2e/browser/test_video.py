"""A film in the page, in a real browser: its moments are tiles, and it plays from where it was found."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.support.browser import browser, ready, serious, tab, until
from tests.support.cli import runner
from tests.support.films import film, moving
from tests.support.service import served, until_ready


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """VP9 in WebM: what every Chromium plays, also those built without licensed codecs."""
    folder = tmp_path_factory.mktemp("video")
    scenes = [("cat", 3.0), ("rocket-launch", 3.0), ("coffee-cup", 3.0)]
    path = film(folder / "holiday.webm", scenes, size=(320, 240), codec="libvpx-vp9", gop=10)
    with served(folder / "askpix", ASKPIX_GENERATOR="extractive") as (address, _):
        client = until_ready(address)
        client.create_collection("default")
        client.index("default", [path])
        yield address


def test_a_scene_is_found_and_played_from_there(url: str, tmp_path: Path) -> None:
    with browser() as chromium, tab(chromium, url) as made:
        page = ready(made).page
        page.fill("#query", "a rocket launch")
        until(page, "document.querySelector('.tile')?.textContent.includes('0:03')")
        page.click(".tile")
        page.wait_for_selector("#viewer[open]")
        page.wait_for_selector("#viewer .small")
        assert page.locator("#viewer [role=group] .small").all_inner_texts() == ["0:00", "0:03", "0:06"]
        assert serious(page) == []
        page.click("#viewer button:has-text('Play from 0:03')")
        until(page, "document.querySelector('#viewer video')?.readyState >= 2")
        playing = page.locator("#viewer video")
        begun, long = playing.evaluate("film => [film.currentTime, film.duration]")
        assert 2.9 <= begun <= 6 and long == pytest.approx(9, abs=0.5)
        assert serious(page) == []
        page.keyboard.press("Escape")
        page.wait_for_selector("#viewer", state="hidden")


def test_an_animation_plays_as_the_image_that_it_is(url: str, tmp_path: Path) -> None:
    """The scenes of a GIF are tiles of their own; its first frame is the picture."""
    client = until_ready(url)
    client.create_collection("moving")
    path = tmp_path / "walk.gif"
    path.write_bytes(moving("GIF", ("red", 10), ("green", 10), size=(320, 240)))
    client.index("moving", [path])
    with browser() as chromium, tab(chromium, url) as made:
        page = ready(made).page
        page.select_option("#collection", "moving")
        until(page, "document.querySelectorAll('.tile img').length == 2")
        page.locator(".tile", has_text="0:01").click()
        page.wait_for_selector("#viewer[open]")
        page.wait_for_selector("#viewer .small")
        assert page.locator("#viewer [role=group] .small").all_inner_texts() == ["0:00", "0:01"]
        page.click("#viewer button:has-text('Play from 0:01')")
        until(page, "document.querySelector('#viewer img.moving')?.naturalWidth == 320")
        assert serious(page) == []


def test_the_film_of_a_live_photo_plays_and_one_of_its_own_is_none(tmp_path: Path) -> None:
    home = tmp_path / "askpix"
    askpix = runner(home, tmp_path)
    for name, seconds in (("live", 2.0), ("other", 5.0)):
        folder = tmp_path / name
        folder.mkdir()
        Image.new("RGB", (320, 240), "teal").save(folder / "IMG_1.JPG", comment=name)
        film(folder / "IMG_1.MP4", [("cat", seconds)], size=(320, 240), codec="libvpx-vp9", gop=10)
        askpix("index", folder, "--collection", name, "--ocr", "off")
    with served(home, ASKPIX_GENERATOR="extractive") as (url, _):
        client = until_ready(url)
        answers = {}
        for name in ("live", "other"):
            [photo] = [each for each in client.images(name) if each.kind == "photo"]
            assert client.image(photo.id).motion is (name == "live")
            answers[name] = httpx2.get(f"{url}/v1/images/{photo.id}/motion")
        assert answers["live"].content == (tmp_path / "live" / "IMG_1.MP4").read_bytes()
        assert answers["live"].headers["content-type"] == "video/mp4"
        assert answers["other"].status_code == 404
        with browser() as chromium, tab(chromium, url) as made:
            page = ready(made).page
            page.select_option("#collection", "live")
            until(page, "document.querySelectorAll('.tile img').length == 1")
            page.click(".tile")
            page.wait_for_selector("#viewer[open]")
            page.click("#viewer button:has-text('Play the live photo')")
            until(page, "document.querySelector('#viewer video')?.readyState >= 2")
            long = page.locator("#viewer video").evaluate("film => film.duration")
            assert long == pytest.approx(2, abs=0.5)
            assert serious(page) == []
