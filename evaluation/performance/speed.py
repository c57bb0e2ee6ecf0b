"""Speed beside the bare libraries, in one run, ratios first. Knows no library: it times what it is given.

Machines are noisy, so bare and real runs take turns, and CPU seconds are counted beside the clock: what
another process takes shows in the clock alone.
"""

import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class IngestSpeed:
    """Stage one of ingestion against the bound of the machine.

    The bound is ``cores / (CPU seconds of the bare decode + of the bare embedding, per picture)``: what no
    pipeline around these two libraries can pass. ``ratio`` is images/s over the bound; ``cpu_ratio`` the
    bare CPU seconds over those that were spent. ``ratio_to_bare`` is images/s over ``bare_per_s``: the bare
    parts alone on ``cores`` threads by the clock, in turn with the real runs, so that what other processes
    take, and cores that share a unit, weigh on both.
    """

    pictures: int
    cores: int
    decode_ms: float
    embed_ms: float
    bound_per_s: float
    achieved_per_s: float
    ratio: float
    cpu_ratio: float
    bare_per_s: float
    ratio_to_bare: float


@dataclass(frozen=True, slots=True)
class QuerySpeed:
    """A whole search over text encoding plus one bare store query; milliseconds."""

    queries: int
    search_p50: float
    search_p95: float
    bare_p50: float
    bare_p95: float
    ratio_p50: float


def cpu_per_item(work: Callable[[Item], Any], items: Sequence[Item]) -> float:
    """CPU seconds of this thread per item."""
    began = time.thread_time()
    for item in items:
        work(item)
    return (time.thread_time() - began) / max(1, len(items))


def measure_ingest(
    index_run: Callable[[], int],
    decode: Callable[[Item], Any],
    embed: Callable[[Sequence[Item]], Any],
    items: Sequence[Item],
    *,
    cores: int,
    batch: int = 16,
    rounds: int = 3,
) -> IngestSpeed:
    """Bare and real runs in turn over the same images; the medians of ``rounds``.

    ``decode`` and ``embed`` run on this thread alone, then on ``cores`` threads; ``index_run`` is a whole
    fresh run and returns how many images it embedded. Each real run is held against the mean of the bare
    ones before and after it, those on all cores next to it: shared machines change their speed from one
    minute to the next, and are fastest right after cores were idle.
    """

    def both(part: Sequence[Item]) -> None:
        for item in part:
            decode(item)
        embed(part)

    batches = [items[i : i + batch] for i in range(0, len(items), batch)]
    decoding: list[float] = []
    embedding: list[float] = []
    together: list[float] = []

    def run_alone() -> None:
        decoding.append(cpu_per_item(decode, items))
        embedding.append(cpu_per_item(embed, batches) * len(batches) / len(items))

    def run_together() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(cores) as threads:
            list(threads.map(both, batches))
        return len(items) / (time.perf_counter() - began)

    rates: list[float] = []
    spent: list[float] = []
    run_alone()
    for _ in range(rounds):
        before = run_together()
        began = time.perf_counter()
        cpu = time.process_time()
        count = index_run()
        rates.append(count / (time.perf_counter() - began))
        spent.append((time.process_time() - cpu) / count)
        together.append((before + run_together()) / 2)
        run_alone()
    alone = [d + e for d, e in zip(decoding, embedding, strict=True)]
    bare = [(before + after) / 2 for before, after in pairwise(alone)]
    return IngestSpeed(
        pictures=len(items),
        cores=cores,
        decode_ms=1000 * median(decoding),
        embed_ms=1000 * median(embedding),
        bound_per_s=cores / median(alone),
        achieved_per_s=median(rates),
        ratio=median(rate * cost / cores for rate, cost in zip(rates, bare, strict=True)),
        cpu_ratio=median(cost / used for cost, used in zip(bare, spent, strict=True)),
        bare_per_s=median(together),
        ratio_to_bare=median(rate / most for rate, most in zip(rates, together, strict=True)),
    )


def measure_queries(
    search: Callable[[str], Any], bare: Callable[[str], Any], texts: Sequence[str]
) -> QuerySpeed:
    """Time each text as a search and by the bare parts, in turn."""
    whole: list[float] = []
    parts: list[float] = []
    for text in texts[:3]:  # warm up
        search(text)
        bare(text)
    for text in texts:
        for work, times in ((bare, parts), (search, whole)):
            began = time.perf_counter()
            work(text)
            times.append(1000 * (time.perf_counter() - began))
    whole.sort()
    parts.sort()
    late = int(0.95 * (len(texts) - 1))
    return QuerySpeed(
        queries=len(texts),
        search_p50=median(whole),
        search_p95=whole[late],
        bare_p50=median(parts),
        bare_p95=parts[late],
        ratio_p50=median(whole) / median(parts),
    )


def machine(*distributions: str) -> dict[str, str]:
    """Return the machine, date and versions of a measurement."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in distributions},
    }


def _processor() -> str:
    """The model's name where the system tells it (Linux does in a file), else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
