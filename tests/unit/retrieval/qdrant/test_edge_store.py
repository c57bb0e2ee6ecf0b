"""What only the in-process Qdrant store has: a folder that one process holds, and that can be damaged."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge

import askpix.retrieval.qdrant.edge_store
from askpix.core.errors import AskpixError, BadQueryError, IndexMismatchError, StoreUnavailableError
from askpix.core.types import Near, Where
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
from askpix.retrieval.stores.folder import PAYLOAD
from tests.conftest import ROOT
from tests.support.fakes import record, unit
from tests.support.sparse import copy_tree

DIM = 8
MODELS: dict[str, Any] = {"model_id": "colour", "dim": DIM, "text_model_id": "word-bag", "text_dim": 6}


def open_store(folder: Path, **others: Any) -> QdrantEdgeStore:
    return QdrantEdgeStore.open(folder, **(MODELS | others))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of three pictures; copy it before use."""
    folder = tmp_path_factory.mktemp("small") / "vectors"
    with open_store(folder) as store:
        store.upsert([record(number, text="total") for number in range(3)], unit(np.eye(3, DIM)))
    return folder


@pytest.fixture
def folder(small: Path, tmp_path: Path) -> Path:
    return copy_tree(small, tmp_path / "holiday" / "vectors")


def python(code: str, *args: object) -> subprocess.Popen[str]:
    """A second process that runs ``code``; its ``open_store`` takes the folder."""
    prelude = f"""
    import sys
    from pathlib import Path
    sys.path.insert(0, {str(ROOT)!r})
    from tests.unit.retrieval.qdrant.test_edge_store import *
    """
    script = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HOLD = """
store = open_store(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
store.close()
"""


def one_line(error: AskpixError) -> str:
    message = str(error)
    assert "\n" not in message
    assert "Traceback" not in message
    assert "WouldBlock" not in message
    return message


# --- one process at a time --------------------------------------------------------------------------------


def test_a_second_process_is_told_who_holds_the_collection(folder: Path) -> None:
    holder = python(HOLD, folder)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n", holder.communicate()
    try:
        with pytest.raises(StoreUnavailableError) as refused:
            open_store(folder, wait_s=0.3)
        message = one_line(refused.value)
        assert "'holiday' is in use by" in message
        assert f"process {holder.pid} (" in message
        assert "since 20" in message
        assert "wait" in message and "stop it" in message
    finally:
        holder.communicate("\n", timeout=20)
    open_store(folder).close()


def test_waiting_pays_when_the_other_lets_go(folder: Path) -> None:
    holder = python(HOLD, folder)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n", holder.communicate()
    timer = threading.Timer(0.3, lambda: holder.communicate("\n", timeout=20))
    timer.start()
    with open_store(folder, wait_s=20) as store:
        assert store.count() == 3
    timer.join()


def test_opening_twice_in_one_process_is_as_clear(folder: Path) -> None:
    itself = rf"this very process \({os.getpid()}\)"
    with open_store(folder), pytest.raises(StoreUnavailableError, match=itself):
        open_store(folder)
    open_store(folder).close()


def test_another_thread_may_close_it(folder: Path) -> None:
    store = open_store(folder)
    closer = threading.Thread(target=store.close)
    closer.start()
    closer.join()
    open_store(folder).close()


def test_a_closed_store_says_so(folder: Path) -> None:
    store = open_store(folder)
    store.close()
    store.close()
    for use in (store.count, store.optimize, lambda: store.search("words", "x", where=Where(), limit=1)):
        with pytest.raises(StoreUnavailableError, match="were closed"):
            use()


def test_closing_waits_for_searches_under_way(folder: Path) -> None:
    store, outcomes = open_store(folder), set[str]()

    def search() -> None:
        while True:
            try:
                outcomes.add(f"{len(store.search('image', unit(np.eye(1, DIM))[0], where=Where(), limit=9))}")
            except StoreUnavailableError as error:
                outcomes.add("closed" if "were closed" in str(error) else str(error))
                return

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    store.close()
    for thread in threads:
        thread.join(20)
    assert outcomes == {"3", "closed"}


# --- killed -----------------------------------------------------------------------------------------------

WRITE = """
from itertools import count
with open_store(Path(sys.argv[1])) as store:
    for batch in count(int(sys.argv[2])):
        numbers = range(batch * 10, batch * 10 + 10)
        store.upsert([record(f"w{n}") for n in numbers], unit(np.ones((10, DIM))))
        store.set_text([record(f"w{n}").id for n in numbers], [f"page {n}" for n in numbers],
                       [unit(np.ones((2, 6)))] * 10)
        if batch % 7 == 6:
            store.optimize()
        print(batch, flush=True)
"""


@pytest.mark.parametrize("rounds", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_what_was_acknowledged_survives_kill_9(folder: Path, rounds: int) -> None:
    rng, acknowledged = np.random.default_rng(rounds), -1
    for _ in range(rounds):
        writer = python(WRITE, folder, acknowledged + 1)
        assert writer.stdout is not None
        for _ in range(int(rng.integers(3, 25))):
            acknowledged = int(writer.stdout.readline())
        time.sleep(float(rng.uniform(0, 0.02)))
        writer.send_signal(signal.SIGKILL)
        # Not communicate(): it would leave out the lines that readline() has already taken into its buffer.
        rest = writer.stdout.read().split()
        writer.communicate(timeout=20)
        acknowledged = max([acknowledged, *map(int, rest)])
        with open_store(folder) as store:
            expected = [record(f"w{n}").id for n in range(acknowledged * 10 + 10)]
            records = store.get(expected)
            assert [each.id for each in records] == expected
            assert [each.text for each in records] == [f"page {n}" for n in range(len(expected))]
            assert store.image_vectors(expected).shape == (len(expected), DIM)
            # The last call may have been written and not acknowledged: whole, or not at all.
            assert store.count() - 3 in (len(expected), len(expected) + 10)
            assert store.count(Where(phrases=("page",))) in (len(expected), len(expected) + 10)
            assert len(set(store.ids())) == store.count()


def test_kill_9_while_the_store_is_made(tmp_path: Path) -> None:
    for number, pause in enumerate((0.0, 0.1, 0.25)):
        folder = tmp_path / str(number) / "vectors"
        maker = python("print('go', flush=True); open_store(Path(sys.argv[1])); sys.stdin.readline()", folder)
        assert maker.stdout is not None
        maker.stdout.readline()
        time.sleep(pause)
        maker.send_signal(signal.SIGKILL)
        maker.communicate(timeout=20)
        with open_store(folder) as store:
            store.upsert([record(1, tags=("a",))], unit(np.ones((1, DIM))))
            assert store.scroll(Where(tags=("a",)), limit=2) == [record(1).id]


# --- the wrong models -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "others",
    [{"model_id": "siglip"}, {"dim": 9}, {"text_model_id": "other"}, {"text_dim": 7}],
    ids=lambda others: next(iter(others)),
)
def test_other_models_are_refused_and_named(folder: Path, others: dict[str, Any]) -> None:
    with pytest.raises(IndexMismatchError) as refused:
        open_store(folder, **others)
    message = one_line(refused.value)
    assert "another --collection" in message
    for name in ("'colour'", "'word-bag'", str(next(iter(others.values())))):
        assert name in message
    with open_store(folder) as store:
        assert store.count() == 3


def test_a_newer_format_is_refused(folder: Path) -> None:
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({"format": content["format"] + 1, "whatever": "is new"}))
    with pytest.raises(IndexMismatchError, match="newer version"):
        open_store(folder)


# --- damage -----------------------------------------------------------------------------------------------


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "shard" / "segments").iterdir())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def junk(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


DAMAGES: dict[str, Any] = {
    "manifest cut": lambda folder: cut(folder / "manifest.json"),
    "manifest of something else": lambda folder: (folder / "manifest.json").write_text("[]"),
    "manifest gone": lambda folder: (folder / "manifest.json").unlink(),
    "configuration cut": lambda folder: cut(folder / "shard" / "edge_config.json"),
    "log is junk": lambda folder: junk(next((folder / "shard" / "wal").glob("open-*"))),
    "segment description gone": lambda folder: (segments(folder)[0] / "segment.json").unlink(),
    "segment state is junk": lambda folder: junk(segments(folder)[0] / "segment.json"),
    "shard gone": lambda folder: shutil.rmtree(folder / "shard"),
    "shard never was": lambda folder: (folder / "shard").rename(folder / "elsewhere"),
    "pictures lost": lambda folder: (folder / "closed.json").write_text('{"count": 4}'),
    "payload gone": lambda folder: (segments(folder)[0] / "payload_storage" / "tracker.dat").unlink(),
    "engine panics": lambda folder: cut(
        segments(folder)[0] / "vector_storage-image" / "vectors" / "status.dat"
    ),
}


HEALED: dict[str, Any] = {
    "segment gone": lambda folder: shutil.rmtree(segments(folder)[0]),
    "segment marker gone": lambda folder: (segments(folder)[0] / "version.info").unlink(),
    "ids gone": lambda folder: (segments(folder)[0] / "mutable_id_tracker.mappings").unlink(),
    "ids cut": lambda folder: cut(segments(folder)[0] / "mutable_id_tracker.mappings"),
}
"""What the engine passes over silently, and makes good from its log as long as that reaches back."""


@pytest.mark.parametrize("damage", list(HEALED))
def test_silent_damage_is_made_good_from_the_log(folder: Path, damage: str) -> None:
    HEALED[damage](folder)
    with open_store(folder) as store:
        assert store.count() == store.count(Where(phrases=("total",))) == 3


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_damage_is_told_in_one_line_and_lets_go_of_the_lock(folder: Path, damage: str) -> None:
    DAMAGES[damage](folder)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError) as refused:
            open_store(folder)
        message = one_line(refused.value)
        assert "in use" not in message
        assert str(folder) in message


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for impossible in (tmp_path / "file", tmp_path / "file" / "vectors", Path("/proc/askpix/vectors")):
        with pytest.raises(StoreUnavailableError, match="cannot use the folder") as refused:
            open_store(impossible)
        one_line(refused.value)


FORBIDDEN = """
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    open_store(Path(sys.argv[1]))
except StoreUnavailableError as error:
    print(one_line(error))
"""


def test_a_folder_without_permission(folder: Path) -> None:
    folder.parent.chmod(0o755)
    (folder / "lock").chmod(0o444)
    folder.chmod(0o555)
    out, err = python(FORBIDDEN, folder).communicate(timeout=60)
    assert "cannot use the folder" in out and "ermission denied" in out, (out, err)


FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    for batch in range(10_000):
        records = [record(f"{batch}-{n}", text="some words " * 500) for n in range(50)]
        store.upsert(records, unit(np.ones((50, DIM))))
except StoreUnavailableError as error:
    print(one_line(error))
"""


def test_files_that_may_not_grow_are_an_error_of_ours(folder: Path) -> None:
    """A limit on file sizes stands in for a full disk: the same calls of the engine fail."""
    writer = python(FULL_DISK, folder)
    out, err = writer.communicate(timeout=60)
    assert "vectors" in out, (writer.returncode, out, err)
    with open_store(folder) as store:
        assert store.count() >= 3


# --- questions that make no sense ---------------------------------------------------------------------------


@pytest.mark.parametrize("near", [(91, 0, 1), (0, 181, 1), (0, 0, -1), (math.nan, 0, 1), (0, 0, math.inf)])
def test_places_that_are_not_on_the_globe(folder: Path, near: tuple[float, float, float]) -> None:
    with open_store(folder) as store, pytest.raises(BadQueryError, match="no such place"):
        store.count(Where(near=Near(*near)))


# --- growing large ----------------------------------------------------------------------------------------


def test_from_some_size_on_there_is_a_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(askpix.retrieval.qdrant.edge_store, "GRAPH_FROM", 50)
    rows = unit(np.random.default_rng(0).normal(size=(60, DIM)))
    done, errors = threading.Event(), list[Exception]()
    with open_store(folder) as store:
        store.upsert([record(f"g{n}", kind="page" if n % 2 else "photo") for n in range(60)], rows)

        def search() -> None:
            while not done.is_set():
                try:
                    assert len(store.search("image", rows[0], where=Where(kind="page"), limit=5)) == 5
                except Exception as error:  # noqa: BLE001 (asserted on below)
                    errors.append(error)

        searching = threading.Thread(target=search)
        searching.start()
        store.optimize()
        store.optimize()
        done.set()
        searching.join()
        assert not errors
        assert json.loads((folder / "manifest.json").read_text())["graph"] is True
    with open_store(folder) as store:
        assert store.count() == 63
        assert store.search("image", rows[0], where=Where(), limit=1)[0].id == record("g0").id


def test_a_store_of_before_gets_the_derived_fields_when_it_is_optimised(tmp_path: Path) -> None:
    folder, may = tmp_path / "old" / "vectors", Where(after=datetime(2018, 5, 1), before=datetime(2018, 6, 1))
    receipt = record(1, text="12.05.2018\nTotal 67.85", lat=38.71, lon=-9.14)
    with open_store(folder) as store:
        store.upsert([receipt, record(2)], unit(np.eye(2, DIM)))
        fields = [
            "written",
            "written_years",
            "years",
            "months",
            "weekdays",
            "hour",
            "amounts",
            "country",
            "city",
            "region",
        ]
        old = edge.UpdateOperation.delete_payload([receipt.id, record(2).id], fields)
        store._shard.update(old, 2)
    manifest = folder / "manifest.json"
    written = json.loads(manifest.read_text("utf-8"))
    del written["payload"]
    manifest.write_text(json.dumps(written), "utf-8")
    with open_store(folder) as store:
        assert store.scroll(may, limit=9) == store.scroll(Where(country="PT"), limit=9) == []
        assert store.get([receipt.id]) == [receipt]
        assert store.behind and store.without_regions
        store.optimize()
        assert not store.behind and not store.without_regions
        assert store.scroll(Where(country="PT-11"), limit=9) == [receipt.id]
        assert (
            store.scroll(may, limit=9)
            == store.scroll(Where(country="PT", amount_min=60), limit=9)
            == [receipt.id]
        )
    with open_store(folder) as store:
        assert store.facets(Where())["years"] == ((2018, 1),)
        assert store._shard.payload_version == PAYLOAD


def test_how_many_there_are_is_remembered_until_it_changes(folder: Path) -> None:
    with open_store(folder) as store:
        counted: list[int] = []
        use = store._shard.use

        class Counting:
            def __init__(self) -> None:
                self.inner = use()

            def __enter__(self) -> Any:
                engine = self.inner.__enter__()

                class Engine:
                    def count(self, request: Any) -> int:
                        counted.append(engine.count(request))
                        return counted[-1]

                    def __getattr__(self, name: str) -> Any:
                        return getattr(engine, name)

                return Engine()

            def __exit__(self, *error: Any) -> Any:
                return self.inner.__exit__(*error)

        store._shard.use = Counting  # type: ignore[method-assign, assignment]
        assert [store.count() for _ in range(5)] == [3] * 5 and counted == [3]
        assert store.count(Where(kind="photo")) == 3 and len(counted) == 2, "a filter is counted each time"
        store.delete([record(1).id])
        assert (store.count(), store.count()) == (2, 2)
        store.upsert([record(7)], unit(np.eye(1, DIM)))
        store.upsert([record(7)], unit(np.eye(1, DIM)))
        assert store.count() == 3 and len(counted) == 4
        store._shard.use = use  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError):
        store.count()
