"""Files that keep their decoder busy for ever: the job ends, and so does the decoder with its server."""

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from askpix.api.client.client import Client
from askpix.api.schemas.results import Job
from tests.support.service import jpeg, served, until_ready
from tests.support.slow_drawing import slow_drawing

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
]


def decoders(marker: str) -> dict[int, int]:
    """The decoders that inherited ``marker`` in their environment, and the parent of each."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "environ").read_bytes():
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if b"sandboxed:serve" in (folder / "cmdline").read_bytes() and state != "Z":
                    found[int(folder.name)] = int(parent)
        except OSError:
            continue
    return found


def until(condition: Callable[[], Any]) -> None:
    """Bounded by the test's ``timeout``."""
    while not condition():
        time.sleep(0.05)


def upload(client: Client, folder: Path, drawing: bytes) -> str:
    """A job with the drawing between two photos."""
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in ("a.jpg", "b.svg", "c.jpg")]
    for path, data in zip(paths, (jpeg("red"), drawing, jpeg("blue")), strict=True):
        path.write_bytes(data)
    return client.upload("a", paths)[0].job


def kills(home: Path) -> int:
    """As the catalog counts them for all files together."""
    with sqlite3.connect(home / "catalog.sqlite") as connection:
        return int(connection.execute("SELECT coalesce(sum(kills), 0) FROM sources").fetchone()[0])


def failures(ended: Job) -> list[str]:
    assert ended.state == "done" and ended.result, ended
    return [failure["error"] for failure in ended.result["failed"]]


@pytest.mark.slow
def test_a_drawing_without_end_fails_alone_and_is_set_aside_after_two_tries(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home, ASKPIX_OCR="off", ASKPIX_MAX_DECODE_SECONDS="1") as (url, _):
        client = until_ready(url)
        client.create_collection("a")
        first = client.wait(upload(client, tmp_path / "files", slow_drawing()))
        assert failures(first) == ["SVG: it takes more than 1 seconds to decode (ASKPIX_MAX_DECODE_SECONDS)"]
        assert first.result and first.result["images"] == 2 and kills(home) == 1
        (second,) = failures(client.wait(upload(client, tmp_path / "files", slow_drawing())))
        assert "more than 1 seconds" in second and "set aside" in second
        # Neither the file nor a copy of it under another name starts a decoder again.
        before = decoders(str(home))
        shutil.copy(tmp_path / "files" / "b.svg", tmp_path / "copy.svg")
        again = client.index("a", [tmp_path / "files" / "b.svg", tmp_path / "copy.svg"])
        assert [failure.error for failure in again.failed] == [second, second]
        assert kills(home) == 4 and decoders(str(home)) == before


@pytest.mark.slow
def test_decoders_end_with_their_server_and_a_restart_gets_past_the_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = {"ASKPIX_OCR": "off", "ASKPIX_MAX_DECODE_SECONDS": "20"}
    job = ""
    for count in (1, 2):
        with served(home, **settings) as (url, process):
            client = until_ready(url)
            if not job:
                client.create_collection("a")
                job = upload(client, tmp_path / "files", slow_drawing())
            until(lambda count=count: kills(home) == count)
            assert process.pid in decoders(str(home)).values()
            process.kill()
            process.wait()
            until(lambda: not decoders(str(home)))
    with served(home, **settings) as (url, _):
        client = until_ready(url)
        ended = client.wait(job)
        (error,) = failures(ended)
        assert "stopped before it was done" in error and "set aside" in error
        assert ended.result and ended.result["images"] == 2

        # A job that is cancelled ends its decoder too, long before the limit.
        job = upload(client, tmp_path / "files", slow_drawing("another"))
        until(lambda: kills(home) == 3)
        (pid,) = decoders(str(home))
        client.cancel(job)
        assert client.wait(job).state == "cancelled"
        assert pid not in decoders(str(home))
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
