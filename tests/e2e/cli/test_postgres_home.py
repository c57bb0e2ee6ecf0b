"""The real command with its catalog on a real server: files to answers, models changed, kills, mishaps."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from askpix.api.services.reembed import reembed
from askpix.api.settings import Settings
from benchmarks.load.kills import TwoModels, bench_kills
from tests.conftest import ROOT
from tests.support.cli import PICTURES, runner
from tests.support.fakes import grain, picture
from tests.support.postgres import end_sessions, new_schema


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("photos/cat.jpg", "photos/rocket-launch.jpg", "receipts/hotel-alpenblick.jpg"):
        shutil.copy(PICTURES / name, folder)
    return folder


def test_index_search_ask_reembed_doctor_and_delete(postgres: str, tmp_path: Path, album: Path) -> None:
    url = new_schema(postgres)
    home = tmp_path / "home"

    def askpix(*words: str | Path, **options: int) -> str:
        return runner(home, tmp_path)(*words, ASKPIX_DATABASE_URL=url, **options).stdout  # type: ignore[arg-type]

    report = json.loads(askpix("index", album, "--json"))
    assert report["added"] == report["images"] == 3
    assert not (home / "catalog.sqlite").exists()
    assert "rocket-launch" in askpix("search", "a rocket", "--top-k", "1")
    assert "429.00" in askpix("ask", "What is the total on the hotel receipt?")

    workspace = TwoModels(Settings(home=home, database_url=url))
    assert reembed(workspace, "default", "mini-turned").changed_over
    assert reembed(workspace, "default", "mini").changed_over
    collection = workspace.collection("default")
    with workspace.open_store(collection) as store:
        store.delete([next(iter(store.ids()))])
    assert not json.loads(askpix("doctor", "--json", code=1))["ok"]
    assert json.loads(askpix("doctor", "--mend", "--json"))["ok"]
    assert json.loads(askpix("doctor", "--json"))["ok"]

    # Another home with the same catalog has not these vectors, says so and harms nothing.
    other = runner(tmp_path / "other", tmp_path)
    for words in (("search", "a cat"), ("index", album), ("collections", "delete", "default", "--yes")):
        said = other(*words, code=1, ASKPIX_DATABASE_URL=url).stderr
        assert "not in this home" in said and "\n" not in said.strip()
    with workspace.run_on(collection):  # as another machine would hold it
        said = runner(home, tmp_path)("index", album, code=1, ASKPIX_DATABASE_URL=url).stderr
        assert "being indexed by another" in said
    assert json.loads(askpix("doctor", "--json"))["ok"]
    askpix("collections", "delete", "default", "--yes")
    assert workspace.catalog.list_collections() == []
    workspace.catalog.close()


@pytest.mark.slow
def test_a_server_that_goes_away_is_one_line_and_the_next_run_goes_on(postgres: str, tmp_path: Path) -> None:
    url, photos = new_schema(postgres), tmp_path / "photos"
    photos.mkdir()
    for number in range(400):
        picture("red", size=(64 + number, 48)).save(photos / f"{number}.png")
    workspace = TwoModels(Settings(home=tmp_path / "home", database_url=url))
    collection = workspace.open_or_create("default")
    over = threading.Event()

    def cut() -> None:
        while not over.wait(0.05):
            if workspace.catalog.count_images(collection) > 50:
                end_sessions(workspace.catalog.engine)

    cutter = threading.Thread(target=cut)
    cutter.start()
    askpix = runner(tmp_path / "home", tmp_path)
    try:
        said = askpix("index", photos, "--ocr", "off", code=1, ASKPIX_DATABASE_URL=url).stderr
    finally:
        over.set()
        cutter.join()
    assert "error: the ca" in said and "run the command again" in said
    report = json.loads(askpix("index", photos, "--ocr", "off", "--json", ASKPIX_DATABASE_URL=url).stdout)
    # How far the first run came is a matter of luck: all rows may be in and only their vectors missing.
    assert report["images"] == 400 and report["added"] < 400
    assert json.loads(askpix("doctor", "--json", ASKPIX_DATABASE_URL=url).stdout)["ok"]
    workspace.catalog.close()


@pytest.mark.slow
def test_killed_in_any_stage_nothing_is_lost(postgres: str, tmp_path: Path) -> None:
    for number in range(6):
        grain("blue", (256 + number, 192), number).save(tmp_path / f"{number}.png")
    settings = Settings(home=tmp_path, database_url=new_schema(postgres))
    report = bench_kills(settings, sorted(tmp_path.glob("*.png")), kills=2, stages="all", seed=7)
    assert report.kills == 2 and report.problems == ()


def test_a_disk_without_room_is_one_line_and_the_next_run_goes_on(tmp_path: Path, album: Path) -> None:
    """Files may grow to 3 MB and no more: the store's log does not fit."""
    code = (
        "import resource, sys; from askpix.api.cli.main import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000)); run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "index", str(album), "--ocr", "off"],
        cwd=ROOT,
        env={"ASKPIX_HOME": str(tmp_path / "home"), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ") and "too large" in done.stderr
    askpix = runner(tmp_path / "home", tmp_path)
    assert json.loads(askpix("index", album, "--ocr", "off", "--json").stdout)["images"] == 3
    assert json.loads(askpix("doctor", "--json").stdout)["ok"]
