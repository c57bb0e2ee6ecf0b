"""The page in a real browser: search, ask, citations, upload, keys, keyboard, phone, screen readers.

One server with a few of the sample pictures; every test has a fresh page that must neither complain nor ask
another address for anything.
"""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from askpix.api.demo import PICTURES
from tests.support.browser import Tab, browser, ready, sampled, serious, tab, until
from tests.support.service import served

BOX = """(selector) => {
    const box = document.querySelector(selector).getBoundingClientRect();
    return [box.x, box.y, box.width, box.height];
}"""
QUESTION = "What is the total on the Hotel Alpenblick receipt?"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sampled(tmp_path_factory.mktemp("home") / "askpix") as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def seen(chromium: Any, url: str) -> Iterator[Tab]:
    """A wide page, light, with the pictures there."""
    with tab(chromium, url, color_scheme="light") as made:
        yield ready(made)


def names(page: Any) -> list[str]:
    """Of the pictures shown, in order."""
    return [
        text.removeprefix("Image ")
        for text in page.eval_on_selector_all(
            ".tile", "tiles => tiles.map(tile => tile.getAttribute('aria-label'))"
        )
    ]


def test_search_while_typing(seen: Tab) -> None:
    page = seen.page
    asked: list[str] = []
    page.on(
        "request",
        lambda each: each.url.endswith("/search") and asked.append(json.loads(each.post_data)["text"]),
    )
    page.type("#query", "a cup of coffee", delay=15)
    until(page, "document.querySelector('.tile')?.getAttribute('aria-label').includes('coffee-cup')")
    assert asked[-1] == "a cup of coffee" and len(asked) <= 6, "debounced, not a search a letter"
    assert "q=a+cup+of+coffee" in page.url, "a link to it, and back leads back"
    assert "ms" in page.inner_text("#status")
    page.reload()
    page.wait_for_selector(".tile img.here")
    assert page.input_value("#query") == "a cup of coffee" and names(page)[0] == "coffee-cup.jpg"


def test_the_last_search_wins(seen: Tab) -> None:
    """A slow answer to an older query must not replace the newer one."""
    page = seen.page

    def slow(route: Any) -> None:
        if json.loads(route.request.post_data)["text"] == "a rocket":
            time.sleep(0.6)
        route.continue_()

    page.route("**/search", slow)
    page.fill("#query", "a rocket")
    page.wait_for_timeout(260)
    page.fill("#query", "a cat")
    until(page, "document.querySelector('.tile')?.getAttribute('aria-label').includes('cat.jpg')")
    page.wait_for_timeout(900)
    assert names(page)[0] == "cat.jpg"


def test_search_by_a_dropped_and_a_pasted_image(seen: Tab) -> None:
    page = seen.page
    data = list((PICTURES / "receipts" / "sakura-sushi.jpg").read_bytes())
    send = """([bytes, kind]) => {
        const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array(bytes)], 'mine.jpg', { type: 'image/jpeg' }));
        const how = { bubbles: true, cancelable: true };
        const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: carried, ...how })
          : new DragEvent(kind, { dataTransfer: carried, ...how });
        document.body.dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(send, [data, kind])
        page.wait_for_selector("#example img")
        until(page, "document.querySelector('#status').textContent.includes(' ms')")
        assert names(page)[0] == "sakura-sushi.jpg"
        if (
            kind == "paste"
        ):  # all pictures come late: what their list says must not hide why a file was refused
            page.route("**/timeline*", lambda route: (time.sleep(0.5), route.continue_()))
        page.click("#example button")
        page.wait_for_selector("#example", state="hidden")
    page.evaluate(send, [[1, 2, 3], "drop"])
    until(page, "document.querySelector('#status').textContent.includes('mine.jpg')")
    page.wait_for_timeout(700)
    assert "mine.jpg" in page.inner_text("#status")


def test_what_is_not_there_is_said(seen: Tab) -> None:
    page = seen.page
    page.fill("#query", "how to reset a forgotten password")
    page.wait_for_selector("#empty h1")
    assert page.inner_text("#empty h1") == "Nothing here matches." and page.query_selector(".tile") is None
    page.click("#empty button")
    page.wait_for_selector(".tile")
    assert "closest" in page.inner_text("#status")


def test_a_citation_is_drawn_where_the_words_stand(seen: Tab, url: str) -> None:
    """The frame around the cited words, measured on the screen, against the box in pixels of the original."""
    page = seen.page
    page.fill("#query", QUESTION)
    page.click("#ask")
    page.wait_for_selector(".cite")
    assert "429.00" in page.inner_text(".answer")
    page.click(".cite")
    page.wait_for_selector(".cited mark")
    until(
        page,
        "document.querySelector('.sheet img').complete && document.querySelector('.sheet img').naturalWidth",
    )
    page.wait_for_timeout(300)
    box = [float(each) for each in page.get_attribute(".cited mark", "data-box").split(",")]
    with Image.open(PICTURES / "receipts" / "hotel-alpenblick.jpg") as original:
        width, height = original.size
    sheet = page.evaluate(BOX, ".sheet img")
    assert abs(sheet[2] / sheet[3] - width / height) < 0.01, "the image is not squeezed"
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    left, top = round(sheet[0]), round(sheet[1])
    part = shot[top : top + round(sheet[3]), left : left + round(sheet[2])]
    frame = np.abs(part - np.array([240, 185, 75])).sum(axis=2) < 12
    ys, xs = np.nonzero(frame)
    drawn = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / [
        sheet[2],
        sheet[3],
        sheet[2],
        sheet[3],
    ]
    wanted = np.array(box) / [width, height, width, height]
    edge = 3 / np.array([sheet[2], sheet[3], sheet[2], sheet[3]]) * [-1, -1, 1, 1]
    assert np.abs(drawn - (wanted + edge)).max() < 0.01, (drawn, wanted)
    # What stands below the frame in the original is what was quoted: dark letters on light paper.
    assert page.get_attribute(".cited mark", "title")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer", state="hidden")
    assert page.evaluate("document.activeElement.className") == "cite", (
        "the focus goes back where it came from"
    )


def test_hits_come_before_the_answer_and_silence_is_said(seen: Tab, url: str) -> None:
    page = seen.page
    page.fill("#query", "What did the flight to Lisbon cost?")
    page.click("#ask")
    page.wait_for_selector(".unanswered")
    assert page.query_selector(".cite") is None
    order = page.evaluate(
        """async (question) => {
            const reply = await fetch('/v1/collections/default/ask', {
                method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Askpix-Page': '1' },
                body: JSON.stringify({ question, stream: true }) });
            return [...(await reply.text()).matchAll(/^event: (\\w+)/gm)].map((each) => each[1]);
        }""",
        QUESTION,
    )
    assert order[0] == "hits" and order[-1] == "answer" and "delta" in order


def test_upload_with_a_broken_file(seen: Tab, tmp_path: Path) -> None:
    page = seen.page
    good, broken = tmp_path / "fresh.jpg", tmp_path / "broken.jpg"
    Image.effect_noise((320, 240), 80).convert("RGB").save(good)
    broken.write_bytes(b"\xff\xd8\xff no picture at all")
    page.click("#library")
    page.set_input_files("#upload-files", [good, broken])
    page.wait_for_selector(".failures li")
    assert "broken.jpg" in page.inner_text(".failures") and "fresh.jpg" not in page.inner_text(".failures")
    assert "1 added" in page.inner_text("#shelf")
    page.keyboard.press("Escape")
    page.wait_for_selector('.tile[aria-label="Image fresh.jpg"]', state="attached")


def test_by_keyboard_alone(seen: Tab) -> None:
    page = seen.page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("a sailing boat")
    until(page, "document.querySelector('.tile')?.getAttribute('aria-label').includes('sailing')")
    page.keyboard.press("ArrowDown")
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "sailing" in first
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") != first
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer[open]")
    page.keyboard.press("+")
    page.wait_for_selector(".stage.zoomed")
    page.keyboard.press("0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer", state="hidden")
    assert "Image" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    for _ in range(12):  # no trap: Tab walks on and the ring is always to be seen
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") is not None


def test_on_a_phone_in_the_dark(chromium: Any, url: str) -> None:
    with tab(chromium, url, width=390, height=844, color_scheme="dark", has_touch=True) as made:
        page = ready(made, "/?q=a+receipt").page
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, (
            "nothing is wider than the screen"
        )
        small = page.evaluate("""[...document.querySelectorAll('header button, header select, #filter')]
            .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 40)
            .map((each) => each.outerHTML)""")
        assert small == [], "fingers need 40 pixels"
        page.tap(".tile")
        page.wait_for_selector("#viewer[open]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screen_readers_and_contrast(chromium: Any, url: str, scheme: str) -> None:
    with tab(chromium, url, color_scheme=scheme) as made:
        page = ready(made).page
        assert serious(page) == []
        page.fill("#query", "receipts from May 2018")
        page.wait_for_selector("#understood .chip")
        page.wait_for_timeout(400)
        assert serious(page) == []
        page.fill("#query", QUESTION)
        page.click("#ask")
        page.wait_for_selector(".sources button")
        assert serious(page) == []
        page.click(".cite")
        page.wait_for_selector(".words span", state="attached")
        page.wait_for_timeout(300)
        assert serious(page) == []
        page.keyboard.press("Escape")
        page.click("#library")
        page.wait_for_selector("#shelf .list li")
        assert serious(page) == []


def test_a_key_is_asked_for_once(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its own server: once a key exists, the door is closed for everybody else."""
    from askpix.api.security.keys import KeyRing
    from askpix.api.security.tables import database_of

    home = tmp_path_factory.mktemp("keyed") / "askpix"
    home.mkdir()
    engine = database_of(home)
    _, key = KeyRing(engine).create("me", scope="admin")
    engine.dispose()
    with served(home) as (address, _), tab(chromium, address) as made:
        page = made.page
        page.goto(address)
        page.wait_for_selector("#login[open]")
        assert serious(page) == []
        page.fill("#key", "askpix_wrong")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#login [role=alert]').textContent")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#empty h1")
        page.reload()
        page.wait_for_selector("#empty h1")
        assert not page.is_visible("#login")
        cookie = page.context.cookies()[0]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == "", "no script can read it"
        used = page.evaluate(
            """async () => {
                const { S } = await import("/web/js/strings.js");
                const { keys } = await (await fetch("/v1/keys")).json();
                return keys.map((key) => S.usedAt(key.used_at));
            }"""
        )
        assert len(used) == 1 and "Invalid" not in used[0], "it reads the moments that the service tells"
        made.wrong = [
            each for each in made.wrong if "status of 401" not in each
        ]  # the browser notes each refusal itself
