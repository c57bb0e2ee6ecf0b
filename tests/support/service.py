"""A real server in a process of its own, and one in this process, for the tests of the service."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from askpix.api.client.client import Client
from askpix.api.workspace.server_file import read_note
from askpix.core.errors import AskpixError
from tests.conftest import ROOT
from tests.support.fakes import picture


def jpeg(colour: str, text: str | None = None, size: tuple[int, int] = (96, 72)) -> bytes:
    """A picture as a camera would send it."""
    buffer = BytesIO()
    picture(colour, text, size).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@contextmanager
def served(
    home: Path, *, program: str = "askpix.api.cli.main", **settings: str
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """``askpix serve`` on a free port: its address, and the process. Killed at the end."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ASKPIX_")}
    environment |= {"ASKPIX_HOME": str(home), "PYTHONPATH": str(ROOT), "ASKPIX_WORKERS": "1"}
    environment |= {"ASKPIX_OPENVINO": "0", **settings}
    command = [sys.executable, "-m", program, "serve", "--port", "0"]
    old = read_note(home)
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=home.parent, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while (note := read_note(home)) is None or note == old:
            assert process.poll() is None, (home.parent / f"{home.name}.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield note.url, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def until_ready(url: str) -> Client:
    """Return a client of a server that has loaded its models; it tries nothing twice."""
    client = Client(url, retries=0)
    deadline = time.monotonic() + 90
    while True:
        try:
            client.health(ready=True)
            return client
        except AskpixError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
