"""``python -m benchmarks memory``: peak memory of indexing."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from askpix.api.console.render import print_json, say
from askpix.api.demo import PICTURES
from askpix.core.subprocesses import python_command
from askpix.evaluation.performance.speed import machine
from askpix.ingest.sources.walk import check_paths


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """MB of 2**20 bytes. ``resident`` is all that was in memory at once, ``own`` what was the process's alone
    (None where the system does not tell): the rest are files it has mapped, above all the store's, which the
    system lets go of when it needs the room.
    """

    resident: float
    own: float | None


def peak_memory(paths: Sequence[Path]) -> PeakMemory:
    """Measure a whole ``askpix index`` process over these files and folders, without OCR."""
    folders = [path.absolute() for path in paths]
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as home:
        process = subprocess.Popen(
            python_command("askpix.api.cli.main:run", "index", *map(str, folders), "--ocr", "off"),
            env={"ASKPIX_HOME": home, "PATH": "", "HOME": str(Path.home())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seen: list[tuple[float, float]] = []
        try:
            while True:
                ended, status, used = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                if now := _memory(process.pid):
                    seen.append(now)
                time.sleep(0.05)
        except BaseException:
            process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        if seen:
            return PeakMemory(max(limit for limit, _ in seen), max(own for _, own in seen))
        # Where it is all there is: it never tells less than this process had when it started the other one.
        unit = 1 if sys.platform == "darwin" else 1024
        return PeakMemory(used.ru_maxrss * unit / 2**20, None)


def _memory(pid: int) -> tuple[float, float] | None:
    """The peak until now, and what is no file's now, in MB, as Linux tells them while it runs."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    told = {line.partition(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith("kB")}
    return (told["VmHWM"], told["RssAnon"]) if {"VmHWM", "RssAnon"} <= told.keys() else None


def memory_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="What is indexed; default: the sample photos."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Peak memory of indexing everything under PATH once, words left unread."""
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    peak = peak_memory(sources)
    own = None if peak.own is None else round(peak.own)
    if as_json:
        print_json({"machine": machine("pillow"), "peak_mb": round(peak.resident), "peak_own_mb": own})
        return
    mapped = "" if own is None else f", at most {own} MB of it its own, the rest mapped files"
    say(f"peak memory of indexing: {peak.resident:.0f} MB{mapped}")
