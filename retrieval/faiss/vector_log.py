"""Vectors in an append-only file: the truth from which every index can be built again.

The file is nothing but float32 rows. Which of them count is said by whoever commits their numbers elsewhere
(``faiss_rows``): rows behind the last committed one are left over from a kill and are cut off at the next
open. Rows are on the disk (``fsync``) before their numbers are committed.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from askpix.core.errors import StoreUnavailableError
from askpix.core.types import Vectors

_CHUNK = 16_384
"""Rows that are looked at at once: 32 MB at 512 numbers."""


class VectorLog:
    """Rows of ``dim`` float32 in ``path``, of which the first ``committed`` count."""

    def __init__(self, path: Path, dim: int, *, committed: int) -> None:
        """Open or make the file; what follows the committed rows goes. Raises StoreUnavailableError."""
        self._dim = dim
        self._width = 4 * dim
        # Not for appending: a write that failed half-way must be overwritten by the next.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._path = path
        try:
            size = os.fstat(self._file).st_size
            if size < committed * self._width:
                raise StoreUnavailableError(
                    f"{str(path)!r} is damaged: {size // self._width} of {committed} vectors are left; delete"
                    " that folder and index again"
                )
            os.ftruncate(self._file, committed * self._width)
        except BaseException:
            os.close(self._file)
            raise
        self._map = self._mapped(committed)

    @classmethod
    def empty(cls, dim: int) -> "VectorLog":
        """A log without rows and without a file."""
        log = cls.__new__(cls)
        log._dim = dim
        log._width = 4 * dim
        log._file = -1
        log._map = np.empty((0, dim), np.float32)
        return log

    def __len__(self) -> int:
        return len(self._map)  # one attribute says both: others read while one writes

    def append(self, rows: Vectors) -> None:
        """Add ``(n, dim)`` rows at the end; on the disk when this returns."""
        if not len(rows):
            return
        left = memoryview(np.ascontiguousarray(rows, np.float32).data).cast("B")
        at = len(self) * self._width
        while left:
            written = os.pwrite(self._file, left, at)
            left = left[written:]
            at = at + written
        os.fsync(self._file)
        self._map = self._mapped(len(self) + len(rows))

    def forget(self, count: int) -> None:
        """Back to ``count`` rows: the last ones were not committed."""
        self._map = self._mapped(count)

    def rows(self, positions: NDArray[np.int64]) -> Vectors:
        """``(len(positions), dim)``, a copy."""
        return np.asarray(self._map[positions], np.float32)

    def view(self, start: int, stop: int) -> Vectors:
        """Rows ``start`` to ``stop`` where they lie, not to be written to."""
        return self._map[start:stop]

    def scores(self, positions: NDArray[np.int64], query: Vectors) -> NDArray[np.float64]:
        """Dot products with ``query``, summed in double precision: the same row, the same score."""
        wide = query.astype(np.float64)
        found = np.empty(len(positions), np.float64)
        for at in range(0, len(positions), _CHUNK):
            part = slice(at, at + _CHUNK)
            # Not by BLAS: it takes every core for this, and on a busy machine waits for the slowest.
            found[part] = np.einsum("ij,j->i", self._map[positions[part]].astype(np.float64), wide)
        return found.round(9)

    def rough_scores(self, positions: NDArray[np.int64], query: Vectors) -> NDArray[np.float32]:
        """The same in single precision, several times faster."""
        found = np.empty(len(positions), np.float32)
        for at in range(0, len(positions), _CHUNK):
            part = slice(at, at + _CHUNK)
            found[part] = np.einsum("ij,j->i", self._map[positions[part]], query)
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _mapped(self, count: int) -> Vectors:
        if not count:
            return np.empty((0, self._dim), np.float32)
        # As a plain array: indexing the subclass costs as much as scoring twenty rows.
        return np.asarray(np.memmap(self._path, np.float32, "r", shape=(count, self._dim)))
