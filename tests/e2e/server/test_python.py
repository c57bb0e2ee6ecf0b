"""``from askpix import Askpix``: the Python API on a home of its own, and beside a running server."""

import doctest
import json
import shutil
import threading
from pathlib import Path

import pytest

import askpix.api.services.askpix as module
from askpix import Askpix
from askpix.api.demo import PICTURES
from askpix.api.schemas.results import Answer, SearchResult
from askpix.api.workspace.lingering import IDLE_S
from askpix.core.errors import AskpixError, BadImageError, BadQueryError, NotFoundError
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
        with pytest.raises(BadImageError, match=r"broken\.png"):
            askpix.caption(tmp_path / "broken.png")


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
