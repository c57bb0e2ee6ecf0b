"""Speed of an unchanged tree beside a bare walk that asks for each stat."""

import os
import resource
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from askpix.core.db.engine import open_database
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection, SourceState
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.sources.walk import Source, walk

_FOLDER = 1_000
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class TreeSpeed:
    """``files_per_s`` of CPU time in a run that finds nothing to do, the best of some; ``bare_per_s`` of
    scandir and stat alone, in turns with it; ``wall_per_s`` by the clock. ``peak_mb`` is the process's memory
    at its peak, libraries included."""

    files: int
    one_folder: bool
    files_per_s: float
    wall_per_s: float
    bare_per_s: float
    ratio: float
    peak_mb: float


class _Silent:
    """A store and an embedder that have nothing to do; a run that asks more of them fails."""

    model_id = "none"
    dim = 8
    workers = 1
    image_side = 8

    def __init__(self, files: int) -> None:
        self._files = files

    def count(self) -> int:
        """Return as many as the catalog has: nothing is to be repaired."""
        return self._files

    def delete(self, ids: list[str], /) -> None:
        """Nothing is gone."""
        assert not ids


def measure_tree(work: Path, *, files: int, one_folder: bool, rounds: int = 3) -> TreeSpeed:
    """Make ``files`` tiny files below ``work``, enter them as indexed, go through them ``rounds`` times."""
    root = work / "pictures"
    _make(root, files, one_folder=one_folder)
    catalog = Catalog(open_database(work / "catalog.sqlite", METADATA, version=VERSION))
    collection = catalog.create_collection("tree", embedder="none", dim=8, text_embedder="none", text_dim=8)
    _enter(catalog, collection, root)
    silent: Any = _Silent(files)
    cpu = []
    wall = []
    bare = []
    for _ in range(rounds):
        began = time.process_time()
        _bare(root)
        bare.append(time.process_time() - began)
        began = time.process_time()
        clock = time.perf_counter()
        report = index(
            [root],
            collection=collection,
            catalog=catalog,
            open_store=lambda: nullcontext(silent),
            embedder=lambda: silent,
            limits=DEFAULT_LIMITS,
        )
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - clock)
        if report.unchanged != files:
            raise AssertionError(f"{report.unchanged} of {files} files were unchanged")
    catalog.close()
    return TreeSpeed(
        files=files,
        one_folder=one_folder,
        files_per_s=files / min(cpu),
        wall_per_s=files / min(wall),
        bare_per_s=files / min(bare),
        ratio=min(bare) / min(cpu),
        peak_mb=_peak_mb(),
    )


def _make(root: Path, files: int, *, one_folder: bool) -> None:
    for number in range(files):
        folder = root if one_folder else root / f"{number // _FOLDER:05}"
        if number % _FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"IMG_{number:07}.jpg").write_bytes(b"%d" % number)


def _enter(catalog: Catalog, collection: Collection, root: Path) -> None:
    states: dict[str, SourceState] = {}
    added: dict[str, list[ImageRecord]] = {}
    for source in walk([root]):
        assert isinstance(source, Source)
        sha = sha256(source.uri.encode()).hexdigest()
        states[source.uri] = SourceState(source.size, source.mtime_ns, sha)
        added[sha] = [ImageRecord(collection.image_id(sha, None), source.uri, "photo", 8, 8)]
        if len(states) == _BATCH:
            catalog.record(collection, states=states, added=added)
            states = {}
            added = {}
    catalog.record(collection, states=states, added=added)


def _bare(root: Path) -> int:
    total = 0
    stack = [str(root)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


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
