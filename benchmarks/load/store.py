"""``python -m benchmarks store``: each vector store at a size, beside the bare engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from askpix.core.errors import AskpixError
from askpix.retrieval.stores.base import VectorStore
from benchmarks.load.store_scale import (
    TOP,
    Data,
    ScaleReport,
    ask,
    disk_mb,
    exact_best,
    fill,
    memory,
    optimize_while_searching,
    overhead,
)

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
) -> ScaleReport:
    """Fill a store in ``folder`` (empty), build its index while searches go on, reopen it and ask it."""
    if any(folder.iterdir()):
        raise AskpixError(f"{str(folder)!r} is not empty")
    data = Data(points, DIM)
    asked = data.queries(queries)
    tell(f"exact answers of {points} points")
    best = exact_best(data, asked)
    opens = _opener(name, folder / "vectors", index)
    store = opens()
    try:
        tell("filling")
        fill_s = fill(store, data)
        tell(f"filled in {fill_s:.0f} s; building the index")
        optimize_s, building = optimize_while_searching(store, asked["like"])
        tell(f"built in {optimize_s:.0f} s")
    finally:
        store.close()
    began = time.perf_counter()
    store = opens()
    reopen_s = time.perf_counter() - began
    try:
        cases = ask(store, asked, best)
        ratio = overhead(store, _bare(name, store), asked["like"])
        anonymous, peak = memory()
    finally:
        store.close()
    return ScaleReport(
        store=name if index == "auto" else f"{name} {index}",
        points=points,
        fill_s=fill_s,
        optimize_s=optimize_s,
        reopen_s=reopen_s,
        disk_mb=disk_mb(folder),
        anonymous_mb=anonymous,
        peak_mb=peak,
        cases=cases,
        overhead=ratio,
        building=building,
    )


def _opener(name: StoreName, folder: Path, index: str) -> Callable[[], VectorStore]:
    if name == "edge":
        from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore

        return lambda: QdrantEdgeStore.open(folder, **_MADE_WITH)
    from askpix.retrieval.faiss.store import FaissStore

    kind: Any = None if index == "auto" else index
    return lambda: FaissStore.open(folder, index=kind, **_MADE_WITH)


def _bare(name: StoreName, store: Any) -> Callable[[Any], Any]:
    """The very engine inside the store, asked for ten by whoever knows it, with the same care for recall."""
    if name == "edge":
        import qdrant_edge as edge

        def ask_edge(query: Any) -> Any:
            with store._shard.use() as engine:
                params = store._params("image", engine.info().points_count, TOP, filtered=False)
                nearest = edge.Query.Nearest(query.tolist(), "image")
                return engine.query(edge.QueryRequest(limit=TOP, query=nearest, params=params))

        return ask_edge
    index = store._image._index
    if index.exact:
        return lambda query: index.nearest(query, TOP)
    log = store._image.log
    few = 48 if index.kind == "hnsw" else 2_000

    def ask_faiss(query: Any) -> Any:
        """Search like FAISS's own IndexRefine: propose by codes, order by vectors."""
        proposed = index.nearest(query, few)
        return proposed[log.rough_scores(proposed, query).argsort()[::-1][:TOP]]

    return ask_faiss


def store_command(
    points: Annotated[int, typer.Option(min=1_000, help="How many vectors of 512 numbers.")] = 10_000,
    store: Annotated[Literal["edge", "faiss"], typer.Option(help="Which store.")] = "edge",
    index: Annotated[
        Literal["auto", "flat", "hnsw", "ivf_pq"], typer.Option(help="Index of the FAISS store.")
    ] = "auto",
    queries: Annotated[int, typer.Option(min=10, help="Queries of each case.")] = 100,
    work: Annotated[
        Path | None, typer.Option(help="Folder to work in: 5 GB a million; default: a temporary one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Fill a store with clustered vectors, index it while searching, and ask it with and without filters."""
    import tempfile

    from askpix.api.console.render import hint, print_json, say, table
    from askpix.evaluation.performance.speed import machine

    with tempfile.TemporaryDirectory(prefix="askpix-bench-", dir=work) as folder:
        report = bench_store(store, points, Path(folder), index=index, queries=queries, tell=hint)
    if as_json:
        engine = "qdrant-edge-py" if store == "edge" else "faiss-cpu"
        print_json({"machine": machine(engine, "numpy"), "report": report})
        return
    say(
        f"{report.store}, {report.points} points: filled in {report.fill_s:.0f} s, index in"
        f" {report.optimize_s:.0f} s, reopened in {report.reopen_s:.1f} s",
        f"disk {report.disk_mb:.0f} MB, memory {report.anonymous_mb:.0f} MB of its own, peak"
        f" {report.peak_mb:.0f} MB with mapped files",
        f"p50 {report.overhead:.2f} times the bare engine's; while the index was built p50"
        f" {report.building['p50']:.1f} ms, worst {report.building['worst']:.0f} ms",
    )
    table(
        ("case", "p50 ms", "p95 ms", "recall@10"),
        [
            (name, f"{case.p50:.2f}", f"{case.p95:.2f}", f"{case.recall:.3f}")
            for name, case in report.cases.items()
        ],
    )
