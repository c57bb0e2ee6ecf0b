"""``python -m benchmarks serve``: a real server under load, beside its bare parts; and a soak.

The server is a process of its own; this one has the clients, a thread each, so on few cores both sides share
them. Vectors are clustered random ones, queries go through the real text encoder.
"""

import http.client
import json
import os
import socket
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
import typer

from askpix.api.client.client import Client
from askpix.api.settings import Settings
from askpix.api.workspace.server_file import read_note
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.core.subprocesses import python_command
from askpix.core.types import Where
from benchmarks.load import store_scale
from benchmarks.load.soak import Soak, run_soak, texts, together

_COLLECTION = "bench"
_READY_S = 120.0
_Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Load:
    """``clients`` ask one search after another. Milliseconds of those that were answered; ``refused`` got 429
    or 503, ``errors`` something worse. ``ratio``: requests/s to those of the bare parts in turn."""

    clients: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    refused: int
    errors: int
    ratio: float


@dataclass(frozen=True, slots=True)
class ServeReport:
    """``bare_ms``: encoding a text and one query of the store, p50, in this process and alone."""

    points: int
    bare_ms: float
    loads: tuple[Load, ...]
    soak: Soak | None


@dataclass(slots=True)
class _Seen:
    """Record of what one client received."""

    ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def measure_serving(
    work: Path,
    *,
    points: int,
    clients: Sequence[int],
    seconds: float,
    soak_s: float = 0.0,
    tell: _Tell = lambda line: None,
) -> ServeReport:
    """Fill a collection in ``work`` (empty), serve it, load it with each number of clients, then soak it."""
    home = work / "home"
    tell(f"filling {points} vectors")
    bare_ms = _fill(home, points)
    with _served(home) as (url, process):
        loads = []
        for number in clients:
            tell(f"{number} clients for {seconds:g} s")
            loads.append(_load(url, number, seconds, bare_ms))
        soak = None
        if soak_s:
            tell(f"soaking for {soak_s:g} s")
            soak = run_soak(url, process.pid, soak_s, searched=_COLLECTION)
    return ServeReport(points, round(bare_ms, 2), tuple(loads), soak)


def _fill(home: Path, points: int) -> float:
    workspace = Workspace(Settings(home=home))
    collection = workspace.create_collection(_COLLECTION, "mini")
    embedder = workspace.embedder("mini")
    with workspace.open_store(collection) as store:
        store_scale.fill(store, store_scale.Data(points, embedder.dim))
        store.optimize()
        took = []
        for text in texts(1, 60):
            began = time.perf_counter()
            store.search("image", embedder.embed_texts([text])[0], where=Where(), limit=10)
            took.append(1000 * (time.perf_counter() - began))
    workspace.catalog.close()
    return statistics.median(took[10:])


@contextmanager
def _served(home: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")}
    environment |= {
        "ASKPIX_HOME": str(home),
        "ASKPIX_REQUESTS_PER_MINUTE": "0",
        "ASKPIX_GENERATOR": "extractive",
    }
    command = python_command("askpix.api.cli.main:run", "serve", "--port", "0")
    with (home.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + _READY_S
        while True:
            note = read_note(home)
            try:
                if note is not None:
                    Client(note.url, retries=0).health(ready=True)
                    break
            except AskpixError:
                pass
            if process.poll() is not None or time.monotonic() > until:
                said = (home.parent / "server.log").read_text(errors="replace").strip().splitlines()
                raise AskpixError(f"the server does not come up: {said[-1] if said else 'it says nothing'}")
            time.sleep(0.1)
        yield note.url, process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _load(url: str, clients: int, seconds: float, bare_ms: float) -> Load:
    seen = [_Seen() for _ in range(clients)]
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    together([partial(_search_on, url, at, until, each) for at, each in enumerate(seen)])
    took = time.perf_counter() - began
    ms = sorted(value for each in seen for value in each.ms)
    statuses = sum((each.statuses for each in seen), Counter[int]())
    rate = len(ms) / took
    return Load(
        clients=clients,
        requests_per_s=round(rate, 1),
        p50_ms=round(float(np.percentile(ms, 50)), 1) if ms else 0.0,
        p99_ms=round(float(np.percentile(ms, 99)), 1) if ms else 0.0,
        refused=statuses[429] + statuses[503],
        errors=sum(count for status, count in statuses.items() if status not in (200, 429, 503)),
        ratio=round(rate * bare_ms / 1000, 2),
    )


def _search_on(url: str, at: int, until: float, seen: _Seen) -> None:
    """Search on one connection that is kept."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.connect()
    # Head and body of a request go out apart: the second must not wait for the first's acknowledgement.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for text in texts(100 + at, 1_000_000):
        if time.perf_counter() >= until:
            break
        body = json.dumps({"text": text, "all": True})
        began = time.perf_counter()
        try:
            connection.request(
                "POST",
                f"/v1/collections/{_COLLECTION}/search",
                body,
                {"Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            seen.statuses[0] += 1
            continue
        seen.statuses[answer.status] += 1
        if answer.status == 200:
            seen.ms.append(1000 * (time.perf_counter() - began))
        else:
            time.sleep(0.05)
    connection.close()


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
