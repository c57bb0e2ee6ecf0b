"""The real command, in a real process, on the sample pictures and the real mini weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.cli import PICTURES, Askpix, runner
from tests.support.hostile import BAD

ALBUM = (
    "photos/cat.jpg",
    "photos/rocket-launch.jpg",
    "photos/coffee-cup.jpg",
    "photos/astronaut.jpg",
    "photos/brick-wall.jpg",
    "receipts/sakura-sushi.jpg",
    "receipts/hotel-alpenblick.jpg",
    "documents/library-report.pdf",
)


@pytest.fixture
def askpix(tmp_path: Path) -> Askpix:
    """The command on an empty home."""
    return runner(tmp_path / "home", tmp_path)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, receipts, a chart, a PDF, a copy and a broken file."""
    folder = tmp_path_factory.mktemp("album")
    for name in ALBUM:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(PICTURES / name, target)
    shutil.copy(PICTURES / "photos/cat.jpg", folder / "photos" / "a copy of the cat.jpg")
    (folder / "photos" / "broken.jpg").write_bytes(BAD["jpeg cut in half"]())
    return folder


@pytest.fixture(scope="module")
def indexed(album: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Askpix, dict[str, Any]]:
    """The command on a home where the album is indexed, and the report of that."""
    run = runner(tmp_path_factory.mktemp("home"), album)
    done = run("index", album, "--json", code=3)
    return run, json.loads(done.stdout)


def found(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [Path(hit["uri"]).name for hit in json.loads(done.stdout)["hits"]]


def test_index_reports_every_file(indexed: tuple[Askpix, dict[str, Any]], album: Path) -> None:
    _, report = indexed
    assert (report["collection"], report["embedder"]) == ("default", "mini")
    assert (report["added"], report["duplicates"], report["updated"], report["removed"]) == (8, 1, 0, 0)
    assert report["images"] == 9, "seven pictures and two pages"
    assert [failure["path"] for failure in report["failed"]] == [str(album / "photos" / "broken.jpg")]
    assert "damaged" in report["failed"][0]["error"]
    assert report["text"]["read"] == 9 and report["text"]["with_text"] >= 3
    assert report["images_per_second"] > 0


def test_a_second_run_has_nothing_to_do(indexed: tuple[Askpix, dict[str, Any]], album: Path) -> None:
    askpix, _ = indexed
    report = json.loads(askpix("index", album, "--json", code=3).stdout)
    assert (report["added"], report["unchanged"], len(report["failed"])) == (0, 9, 1)
    assert report["text"]["read"] == 0


def test_search_by_meaning(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    done = askpix("search", "a cat", "--json")
    result = json.loads(done.stdout)
    assert result["matched"] is True and result["reason"] is None
    first = result["hits"][0]
    assert Path(first["uri"]).name in ("cat.jpg", "a copy of the cat.jpg") and first["duplicates"] == 1
    assert set(first) == {
        "rank", "id", "uri", "kind", "page", "time_s", "score", "why", "width", "height", "taken_at",
        "snippet", "duplicates", "region", "similar",
    }  # fmt: skip
    assert first["rank"] == 1 and 0.3 < first["why"]["image"] <= 1
    assert found(askpix("search", "a rocket being launched", "--json"))[0] == "rocket-launch.jpg"


def test_search_by_words(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    result = json.loads(askpix("search", '"GRAND TOTAL" -hotel', "--json").stdout)
    assert result["query"]["phrases"] == ["GRAND TOTAL"] and result["query"]["without"] == ["hotel"]
    assert [clause["field"] for clause in result["query"]["clauses"]] == ["phrase", "without"]
    assert [Path(hit["uri"]).name for hit in result["hits"]] == ["sakura-sushi.jpg"]
    assert found(askpix("search", "sushi receipt", "--json"))[0] == "sakura-sushi.jpg"


def test_search_says_what_it_understood(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    result = json.loads(askpix("search", "receipts over 20", "--json").stdout)
    clause = {"words": "over 20", "field": "amount", "value": ">20", "negative": False}
    assert result["query"]["clauses"] == [clause]
    assert result["query"]["where"] == {"amount_min": 20.01}
    assert "sakura-sushi.jpg" in [Path(hit["uri"]).name for hit in result["hits"]]
    assert "understood as: [amount >20]  about: receipts" in askpix("search", "receipts over 20").stderr
    plain = json.loads(askpix("search", "receipts over 20", "--literal", "--all", "--json").stdout)
    assert plain["query"]["text"] == "receipts over 20" and plain["query"]["clauses"] == []
    off = json.loads(
        askpix("search", "receipts over 20", "--without-clause", "amount", "--all", "--json").stdout
    )
    assert off["query"]["clauses"] == []


def test_more_like_a_hit(indexed: tuple[Askpix, dict[str, Any]], album: Path) -> None:
    askpix, _ = indexed
    first = json.loads(askpix("search", "a cat", "--json").stdout)["hits"][0]
    by_id = json.loads(askpix("search", "--like", first["id"], "--json", "--top-k", "3").stdout)["hits"]
    by_path = found(askpix("search", "--like", first["uri"], "--json", "--top-k", "3"))
    assert [Path(hit["uri"]).name for hit in by_id] == by_path
    assert first["id"] not in [hit["id"] for hit in by_id] and [hit["rank"] for hit in by_id] == [1, 2, 3]
    later = found(askpix("search", "--like", first["id"], "--json", "--top-k", "2", "--offset", "1"))
    assert later == by_path[1:3]
    refused = askpix("search", "--like", "no-such-thing", code=1)
    assert refused.stderr.strip().count("\n") == 0 and "no-such-thing" in refused.stderr


def test_facets_of_a_collection(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    facets = json.loads(askpix("collections", "show", "default", "--facets", "--json").stdout)["facets"]
    assert {each["value"]: each["count"] for each in facets["kinds"]} == {"photo": 7, "page": 2}
    assert set(facets) == {"kinds", "years", "months", "countries", "cities", "cameras", "tags"}


def test_search_by_image_and_filters(indexed: tuple[Askpix, dict[str, Any]], album: Path) -> None:
    askpix, _ = indexed
    by_picture = found(askpix("search", "--image", PICTURES / "photos/cat.jpg", "--json", "--top-k", "1"))
    assert by_picture[0] in ("cat.jpg", "a copy of the cat.jpg")
    pages = json.loads(askpix("search", "--kind", "page", "--json").stdout)
    assert sorted(hit["page"] for hit in pages["hits"]) == [1, 2]
    assert found(askpix("search", "receipt", "--path", "receipts/*", "--json", "--all"))
    assert pages["query"]["where"] == {"kind": "page"}
    nothing = json.loads(askpix("search", "cat", "--after", "2090", "--json").stdout)
    assert nothing["matched"] is False and nothing["hits"] == [] and nothing["reason"]


def test_nothing_matches_is_said_on_standard_error(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    done = askpix("search", "who won the world cup in 1998")
    assert done.stdout == "" and "Nothing matches: no image shows it" in done.stderr
    assert askpix("search", "who won the world cup in 1998", "--all").stdout.count("\n") > 3


def test_plain_output_is_one_hit_a_line(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    lines = askpix("search", "cat", "--top-k", "2").stdout.splitlines()
    assert len(lines) == 2 and all(line.count("\t") == 3 for line in lines)


def test_ask_answers_with_a_citation_that_points(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    answer = json.loads(askpix("ask", "What is the total on the Sakura sushi receipt?", "--json").stdout)
    assert answer["answered"] is True and answer["generator"] == "extractive"
    (citation,) = answer["citations"]
    assert Path(citation["uri"]).name == "sakura-sushi.jpg" and "TOTAL" in citation["quote"].upper()
    hit = next(hit for hit in answer["hits"] if hit["id"] == citation["id"])
    x0, y0, x1, y1 = citation["box"]
    assert 0 <= x0 < x1 <= hit["width"] and 0 <= y0 < y1 <= hit["height"]
    assert f"[{citation['marker']}]" in answer["answer"]
    assert answer["usage"]["cost_usd"] == 0.0


def test_ask_says_when_nothing_holds_the_answer(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    answer = json.loads(askpix("ask", "What is the total on the Zanzibar Airways invoice?", "--json").stdout)
    assert answer["answered"] is False and answer["citations"] == [] and answer["answer"]


def test_a_chat_leans_on_what_was_said(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    said = "What is the total on the Sakura sushi receipt?"
    first, second, third = (
        json.loads(line)
        for line in askpix(
            "ask", said, "--chat", "--json", stdin="what is the date?\nhow many receipts do I have?\n"
        ).stdout.splitlines()
    )
    assert first["understood_as"] is None and "image" in second["understood_as"]
    assert second["citations"][0]["id"] == first["citations"][0]["id"]
    assert third["generator"] == "archive" and third["plan"]["what"] == "count"


def test_collections(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    created = json.loads(askpix("collections", "create", "scans", "--json").stdout)
    assert created["images"] == 0
    names = [item["name"] for item in json.loads(askpix("collections", "list", "--json").stdout)]
    assert names == ["default", "scans"]
    shown = json.loads(askpix("collections", "show", "default", "--json").stdout)
    assert shown["images"] == 9 and shown["embedder"] == "mini" and shown["disk_bytes"] > 10_000
    assert "--yes" in askpix("collections", "delete", "scans", code=1).stderr
    askpix("collections", "delete", "scans", "--yes")
    assert "scans" in askpix("collections", "show", "scans", code=1).stderr
    empty = askpix("collections", "create", "Bad Name!", code=1).stderr
    assert empty.startswith("error: ") and empty.count("\n") == 1


def test_doctor_and_models(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    health = json.loads(askpix("doctor", "--json").stdout)
    assert health["ok"] and any("9 images" in check["detail"] for check in health["checks"])
    models = {model["id"]: model for model in json.loads(askpix("models", "--json").stdout)}
    assert models["mini"]["usable"] and models["mini"]["dim"] == 384 and models["extractive"]["usable"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["search", "cat"], "no collection 'default'"),
        (["index", "no/such/folder"], "no such file or folder: 'no/such/folder'"),
        (["index", ".", "--embedder", "magic:ViT-B-32"], "no embedder 'magic:ViT-B-32'"),
        (["ask", "why?", "--collection", "x"], "no collection 'x'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(askpix: Askpix, words: list[str], says: str) -> None:
    done = askpix(*words, code=1)
    assert done.stderr.startswith("error: ") and says in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert json.loads(askpix("collections", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"], ["index"], ["search", "x", "--after", "soon"], ["search", "x", "--near", "1,2"],
        ["search", "x", "--near", "99,0,5"], ["search", "x", "--kind", "poster"],
        ["search", "x", "--top-k", "0"],
        ["search", "x", "--after", "2020", "--before", "2019"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_2(askpix: Askpix, words: list[str]) -> None:
    askpix(*words, code=2)


def test_an_empty_folder_and_a_home_that_cannot_be(askpix: Askpix, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = askpix("index", "empty")
    assert "no images found" in done.stdout
    assert "no collection" in askpix("search", "cat", code=1).stderr
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut")
    assert "cannot read" in askpix("index", "cut.zip", code=3).stderr
    (tmp_path / "file").write_text("")
    assert "ASKPIX_HOME" in askpix("doctor", code=1, ASKPIX_HOME=str(tmp_path / "file" / "home")).stdout
    assert askpix("doctor", code=1, ASKPIX_WORKERS="many").stderr.startswith("error: setting ASKPIX_WORKERS")


def test_ctrl_c_keeps_what_is_done(tmp_path: Path, album: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    data = (album / "photos" / "cat.jpg").read_bytes()
    for number in range(600):
        # Bytes behind the end of a JPEG change its hash and not its picture.
        (folder / f"{number:03}.jpg").write_bytes(data + str(number).encode())
    environment = os.environ | {"ASKPIX_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "askpix.api.cli.main", "index", str(folder), "--ocr", "off"],
        env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    catalog = tmp_path / "home" / "catalog.sqlite"
    deadline = time.monotonic() + 60
    while not catalog.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.fail("the run was over before it could be stopped; make the folder larger")
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "goes on from here" in errors
    askpix = runner(tmp_path / "home", tmp_path)
    report = json.loads(askpix("index", folder, "--ocr", "off", "--json").stdout)
    assert report["images"] == 600 and report["added"] + report["unchanged"] == 600
    assert json.loads(askpix("doctor", "--json").stdout)["ok"]


def test_a_collection_in_use_is_said_plainly(indexed: tuple[Askpix, dict[str, Any]]) -> None:
    askpix, _ = indexed
    # A second writer is played by a process that opens the store and waits.
    code = (
        "import sys; from askpix.api.settings import load_settings\n"
        "from askpix.api.workspace.workspace import Workspace\n"
        "w = Workspace(load_settings())\n"
        "with w.open_store(w.collection('default')):\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    home = json.loads(askpix("doctor", "--json").stdout)["checks"][1]["detail"].split(",")[0]
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"ASKPIX_HOME": home},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdin and holder.stdout
    try:
        assert holder.stdout.readline() == "open\n"
        done = askpix("search", "cat", code=1, ASKPIX_WAIT_S="0.1")
        assert f"in use by process {holder.pid}" in done.stderr and done.stderr.count("\n") == 1
    finally:
        holder.communicate("", timeout=30)
    assert found(askpix("search", "cat", "--json"))


def test_help_loads_no_engine() -> None:
    heavy = ("onnxruntime", "numpy", "sqlalchemy", "qdrant_edge", "rapidocr", "torch")
    code = (
        "import sys; from askpix.api.cli.main import app; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
