"""``python -m benchmarks peers``: the same images through Askpix and through its peers, in one run."""

from pathlib import Path
from typing import Annotated

import typer


def peers_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Images to measure with; default: the sample photos."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="rclip|clip-retrieval|qdrant-client|faiss|clip-back",
            help="Only this one; may be given again.",
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many, the same again and again.")] = 2000,
    points: Annotated[
        int, typer.Option(min=1_000, help="How many vectors, for qdrant-client, faiss and clip-back.")
    ] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Both take turns this often.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Askpix beside other programs, models taken out on both sides: images/s, ms a search, memory.

    rclip and clip-retrieval's reader on the same images; qdrant-client's local mode, FAISS, and
    clip-retrieval's index and query service (clip-back) on the same vectors.
    Installs what is missing into temporary environments, so it needs a package index.
    """
    import tempfile
    from dataclasses import asdict

    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.demo import PICTURES
    from askpix.api.evals.speed import collect
    from askpix.core.errors import BadQueryError
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import check_paths
    from benchmarks.peers.compare import compare_with
    from benchmarks.peers.setup import (
        NOT_COMPARED,
        ON_VECTORS,
        PEERS,
        driver_of,
        ours,
        ours_on_vectors,
        vectors_in,
    )

    wanted = peer or list(PEERS)
    if unknown := [name for name in wanted if name not in PEERS]:
        raise BadQueryError(f"no peer {unknown[0]!r}; there are: {', '.join(PEERS)}")
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    rows = []
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        folder = Path(work) / "pictures"
        folder.mkdir()
        if set(wanted) - set(ON_VECTORS):
            collect(sources, pictures, folder)
        vectors = vectors_in(Path(work) / "vectors", points)
        for name in wanted:
            mine, on = (ours_on_vectors(), vectors) if name in ON_VECTORS else (ours(), folder)
            other = driver_of(name, Path(work), hint)
            rows += compare_with(mine, other, on, Path(work) / f"homes-{name}", rounds=rounds)
    if as_json:
        print_json(
            {
                "machine": machine("askpix", "pillow"),
                "pictures": pictures,
                "points": points,
                "rows": [asdict(row) for row in rows],
            }
        )
        return
    phases = {
        "index": "images/s, new",
        "again": "files/s, unchanged",
        "query": "ms a search",
        "filtered": "ms a search in 1 %",
    }
    table(
        ("peer", "what", "Askpix", "peer's", "ratio", "MB, Askpix", "MB, peer"),
        [
            (
                f"{row.peer} {row.version}",
                phases[row.phase].replace(*("pictures", "vectors") if row.peer in ON_VECTORS else ("", "")),
                f"{row.ours:.1f}",
                f"{row.theirs:.1f}",
                f"{row.ratio:.2f}",
                *(f"{peak:.0f}" for peak in row.peak_mb),
            )
            for row in rows
        ],
    )
    for name in wanted:
        say(f"{name}: {NOT_COMPARED[name]}")
