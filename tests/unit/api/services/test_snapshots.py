"""Vectors on a Qdrant server: snapshots that a backup has taken there, and what is said of them."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from askpix.api.services.backup import back_up, restore
from askpix.api.services.doctor import examine
from askpix.api.settings import Settings
from askpix.api.workspace.page_index import open_pages
from askpix.api.workspace.workspace import Workspace
from askpix.retrieval.qdrant import connection
from tests.support.cli import runner
from tests.support.fakes import record
from tests.support.qdrant import FakeQdrant, Request, fake_qdrant


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def cluster() -> Iterator[FakeQdrant]:
    """Two nodes with one shard each, and one copy."""
    with fake_qdrant(nodes=2, holds={0: [0], 1: [1]}) as made:
        yield made


def filled(home: Path, url: str, *, embedder: str = "colour") -> Settings:
    """A home with one picture and one page on the server."""
    settings = Settings(home=home, _env_file=None, store="qdrant", qdrant_url=url)
    there = Workspace(settings)
    there.catalog.create_collection(
        "c", embedder=embedder, dim=8, text_embedder="bag", text_dim=4, store="qdrant"
    )
    there.catalog.set_page_embedder(there.collection("c"), "transformers:late", 4)
    made = there.collection("c")
    with there.open_store(made) as store, open_pages(there, made) as pages:
        store.upsert([record(1)], np.eye(8, dtype=np.float32)[:1])
        pages.set_pages([record(1).id], [np.eye(4, dtype=np.float16)])
    there.catalog.close()
    return settings


def test_every_node_takes_one_of_what_holds_something_of_this_home(
    cluster: FakeQdrant, tmp_path: Path
) -> None:
    filled(tmp_path / "other", cluster.url, embedder="another")
    settings = filled(tmp_path / "home", cluster.url)
    made = back_up(settings.home, tmp_path / "b.zip", settings=settings)
    taken = [(request.node, request.path.split("/")[2]) for request in cluster.asked("POST", ".*/snapshots")]
    physical = {name for _, name in taken}
    assert len(cluster.collections()) == 3, "images of each home, and pages that both share"
    assert len(physical) == 2 and sum(name.startswith("askpix-pages-") for name in physical) == 1
    assert sorted(taken) == [(node, name) for node in (0, 1) for name in sorted(physical)]
    assert {(each.node, each.collection) for each in made.snapshots} == {
        (cluster.urls[node], name) for node, name in taken
    }
    assert made.notes == ()
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        listed = json.loads(archive.read("askpix-backup.json"))
    assert [each["name"] for each in listed["snapshots"]] == [each.name for each in made.snapshots]
    assert restore(tmp_path / "b.zip", tmp_path / "new") == made


def test_a_refusal_is_a_note_and_the_backup_is_made(cluster: FakeQdrant, tmp_path: Path) -> None:
    settings = filled(tmp_path / "home", cluster.url)

    def fault(request: Request) -> tuple[int, str] | None:
        return (403, "forbidden") if request.path.endswith("/snapshots") else None

    cluster.fault = fault
    made = back_up(settings.home, tmp_path / "b.zip", settings=settings)
    assert made.snapshots == ()
    assert all("\n" not in note for note in made.notes)
    assert sum("refused the key (403)" in note for note in made.notes) == 4
    assert sum("hold 0 of its 2 shards: [0, 1]" in note for note in made.notes) == 2
    assert restore(tmp_path / "b.zip", tmp_path / "new") == made


def test_shards_on_nodes_without_an_address_are_said(tmp_path: Path) -> None:
    with fake_qdrant(nodes=1, holds={0: [0], 1: [0, 1], 2: [2]}) as cluster:
        settings = filled(tmp_path / "home", cluster.url)
        made = back_up(settings.home, tmp_path / "b.zip", settings=settings)
    assert len(made.snapshots) == len(made.notes) == 2
    assert "hold 1 of its 3 shards: [1, 2]" in made.notes[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", None])
def test_a_server_that_cannot_be_asked_is_one_note(
    cluster: FakeQdrant, tmp_path: Path, url: str | None
) -> None:
    settings = filled(tmp_path / "home", cluster.url).model_copy(update={"qdrant_url": url})
    made = back_up(settings.home, tmp_path / "b.zip", settings=settings)
    (note,) = made.notes
    assert note.startswith("vectors on the Qdrant server are in no snapshot: ")
    assert ("cannot reach" if url else "set ASKPIX_QDRANT_URL") in note


def test_a_home_without_such_collections_asks_no_server(cluster: FakeQdrant, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None, qdrant_url=cluster.url)
    there = Workspace(settings)
    there.catalog.create_collection("c", embedder="colour", dim=8, text_embedder="bag", text_dim=4)
    there.catalog.close()
    made = back_up(settings.home, tmp_path / "b.zip", settings=settings)
    assert (made.snapshots, made.notes, cluster.requests) == ((), (), [])


def test_the_command_line_names_them_and_says_how_they_are_put_back(
    cluster: FakeQdrant, tmp_path: Path
) -> None:
    filled(tmp_path / "home", cluster.url)
    done = runner(tmp_path / "home", tmp_path)("backup", "b.zip", ASKPIX_QDRANT_URL=cluster.url)
    assert done.stderr.count("snapshot askpix-") == 4 and "keep copies of them" in done.stderr
    done = runner(tmp_path / "new", tmp_path)("restore", "b.zip", ASKPIX_QDRANT_URL=cluster.url)
    assert "of other homes too" in done.stderr
    assert done.stderr.count('"priority": "snapshot"') == 4
    assert f"PUT {cluster.urls[1]}/collections/askpix-" in done.stderr


@pytest.mark.parametrize(("copies", "written", "warned"), [(2, 1, False), (3, 3, True)])
def test_doctor_warns_of_writes_that_need_every_copy(
    tmp_path: Path, copies: int, written: int, warned: bool
) -> None:
    settings = Settings(home=tmp_path, _env_file=None, qdrant_replicas=copies, qdrant_write_replicas=written)
    found = [check.detail for check in examine(Workspace(settings)) if check.name == "qdrant copies"]
    assert len(found) == warned
    assert not warned or "nothing can be written while a node is away" in found[0]
