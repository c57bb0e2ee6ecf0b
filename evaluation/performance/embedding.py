"""An embedder beside a hand-written loop over the bare library, in one run. Knows no library.

Ours and theirs take turns on the same images and texts; what other processes take weighs on both, so the
ratio of each turn is what counts, and its median what is told. A large model on a small machine must not take
an hour: there are fewer turns where time is out, and a batch that one turn is too long for is left out.
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

    ``cpu_ratio`` is the same by this process's CPU seconds: other processes hardly move it. ``turns`` is how
    often both ran, 0 where there was no time for it: the other figures are None then.
    """

    what: str
    batch: int
    turns: int
    per_s: float | None = None
    bare_per_s: float | None = None
    ratio: float | None = None
    cpu_ratio: float | None = None


def measure_embedding(
    what: str,
    ours: Embed,
    bare: Embed,
    items: Sequence[Item],
    *,
    batches: Sequence[int] = BATCHES,
    rounds: int = 5,
    least_s: float = 1.0,
    most_s: float = 150.0,
    on_row: Callable[[BatchSpeed], None] | None = None,
) -> list[BatchSpeed]:
    """Measure one row a batch size; ``items`` are repeated to fill it. A turn lasts ``least_s`` at least.

    All of it takes about ``most_s``: each batch size may take its share of what is left, smallest first.
    """
    rows: list[BatchSpeed] = []
    until = time.perf_counter() + most_s
    per_item = 0.0
    for number, batch in enumerate(batches):
        share = max(0.0, until - time.perf_counter()) / (len(batches) - number)
        if rows and 2 * per_item * batch > share:  # not even one turn of both
            row = BatchSpeed(what, batch, 0)
        else:
            row, per_item = _measured(
                what, ours, bare, items, batch, rounds=rounds, least_s=least_s, most_s=share
            )
        rows.append(row)
        if on_row:
            on_row(row)
    return rows


def _measured(
    what: str,
    ours: Embed,
    bare: Embed,
    items: Sequence[Item],
    batch: int,
    *,
    rounds: int,
    least_s: float,
    most_s: float,
) -> tuple[BatchSpeed, float]:
    """The row, and the seconds an item took the bare loop."""
    until = time.perf_counter() + most_s
    filled = [items[i % len(items)] for i in range(batch)]
    warm = filled[: min(batch, 2)]
    for embed in (ours, bare):  # warm up: what is built at the first run
        embed(warm)
    began = time.perf_counter()
    bare(filled)
    once = max(1e-6, time.perf_counter() - began)
    repeats = max(1, round(min(least_s, most_s / (2 * rounds)) / once))
    mine: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for turn in range(rounds):
        if turn and time.perf_counter() + 2 * repeats * once > until:
            break
        pair = ((ours, mine), (bare, theirs))
        for embed, turns in pair if turn % 2 else reversed(pair):
            turns.append(_rate(embed, filled, repeats))
    pairs = list(zip(mine, theirs, strict=True))
    by_clock, by_cpu = (median(a[i] / max(b[i], 1e-9) for a, b in pairs) for i in (0, 1))
    per_s, bare_per_s = (median(rate for rate, _ in turns) for turns in (mine, theirs))
    return BatchSpeed(what, batch, len(pairs), per_s, bare_per_s, by_clock, by_cpu), once / batch


def _rate(embed: Embed, items: Sequence[Any], repeats: int) -> tuple[float, float]:
    """Items a second by the clock, and a CPU second."""
    began = time.perf_counter()
    cpu = time.process_time()
    for _ in range(repeats):
        embed(items)
    count = repeats * len(items)
    return count / (time.perf_counter() - began), count / max(1e-6, time.process_time() - cpu)
