"""Many vectors an image: what a late-interaction model is, how its matrices are compared and made smaller.

A page becomes one vector for each patch the model looks at, a query one for each token. They are compared by
MaxSim: every query vector looks for its best patch, and the scores are summed (ColBERT, Khattab and Zaharia
2020; ColPali for pages, Faysse et al. 2024). Here the sum is divided by the number of query vectors: a mean
cosine that does not grow with the query.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.retrieval.stores.pages import Matrix

POOLED = 32
"""Vectors that stand for a page in the first pass: as many as ColPali's grid has rows."""


class LateEmbedder(Protocol):
    """Pages and queries into matrices of one space."""

    @property
    def model_id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def image_side(self) -> int:
        """Pixels of the longer side that the model makes use of: decoders may shrink a page to it."""
        ...

    @property
    def batch(self) -> int:
        """Batch size in pages."""
        ...

    def embed_images(self, images: Sequence[Image.Image], /) -> list[Matrix]:
        """A ``(n_i, dim)`` matrix for each upright RGB image. Thread-safe."""
        ...

    def embed_texts(self, texts: Sequence[str], /) -> list[Matrix]:
        """A ``(n_i, dim)`` matrix for each query. Thread-safe."""
        ...


def maxsim(query: Matrix, pages: Sequence[Matrix]) -> NDArray[np.float32]:
    """``(len(pages),)``: the mean over the query's vectors of each one's best cosine.

    Exact, in single precision. A page or query without vectors scores 0.
    """
    scores = np.zeros(len(pages), np.float32)
    asked = query.astype(np.float32)
    for number, page in enumerate(pages):
        if len(page) and len(asked):
            scores[number] = (asked @ page.astype(np.float32).T).max(axis=1).mean()
    return scores


def pool_clusters(matrix: Matrix, count: int = POOLED) -> Matrix:
    """``(min(n, count), dim)``: means of clusters of like vectors, made unit vectors.

    Hierarchical clustering with Ward's linkage, as in "Reducing the footprint of multi-vector retrieval with
    minimal performance impact via token pooling" (Clavié et al. 2024), by the nearest-neighbour chain
    (Murtagh 1983): n^2 time and memory.
    """
    n = len(matrix)
    if n <= count:
        return matrix
    rows = matrix.astype(np.float32)
    merges = _ward(rows)
    merges.sort(key=lambda merge: merge[0])
    return _unit(_sums(rows, [(a, b) for _, a, b in merges[: n - count]]))


def _ward(rows: NDArray[np.float32]) -> list[tuple[float, int, int]]:
    """Every merge as (cost, one row of a cluster, one row of the other), in no order."""
    n = len(rows)
    squares = np.einsum("ij,ij->i", rows, rows)
    apart = squares[:, None] + squares[None, :] - 2 * (rows @ rows.T)
    np.fill_diagonal(apart, np.inf)
    sizes = np.ones(n, np.float32)
    alive = np.ones(n, bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < n - 1:
        if not chain:
            chain.append(int(np.argmax(alive)))
        tip = chain[-1]
        nearest = int(np.argmin(apart[tip]))
        # On a tie the one before in the chain: else the chain could go round for ever.
        if len(chain) > 1 and apart[tip, chain[-2]] <= apart[tip, nearest]:
            other = chain[-2]
            del chain[-2:]
            cost = float(apart[tip, other])
            merges.append((cost, tip, other))
            _join(apart, sizes, tip, other, cost)
            alive[other] = False
        else:
            chain.append(nearest)
    return merges


def _join(apart: NDArray[np.float32], sizes: NDArray[np.float32], keep: int, gone: int, cost: float) -> None:
    """Lance and Williams' update of Ward's distances: ``gone`` becomes part of ``keep``."""
    a = sizes[keep]
    b = sizes[gone]
    row = ((a + sizes) * apart[keep] + (b + sizes) * apart[gone] - sizes * cost) / (a + b + sizes)
    row[~np.isfinite(apart[keep]) | ~np.isfinite(apart[gone])] = np.inf
    apart[keep], apart[:, keep] = row, row
    apart[gone], apart[:, gone] = np.inf, np.inf
    sizes[keep] = a + b


def _sums(rows: NDArray[np.float32], merges: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Sums of the clusters that these merges make, in order of their first row."""
    owner = list(range(len(rows)))

    def root(row: int) -> int:
        while owner[row] != row:
            owner[row] = owner[owner[row]]
            row = owner[row]
        return row

    for a, b in merges:
        low, high = sorted((root(a), root(b)))
        owner[high] = low
    groups: dict[int, int] = {}
    labels = [groups.setdefault(root(row), len(groups)) for row in range(len(rows))]
    sums = np.zeros((len(groups), rows.shape[1]), np.float32)
    np.add.at(sums, labels, rows)
    return sums


def _unit(rows: NDArray[Any]) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Matrix = (rows / np.maximum(lengths, 1e-6)).astype(np.float16)
    return unit
