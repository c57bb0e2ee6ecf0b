"""A soak of the service: what is mixed for minutes, what it keeps in memory, what it loses."""

import io
import random
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from askpix.api.client.client import Client
from askpix.core.errors import AskpixError

_SOAKED = "soak"
_THINGS = "dog cat car boat tree house beach mountain street train plane horse cake chair lamp bridge".split()
_LOOKS = "red old wooden small bright wet broken tall quiet yellow crowded dusty snowy empty".split()


@dataclass(frozen=True, slots=True)
class Soak:
    """Uploads, searches and questions mixed. Memory is the server's with its children's, not mapped files:
    the median of the second and of the last quarter. ``lost``: acknowledged uploads that are not there."""

    seconds: float
    searches: int
    questions: int
    uploads: int
    errors: int
    early_mb: float
    late_mb: float
    lost: int


def texts(seed: int, count: int) -> Iterator[str]:
    """Different ones, as people write them."""
    rng = random.Random(seed)  # noqa: S311 - a load, no secret
    for _ in range(count):
        look = rng.choice(_LOOKS)
        other = rng.choice(_LOOKS)
        yield f"a {look} {rng.choice(_THINGS)} beside a {other} {rng.choice(_THINGS)}"


def together(tasks: Sequence[Callable[[], None]]) -> None:
    """Run each task on a thread of its own, until all have ended."""
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_soak(url: str, pid: int, seconds: float, *, searched: str) -> Soak:
    """Mix them for so long. ``searched``: a collection that is there already."""
    client = Client(url, retries=0)  # an error is counted, not tried again
    client.create_collection(_SOAKED)
    until = time.perf_counter() + seconds
    counts: Counter[str] = Counter()
    sent: list[str] = []
    memory: list[float] = []

    def doing(name: str, what: Callable[[int], object], pause_s: float) -> Callable[[], None]:
        def on() -> None:
            number = 0
            while time.perf_counter() < until:
                number += 1
                try:
                    what(number)
                    counts[name] += 1
                except AskpixError:
                    counts["errors"] += 1
                time.sleep(pause_s)

        return on

    def upload(number: int) -> None:
        for accepted in client.upload(_SOAKED, [_picture(number, folder)]):
            sent.extend(each.sha256 for each in accepted.files)

    def watch() -> None:
        while time.perf_counter() < until:
            memory.append(_memory_mb(pid))
            time.sleep(1)

    asked = list(texts(2, 500))
    with TemporaryDirectory(prefix="askpix-soak-") as name:
        folder = Path(name)
        together(
            [
                *[doing("searches", lambda n: client.search(searched, asked[n % 500], all=True), 0.0)] * 2,
                doing("searches", lambda n: client.search(_SOAKED, asked[n % 500], all=True), 0.05),
                doing("questions", lambda n: client.ask(_SOAKED, f"What is written on image {n}?"), 0.1),
                doing("uploads", upload, 0.5),
                watch,
            ]
        )
    lost = _lost(client, set(sent))
    quarter = max(1, len(memory) // 4)
    return Soak(
        seconds=round(seconds, 1),
        searches=counts["searches"],
        questions=counts["questions"],
        uploads=counts["uploads"],
        errors=counts["errors"],
        early_mb=round(statistics.median(memory[quarter : 2 * quarter] or memory), 1),
        late_mb=round(statistics.median(memory[-quarter:]), 1),
        lost=lost,
    )


def _lost(client: Client, sent: set[str]) -> int:
    """Acknowledged is there: when the jobs are done."""
    until = time.monotonic() + 300
    while True:
        there = {each.sha256 for each in client.images(_SOAKED)}
        if sent <= there or time.monotonic() > until:
            return len(sent - there)
        time.sleep(1)


def _picture(number: int, folder: Path) -> Path:
    rng = np.random.default_rng(number)
    blocks = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize(
        (320, 240), Image.Resampling.NEAREST
    )
    data = io.BytesIO()
    blocks.save(data, "JPEG")
    path = folder / f"{number}.jpg"
    path.write_bytes(data.getvalue())
    return path


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and those below it, without mapped files where the system tells."""
    command = ["ps", "-A", "-o", "pid=,ppid=,rss="]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [tuple(map(int, line.split())) for line in said.stdout.splitlines() if len(line.split()) == 3]
    family = {pid}
    size = 0.0
    for _ in rows:
        more = {own for own, above, _ in rows if above in family} - family
        if not more:
            break
        family |= more
    for own, _, resident in rows:
        if own in family:
            size += _anonymous_kb(own) or resident
    return size / 1024


def _anonymous_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
