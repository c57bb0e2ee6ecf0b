import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from askpix.evaluation.performance.speed import machine, measure_ingest, measure_queries
from benchmarks.load.kill_schedule import run_kills
from tests.support.clock import FakeClock, fake_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return fake_clock(monkeypatch, "askpix.evaluation.performance.speed")


def test_the_bound_is_what_the_bare_parts_take(clock: FakeClock) -> None:
    def index_run() -> int:
        clock.sleep(0.012 * 10)
        return 10

    speed = measure_ingest(
        index_run,
        lambda _: clock.sleep(0.004),
        lambda batch: clock.sleep(0.006 * len(batch)),
        range(10),
        cores=1,
        rounds=1,
    )
    assert speed.decode_ms == pytest.approx(4) and speed.embed_ms == pytest.approx(6)
    assert speed.bound_per_s == pytest.approx(100)
    assert speed.cpu_ratio == pytest.approx(10 / 12)
    assert speed.ratio_to_bare == pytest.approx(10 / 12)


def test_the_bare_parts_run_on_all_cores() -> None:
    both_are_in = threading.Barrier(2, timeout=30)
    seen: set[str] = set()

    def embed(batch: Sequence[int]) -> None:
        if (name := threading.current_thread().name) != "MainThread" and name not in seen:
            seen.add(name)
            both_are_in.wait()  # broken unless another thread embeds at the same time

    measure_ingest(lambda: 20, lambda _: None, embed, range(20), cores=2, batch=5, rounds=1)
    assert len(seen) >= 2


def test_queries_are_compared_with_their_parts(clock: FakeClock) -> None:
    speed = measure_queries(lambda _: clock.sleep(0.004), lambda _: clock.sleep(0.002), ["q"] * 20)
    assert speed.queries == 20 and speed.ratio_p50 == pytest.approx(2)
    assert speed.search_p50 == pytest.approx(4) and speed.bare_p50 == pytest.approx(2)


def test_the_machine_is_named() -> None:
    named = machine("pillow")
    assert {"date", "cores", "python", "pillow"} <= named.keys() and named["processor"]


COUNTS_TO_100 = """
import sys, time, pathlib
path = pathlib.Path(sys.argv[1])
start = int(path.read_text()) if path.exists() else 0
for number in range(start, 100):
    time.sleep(0.01)
    draft = path.with_suffix(".new"); draft.write_text(str(number + 1)); draft.replace(path)
"""
FORGETS = COUNTS_TO_100.replace(
    "int(path.read_text()) if path.exists() else 0", "0; path.unlink(missing_ok=True)"
)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "keeps"), [(COUNTS_TO_100, True), (FORGETS, False)])
def test_kills_find_what_is_lost(tmp_path: Path, program: str, keeps: bool) -> None:
    path, best = tmp_path / "count", [0]

    def check() -> list[str]:
        count = int(path.read_text()) if path.exists() else 0
        lost = count < best[0]
        best[0] = max(best[0], count)
        return [f"{best[0]} became {count}"] if lost else []

    report = run_kills(
        [sys.executable, "-c", program, str(path)], environment={}, check=check, kills=3, seconds=(0.1, 0.3)
    )
    assert report.kills == 3 and path.read_text() == "100"
    assert (report.problems == ()) is keeps


@pytest.mark.slow
def test_kills_begin_anew_when_the_work_is_complete(tmp_path: Path) -> None:
    """Each kill hits a run that has something to do, however fast the work."""
    path, begun = tmp_path / "count", [0]

    def prepare() -> None:
        if path.exists() and path.read_text() == "100":
            path.unlink()
            begun[0] += 1

    # The work takes over a second, more on a busy machine: some kill comes after its end.
    report = run_kills(
        [sys.executable, "-c", COUNTS_TO_100, str(path)],
        environment={},
        check=list,
        kills=6,
        seconds=(0.6, 0.8),
        prepare=prepare,
    )
    assert report.kills == 6 and report.problems == () and begun[0] >= 1


def test_kills_that_come_too_late_and_failing_runs_are_problems(tmp_path: Path) -> None:
    late = run_kills([sys.executable, "-c", "pass"], environment={}, check=list, kills=1, seconds=(20, 30))
    assert (late.kills, late.runs) == (0, 4) and "0 kills of 1" in late.problems[0]
    fails = "import sys; sys.exit('the lock is held')"
    failed = run_kills([sys.executable, "-c", fails], environment={}, check=list, kills=1, seconds=(20, 30))
    assert sum("ended with 1: the lock is held" in problem for problem in failed.problems) == 4
