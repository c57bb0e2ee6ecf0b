"""The real command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT

PICTURES = ROOT / "api" / "demo" / "pictures"


Askpix = Callable[..., subprocess.CompletedProcess[str]]


def runner(home: Path, cwd: Path) -> Askpix:
    """Runs ``askpix`` on a home; ``code`` is the exit code it must have."""

    def run(
        *words: str | Path, code: int = 0, stdin: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")},
            "ASKPIX_HOME": str(home),
            "ASKPIX_OPENVINO": "0",
            **settings,
        }
        done = subprocess.run(
            [sys.executable, "-m", "askpix.api.cli.main", *map(str, words)],
            cwd=cwd,
            input=stdin,
            env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
