"""`askpix eval make`: queries from one's own pictures, and the page to review them on."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from askpix.api.evals.review import manifest_lines, review_page
from askpix.core.errors import AskpixError
from askpix.evaluation.data.manifest import read_manifest
from askpix.evaluation.data.questions import read_questions, read_receipts
from askpix.evaluation.data.synthesize import Candidate, Known, make_queries
from askpix.evaluation.suites.retrieval import evaluate
from tests.support.browser import browser, tab, until
from tests.support.cli import runner

HERE = Path("/p")
NASTY = "</script><img src=x onerror=alert(1)>.jpg"


def known(name: str, **about: Any) -> Known:
    return Known(HERE / name, name, **about)


def made(*pictures: Known, limit: int = 99, absent: int = 0, seed: int = 0) -> list[Candidate]:
    return make_queries(pictures, limit=limit, absent=absent, seed=seed)


def asked(candidates: list[Candidate]) -> dict[str, str]:
    """Query to the name of the picture that answers it."""
    return {each.query: each.image.name for each in candidates if each.image}


def test_titles_that_two_images_share_ask_for_none() -> None:
    found = made(
        known("a", captions=("Harbour at dusk",)),
        known("b", captions=("harbour  at DUSK", "the old crane")),
        known("c", captions=("Dusk", "x " * 90)),
    )
    assert asked(found) == {"the old crane": "b"}, "one word, or a whole essay, is no query"


def test_a_line_is_asked_by_only_where_no_other_image_has_its_words() -> None:
    found = made(
        known("a", lines=("Total amount due", "Invoice for roof tiles", "12.50 EUR 3 x 4")),
        known("b", lines=("TOTAL amount due", "roof", "for tiles invoice")),
        known("c", lines=("Total amount due: Fähre nach Büsum",)),
    )
    assert asked(found) == {"Total amount due: Fähre nach Büsum": "c"}


def test_the_rarest_line_of_a_image_is_taken_and_cut() -> None:
    found = made(
        known("a", lines=("see our terms online", "the heron stood beside our quiet pond until the evening")),
        known("b", lines=("read our terms online", "see us")),
    )
    assert "the heron stood beside our quiet pond" in asked(found)
    assert len(found) == 2, "one line a picture"


def test_days_and_places_that_are_one_images_own() -> None:
    found = made(
        known("a", taken_at=datetime(2021, 5, 9, 8), city="Ravensburg"),
        known("b", taken_at=datetime(2021, 5, 10, 8), city="Lindau"),
        known("c", taken_at=datetime(2021, 5, 10, 23), city="Lindau"),
        known("d", city="Graz"),
    )
    assert asked(found) == {"photo from 9 May 2021": "a", "Ravensburg in May 2021": "a"}


def test_kinds_and_images_take_turns() -> None:
    pictures = [
        known(f"{n}", captions=(f"title {n} one", f"title {n} two"), taken_at=datetime(2020, 1, n + 1))
        for n in range(8)
    ]
    found = made(*pictures, limit=8)
    assert Counter(each.kind for each in found) == {"caption": 4, "day": 4}
    assert len({each.image for each in found}) == 8, "each picture once before any twice"
    assert len(made(*pictures)) == 24


def test_absent_queries_ask_for_what_is_not_there() -> None:
    pictures = [
        known("a", captions=("A violin in its case", "Two penguins on the ice")),
        known("b", lines=("greetings from Osaka",), taken_at=datetime(2019, 2, 3), city="Nairobi"),
        known("c", taken_at=datetime(2019, 11, 3), city="Lima"),
    ]
    found = [each for each in made(*pictures, absent=500) if each.image is None]
    kinds = Counter(each.kind for each in found)
    assert kinds["absent month"] == 10, "of the years of the pictures, the months without any"
    assert {"absent thing", "absent place"} <= kinds.keys()
    queries = {each.query for each in found}
    for there in ("violin", "penguins", "Osaka", "Nairobi", "Lima", "February", "November"):
        assert not any(there in query for query in queries), there
    assert len(queries) == len(found)
    assert {each.kind for each in made(*pictures, absent=3)[-3:]} == kinds.keys(), "kinds take turns"


def test_nothing_known_makes_no_query_but_absent_things() -> None:
    found = made(known("a"), absent=200)
    assert found and {each.kind for each in found} == {"absent thing", "absent place"}
    assert made(absent=0) == []


def test_the_seed_decides() -> None:
    pictures = [known(f"{n}", captions=(f"title number {n}",)) for n in range(40)]
    first = made(*pictures, limit=10, absent=5)
    assert first == made(*pictures, limit=10, absent=5)
    assert first != made(*pictures, limit=10, absent=5, seed=1)


def test_the_manifest_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "set").mkdir()
    picture = tmp_path / "photos" / "ü b.png"
    Image.new("RGB", (8, 8)).save(picture)
    candidates = [
        Candidate('a "quoted" line', "caption", picture),
        Candidate("photo from 9 May 2021", "day", picture),
        Candidate("a camel", "absent thing", None),
    ]
    manifest = tmp_path / "set" / "manifest.jsonl"
    manifest.write_text("\n".join(manifest_lines(candidates, tmp_path / "set")), "utf-8")
    dataset = read_manifest(manifest)
    assert [(case.query, case.image.resolve(), case.set) for case in dataset.cases] == [
        ('a "quoted" line', picture, "caption"),
        ("photo from 9 May 2021", picture, "day"),
    ]
    assert dataset.absent == ("a camel",)
    for read in (read_questions, read_receipts):
        with pytest.raises(AskpixError, match="holds no"):
            read(manifest)


def test_absent_queries_are_right_when_refused() -> None:
    report = evaluate(
        "set", [], lambda query: (query == "found", []), gallery=1, absent=["found", "gone", "far", "no"]
    )
    assert report.absent == 4
    assert report.absent_refused is not None and report.absent_refused.value == 0.75
    assert report.to_json()["absent_refused"]["value"] == 0.75
    assert evaluate("set", [], lambda query: (True, []), gallery=1).absent_refused is None


def test_absent_of_a_wrong_kind_is_told(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"absent": 7}\n')
    done = runner(tmp_path / "home", tmp_path)("eval", "retrieval", manifest, code=1)
    assert "m.jsonl" in done.stderr


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


def test_the_review_page(chromium: Any, tmp_path: Path) -> None:
    folder = tmp_path / "a #1 ü"
    folder.mkdir()
    candidates = [
        Candidate("first", "caption", folder / NASTY),
        Candidate("<b>second</b>", "words", folder / "b.jpg"),
        Candidate("a camel", "absent thing", None),
    ]
    shown = [Image.new("RGB", (40, 30), "red")]
    page = review_page(
        candidates, folder, lambda each: shown if each.image else shown * 3, title="<i>Queries</i>"
    )
    (folder / "review.html").write_text(page, "utf-8")
    address = folder.as_uri()
    with tab(chromium, address, accept_downloads=True) as seen:
        view = seen.page
        view.goto(f"{address}/review.html")
        view.wait_for_selector("article:focus")
        assert view.title() == "<i>Queries</i>"
        assert view.inner_text("#count") == "3 of 3 kept"
        until(view, "[...document.images].every(image => image.complete && image.naturalWidth === 40)")
        count = "all => all.map(one => one.querySelectorAll('img').length)"
        pictures = view.eval_on_selector_all("article", count)
        assert pictures == [1, 1, 3]
        assert NASTY in view.inner_text("article:nth-of-type(1) small")
        view.keyboard.press("x")
        assert view.inner_text("#count") == "2 of 3 kept"
        view.keyboard.press("e")
        view.keyboard.type("the next exit")
        assert view.inner_text("#count") == "2 of 3 kept", "x and e are letters while writing"
        view.keyboard.press("Enter")
        view.keyboard.press("x")
        assert view.inner_text("#count") == "1 of 3 kept"
        view.keyboard.press("ArrowUp")
        view.keyboard.press("ArrowDown")
        view.keyboard.press("x")
        assert view.inner_text("#count") == "2 of 3 kept"
        with view.expect_download() as download:
            view.click("#save")
        assert download.value.suggested_filename == "manifest.jsonl"
        saved = Path(download.value.path()).read_text("utf-8")
    assert [json.loads(line) for line in saved.splitlines()] == [
        {"image": "b.jpg", "query": "the next exit", "source": "words"},
        {"absent": "a camel", "source": "absent thing"},
    ]


def test_the_command(tmp_path: Path) -> None:
    """Folder to test set to figures; then what goes wrong."""
    askpix = runner(tmp_path / "home", tmp_path)
    pictures, out = tmp_path / "photos", tmp_path / "set"
    pictures.mkdir()
    for number, color in enumerate(("red", "green", "blue")):
        exif = Image.Exif()
        exif[306] = f"2020:0{number + 1}:11 10:00:00"
        exif.get_ifd(0x8769)[36867] = exif[306]
        Image.new("RGB", (64, 48), color).save(pictures / f"{color}.jpg", exif=exif)
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    done = askpix("eval", "make", pictures, "--out", out, "--absent", "6")
    assert "9 queries on 3 images" in done.stderr
    dataset = read_manifest(out / "manifest.jsonl")
    assert {case.query for case in dataset.cases} == {
        f"photo from 11 {month} 2020" for month in ("January", "February", "March")
    }
    assert len(dataset.absent) == 6
    page = (out / "review.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") >= 3

    command = done.stdout.strip().splitlines()[-1].split()
    report = json.loads(askpix(*command[1:], "--json").stdout)
    assert report["scores"][0]["recall_1"]["value"] == 1.0, "a day is a filter"
    assert report["absent"] == 6

    def refused(*arguments: str | Path) -> str:
        return askpix("eval", "make", *arguments, code=1).stderr

    before = (out / "manifest.jsonl").read_bytes()
    assert "name another --out" in refused(pictures, "--out", out)
    assert (out / "manifest.jsonl").read_bytes() == before, "what was reviewed stays"
    other = ["--out", tmp_path / "other"]
    assert "no folder" in refused(tmp_path / "nowhere", *other)
    assert "one of them" in refused(*other)
    assert "one of them" in refused(pictures, "--collection", "x", *other)
    assert "nowhere" in refused("--collection", "nowhere", *other)
    (tmp_path / "empty").mkdir()
    assert "no image" in refused(tmp_path / "empty", *other)
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(pictures, "--out", tmp_path / "file" / "x")
    assert not (tmp_path / "other").exists()
