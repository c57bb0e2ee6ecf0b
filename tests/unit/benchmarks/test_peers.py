import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from askpix.core.errors import AskpixError
from benchmarks.peers.compare import Driver, compare_with, run_driver
from benchmarks.peers.setup import ON_VECTORS, PEERS, driver_of, ours, ours_on_vectors, vectors_in
from tests.conftest import ROOT

FAKE = """
import json, pathlib, sys
doing, folder, home, number = sys.argv[1:]
told = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())
seen = pathlib.Path(home) / "seen"
times = len(seen.read_text()) if seen.exists() else 0
seen.write_text("x" * (times + 1))
if told.get("fails"):
    sys.exit("Traceback\\n  ...\\nOSError: " + told["fails"])
print("chatter")
print(json.dumps({"version": "7", "peak_mb": 10 + times, **told[doing]}))
"""


def fake(folder: Path, name: str, **told: object) -> Driver:
    """A program that says what it is told to."""
    (folder / f"{name}.py").write_text(FAKE)
    (folder / f"{name}.json").write_text(json.dumps(told))
    return Driver(name, (sys.executable, str(folder / f"{name}.py")), {})


def test_images_a_second_and_milliseconds_become_ratios_above_one_where_we_are_faster(
    tmp_path: Path,
) -> None:
    one = fake(tmp_path, "one", index={"seconds": 2, "pictures": 100}, query={"p50_ms": 4})
    two = fake(tmp_path, "two", index={"seconds": 5, "pictures": 100}, query={"p50_ms": 10})
    rows = {row.phase: row for row in compare_with(one, two, tmp_path, tmp_path / "work", rounds=2)}
    assert list(rows) == ["index", "again", "query"]
    assert (rows["index"].ours, rows["index"].theirs, rows["index"].ratio) == (50, 20, 2.5)
    assert (rows["query"].ours, rows["query"].theirs, rows["query"].ratio) == (4, 10, 2.5)
    assert rows["query"].peak_mb == (12, 12), "the third run in the same home"
    assert {row.version for row in rows.values()} == {"7"}


def test_programs_that_did_not_read_the_same_are_not_compared(tmp_path: Path) -> None:
    one = fake(tmp_path, "one", index={"seconds": 2, "pictures": 100}, query={"p50_ms": 4})
    two = fake(tmp_path, "two", index={"seconds": 1, "pictures": 90}, query={"p50_ms": 4})
    with pytest.raises(AskpixError, match="not the same images"):
        compare_with(one, two, tmp_path, tmp_path / "work", rounds=1)


def test_a_driver_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    broken = fake(tmp_path, "broken", fails="no disk")
    (tmp_path / "home").mkdir()
    with pytest.raises(AskpixError, match=r"^broken cannot be measured: OSError: no disk$"):
        run_driver(broken, "index", tmp_path, tmp_path / "home", queries=1)
    missing = Driver("gone", (str(tmp_path / "gone"),), {})
    with pytest.raises(AskpixError, match="gone cannot be measured"):
        run_driver(missing, "index", tmp_path, tmp_path, queries=1)


def test_our_own_driver_indexes_and_searches_real_images(tmp_path: Path) -> None:
    folder = ROOT / "api" / "demo" / "pictures" / "photos"
    there = len([path for path in folder.rglob("*") if path.suffix in (".jpg", ".webp", ".png")])
    first = run_driver(ours(), "index", folder, tmp_path / "home", queries=0)
    assert first["pictures"] == there > 5
    assert run_driver(ours(), "again", folder, tmp_path / "home", queries=0)["pictures"] == there
    assert 0 < run_driver(ours(), "query", folder, tmp_path / "home", queries=3)["p50_ms"] < 10_000


@pytest.mark.slow
@pytest.mark.parametrize("peer", [name for name in PEERS if name not in ON_VECTORS])
def test_the_drivers_of_the_peers_drive_them(tmp_path: Path, peer: str) -> None:
    folder = ROOT / "api" / "demo" / "pictures" / "photos"
    try:
        driver = driver_of(peer, tmp_path, print)
    except AskpixError as error:
        pytest.skip(f"no package index: {error}")
    rows = compare_with(ours(), driver, folder, tmp_path / "work", rounds=1, queries=3)
    assert [row.phase for row in rows] == list(driver.phases)
    assert all(row.ours > 0 and row.theirs > 0 for row in rows)


FOUND = {"found": [["a", "b"], ["c", "d"]]}


def test_searches_of_the_same_vectors_must_find_the_same(tmp_path: Path) -> None:
    index = {"seconds": 2, "pictures": 100}
    one = fake(tmp_path, "one", index=index, query={"p50_ms": 4, **FOUND}, filtered={"p50_ms": 1, **FOUND})
    two = fake(tmp_path, "two", index=index, query={"p50_ms": 8, **FOUND}, filtered={"p50_ms": 3, **FOUND})
    two = replace(two, phases=("index", "query", "filtered"))
    rows = {row.phase: row for row in compare_with(one, two, tmp_path, tmp_path / "alike", rounds=1)}
    assert (rows["query"].ratio, rows["filtered"].ratio) == (2, 3)
    other = {"p50_ms": 8, "found": [["a", "x"], ["c", "d"]]}
    unlike = replace(fake(tmp_path, "unlike", index=index, query=other, filtered=other), phases=two.phases)
    with pytest.raises(AskpixError, match="not the same images were found"):
        compare_with(one, unlike, tmp_path, tmp_path / "unlike-homes", rounds=1)


@pytest.mark.slow
@pytest.mark.parametrize("peer", ON_VECTORS)
def test_the_same_vectors_in_our_store_and_in_a_peer(tmp_path: Path, peer: str) -> None:
    folder = vectors_in(tmp_path / "vectors", 1_000)
    try:
        driver = driver_of(peer, tmp_path, print)
    except AskpixError as error:
        pytest.skip(f"no package index: {error}")
    rows = compare_with(ours_on_vectors(), driver, folder, tmp_path / "homes", rounds=1, queries=8)
    assert [row.phase for row in rows] == ["index", "query", "filtered"][: 2 if peer == "clip-back" else 3]
    assert all(row.ours > 0 and row.theirs > 0 and row.version[0].isdigit() for row in rows)
