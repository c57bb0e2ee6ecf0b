"""Rebuilding a Qdrant Edge shard beside the one in use, in a process of its own.

The engine's ``optimize`` keeps Python's lock for as long as it runs, minutes at a million images, and
with it every search. So a copy of the shard is optimised by a child process, and taken into use when it is
ready (``qdrant_shard``). The child dies with its parent, and yields the processor to those who search.
"""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import qdrant_edge as edge

from askpix.core.errors import StoreUnavailableError
from askpix.core.files import disk_usage
from askpix.core.sandbox import die_with_parent
from askpix.core.subprocesses import python_command
from askpix.retrieval.qdrant.edge_config import edge_config

_NICE = 5
_POLL_S = 0.05
_CHILD = "askpix.retrieval.qdrant.edge_rebuild:child"


def child() -> None:
    """Optimise the shard that the arguments name in place, in the child process."""
    path, dim, text_dim, graph, parent = sys.argv[1:]
    die_with_parent(int(parent))  # and with the thread that started it, which waits for it
    if hasattr(os, "nice"):
        os.nice(_NICE)
    engine = edge.EdgeShard.load(path, edge_config(int(dim), int(text_dim), graph=graph == "graph"))
    engine.optimize()
    engine.flush()
    engine.close()


def rebuild(path: Path, *, dim: int, text_dim: int, graph: bool, stop: threading.Event) -> bool:
    """Optimise the shard at ``path``, which nobody has open, and wait for it; False when ``stop`` was set.

    A child that fails is a ``StoreUnavailableError``.
    """
    shape = [str(dim), str(text_dim), "graph" if graph else "scan", str(os.getpid())]
    with (
        (path.parent / f"{path.name}.log").open("w+b") as log,
        subprocess.Popen(  # noqa: S603 - this very interpreter
            python_command(_CHILD, str(path), *shape),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it in order
        ) as process,
    ):
        try:
            while process.poll() is None:
                if stop.wait(_POLL_S):
                    return False
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode:
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1][:300] if lines else f"it ended with {process.returncode}"
            raise StoreUnavailableError(f"the index of {str(path.parent)!r} could not be built: {reason}")
    return True


def room_for_copy(folder: Path, shard: Path, spare: int) -> bool:
    """Return whether the disk holds the shard two more times: the copy, and what optimising makes of it."""
    size = sum(disk_usage(file.stat()) for file in shard.rglob("*") if file.is_file())
    return shutil.disk_usage(folder).free > 2 * size + spare
