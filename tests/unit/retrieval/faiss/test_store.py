"""What the contract does not ask: kinds of index, snapshots, kills, damage."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.core.types import Vectors, Where
from askpix.retrieval.faiss.index import IndexKind, kind_for
from askpix.retrieval.faiss.store import FaissStore
from tests.support.fakes import record, unit

DIM = 32


def open_store(folder: Path, index: IndexKind | None = None) -> FaissStore:
    return FaissStore.open(
        folder, model_id="colour", dim=DIM, text_model_id="word-bag", text_dim=8, index=index
    )


def clustered(count: int, seed: int = 3) -> Vectors:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count // 20 + 1, DIM))
    return unit(centres[rng.integers(0, len(centres), count)] + 0.5 * rng.normal(size=(count, DIM)))


def fill(store: FaissStore, rows: Vectors, first: int = 0) -> None:
    for at in range(0, len(rows), 500):
        part = rows[at : at + 500]
        numbers = range(first + at, first + at + len(part))
        store.upsert([record(n, tags=(f"t{n % 50}", f"h{n % 5}")) for n in numbers], part)


def recall(store: FaissStore, rows: Vectors, queries: Vectors, where: Where, kept: list[int]) -> float:
    ids = [record(n).id for n in kept]
    found = 0
    for query in queries:
        best = np.argsort(-(rows[kept] @ query))[:10]
        hits = store.search("image", query, where=where, limit=10)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        found += len({ids[at] for at in best} & {hit.id for hit in hits})
    return found / (10 * len(queries))


def test_the_index_follows_the_size() -> None:
    assert [kind_for(n) for n in (0, 50_000, 50_001, 300_000, 300_001)] == [
        "flat", "flat", "hnsw", "hnsw", "ivf_pq",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_pq"])
def test_every_index_keeps_its_recall_with_any_filter(kind: IndexKind, tmp_path: Path) -> None:
    rows = clustered(12_000)
    rng = np.random.default_rng(1)
    queries = np.concatenate([rows[rng.integers(0, 12_000, 15)], unit(rng.normal(size=(15, DIM)))])
    with open_store(tmp_path / "v", kind) as store:
        fill(store, rows[:11_000])
        store.optimize()
        fill(store, rows[11_000:], 11_000)  # added to the index, not built into it
        gone = list(range(0, 12_000, 7))
        store.delete([record(n).id for n in gone])
        living = sorted(set(range(12_000)) - set(gone))
        for where, kept in (
            (Where(), living),
            (Where(tags=("t3",)), [n for n in living if n % 50 == 3]),
            (Where(tags=("h3",)), [n for n in living if n % 5 == 3]),
        ):
            assert recall(store, rows, queries, where, kept) >= 0.98, where
    with open_store(tmp_path / "v", kind) as store:  # from the snapshot
        assert store._image.kind == kind
        assert recall(store, rows, queries, Where(), living) >= 0.98


def test_a_snapshot_that_is_damaged_or_gone_is_built_again(tmp_path: Path) -> None:
    rows = clustered(3_000)
    with open_store(tmp_path / "v", "hnsw") as store:
        fill(store, rows)
        store.optimize()
    snapshot = tmp_path / "v" / "image-0.faiss"
    whole = snapshot.read_bytes()
    for damage in (whole[:-100], whole[:1000] + b"\xff" * 64 + whole[1064:], b"", b"nonsense"):
        snapshot.write_bytes(damage)
        with open_store(tmp_path / "v", "hnsw") as store:
            assert recall(store, rows, rows[:20], Where(), list(range(3_000))) == 1
            store.optimize()
            assert store._image.kind == "hnsw"
    snapshot.unlink()
    with open_store(tmp_path / "v", "hnsw") as store:
        assert store.count() == 3_000
        assert recall(store, rows, rows[:20], Where(), list(range(3_000))) == 1


def test_a_cut_log_is_one_line(tmp_path: Path) -> None:
    with open_store(tmp_path / "v") as store:
        fill(store, clustered(10))
    log = tmp_path / "v" / "image-0.f32"
    os.truncate(log, 100)
    with pytest.raises(StoreUnavailableError, match="of 10 vectors are left"):
        open_store(tmp_path / "v")
    (tmp_path / "v" / "rows.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        open_store(tmp_path / "v")


def test_rows_that_were_never_committed_are_cut_off(tmp_path: Path) -> None:
    rows = clustered(10)
    with open_store(tmp_path / "v") as store:
        fill(store, rows)
    with (tmp_path / "v" / "image-0.f32").open("ab") as log:
        log.write(b"\x01" * 333)
    with open_store(tmp_path / "v") as store:
        fill(store, clustered(5, seed=9), first=10)
        np.testing.assert_array_equal(store.image_vectors([record(3).id])[0], rows[3])
        np.testing.assert_array_equal(store.image_vectors([record(12).id])[0], clustered(5, seed=9)[2])


def test_other_models_and_other_holders_are_refused(tmp_path: Path) -> None:
    held = open_store(tmp_path / "v")
    with pytest.raises(StoreUnavailableError, match="in use by this very process"):
        open_store(tmp_path / "v")
    held.close()
    with pytest.raises(IndexMismatchError, match="'colour'"):
        FaissStore.open(tmp_path / "v", model_id="other", dim=DIM, text_model_id="word-bag", text_dim=8)
    store = open_store(tmp_path / "v")
    store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.count()


def test_searches_and_writes_go_on_while_an_index_is_built(tmp_path: Path) -> None:
    rows = clustered(20_000)
    with open_store(tmp_path / "v", "hnsw") as store:
        fill(store, rows[:19_000])
        building = threading.Thread(target=store.optimize)
        building.start()
        searched = 0
        while building.is_alive():
            if searched < 10:
                fill(store, rows[19_000 + 100 * searched : 19_100 + 100 * searched], 19_000 + 100 * searched)
            assert store.search("image", rows[searched], where=Where(), limit=1)[0].score > 0.999
            searched += 1
        building.join()
        assert searched > 3
        assert store._image.kind == "hnsw"
        last = min(19_000 + 100 * searched, 20_000)
        assert recall(store, rows, rows[last - 20 : last], Where(), list(range(last))) > 0.98


def test_an_index_is_built_of_committed_rows_and_catches_up(tmp_path: Path) -> None:
    """What is written meanwhile may yet be taken back, so that it is added only once the index is taken."""
    rows = clustered(700)
    with open_store(tmp_path / "v") as store:
        fill(store, rows[:600])
        index = store._image.build("hnsw", 600)
        fill(store, rows[600:], 600)
        assert len(index) == 600
        store._image.use(index)
        assert (len(index), store._image.kind) == (700, "hnsw")
        assert recall(store, rows, rows[600:], Where(), list(range(700))) > 0.98


WRITER = """
import sys
from pathlib import Path
from tests.unit.retrieval.faiss.test_store import clustered, open_store
from tests.support.fakes import record, unit
rows = clustered(4000)
with open_store(Path(sys.argv[1]), "hnsw") as store:
    for at in range(0, 4000, 20):
        records = [record(n, text=f"word{n % 9}") for n in range(at, at + 20)]
        store.upsert(records, rows[at : at + 20])
        ids = [each.id for each in records]
        passages = [unit([[1, 0, 0, 0, 0, 0, 0, n]]) for n in range(20)]
        store.set_text(ids, [each.text for each in records], passages)
        print(at + 20, flush=True)
        if at % 400 == 380:
            store.optimize()
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    rows = clustered(4000)
    rng = np.random.default_rng(8)
    for _ in range(8):
        folder = tmp_path / str(rng.integers(1 << 30))
        target, done = int(rng.integers(20, 3900)), 0
        command = [sys.executable, "-c", WRITER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            for line in child.stdout:
                done = int(line)
                if done >= target:
                    os.kill(child.pid, signal.SIGKILL)
                    break
            done = max([done, *(int(line) for line in child.stdout.read().split())])
        with open_store(folder, "hnsw") as store:
            assert store.count() in (done, done + 20)
            np.testing.assert_array_equal(
                store.image_vectors([record(n).id for n in range(done)]), rows[:done]
            )
            assert recall(store, rows, rows[:10], Where(), list(range(store.count()))) >= 0.98
            assert len(store.search("text", unit(np.eye(8)[0])[0], where=Where(), limit=9999)) >= done
            assert len(store.search("words", "word3", where=Where(), limit=9999)) >= done // 9


def test_writers_searchers_and_builders_never_wait_for_each_other_in_a_ring(tmp_path: Path) -> None:
    rows = clustered(2_000)
    with open_store(tmp_path / "v", "hnsw") as store:
        fill(store, rows[:1_000])
        stop = threading.Event()

        def write() -> None:
            for at in range(1_000, 2_000, 5):
                fill(store, rows[at : at + 5], at)
            stop.set()

        def build() -> None:
            while not stop.is_set():
                flat = store._image.build("flat", store.count())
                with store._writing, store._gate.alone():
                    store._image.use(flat)
                store.optimize()

        def search() -> None:
            while not stop.is_set():
                store.search("image", rows[0], where=Where(tags=("h1",)), limit=5)

        threads = [threading.Thread(target=work, daemon=True) for work in (write, build, search, search)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert store.count() == 2_000


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    open_store(tmp_path / "v").close()
    assert json.loads((tmp_path / "v" / "manifest.json").read_text())["model"] == "colour"
