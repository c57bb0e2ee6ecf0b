"""Limits of child processes hold while one call of foreign code keeps the interpreter's lock."""

import ctypes
import mmap
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from askpix.core import sandbox
from askpix.core.errors import BadImageError
from askpix.core.sandbox import NONSENSE, TOO_LONG, Child, StoppedError, answer_all, stop_questions
from tests.conftest import ROOT

HERE = "tests.unit.core.test_sandbox"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
pytestmark = pytest.mark.timeout(60)


def serve() -> None:
    """In the child: what a decoder may do to us. ``PyDLL`` keeps the lock during the call."""
    locked = ctypes.PyDLL(None)

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        if question["do"] == "spin":
            re.match(r"(?:a|a)*b", "a" * 200)  # one call, for ages
        if question["do"] == "sleep":
            locked.sleep(600)
        if question["do"] == "fill":
            return {"bytes": len(bytearray(8 * 2**30))}, b""
        if question["do"] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return {"pid": os.getpid()}, data

    answer_all(answer, max_bytes=2**20)


def serve_writable() -> None:
    """In the child: as ``serve``, with a limit on writable memory alone."""
    reserved = mmap.mmap(-1, 6 * 2**30, prot=mmap.PROT_READ)

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        return {"reserved": len(reserved), "bytes": len(bytearray(question["bytes"]))}, b""

    answer_all(answer, max_bytes=2**20, memory=2**30, limit="RLIMIT_DATA")


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child(HERE)
    yield made
    made.end()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until_gone(pid: int) -> None:
    while lives(pid):
        time.sleep(0.02)


def test_cpu_time_is_limited_for_each_question_anew(child: Child) -> None:
    for _ in range(3):
        assert child.ask({"do": "echo"}, b"data", seconds=1, max_bytes=4)[1] == b"data"
    with pytest.raises(NONSENSE):
        child.ask({"do": "spin"}, seconds=1)
    assert child.end() == TOO_LONG


def test_a_child_that_sleeps_ends_at_its_deadline(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    child.ask({"do": "echo"}, seconds=1)
    monkeypatch.setattr(sandbox, "_DEADLINE_START_S", 0.0)
    with pytest.raises(NONSENSE):
        child.ask({"do": "sleep"}, seconds=0.2)
    assert child.end() == TOO_LONG


@LINUX
def test_memory_is_limited(child: Child) -> None:
    with pytest.raises(BadImageError, match="not enough memory"):
        child.ask({"do": "fill"}, seconds=30)
    assert child.ask({"do": "echo"}, seconds=30)


@LINUX
def test_memory_that_is_only_reserved_may_stay_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines of OCR reserve more addresses the more cores there are."""
    start = sandbox.python_command
    monkeypatch.setattr(sandbox, "python_command", lambda _, *words: start(f"{HERE}:serve_writable", *words))
    child = Child(HERE)
    try:
        assert child.ask({"bytes": 2**20}, seconds=30)[0] == {"reserved": 6 * 2**30, "bytes": 2**20}
        with pytest.raises(BadImageError, match="not enough memory"):
            child.ask({"bytes": 2 * 2**30}, seconds=30)
    finally:
        child.end()


def test_a_crash_is_told_from_a_limit(child: Child) -> None:
    with pytest.raises(NONSENSE):
        child.ask({"do": "crash"}, seconds=30)
    assert child.end() == signal.SIGSEGV


def test_a_question_ends_when_its_thread_is_told_to_stop(child: Child) -> None:
    pid = child.ask({"do": "echo"}, seconds=60)[0]["pid"]
    stop, ended = threading.Event(), threading.Event()

    def ask() -> None:
        stop_questions(stop)
        with pytest.raises(StoppedError):
            child.ask({"do": "sleep"}, seconds=600)
        ended.set()

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.ident not in sandbox.longest_questions(0.0):
        time.sleep(0.02)
    stop.set()
    assert ended.wait(30)
    thread.join()
    assert child.end() == signal.SIGKILL and not lives(pid)


@LINUX
def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    made: list[Child] = []
    thread = threading.Thread(target=lambda: made.append(Child(HERE)))
    thread.start()
    thread.join()
    assert made[0].ask({"do": "echo"}, seconds=60)
    assert made[0].ask({"do": "echo"}, b"again", seconds=60, max_bytes=5)[1] == b"again"
    made[0].end()


@LINUX
@pytest.mark.parametrize("busy", ["spin", "sleep"])
def test_a_child_ends_with_its_parent_in_the_middle_of_a_question(busy: str) -> None:
    code = f"""if True:
        import threading
        from askpix.core.sandbox import Child
        child = Child({HERE!r})
        print(child.ask({{"do": "echo"}}, seconds=60)[0]["pid"], flush=True)
        child.ask({{"do": {busy!r}}}, seconds=600)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert lives(pid)
        process.kill()
    until_gone(pid)


@LINUX
def test_a_child_whose_parent_ended_before_it_could_say_so_ends() -> None:
    with pytest.raises(SystemExit):
        sandbox.die_with_parent(os.getpid())


@LINUX
def test_a_foreign_program_and_what_it_started_end_with_the_parent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! $$ >{pids}.new; mv {pids}.new {pids}; sleep 600"
    code = f"""if True:
        import os, subprocess, sys
        from askpix.core.sandbox import start_process
        from askpix.core.subprocesses import python_command
        lifeline, held = os.pipe()
        command = python_command("askpix.core.sandbox:guard", "60", "sh", "-c", {script!r})
        start_process(command, stdin=lifeline).wait()
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) as process:
        while not pids.exists():
            time.sleep(0.02)
        process.kill()
    for pid in map(int, pids.read_text().split()):
        until_gone(pid)
