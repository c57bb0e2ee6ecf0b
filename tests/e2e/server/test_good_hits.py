"""Good hits: noted by the route and the command, kept private and bounded, learned from."""

import json
import multiprocessing
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.services.adapt import adapt
from askpix.api.settings import Settings
from askpix.api.workspace.query_log import GoodHits
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from tests.support.fakes import picture
from tests.support.service import jpeg

COLOURS = "red green blue orange purple gray brown pink olive navy teal maroon gold cyan tan".split()


def test_pairs_are_kept_once_in_order(tmp_path: Path) -> None:
    hits = GoodHits(tmp_path / "good.jsonl")
    assert hits.add("my  red\ncar", ["a", "b", "a"]) == 2
    assert hits.add("my red car", ["a"]) == 1 and hits.add("zwei Hunde 🐈", ["c"]) == 1
    assert hits.pairs() == [("my red car", "a"), ("my red car", "b"), ("zwei Hunde 🐈", "c")]
    assert stat.S_IMODE((tmp_path / "good.jsonl").stat().st_mode) == 0o600
    assert hits.add("  ", ["a"]) == hits.add("words", []) == 0
    assert hits.forget() == 3 and hits.pairs() == [] and hits.forget() == 0


def test_nothing_is_kept_where_searches_are_not(tmp_path: Path) -> None:
    assert GoodHits(tmp_path / "good.jsonl", on=False).add("red", ["a"]) == 0
    assert not (tmp_path / "good.jsonl").exists()
    assert GoodHits(tmp_path / "no such folder" / "good.jsonl").add("red", ["a"]) == 0


def test_it_does_not_grow_for_ever(tmp_path: Path) -> None:
    hits = GoodHits(tmp_path / "good.jsonl", keep=50)
    for number in range(2_000):
        hits.add(f"query {number}", ["x" * 36])
    assert (tmp_path / "good.jsonl").stat().st_size < 50 * 2 * 120 + 200
    assert hits.pairs()[-1] == ("query 1999", "x" * 36)


def test_damaged_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "good.jsonl"
    path.write_bytes(b'["red", "a"]\n{\n[1, 2]\n["x"]\n\xff\xfe\n["blue", "b"]')
    assert GoodHits(path).pairs() == [("red", "a"), ("blue", "b")]


def _add_many(path: str, who: int) -> None:
    for number in range(200):
        GoodHits(Path(path)).add(f"{who} {number}", ["x" * 30])


def test_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "good.jsonl"
    context = multiprocessing.get_context(
        "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    )
    workers = [context.Process(target=_add_many, args=(str(path), who)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(GoodHits(path).pairs()) == 600


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Service, TestClient]]:
    service = Service(Settings(home=tmp_path, local_servers="", ocr="off"))
    service.start()
    try:
        with TestClient(create_app(service), base_url="http://localhost:8000") as client:
            yield service, client
    finally:
        service.stop()


def test_the_route_notes_images_of_the_collection(served: tuple[Service, TestClient]) -> None:
    service, client = served
    for name in ("mine", "other"):
        client.post("/v1/collections", json={"name": name}).raise_for_status()
        files = [("files", (f"{colour}.jpg", jpeg(colour))) for colour in ("red", "green")]
        job = client.post(f"/v1/collections/{name}/images", files=files).json()["job"]
        while client.get(f"/v1/jobs/{job}").json()["state"] in ("queued", "running"):
            pass
    found = client.post("/v1/collections/mine/search", json={"text": "red", "all": True}).json()["hits"]
    theirs = client.post("/v1/collections/other/search", json={"text": "red", "all": True}).json()["hits"]
    good = "/v1/collections/mine/good"
    assert client.post(good, json={"text": "my red one", "images": [found[0]["id"]]}).json() == {"noted": 1}
    collection = service.workspace.collection("mine")
    assert service.workspace.good_hits(collection).pairs() == [("my red one", found[0]["id"])]
    for body, status in (
        ({"text": "x", "images": ["nobody"]}, 404),
        ({"text": "x", "images": [theirs[0]["id"]]}, 404),
        ({"text": "", "images": [found[0]["id"]]}, 422),
        ({"text": "x", "images": []}, 422),
    ):
        assert client.post(good, json=body).status_code == status, body
    assert client.post("/v1/collections/none/good", json={"text": "x", "images": ["a"]}).status_code == 404


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path / "home"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(45):
        picture(COLOURS[number % len(COLOURS)], size=(64 + number, 64)).save(folder / f"{number}.png")
    return folder


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if done.stdout.strip() else str(done.exception)


def test_adapt_learns_from_good_hits(photos: Path) -> None:
    run("index", str(photos), "--ocr", "off", "--embedder", "mini")
    assert run("collections", "good", "default", "a red wall", str(photos / "0.png"))["noted"] == 1
    assert "neither the id" in run("collections", "good", "default", "x", str(photos / "gone.png"), code=1)
    workspace = Workspace(Settings(home=photos.parent / "home"))
    collection = workspace.collection("default")
    with pytest.raises(AskpixError, match=r"1 of 45 images .* good hit of a search: it takes 40"):
        adapt(workspace, "default")
    hits = workspace.good_hits(collection)
    for each in workspace.catalog.records(collection, sorted(workspace.catalog.contents(collection))):
        hits.add(
            f"zq{Path(each.uri).stem} a {COLOURS[int(Path(each.uri).stem) % len(COLOURS)]} wall", [each.id]
        )
    hits.add("a picture that is gone", ["not-there-any-more"])
    report = run("collections", "adapt", "default")
    assert (report["pictures"], report["captions"], report["clicks"]) == (45, 46, 46)
    kept = list((photos.parent / "home").rglob("adaptation*.npz"))
    assert bool(kept) is report["kept"] is (report["gain"] > 1.645 * report["error"])
    with pytest.raises(AskpixError, match="it takes 40"):
        adapt(workspace, "default", clicks=False)
    assert run("collections", "good", "default", "--forget") == {"forgotten": 47}
    assert run("search", "a red wall", "--all")["hits"]
