import sys
import time
from pathlib import Path

import pytest

from evaluation.kills import run_kills
from evaluation.speed import machine, measure_ingest, measure_queries


def burn(seconds: float) -> None:
    """Really use the processor."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_the_bound_is_what_the_bare_parts_take() -> None:
    def index_run() -> int:
        burn(0.012 * 10)
        return 10

    speed = measure_ingest(
        index_run, lambda _: burn(0.004), lambda batch: burn(0.006 * len(batch)), range(10), cores=1, rounds=1
    )
    assert speed.decode_ms == pytest.approx(4, rel=0.2) and speed.embed_ms == pytest.approx(6, rel=0.2)
    assert speed.bound_per_s == pytest.approx(100, rel=0.2)
    assert speed.cpu_ratio == pytest.approx(10 / 12, rel=0.2)


def test_queries_are_compared_with_their_parts() -> None:
    speed = measure_queries(lambda _: time.sleep(0.004), lambda _: time.sleep(0.002), ["q"] * 20)
    assert speed.queries == 20 and 1.3 < speed.ratio_p50 < 3
    assert speed.search_p50 <= speed.search_p95 and speed.bare_p50 >= 2


def test_the_machine_is_named() -> None:
    assert {"date", "cores", "python", "pillow"} <= machine("pillow").keys()


COUNTS_TO_40 = """
import sys, time, pathlib
path = pathlib.Path(sys.argv[1])
start = int(path.read_text()) if path.exists() else 0
for number in range(start, 40):
    time.sleep(0.02)
    draft = path.with_suffix(".new"); draft.write_text(str(number + 1)); draft.replace(path)
"""
FORGETS = COUNTS_TO_40.replace(
    "int(path.read_text()) if path.exists() else 0", "0; path.unlink(missing_ok=True)"
)


@pytest.mark.parametrize(("program", "keeps"), [(COUNTS_TO_40, True), (FORGETS, False)])
def test_kills_find_what_is_lost(tmp_path: Path, program: str, keeps: bool) -> None:
    path, best = tmp_path / "count", [0]

    def check() -> list[str]:
        count = int(path.read_text()) if path.exists() else 0
        lost = count < best[0]
        best[0] = max(best[0], count)
        return [f"{best[0]} became {count}"] if lost else []

    report = run_kills(
        [sys.executable, "-c", program, str(path)], environment={}, check=check, kills=3, seconds=(0.15, 0.4)
    )
    assert report.kills == 3 and path.read_text() == "40"
    assert (report.problems == ()) is keeps
