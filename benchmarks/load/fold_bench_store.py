"""``askpix bench store``: what each store costs at a size, with recall against exact answers."""

from pathlib import Path
from typing import Annotated, Literal

import typer


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
    from benchmarks.load.fold_scale_bench import bench_store

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
