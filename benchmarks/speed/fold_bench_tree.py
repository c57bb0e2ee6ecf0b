"""``askpix bench tree``: files a second of a folder in which nothing changed."""

from typing import Annotated

import typer


def tree_command(
    files: Annotated[int, typer.Option(min=100, help="How many tiny files.")] = 100_000,
    one_folder: Annotated[
        bool, typer.Option("--one-folder", help="All of them in one folder, not a thousand in each.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Go through a tree of files that are all indexed and unchanged, beside scandir and stat alone."""
    import tempfile
    from pathlib import Path

    from askpix.api.console.render import print_json, say
    from askpix.evaluation.performance.speed import machine
    from benchmarks.speed.unchanged_tree import measure_tree

    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        speed = measure_tree(Path(work), files=files, one_folder=one_folder, rounds=rounds)
    if as_json:
        print_json({"machine": machine("sqlalchemy"), "tree": speed})
        return
    say(
        f"{speed.files} unchanged files: {speed.files_per_s:.0f}/s of CPU time, {speed.wall_per_s:.0f}/s by "
        f"the clock; scandir and stat alone {speed.bare_per_s:.0f}/s ({speed.ratio:.2f}); "
        f"peak {speed.peak_mb:.0f} MB"
    )
