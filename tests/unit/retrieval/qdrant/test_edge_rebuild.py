"""An index that is built beside the shard in use: searches and changes go on, a kill leaves the old one."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import askpix.retrieval.qdrant.edge_store as qdrant_store
from askpix.core.types import Vectors, Where
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
from tests.support.fakes import record, unit

DIM, POINTS = 512, 11_000


def open_store(folder: Path) -> QdrantEdgeStore:
    return QdrantEdgeStore.open(folder, model_id="colour", dim=DIM, text_model_id="bag", text_dim=4)


def rows_of(count: int) -> Vectors:
    return unit(np.random.default_rng(4).normal(size=(count, DIM)))


def fill(store: QdrantEdgeStore, rows: Vectors) -> None:
    for at in range(0, len(rows), 1_000):
        part = rows[at : at + 1_000]
        store.upsert([record(at + n) for n in range(len(part))], part)


def shards(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.glob("shard*"))


def test_searches_and_changes_go_on_and_none_is_lost(tmp_path: Path) -> None:
    rows = rows_of(POINTS + 40)
    with open_store(tmp_path / "v") as store:
        fill(store, rows[:POINTS])
        building = threading.Thread(target=store.optimize)
        building.start()
        changes = 0
        while building.is_alive():
            assert store.search("image", rows[7], where=Where(), limit=1)[0].id == record(7).id
            if changes < 40:
                store.upsert([record(POINTS + changes)], rows[POINTS + changes : POINTS + changes + 1])
                store.delete([record(100 + changes).id])
                store.set_tags({record(200 + changes).id: ("seen",)})
                changes += 1
            time.sleep(0.01)
        building.join()
        assert changes > 3
        assert len(shards(tmp_path / "v")) == 1
        assert shards(tmp_path / "v") != ["shard"]
        with store._shard.use() as engine:
            assert engine.info().indexed_vectors_count >= POINTS
    with open_store(tmp_path / "v") as store:
        assert store.count() == POINTS
        assert store.count(Where(tags=("seen",))) == changes
        assert store.search("image", rows[POINTS], where=Where(), limit=1)[0].id == record(POINTS).id
        assert store.get([record(100).id]) == []


def test_closing_gives_a_rebuild_up(tmp_path: Path) -> None:
    with open_store(tmp_path / "v") as store:
        fill(store, rows_of(POINTS))
        building = threading.Thread(target=store.optimize)
        building.start()
        while len(shards(tmp_path / "v")) == 1 and building.is_alive():
            time.sleep(0.005)
    building.join()
    assert shards(tmp_path / "v") == ["shard"]
    with open_store(tmp_path / "v") as store:
        assert store.count() == POINTS


def test_a_graph_is_built_beside_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_store, "GRAPH_FROM", 1_000)
    rows = rows_of(2_000)
    with open_store(tmp_path / "v") as store:
        fill(store, rows)
        store.optimize()
        assert store._shard.has_graph
    with open_store(tmp_path / "v") as store:
        assert store._shard.has_graph
        assert store.count() == 2_000


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from tests.unit.retrieval.qdrant.test_edge_rebuild import *
folder = Path(sys.argv[1])
store = open_store(folder)
fill(store, rows_of(POINTS))
threading.Thread(target=store.optimize).start()
while len(shards(folder)) == 1:
    time.sleep(0.001)
time.sleep(float(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.0, 0.3, 1.0, 2.0])
def test_a_kill_while_it_is_built_leaves_a_whole_store(wait_s: float, tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, "-c", KILLED, tmp_path / "v", str(wait_s)]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    with open_store(tmp_path / "v") as store:
        assert store.count() == POINTS
        assert len(shards(tmp_path / "v")) == 1
        store.optimize()
    with open_store(tmp_path / "v") as store:
        assert store.count() == POINTS
        hits = store.search("image", rows_of(POINTS)[9], where=Where(), limit=1)
        assert hits[0].id == record(9).id
    assert (tmp_path / "v" / shards(tmp_path / "v")[0]).is_dir()
