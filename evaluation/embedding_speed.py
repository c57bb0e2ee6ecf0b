"""An embedder beside a hand-written loop over the bare library, in one run. Knows no library.

Ours and theirs take turns on the same pictures and texts; what other processes take weighs on both, so the
ratio of each turn is what counts, and its median what is told.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

Item = TypeVar("Item")
Embed = Callable[[Sequence[Any]], Any]

BATCHES = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class BatchSpeed:
    """Items/s of ours and of the bare loop; ``ratio`` is the median of ours over theirs, turn by turn.

    ``cpu_ratio`` is the same by this process's CPU seconds: other processes hardly move it.
    """

    what: str
    batch: int
    per_s: float
    bare_per_s: float
    ratio: float
    cpu_ratio: float


def measure_embedding(
    what: str,
    ours: Embed,
    bare: Embed,
    items: Sequence[Item],
    *,
    batches: Sequence[int] = BATCHES,
    rounds: int = 5,
    least_s: float = 1.0,
) -> list[BatchSpeed]:
    """One row a batch size; ``items`` are repeated to fill it. A turn lasts ``least_s`` at least."""
    rows = []
    for batch in batches:
        filled = [items[i % len(items)] for i in range(batch)]
        for embed in (ours, bare):  # warm up
            embed(filled)
        began = time.perf_counter()
        bare(filled)
        repeats = max(1, round(least_s / max(1e-6, time.perf_counter() - began)))
        mine: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        for turn in range(rounds):
            pair = ((ours, mine), (bare, theirs))
            for embed, turns in pair if turn % 2 else reversed(pair):
                turns.append(_rate(embed, filled, repeats))
        pairs = list(zip(mine, theirs, strict=True))
        by_clock, by_cpu = (median(a[i] / max(b[i], 1e-9) for a, b in pairs) for i in (0, 1))
        per_s, bare_per_s = (median(rate for rate, _ in turns) for turns in (mine, theirs))
        rows.append(BatchSpeed(what, batch, per_s, bare_per_s, by_clock, by_cpu))
    return rows


def _rate(embed: Embed, items: Sequence[Any], repeats: int) -> tuple[float, float]:
    """Items a second by the clock, and a CPU second."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        embed(items)
    count = repeats * len(items)
    return count / (time.perf_counter() - began), count / max(1e-6, time.process_time() - cpu)
