"""Cost of a store as it grows: building, memory, disk, latency and recall, on data like that of images.

Knows no store: it fills and asks what it is given, and works out the exact answers itself. Vectors lie in
clusters, as those of images do; queries are images like those stored, and texts, which lie off the data.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from askpix.core.types import ImageRecord, Vectors, Where

CLUSTERS = 4_000
_SPREAD = 0.75
"""Length of what is added to a cluster's centre (length 1): neighbours have a cosine of about 0.64."""
_CHUNK = 20_000
TOP = 10


class Writable(Protocol):
    """A store that can be filled."""

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None: ...


class Fillable(Writable, Protocol):
    """The part of a vector store that is measured."""

    def search(self, sub_query: Any, query: Any, /, *, where: Where, limit: int) -> Sequence[Any]: ...
    def optimize(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, and the share of the exact ten best that were found."""

    p50: float
    p95: float
    recall: float


@dataclass(frozen=True, slots=True)
class ScaleReport:
    """Result for one store at one size. ``cases``: none, text_like, one_percent, ten_percent, album.

    ``overhead``: p50 of the store over that of its bare engine, unfiltered, in turn. ``building``: latency of
    searches while the index was built; ``peak_mb``: of the whole process, mapped files in memory included.
    """

    store: str
    points: int
    fill_s: float
    optimize_s: float
    reopen_s: float
    disk_mb: float
    anonymous_mb: float
    peak_mb: float
    cases: dict[str, Latency]
    overhead: float
    building: dict[str, float]


class Data:
    """Clustered vectors of ``dim`` numbers, made chunk by chunk, the same at every call."""

    def __init__(self, points: int, dim: int = 512, seed: int = 7) -> None:
        self.points = points
        self.dim = dim
        self._seed = seed
        rng = np.random.default_rng(seed)
        self._centres = _unit(rng.normal(size=(CLUSTERS, dim)))
        self._gap = _unit(rng.normal(size=(1, dim)))
        self._album = rng.permutation(CLUSTERS)[: CLUSTERS // 100]

    def chunks(self) -> Iterator[tuple[int, Vectors, NDArray[np.int64]]]:
        """First number, vectors and clusters of each chunk."""
        for first in range(0, self.points, _CHUNK):
            count = min(_CHUNK, self.points - first)
            rng = np.random.default_rng((self._seed, first))
            clusters = rng.integers(0, CLUSTERS, count)
            yield first, self._around(clusters, rng), clusters

    def _around(self, clusters: NDArray[np.int64], rng: np.random.Generator) -> Vectors:
        noise = rng.standard_normal((len(clusters), self.dim), np.float32)
        return _unit(self._centres[clusters] + _SPREAD * noise / np.float32(self.dim**0.5))

    def queries(self, count: int) -> dict[str, Vectors]:
        """Like the data; off the data as texts are; and unlike the album."""
        rng = np.random.default_rng((self._seed, 1))
        others = np.setdiff1d(np.arange(CLUSTERS), self._album)
        like = self._around(rng.integers(0, CLUSTERS, count), rng)
        base = self._around(rng.integers(0, CLUSTERS, count), rng)
        text = _unit(0.5 * base + 0.6 * self._gap + 0.6 * _unit(rng.normal(size=base.shape)))
        return {"like": like, "text": text, "unlike_album": self._around(rng.choice(others, count), rng)}

    def records(self, first: int, clusters: NDArray[np.int64]) -> list[ImageRecord]:
        """Return the records: tags on a hundredth and a tenth at random, and an album of alike ones."""
        rng = np.random.default_rng((self._seed, first, 2))
        one = rng.random(len(clusters)) < 0.01
        ten = rng.random(len(clusters)) < 0.1
        album = np.isin(clusters, self._album)
        start = datetime(2010, 1, 1)
        return [
            ImageRecord(
                id=identity(first + at),
                uri=f"/photos/{(first + at) % 997}/IMG_{first + at:08}.jpg",
                kind="photo",
                width=4000,
                height=3000,
                taken_at=start + timedelta(minutes=7 * (first + at)),
                camera=("Canon EOS 5D", "NIKON D70", "iPhone 12")[(first + at) % 3],
                tags=tuple(
                    name for name, has in (("one", one[at]), ("ten", ten[at]), ("album", album[at])) if has
                ),
            )
            for at in range(len(clusters))
        ]


CASES: dict[str, tuple[str, Where]] = {
    "none": ("like", Where()),
    "text_like": ("text", Where()),
    "one_percent": ("like", Where(tags=("one",))),
    "ten_percent": ("like", Where(tags=("ten",))),
    "album": ("unlike_album", Where(tags=("album",))),
}


def identity(number: int) -> str:
    """An image's id: spread like a hash, but the same at every call."""
    return str(UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)))


def exact_best(data: Data, queries: dict[str, Vectors]) -> dict[str, list[set[str]]]:
    """The ids of the ten best of each query of each case, by scanning everything."""
    best = {
        name: (
            np.full((len(queries[kind]), TOP), -2.0, np.float32),
            np.zeros((len(queries[kind]), TOP), np.int64),
        )
        for name, (kind, _) in CASES.items()
    }
    for first, rows, clusters in data.chunks():
        tagged = [set(record.tags) for record in data.records(first, clusters)]
        for name, (kind, where) in CASES.items():
            kept = np.flatnonzero([set(where.tags) <= tags for tags in tagged])
            scores = np.concatenate([best[name][0], queries[kind] @ rows[kept].T], axis=1)
            numbers = np.concatenate(
                [best[name][1], np.broadcast_to(first + kept, (len(queries[kind]), len(kept)))], axis=1
            )
            top = np.argpartition(-scores, TOP - 1, axis=1)[:, :TOP]
            best[name] = np.take_along_axis(scores, top, 1), np.take_along_axis(numbers, top, 1)
    return {name: [{identity(int(n)) for n in row} for row in numbers] for name, (_, numbers) in best.items()}


def fill(store: Writable, data: Data, *, batch: int = 1_000) -> float:
    """Seconds to write everything, the making of the data not counted."""
    spent = 0.0
    for first, rows, clusters in data.chunks():
        records = data.records(first, clusters)
        began = time.perf_counter()
        for at in range(0, len(records), batch):
            store.upsert(records[at : at + batch], rows[at : at + batch])
        spent += time.perf_counter() - began
    return spent


def optimize_while_searching(store: Fillable, queries: Vectors) -> tuple[float, dict[str, float]]:
    """Seconds that ``optimize`` takes, and the latency (ms) of searches that go on meanwhile."""
    failures: list[BaseException] = []

    def build() -> None:
        try:
            store.optimize()
        except BaseException as error:  # noqa: BLE001 - raised in the other thread below
            failures.append(error)

    thread = threading.Thread(target=build)
    began = time.perf_counter()
    thread.start()
    times: list[float] = []
    while thread.is_alive():
        asked = time.perf_counter()
        store.search("image", queries[len(times) % len(queries)], where=Where(), limit=TOP)
        times.append(1000 * (time.perf_counter() - asked))
        thread.join(0.02)  # one person who searches, not a benchmark of its own
    took = time.perf_counter() - began
    if failures:
        raise failures[0]
    times.sort()
    return took, {"searches": len(times), "p50": median(times or [0.0]), "worst": max(times, default=0.0)}


def ask(store: Fillable, queries: dict[str, Vectors], best: dict[str, list[set[str]]]) -> dict[str, Latency]:
    """Every query of every case once, after a few to warm up."""
    found: dict[str, Latency] = {}
    for name, (kind, where) in CASES.items():
        for query in queries[kind][:5]:
            store.search("image", query, where=where, limit=TOP)
        times = []
        hits = 0
        for query, truth in zip(queries[kind], best[name], strict=True):
            began = time.perf_counter()
            got = store.search("image", query, where=where, limit=TOP)
            times.append(1000 * (time.perf_counter() - began))
            hits += len(truth & {hit.id for hit in got})
        times.sort()
        recall = hits / (TOP * len(times))
        found[name] = Latency(median(times), times[int(0.95 * (len(times) - 1))], recall)
    return found


def overhead(store: Fillable, bare: Callable[[Vectors], Any], queries: Vectors) -> float:
    """Median of the store's time over that of its bare engine, asked in turn."""
    whole: list[float] = []
    parts: list[float] = []
    for query in queries:
        for times, work in ((parts, bare), (whole, _search(store))):
            began = time.perf_counter()
            work(query)
            times.append(time.perf_counter() - began)
    return float(median(whole) / median(parts))


def _search(store: Fillable) -> Callable[[Vectors], Any]:
    return lambda query: store.search("image", query, where=Where(), limit=TOP)


def memory() -> tuple[float, float]:
    """Anonymous memory now (0 where the system does not tell), and the peak of all, in MB."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        lines = []
    anonymous = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), 0.0)
    return anonymous, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def disk_mb(folder: Path) -> float:
    """Megabytes really taken on the disk (files may have holes)."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()) / 1e6


def _unit(rows: Any) -> Vectors:
    matrix = np.asarray(rows, np.float32)
    return np.ascontiguousarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))
