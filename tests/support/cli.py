"""The real command, run to its end in a process of its own."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT
from tests.support.fork_server import server_for

PICTURES = ROOT / "api" / "demo" / "pictures"

Askpix = Callable[..., subprocess.CompletedProcess[str]]


def runner(home: Path, cwd: Path, *, torch: bool = False) -> Askpix:
    """Return a function that runs ``askpix`` on a home; ``code`` is the exit code it must have.

    ``torch``: its commands load torch, so it is better loaded once.
    """

    def run(
        *words: str | Path, code: int = 0, stdin: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")},
            "ASKPIX_HOME": str(home),
            "ASKPIX_OPENVINO": "0",
            **settings,
        }
        arguments = [str(word) for word in words]
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin.encode())
            given.seek(0)
            server = server_for(environment, torch=torch)
            found = server.run(arguments, cwd=cwd, environment=environment, streams=(given, out, err))
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(arguments, found, out.read().decode(), err.read().decode())
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
