"""FAISS indexes over a ``VectorLog``: which one at which size, how it is built, and its snapshot on the disk.

``flat`` scans the vectors and finds everything. ``hnsw`` is a graph over 8-bit codes, ``ivf_pq`` inverted
lists of product codes; both only propose candidates, which are scored again with the vectors themselves.
Neither is ever handed a filter: inside a graph or a list a filter loses most of what it should find
(measured: recall 0.17 to 0.6). Filtered searches scan: the graph's own 8-bit codes, or all lists.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW", 2016.
Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011.
"""

import hashlib
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from askpix.core.errors import ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.types import Vectors
from askpix.retrieval.faiss.vector_log import VectorLog
from askpix.retrieval.stores.folder import read_json, write_json

try:
    # Untyped on purpose: its stubs describe the C++ constructors, not those that Python has.
    faiss: Any = import_module("faiss")
except ImportError as error:
    raise ModelUnavailableError(
        "FAISS is not installed; add it with: pip install 'askpix[faiss]' (or 'askpix[gpu]' with a GPU)"
    ) from error

IndexKind: TypeAlias = Literal["flat", "hnsw", "ivf_pq"]
Positions: TypeAlias = NDArray[np.int64]

FLAT_TO = 50_000
"""Vectors up to which a scan takes some milliseconds: no index needed."""
HNSW_TO = 300_000
"""Up to here a graph is built in minutes on a few cores; lists take a fifth of its time at a million."""
_BLOCK = 20_000
_LINKS = 24
_BUILD_BEAM = 100
_BEAM = 192
_PQ_NUMBERS = 8
"""Numbers of a vector that share one byte of its product code."""


def kind_for(count: int) -> IndexKind:
    """The index that suits so many vectors."""
    if count <= FLAT_TO:
        return "flat"
    return "hnsw" if count <= HNSW_TO else "ivf_pq"


class FaissIndex:
    """Candidates for a query among the rows of a log, by position. Rows can be added, never removed.

    Searches may run side by side; ``add`` needs to be alone.
    """

    def __init__(self, kind: IndexKind, index: Any) -> None:
        self.kind = kind
        self._index = index
        self._gpu = _to_gpu(index) if kind == "flat" else None

    @classmethod
    def build(
        cls,
        kind: IndexKind,
        log: VectorLog,
        dim: int,
        *,
        count: int,
        stop: threading.Event | None = None,
    ) -> "FaissIndex":
        """An index of the first ``count`` rows; ``InterruptedError`` when ``stop`` is set meanwhile.

        Those must be committed: what is being written behind them may yet be taken back.
        """
        faiss.omp_set_num_threads(usable_cores())
        index = _empty(kind, dim, count)
        if not index.is_trained:
            step = max(1, count // _training_rows(kind, count))
            sample = np.arange(0, count, step, dtype=np.int64)
            index.train(log.rows(sample))
        for at in range(0, count, _BLOCK):
            if stop is not None and stop.is_set():
                raise InterruptedError
            index.add(np.ascontiguousarray(log.view(at, min(at + _BLOCK, count))))
        return cls(kind, index)

    @classmethod
    def load(cls, path: Path, dim: int, *, at_most: int) -> "FaissIndex | None":
        """The snapshot at ``path``; None when there is none that is whole and fits."""
        note = read_json(path.with_suffix(".json"))
        if not path.exists() or note.get("blake2b") != _digest(path):
            return None
        index = faiss.read_index(str(path))
        if index.d != dim or index.ntotal > at_most:
            return None
        if note.get("kind") == "ivf_pq":
            index.nprobe = _probes(index.nlist)
        elif note.get("kind") == "hnsw":
            index.hnsw.efSearch = _BEAM
        return cls(note["kind"], index)

    def save(self, path: Path) -> None:
        """Write a snapshot with its checksum. A scan needs none: it is read from the log."""
        note = path.with_suffix(".json")
        note.unlink(missing_ok=True)
        if self.kind == "flat":
            path.unlink(missing_ok=True)
            return
        draft = path.with_suffix(".new")
        faiss.write_index(self._index, str(draft))
        draft.replace(path)
        write_json(note, {"kind": self.kind, "count": len(self), "blake2b": _digest(path)})

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def exact(self) -> bool:
        """True if its first candidates are the exact nearest, up to rounding."""
        return self.kind == "flat"

    def add(self, rows: Vectors) -> None:
        """Append rows; their positions go on where the last ended."""
        if len(rows):
            self._index.add(np.ascontiguousarray(rows, np.float32))
            if self._gpu is not None:
                self._gpu.add(np.ascontiguousarray(rows, np.float32))

    def nearest(self, query: Vectors, k: int) -> Positions:
        """Positions of up to ``k`` rows like the query, best first."""
        _alone()
        index = self._gpu if self._gpu is not None and k <= 2048 else self._index
        params = None
        if self.kind == "hnsw":
            params = faiss.SearchParametersHNSW(efSearch=max(_BEAM, k))
        _, found = index.search(query[None], max(1, k), params=params)
        return _known(found[0])

    def nearest_among(self, query: Vectors, k: int, allowed: NDArray[np.bool_]) -> Positions:
        """The same among rows that are ``allowed`` (a mask over positions): a scan, whatever the index."""
        _alone()
        bits = np.packbits(allowed[: len(self)], bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        scanned = self._index
        params = faiss.SearchParameters(sel=selector)
        if self.kind == "hnsw":
            scanned = faiss.downcast_index(self._index.storage)
        elif self.kind == "ivf_pq":
            params = faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nlist)
        _, found = scanned.search(query[None], max(1, k), params=params)
        return _known(found[0])


def _alone() -> None:
    # One query gains nothing from more threads, and on a busy machine waits for the slowest (measured: 36 ms
    # instead of 0.5 at 10k). The number holds for the calling thread.
    faiss.omp_set_num_threads(1)


def _known(found: NDArray[np.int64]) -> Positions:
    return found[found >= 0]


def _empty(kind: IndexKind, dim: int, count: int) -> Any:
    product = faiss.METRIC_INNER_PRODUCT
    if kind == "flat":
        return faiss.IndexFlatIP(dim)
    if kind == "hnsw":
        index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, _LINKS, product)
        index.hnsw.efConstruction = _BUILD_BEAM
        index.hnsw.efSearch = _BEAM
        return index
    lists = max(1, min(65_536, round(3 * count**0.5)))
    if count < 39 * lists:  # fewer than FAISS wants for its k-means
        lists = max(1, count // 39)
    parts = max(1, dim // _PQ_NUMBERS)
    while dim % parts:
        parts -= 1
    bits = 8 if count >= 39 * 256 else 4
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, lists, parts, bits, product)
    index.nprobe = _probes(lists)
    index.cp.niter = 8
    index.cp.seed = 1
    index.cp.min_points_per_centroid = 1
    index.pq.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = 64
    index.pq.cp.niter = 12
    # Only the assignment of rows to lists: a GPU does it some fifty times faster where there is one.
    gpu = _to_gpu(faiss.IndexFlatIP(dim))
    if gpu is not None:
        index.clustering_index = gpu
    return index


def _probes(lists: int) -> int:
    return max(1, min(lists, 32 + lists // 16))


def _training_rows(kind: IndexKind, count: int) -> int:
    return min(count, 20_000 if kind == "hnsw" else 200_000)


def _to_gpu(index: Any) -> Any | None:
    """A copy on the first GPU, where this FAISS was built for one and one is there."""
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    resources = faiss.StandardGpuResources()
    copy = faiss.index_cpu_to_gpu(resources, 0, index)
    copy.askpix_resources = resources  # must live as long as the copy
    return copy


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
