"""``askpix bench peers``: the same pictures through Askpix and through its peers, in one run."""

from pathlib import Path
from typing import Annotated

import typer


def peers_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Pictures to measure with; default: the sample photos."),
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(metavar="rclip|clip-retrieval", help="Only this one.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many, the same again and again.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Both take turns this often.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Askpix beside other programs, models taken out on both sides: pictures/s, ms a search, memory.

    Installs each peer into a temporary environment, so it needs a package index.
    """
    import tempfile
    from dataclasses import asdict

    from api.bench import collect
    from api.bench_peers import NOT_COMPARED, PEERS, driver_of, ours
    from api.cli.render import hint, print_json, say, table
    from api.demo import PICTURES
    from core.errors import BadQueryError
    from evaluation.peers import compare_with
    from evaluation.speed import machine
    from ingest.walk import check_paths

    wanted = peer or list(PEERS)
    if unknown := [name for name in wanted if name not in PEERS]:
        raise BadQueryError(f"no peer {unknown[0]!r}; there are: {', '.join(PEERS)}")
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    rows = []
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        folder = Path(work) / "pictures"
        folder.mkdir()
        collect(sources, pictures, folder)
        for name in wanted:
            other = driver_of(name, Path(work), hint)
            rows += compare_with(ours(), other, folder, Path(work) / f"homes-{name}", rounds=rounds)
    if as_json:
        print_json(
            {"machine": machine("askpix", "pillow"), "pictures": pictures, "rows": [asdict(r) for r in rows]}
        )
        return
    table(
        ("peer", "what", "Askpix", "peer's", "ratio", "MB, Askpix", "MB, peer"),
        [
            (
                f"{row.peer} {row.version}",
                {"index": "pictures/s, new", "again": "files/s, unchanged", "query": "ms a search"}[
                    row.phase
                ],
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
