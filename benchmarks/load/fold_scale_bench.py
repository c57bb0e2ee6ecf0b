"""``askpix bench store``: the stores at a size, beside their bare engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from askpix.core.errors import AskpixError
from askpix.retrieval.stores.base import VectorStore
from benchmarks.load import store_scale

StoreName = Literal["edge", "faiss"]
DIM = 512
_MADE_WITH: dict[str, Any] = {"model_id": "bench", "dim": DIM, "text_model_id": "bench", "text_dim": 8}


def bench_store(
    name: StoreName,
    points: int,
    folder: Path,
    *,
    index: Literal["auto", "flat", "hnsw", "ivf_pq"] = "auto",
    queries: int = 100,
    tell: Callable[[str], object] = lambda line: None,
) -> store_scale.ScaleReport:
    """Fill a store in ``folder`` (empty), build its index while searches go on, reopen it and ask it."""
    if any(folder.iterdir()):
        raise AskpixError(f"{str(folder)!r} is not empty")
    data = store_scale.Data(points, DIM)
    asked = data.queries(queries)
    tell(f"exact answers of {points} points")
    best = store_scale.exact_best(data, asked)
    opens = _opener(name, folder / "vectors", index)
    store = opens()
    try:
        tell("filling")
        fill_s = store_scale.fill(store, data)
        tell(f"filled in {fill_s:.0f} s; building the index")
        optimize_s, building = store_scale.optimize_while_searching(store, asked["like"])
        tell(f"built in {optimize_s:.0f} s")
    finally:
        store.close()
    began = time.perf_counter()
    store = opens()
    reopen_s = time.perf_counter() - began
    try:
        cases = store_scale.ask(store, asked, best)
        ratio = store_scale.overhead(store, _bare(name, store), asked["like"])
        anonymous, peak = store_scale.memory()
    finally:
        store.close()
    return store_scale.ScaleReport(
        store=name if index == "auto" else f"{name} {index}",
        points=points,
        fill_s=fill_s,
        optimize_s=optimize_s,
        reopen_s=reopen_s,
        disk_mb=store_scale.disk_mb(folder),
        anonymous_mb=anonymous,
        peak_mb=peak,
        cases=cases,
        overhead=ratio,
        building=building,
    )


def _opener(name: StoreName, folder: Path, index: str) -> Callable[[], VectorStore]:
    if name == "edge":
        from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore  # noqa: PLC0415 - only the one that is measured

        return lambda: QdrantEdgeStore.open(folder, **_MADE_WITH)
    from askpix.retrieval.faiss.store import FaissStore  # noqa: PLC0415

    kind: Any = None if index == "auto" else index
    return lambda: FaissStore.open(folder, index=kind, **_MADE_WITH)


def _bare(name: StoreName, store: Any) -> Callable[[Any], Any]:
    """The very engine inside the store, asked for ten by whoever knows it, with the same care for recall."""
    if name == "edge":
        import qdrant_edge as edge  # noqa: PLC0415

        def ask_edge(query: Any) -> Any:
            with store._shard.use() as engine:
                params = store._params("image", engine.info().points_count, store_scale.TOP, filtered=False)
                nearest = edge.Query.Nearest(query.tolist(), "image")
                return engine.query(edge.QueryRequest(limit=store_scale.TOP, query=nearest, params=params))

        return ask_edge
    index = store._image._index
    if index.exact:
        return lambda query: index.nearest(query, store_scale.TOP)
    log, few = store._image.log, 48 if index.kind == "hnsw" else 2_000

    def ask_faiss(query: Any) -> Any:
        """What FAISS's own IndexRefine does: propose by codes, order by vectors."""
        proposed = index.nearest(query, few)
        return proposed[log.rough_scores(proposed, query).argsort()[::-1][: store_scale.TOP]]

    return ask_faiss
