"""``askpix bench serve``: the service under load, and a soak."""

from pathlib import Path
from typing import Annotated

import typer


def serve_command(
    points: Annotated[int, typer.Option(min=100, help="How many vectors the collection has.")] = 100_000,
    clients: Annotated[
        list[int] | None, typer.Option(min=1, max=1024, help="Clients at once; repeat. Default: 1 8 32 128.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of each number of clients.")] = 10.0,
    soak: Annotated[
        float, typer.Option(min=0, help="Minutes of uploads, searches and questions mixed after it.")
    ] = 0.0,
    work: Annotated[
        Path | None, typer.Option(help="Folder to work in: 1 GB for 100,000; default: a temporary one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Serve a collection here and search it with 1 to 128 clients at once, beside its bare parts."""
    import tempfile

    from askpix.api.console.render import hint, print_json, say, table
    from askpix.evaluation.performance.speed import machine
    from benchmarks.load.serve import measure_serving

    with tempfile.TemporaryDirectory(prefix="askpix-bench-", dir=work) as folder:
        report = measure_serving(
            Path(folder),
            points=points,
            clients=clients or (1, 8, 32, 128),
            seconds=seconds,
            soak_s=60 * soak,
            tell=hint,
        )
    if as_json:
        print_json({"machine": machine("fastapi", "uvicorn", "qdrant-edge-py"), "report": report})
        return
    say(f"{report.points} vectors; encoding a text + one query of the store: {report.bare_ms:.2f} ms")
    table(
        ("clients", "requests/s", "p50 ms", "p99 ms", "refused", "errors", "of the bare parts"),
        [
            (
                str(each.clients),
                f"{each.requests_per_s:.0f}",
                f"{each.p50_ms:.1f}",
                f"{each.p99_ms:.1f}",
                str(each.refused),
                str(each.errors),
                f"{each.ratio:.2f}",
            )
            for each in report.loads
        ],
    )
    if report.soak:
        s = report.soak
        say(
            f"soak of {s.seconds / 60:.1f} min: {s.searches} searches, {s.questions} questions,"
            f" {s.uploads} uploads, {s.errors} errors, {s.lost} lost;"
            f" memory {s.early_mb:.0f} -> {s.late_mb:.0f} MB"
        )
        if s.lost or s.errors:
            raise typer.Exit(1)
