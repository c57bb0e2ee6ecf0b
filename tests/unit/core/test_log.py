"""What packages log reaches whoever asks for it, from child processes too, and nobody else."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from askpix.core.errors import BadImageError
from askpix.core.log import tolerated
from askpix.core.sandbox import Child, answer_all
from tests.conftest import ROOT

_log = logging.getLogger("askpix.tests")


def test_what_is_tolerated_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "askpix")
    with tolerated(_log, "the file is not kept", OSError):
        raise PermissionError("no")
    with tolerated(_log, "no file", OSError):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(ValueError, match="a bug"), tolerated(_log, "never", OSError):
        raise ValueError("a bug")
    assert [record.getMessage() for record in caplog.records] == ["the file is not kept: no"]


def test_importing_the_library_shows_and_changes_nothing() -> None:
    code = (
        "import logging\n"
        "before = (logging.root.level, logging.root.handlers[:], logging.root.manager.disable)\n"
        "import askpix.api.workspace.workspace, askpix.ingest.pipeline.embed_images, askpix.api.server.app\n"
        "assert before == (logging.root.level, logging.root.handlers[:], logging.root.manager.disable)\n"
        "assert logging.getLogger('askpix').level == 0\n"
        "logging.getLogger('askpix.core').warning('not for a program that did not ask')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def serve() -> None:
    """In the child."""

    def answer(question: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
        log = logging.getLogger("askpix.somewhere")
        log.info("decided\nWARNING on %s", question["what"])
        log.debug("a detail")
        for _ in range(1000):
            sys.stderr.write("x" * 10_000 + "\n")
        sys.stderr.flush()
        if question["what"] == "bad":
            raise BadImageError("no image")
        return {}, b""

    answer_all(answer, max_bytes=2**20)


@pytest.mark.slow
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_what_a_child_says_is_logged_within_a_bound(level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(level, __name__)
    child = Child(__name__)
    child.ask({"what": "one"}, seconds=30)
    with pytest.raises(BadImageError):
        child.ask({"what": "bad"}, seconds=30)
    child.end()
    for thread in threading.enumerate():
        if thread.name == "sandbox-log":
            thread.join(10)
    said = [record for record in caplog.records if record.name == __name__]
    assert "decided WARNING on one" in [record.getMessage() for record in said]
    assert ("a detail" in caplog.text) == (level == logging.DEBUG)
    assert len(said) <= 2 * 100 + 10
    assert all(len(record.getMessage()) <= 500 for record in said)
