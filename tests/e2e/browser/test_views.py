"""The page's views in a real browser: walls without end, chips, years, map, conversation, viewer, library."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from askpix.api.client.client import Client
from askpix.api.demo import PICTURES
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.ingest.catalog.models import SourceState
from tests.support.browser import Tab, browser, ready, sampled, serious, tab, until
from tests.support.fakes import record

MANY = 20_000
ROME, TOKYO = (41.9, 12.5), (35.7, 139.7)
QUESTION = "What is the total on the Hotel Alpenblick receipt?"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The samples, some dated and placed photos among them, and beside them a collection of 20,000."""
    folder = tmp_path_factory.mktemp("views")
    fill_many(folder / "askpix")
    dated = [
        (2019, ROME, "astronaut"),
        (2019, ROME, "cat"),
        (2021, TOKYO, "grass"),
        (2021, None, "gravel"),
        (2024, TOKYO, "rocket-launch"),
    ]
    with sampled(folder / "askpix") as address:
        client = Client(address)
        taken = [photo(folder, year, where, name) for year, where, name in dated]
        client.index("default", taken)
        yield address


def fill_many(home: Path) -> None:
    """Pictures that are known and have no files: what a page asks of them is answered by the test."""
    workspace = Workspace(Settings(home=home))
    collection = workspace.create_collection("many", "mini")
    states, added = {}, {}
    for number in range(MANY):
        sha, shape = f"{number:064x}", ((640, 480), (480, 640), (800, 450), (500, 500))[number % 4]
        taken = datetime(2026, 1, 1) - timedelta(hours=5 * number)
        states[f"/many/{number}.jpg"] = SourceState(1, 1, sha, None, None)
        uri = f"/many/{number}.jpg"
        added[sha] = [record(number, uri=uri, width=shape[0], height=shape[1], taken_at=taken)]
    workspace.catalog.record(collection, states=states, added=added, gone=[])
    workspace.catalog.close()


def photo(folder: Path, year: int, where: tuple[float, float] | None, name: str) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = f"{year}:06:01 12:00:00"
    if where:
        place = exif.get_ifd(0x8825)
        place.update({1: "N", 2: (where[0], 0.0, 0.0), 3: "E", 4: (where[1], 0.0, 0.0)})
    path = folder / f"{year}-{name}.jpg"
    with Image.open(PICTURES / "photos" / f"{name}.jpg") as image:
        image.convert("RGB").resize((300, 220)).save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def seen(chromium: Any, url: str) -> Iterator[Tab]:
    with tab(chromium, url, color_scheme="light") as made:
        yield made


def painted(page: Any) -> None:
    """Thumbnails of pictures that have no file."""
    buffer = BytesIO()
    Image.new("RGB", (8, 6), "teal").save(buffer, "WEBP")
    reply = {"status": 200, "content_type": "image/webp", "body": buffer.getvalue()}
    page.route("**/thumbnail?*", lambda route: route.fulfill(**reply))
    page.route("**/file", lambda route: route.fulfill(**reply))


def alone(page: Any) -> None:
    """Nothing looks like a picture that was never looked at: the service says 404 to such a search, and the
    console of the page repeats it whenever the answer comes before the test ends."""

    def answer(route: Any) -> None:
        if json.loads(route.request.post_data).get("image"):
            route.fulfill(json={"hits": [], "total": 0})
        else:
            route.continue_()

    page.route("**/search", answer)


def watched(page: Any) -> str:
    """A script that says where on the wall the tile is that is now in the middle of the screen."""
    page.evaluate("""() => {
        const off = (each) => Math.abs(each.getBoundingClientRect().top - innerHeight / 2);
        const tile = [...document.querySelectorAll('.tile')].sort((a, b) => off(a) - off(b))[0];
        document.querySelector('#watched')?.removeAttribute('id');
        tile.id = 'watched';
    }""")
    return "document.querySelector('#watched').getBoundingClientRect().top + scrollY"


@pytest.mark.slow
def test_a_wall_of_twenty_thousand(seen: Tab) -> None:
    page = seen.page
    painted(page)
    alone(page)
    ready(seen, "/?c=many")
    assert "20,000 images" in page.inner_text("#status")
    high = page.evaluate("document.querySelector('#results').offsetHeight")
    assert high > 500_000, "the scroll bar knows all of them from the start"
    for share in (0.3, 0.77, 0.5):
        page.evaluate(f"scrollTo(0, {high * share})")
        until(
            page,
            "[...document.querySelectorAll('.tile')].some((tile) => tile.querySelector('.here')"
            " && Math.abs(tile.getBoundingClientRect().top - innerHeight / 2) < 200)",
        )
        where = watched(page)
        before = page.evaluate(where)
        page.wait_for_timeout(150)
        assert page.evaluate(where) == before, "nothing moves when pictures come"
        page.evaluate("scrollBy(0, 120)")
        page.wait_for_timeout(60)
        assert page.evaluate(where) == pytest.approx(before, abs=1)
        assert page.evaluate("document.querySelectorAll('.tile').length") < 150
    assert page.evaluate("document.querySelector('#results').offsetHeight") == high
    assert re.search(r"20\d\d", page.inner_text("#rail .bubble")), "the rail says when one is"
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(100)
    page.focus(".tile")
    page.keyboard.press("End")
    until(page, "document.activeElement.getAttribute('aria-label') === 'Image 19999.jpg'")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#viewer h2').textContent === '19999.jpg'")


def test_endless_results_do_not_jump(seen: Tab) -> None:
    """24,000 results in pages of 60, from a fake answer: what is on screen stays where it is as more come."""
    page = seen.page
    painted(page)
    asked: list[int] = []

    def answer(route: Any) -> None:
        body = json.loads(route.request.post_data)
        offset = body["offset"]
        asked.append(offset)
        hits = [
            {"rank": n, "id": f"{n:036d}", "uri": f"/x/{n}.jpg", "kind": "photo", "page": None,
             "time_s": None, "score": 1.0, "why": {},
             "width": 400 + 37 * (n % 11), "height": 400, "snippet": None,
             "taken_at": None, "duplicates": 0, "preview": None}
            for n in range(offset, min(24_000, offset + body["top_k"]))
        ]  # fmt: skip
        query = {"text": body["text"], "clauses": [], "notes": []}
        full = {"query": query, "matched": True, "reason": None, "hits": hits, "took_ms": 1.0}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(full))

    page.route("**/search", answer)
    ready(seen, "/?q=things")
    for _ in range(40):
        where = watched(page)
        before = page.evaluate(where)
        more = len(asked)
        page.evaluate("scrollBy(0, 700)")
        page.wait_for_timeout(40)
        if page.evaluate("!document.querySelector('#watched')"):
            continue
        assert page.evaluate(where) == pytest.approx(before, abs=1), f"page {more} moved what was there"
    assert asked == list(range(0, 60 * len(asked), 60)) and len(asked) > 5, "each page once, in order"
    assert page.evaluate("document.querySelectorAll('.tile').length") < 150
    tops = page.evaluate("""() => {
        const boxes = [...document.querySelectorAll('.tile')].map((t) => t.getBoundingClientRect());
        return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
            && a.top < b.bottom - 1 && b.top < a.bottom - 1));
    }""")
    assert not tops, "no two pictures lie on each other"


def test_chips_are_edited_and_switched_off(seen: Tab) -> None:
    page = seen.page
    ready(seen)
    page.fill("#query", "receipts from 2025 over 100")
    page.wait_for_selector("#understood .chip.on")
    until(page, "document.querySelectorAll('#understood .chip.on').length === 2")
    until(page, "document.querySelectorAll('.tile').length === 1")
    chip = "#understood .chip:has-text('amount')"
    page.click(f"{chip} .what")
    page.fill(f"{chip} input", ">10")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.tile').length >= 2")
    assert "amount:>10" in page.input_value("#query")
    page.click(f"{chip} .x")
    page.wait_for_selector("#understood .chip.out")
    assert page.locator("#understood .chip.on").count() == 1
    assert serious(page) == []
    page.click("#understood .chip.out button")
    until(page, "document.querySelectorAll('#understood .chip.on').length === 2")
    page.go_back()
    until(page, "document.querySelectorAll('#understood .chip.out').length === 1")


def test_years_and_places_narrow_down(seen: Tab) -> None:
    page = seen.page
    ready(seen)
    page.click("#filter")
    page.wait_for_selector(".yearbar")
    assert page.get_attribute(".yearbar[data-year='2019']", "title") == "2019: 2 images"
    page.wait_for_selector(".dot")
    assert serious(page) == []
    page.click(".yearbar[data-year='2019']")
    until(page, "document.querySelectorAll('.tile').length === 2")
    assert page.text_content("#understood .chip.on .what") == "years 2019"
    assert page.get_attribute(".yearbar[data-year='2019']", "aria-pressed") == "true"
    page.click(".yearbar[data-year='2021']")
    until(page, "document.querySelectorAll('.tile').length === 4")
    assert page.text_content("#understood .chip.on .what") == "years 2019–2021"
    page.click("#understood .chip.on .x")
    page.wait_for_selector(".chip.on", state="detached")
    page.focus(".dot[aria-label='2 images here']")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#understood .what')?.textContent.startsWith('near')")
    until(page, "document.querySelectorAll('.tile').length === 2")
    page.reload()
    until(page, "document.querySelectorAll('.tile').length === 2")
    dots = page.evaluate(
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('land.svg')).length"
    )
    assert dots <= 1, "the coasts come from here, once"


def test_a_conversation(seen: Tab) -> None:
    page = seen.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ready(seen)
    page.fill("#query", QUESTION)
    page.click("#ask")
    page.wait_for_selector(".cite")
    page.hover(".cite")
    page.wait_for_selector(".tile.lit")
    assert "hotel-alpenblick" in page.get_attribute(".tile.lit", "aria-label")
    assert "extractive" in page.inner_text(".by") and "no cost" in page.inner_text(".by")
    page.click("text=Copy as Markdown")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"**{QUESTION}**") and "429.00" in copied
    link = re.search(rf"\[1\]: ({re.escape(seen.url)}/\?\S+)", copied)
    assert link, copied
    page.fill("#further", "Who issued it?")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.turn .cite').length === 2")
    assert "Alpenblick" in page.inner_text(".turn:nth-child(2) .answer")
    page.fill("#further", "What did the flight to Lisbon cost?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.silent .unanswered")
    page.goto(link[1])
    page.wait_for_selector(".cited mark")
    until(page, "document.querySelector('#viewer h2').textContent === 'hotel-alpenblick.jpg'")


def test_an_answer_is_stopped(seen: Tab) -> None:
    page = seen.page
    ready(seen)
    page.route("**/ask", lambda route: None)  # a model that thinks for ever
    page.fill("#query", QUESTION)
    page.click("#ask")
    page.click(".stop")
    until(page, "document.querySelector('.answer').textContent.includes('Stopped.')")
    page.unroute("**/ask")
    page.click("text=Ask again")
    page.wait_for_selector(".cite")


def test_the_viewer(seen: Tab) -> None:
    page = seen.page
    ready(seen, "/?q=library+annual+report")
    until(page, "document.querySelector('.tile').getAttribute('aria-label').includes('library-report')")
    page.click(".tile")
    page.wait_for_selector(".strip .small")
    assert page.locator(".strip .small").count() == 2
    page.click(".strip .small:not([aria-current])")
    until(
        page, "document.querySelector('.strip [aria-current]')?.getAttribute('aria-label').includes('Page 2')"
    )
    page.wait_for_selector(".words span", state="attached")
    picked = page.evaluate("""() => {
        const span = [...document.querySelectorAll('.words span')].find((each) => each.textContent[5]);
        getSelection().selectAllChildren(span);
        return [getSelection().toString(), span.textContent, getComputedStyle(span).userSelect];
    }""")
    assert picked[0] == picked[1] and picked[2] != "none"
    page.wait_for_selector(".side .smalls .small")
    percent = page.inner_text(".percent")
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_selector(".stage.zoomed")
    assert page.inner_text(".percent") != percent
    page.keyboard.press("1")
    assert page.inner_text(".percent") == "100 %", "one pixel of the picture is one of the screen"
    width = page.evaluate("document.querySelector('.sheet img').getBoundingClientRect().width")
    assert width == pytest.approx(
        page.evaluate("Number(document.querySelector('dl').textContent.match(/(\\d+) ×/)[1])"), abs=1
    )
    until(page, "document.querySelector('.sheet img').naturalWidth >= 1200")
    page.keyboard.press("Escape")
    page.fill("#query", "an astronaut")
    until(page, "document.querySelector('.tile').getAttribute('aria-label').includes('astronaut')")
    page.click(".tile")
    page.wait_for_selector(".side .smalls")
    page.click("#viewer >> text=More like this")
    page.wait_for_selector("#example img")


def test_the_library(seen: Tab) -> None:
    page = seen.page
    changing = {
        "embedder": "mini", "text_embedder": "all-MiniLM-L6-v2", "page_embedder": None,
        "generator": "extractive", "generator_problem": None, "replaced": "older",
        "building": {"embedder": "wide", "done": 4, "expected": 10},
        "report": {"was": "older", "embedder": "mini", "images": 10, "seconds": 3.2, "changed_over": True,
                   "missing": [], "comparison": {"queries": 8, "overlap": 0.75, "best_kept": 0.5}},
    }  # fmt: skip
    ready(seen)
    page.click("#library")
    page.wait_for_selector(".facts")
    assert "all-MiniLM-L6-v2" in page.inner_text(".facts") and "extractive" in page.inner_text(".facts")
    until(page, "document.querySelector('#shelf').textContent.includes('Uploaded here')")
    page.wait_for_selector("#key-name")
    page.route("**/models", lambda route: route.fulfill(json=changing))
    page.wait_for_selector(".building progress")
    assert page.evaluate("document.querySelector('.building progress').position") == pytest.approx(0.4)
    assert "4 of 10 images" in page.inner_text(".building")
    assert "75 %" in page.inner_text(".report")
    assert serious(page) == []
    page.fill("#new-name", "fresh")
    page.keyboard.press("Enter")
    page.wait_for_selector("#shelf .list .wide[aria-current]:has-text('fresh')")
