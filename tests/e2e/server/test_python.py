"""``from askpix import Askpix``: the Python API on a home of its own, and beside a running server."""

import doctest
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import askpix.api.services.askpix as module
from askpix import Askpix
from askpix.api.demo import PICTURES
from askpix.api.schemas.results import Answer, SearchResult
from askpix.api.workspace.lingering import IDLE_S
from askpix.core.errors import AskpixError, BadQueryError, NotFoundError
from askpix.ingest.pipeline.report import Progress
from tests.support.cli import runner
from tests.support.fakes import picture
from tests.support.service import served


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("cat", "coffee-cup", "wall-clock"):
        shutil.copy(PICTURES / "photos" / f"{name}.jpg", folder)
    picture("white", "INVOICE 4711\nTotal 19.50 EUR", (640, 400)).save(folder / "invoice.png")
    return folder


@pytest.fixture(scope="module")
def home(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("python") / "home"
    with Askpix(made, workers=1) as askpix:
        askpix.index(photos, ocr="on")
    return made


def test_the_example_of_the_class_is_true(photos: Path, tmp_path: Path) -> None:
    names = {"Askpix": Askpix, "home": tmp_path / "home", "photos": photos}
    (example,) = [
        each for each in doctest.DocTestFinder().find(Askpix, "Askpix", globs=names) if each.examples
    ]
    assert doctest.DocTestRunner().run(example).failed == 0


def test_progress_is_told_and_what_it_raises_stops_with_all_work_kept(photos: Path, tmp_path: Path) -> None:
    class Enough(Exception): ...

    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        raise Enough

    with Askpix(tmp_path / "home", workers=1) as askpix:
        with pytest.raises(Enough):
            askpix.index(photos, ocr="off", on_progress=stop)
        report = askpix.index(photos, ocr="off", on_progress=seen.append)
        assert report.added + report.unchanged == 4
        assert report.images == 4
    assert {each.stage for each in seen} >= {"looking"}


def test_results_have_the_names_and_shapes_of_the_command(home: Path, tmp_path: Path) -> None:
    run = runner(home, tmp_path)
    with Askpix(home) as askpix:
        found = askpix.search("a cat", top_k=2)
        answer = askpix.ask("What is the total of invoice 4711?", generator="extractive")
        assert found.hits[0].uri.endswith("cat.jpg")
        assert answer.answered
        assert "19.50" in answer.answer
        assert answer.citations[0].uri.endswith("invoice.png")
        assert answer.citations[0].box is not None
    shown = json.loads(run("search", "a cat", "--top-k", "2", "--json").stdout)
    assert [hit["id"] for hit in shown["hits"]] == [hit.id for hit in found.hits]
    assert shown["hits"][0].keys() <= {*found.hits[0].__slots__}


def test_an_answer_comes_in_pieces_and_last_checked(home: Path) -> None:
    with Askpix(home) as askpix:
        first, *pieces, last = askpix.ask_stream("What is the total of invoice 4711?", generator="extractive")
    assert isinstance(first, SearchResult)
    assert isinstance(last, Answer)
    assert all(isinstance(piece, str) for piece in pieces)


def test_searching_by_image_filter_and_neighbours(home: Path, photos: Path) -> None:
    with Askpix(home) as askpix:
        assert askpix.search(image=photos / "coffee-cup.jpg").hits[0].uri.endswith("coffee-cup.jpg")
        assert askpix.search(path="*invoice*").hits[0].uri.endswith("invoice.png")
        like = askpix.search(like=str(photos / "wall-clock.jpg"), top_k=3)
        assert not any(hit.uri.endswith("wall-clock.jpg") for hit in like.hits)
        with pytest.raises(BadQueryError, match="nothing to search for"):
            askpix.search()
        with pytest.raises(BadQueryError, match="not a date"):
            askpix.search("a cat", after="soon")
        with pytest.raises(BadQueryError, match="not earlier"):
            askpix.search("a cat", after="2020", before="2019")
        with pytest.raises(NotFoundError, match="no collection 'nothing'"):
            askpix.search("a cat", collection="nothing")


def test_single_files(home: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    with Askpix(home, generator="extractive") as askpix:
        found = askpix.extract(photos / "invoice.png", schema)
        assert found["total"] == 19.5
        assert found["evidence"]["total"]["box"]
        (row,) = askpix.classify(photos / "cat.jpg", ["cat", "cup"])
        assert {label.label for label in row.labels} == {"cat", "cup"}
        assert len(askpix.caption(photos)) == 4
        assert {each.verdict for each in askpix.audit(photos / "invoice.png", ["shows 'INVOICE'"])} >= {
            "pass"
        }
        good, bad = askpix.caption([photos / "invoice.png", tmp_path / "broken.png"])
        assert good.caption and good.error is None
        assert bad.path == str(tmp_path / "broken.png") and bad.error and not bad.caption
        (bad_row,) = askpix.classify(tmp_path / "broken.png", ["cat"])
        assert bad_row.error and bad_row.labels == ()


def test_collections_are_made_told_and_deleted(photos: Path, tmp_path: Path) -> None:
    with Askpix(tmp_path / "home", collection="album", workers=1) as askpix:
        assert askpix.create_collection("album").images == 0
        askpix.index([photos / "cat.jpg"], ocr="off")
        assert [(each.name, each.images) for each in askpix.collections()] == [("album", 1)]
        assert (askpix.collection().disk_bytes or 0) > 0
        assert askpix.delete_collection("album") == 1
        assert askpix.collections() == []


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(AskpixError, match="no setting 'colour'"):
        Askpix(tmp_path, colour="red")
    with pytest.raises(AskpixError, match="ASKPIX_WORKERS"):
        Askpix(tmp_path, workers="many")


def test_a_command_gets_its_turn_while_a_program_holds_the_home(home: Path, tmp_path: Path) -> None:
    """The index lingers between calls, and is let go once they pause."""
    with Askpix(home) as askpix:
        askpix.search("a cat")
        done = runner(home, tmp_path)("search", "a cup of coffee", "--json")
        assert json.loads(done.stdout)["hits"][0]["uri"].endswith("coffee-cup.jpg")
        assert askpix.search("a clock").hits[0].uri.endswith("wall-clock.jpg")
    assert IDLE_S < 5


def test_calls_after_close_open_the_index_again_and_let_go_of_it_again(home: Path, tmp_path: Path) -> None:
    askpix = Askpix(home)
    for _ in range(2):
        assert askpix.search("a cat").matched
        askpix.close()
    assert askpix.search("a cat").matched
    shown = json.loads(runner(home, tmp_path)("search", "a cup of coffee", "--json").stdout)
    assert shown["hits"][0]["uri"].endswith("coffee-cup.jpg")
    askpix.close()


@pytest.mark.timeout(60)
def test_a_command_gets_its_turn_between_the_calls_of_a_loop_without_pause(
    home: Path, tmp_path: Path
) -> None:
    over, failed = threading.Event(), []

    def loop() -> None:
        while not over.is_set():
            try:
                askpix.search("a cat")
            except AskpixError as error:
                failed.append(error)

    with Askpix(home) as askpix:
        askpix.search("a cat")
        thread = threading.Thread(target=loop)
        thread.start()
        try:
            shown = json.loads(runner(home, tmp_path)("search", "a cup of coffee", "--json").stdout)
        finally:
            over.set()
            thread.join()
    assert shown["hits"][0]["uri"].endswith("coffee-cup.jpg")
    assert not failed
    assert not list(home.rglob("wanted"))


@pytest.mark.timeout(60)
def test_closing_from_within_a_call_is_one_line_and_no_deadlock(photos: Path, tmp_path: Path) -> None:
    with Askpix(tmp_path / "home", workers=1) as askpix:
        with pytest.raises(AskpixError, match="when that has returned"):
            askpix.index(photos, ocr="off", on_progress=lambda _: askpix.close())
        assert askpix.index(photos, ocr="off").images == 4


_FORKS = """
import multiprocessing, sys
from askpix import Askpix

def child(answers):
    answers.put(askpix.search("a cat").hits[0].uri)

askpix = Askpix(sys.argv[1], workers=1)
askpix.search("a cat")
context = multiprocessing.get_context("fork")
answers = context.SimpleQueue()
process = context.Process(target=child, args=(answers,))
process.start()
process.join(30)
assert process.exitcode == 0, process.kill()
print(answers.get(), askpix.search("a clock").hits[0].uri)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_searches_too(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORKS, str(home)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cat.jpg" in done.stdout and "wall-clock.jpg" in done.stdout


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text": None}, "text=None: input should be a valid string"),
        ({"top_k": 1.5}, r"top_k=1\.5: "),
        ({"offset": "three"}, "offset='three': "),
        ({"mode": "nonsense"}, "mode='nonsense': input should be 'auto', 'image', 'text' or 'hybrid'"),
        ({"kind": "video"}, "kind='video': input should be 'photo'"),
        ({"tags": "cat"}, "tags='cat': it should be a list, not one string"),
        ({"tags": [1]}, r"tags\[0\]=1: "),
        ({"near": (1, 2)}, r"near=\(1, 2\): it has too few items"),
        ({"near": "Berlin"}, "near='Berlin': "),
        ({"after": 2018}, "after=2018: it should be datetime or date or string"),
        ({"image": 5}, "image=5: it should be path or string or Image"),
        ({"path": b"\xff" * 1000}, "path=b'.{99}"),
        ({"rerank": 5}, "rerank=5: "),
    ],
)
def test_a_wrong_argument_is_one_short_line(home: Path, wrong: dict[str, Any], message: str) -> None:
    with Askpix(home) as askpix, pytest.raises(BadQueryError, match=message) as raised:
        askpix.search(**{"text": "a cat", **wrong})
    assert len(str(raised.value)) < 250 and "\n" not in str(raised.value)


def test_wrong_arguments_of_the_other_methods(home: Path, photos: Path, tmp_path: Path) -> None:
    cat = photos / "cat.jpg"
    with Askpix(home) as askpix:
        for call in (
            lambda: Askpix(""),
            lambda: Askpix(5),  # type: ignore[arg-type]
            lambda: askpix.index(""),
            lambda: askpix.index(cat, ocr="maybe"),  # type: ignore[arg-type]
            lambda: askpix.index(cat, tags="holiday"),
            lambda: askpix.index(cat, on_progress=5),  # type: ignore[arg-type]
            lambda: askpix.ask("Which total?", history=[("user",)]),  # type: ignore[list-item]
            lambda: askpix.ask("Which total?", history=[{"role": "user"}]),  # type: ignore[list-item]
            lambda: askpix.caption(cat, style="long"),  # type: ignore[arg-type]
            lambda: askpix.classify(cat, "cat,dog"),
            lambda: askpix.audit(cat, "a check"),
            lambda: askpix.extract(cat, {"type": "nonsense"}),
            lambda: askpix.extract(cat, {"$ref": "#/nowhere"}),
            lambda: askpix.extract(cat, {"type": "object", "properties": {"a": {"const": object()}}}),
            lambda: askpix.create_collection(None),  # type: ignore[arg-type]
        ):
            with pytest.raises(AskpixError):
                call()
        with pytest.raises(TypeError, match="topk"):
            askpix.search("a cat", topk=3)  # type: ignore[call-arg]


def test_days_are_dates_too_and_zones_do_not_matter(home: Path) -> None:
    with Askpix(home) as askpix:
        by_day = askpix.search("a cat", after=date(2018, 1, 1), before=datetime(2031, 1, 1, tzinfo=UTC))
        assert by_day.query.where == askpix.search("a cat", after="2018", before="2031").query.where


def test_a_stream_of_an_answer_can_be_closed(home: Path) -> None:
    with Askpix(home) as askpix, closing(askpix.ask_stream("Which total?")) as events:
        assert isinstance(next(events), SearchResult)


def test_threads_share_one(home: Path) -> None:
    found: list[str] = []
    with Askpix(home) as askpix:
        threads = [
            threading.Thread(target=lambda w=words: found.append(askpix.search(w).hits[0].uri))
            for words in ("a cat", "a clock", "a cup of coffee")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(Path(uri).stem for uri in found) == ["cat", "coffee-cup", "wall-clock"]


def test_beside_a_running_server_everything_goes_through_it(photos: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Askpix(home, workers=1) as askpix:
        askpix.index(photos / "cat.jpg", ocr="off")
        with served(home):  # it takes the home from the program that has it open
            assert askpix.search("a cat").hits[0].uri.endswith("cat.jpg")
            askpix.index(photos, ocr="off")
            assert askpix.search("a cup of coffee").hits[0].uri.endswith("coffee-cup.jpg")
            assert askpix.ask("How many photos are there?").answered
        assert askpix.search("a clock").hits[0].uri.endswith("wall-clock.jpg"), (
            "and alone again when it has gone"
        )


def test_the_package_is_cheap_to_import_and_names_what_it_has() -> None:
    assert module.Askpix is Askpix
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        askpix_package = __import__("askpix")
        askpix_package.Nothing  # noqa: B018
