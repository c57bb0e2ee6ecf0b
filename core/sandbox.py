"""Run decoders of untrusted data in child processes with limits that hold whatever the child does.

CPU time and memory are limited by the kernel (``RLIMIT_CPU``, ``RLIMIT_AS``), since a decoder may hold the
interpreter lock for as long as it runs. On Linux the kernel ends a child with its parent. The parent sets a
deadline by the clock, for one that sleeps or deadlocks and where there are no such limits, and ends a child
when nobody waits for its answer any more (``stop_questions``). What a child says is data (a length, JSON,
bytes) that is checked here, never pickles. Each module that works so has a ``serve`` for the child, which
hands ``answer_all`` what it can answer.
"""

import atexit
import ctypes
import json
import logging
import math
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import IO, Any

from askpix.core.errors import BadImageError, ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.subprocesses import python_command

NONSENSE = (EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError)
"""Exceptions that follow from a missing answer, or from one that does not fit the question."""
TOO_LONG = int(getattr(signal, "SIGXCPU", 24))
"""Signal that ends a process whose question takes too long; also reported for one past its deadline."""
MEMORY = 4 * 2**30
"""Bytes of address space. Decoders reserve some of it and use little."""
_DEADLINE_FACTOR = 4.0
_DEADLINE_START_S = 15.0
"""Deadline of a question by the clock: its CPU seconds times the first, for cores are shared, and the second,
in which a process starts."""
_POLL_S = 0.1
_PR_SET_PDEATHSIG = 1
_MAX_SAID = 64 * 2**20
_MAX_LINES = 100
_LONGEST_LINE = 500
"""Most lines, and bytes a line, kept of a child's standard error for one question."""
_LEVELS = {logging.getLevelName(level): level for level in (10, 20, 30, 40)}
_HEADER = struct.Struct("<II")
"""Lengths of the JSON and of the bytes that follow."""

_log = logging.getLogger(__name__)
Said = dict[str, Any]
Answer = Callable[[Said, bytes], tuple[Said, bytes]]


class StoppedError(Exception):
    """The question was given up: whoever asked it is stopping."""


class _Watch:
    """A running question. Its process is killed at the deadline, or when ``stop`` is set."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", seconds: float, stop: threading.Event | None
    ) -> None:
        self._process = process
        self._deadline = time.monotonic() + seconds
        self._stop = stop
        self._lock = threading.Lock()
        self.over = self.late = self.stopped = False

    def check(self) -> None:
        with self._lock:
            if self.over:
                return
            self.stopped = self._stop is not None and self._stop.is_set()
            self.late = not self.stopped and time.monotonic() > self._deadline
            if self.stopped or self.late:
                self.over = True
                kill_group(self._process)

    def finish(self) -> None:
        with self._lock:
            self.over = True


class _Supervisor:
    """A thread that lives as long as the process. It starts the children, because Linux ends a child with the
    thread that started it, and watches their questions."""

    def __init__(self) -> None:
        self._todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._watches: list[_Watch] = []
        threading.Thread(target=self._run, name="sandbox", daemon=True).start()

    def start(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        made: Future[subprocess.Popen[bytes]] = Future()

        def start() -> None:
            try:
                made.set_result(subprocess.Popen(command, **options))  # noqa: S603 - the callers' programs
            except BaseException as error:  # noqa: BLE001 - the caller's to handle
                made.set_exception(error)

        self._todo.put(start)
        return made.result()

    def watch(self, watch: _Watch) -> None:
        self._todo.put(lambda: self._watches.append(watch))

    def _run(self) -> None:
        while True:
            with suppress(queue.Empty):
                self._todo.get(timeout=_POLL_S if self._watches else None)()
            self._watches = [watch for watch in self._watches if not watch.over]
            for watch in self._watches:
                watch.check()


_here = threading.local()
_asked: dict[int, float] = {}
_lock = threading.Lock()
_supervisors: list[_Supervisor] = []


def _supervisor() -> _Supervisor:
    with _lock:
        if not _supervisors:
            _supervisors.append(_Supervisor())
        return _supervisors[0]


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = threading.Lock()
    _supervisors.clear()  # its thread is in the parent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def stop_questions(stop: threading.Event) -> None:
    """Let questions asked on this thread end with ``StoppedError`` once ``stop`` is set."""
    _here.stop = stop


def start_process(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
    """``subprocess.Popen`` in a session of its own: Ctrl-C is for the parent, which ends it in order."""
    return _supervisor().start(command, start_new_session=True, **options)


def longest_questions(seconds: float) -> set[int]:
    """The threads (``threading.get_ident``) whose question has been running for longer."""
    since = time.monotonic() - seconds
    return {thread for thread, began in list(_asked.items()) if began < since}


@contextmanager
def deadline(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[_Watch]:
    """Kill ``process`` and all that it started after so many seconds; ``late`` of what is given tells.

    Raises ``StoppedError`` when ``stop_questions`` of this thread says so.
    """
    stop: threading.Event | None = getattr(_here, "stop", None)
    watch = _Watch(process, seconds, stop)
    _supervisor().watch(watch)
    _asked[threading.get_ident()] = time.monotonic()
    try:
        yield watch
    finally:
        del _asked[threading.get_ident()]
        watch.finish()
        if watch.stopped:
            raise StoppedError


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process of ``start_process`` and what it started."""
    with suppress(OSError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


class Child:
    """A process, and what it is asked. Not thread-safe: one caller has it at a time."""

    def __init__(self, module: str) -> None:
        """``module`` has the ``serve`` that it runs."""
        self._log = logging.getLogger(module)
        self._lines = _MAX_LINES
        level = str(self._log.getEffectiveLevel())
        self._process = start_process(
            python_command(f"{module}:serve", str(os.getpid()), level),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        threading.Thread(target=self._pass_on, name="sandbox-log", daemon=True).start()
        self._log.debug("process %d started", self._process.pid)
        self._late = False
        self.said: Said = {}

    def ask(
        self, question: Said, data: bytes = b"", *, seconds: float, max_bytes: int = 0
    ) -> tuple[Said, bytes]:
        """Ask one question and return the answer with at most ``max_bytes``. ``seconds`` is CPU time; the
        wall-clock deadline is later.

        Raises ``BadImageError`` with what it says is wrong, of ``NONSENSE`` what fits when it has ended, and
        ``StoppedError``.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise EOFError
        self._lines = _MAX_LINES
        with deadline(self._process, _DEADLINE_FACTOR * seconds + _DEADLINE_START_S) as watch:
            try:
                _send(self._process.stdin, {**question, "seconds": seconds}, data)
                self.said, rest = _receive(self._process.stdout, max_bytes=max_bytes)
            except OSError as error:
                raise EOFError from error
            finally:
                self._late = watch.late
        if "error" in self.said:
            raise BadImageError(str(self.said["error"])[:300])
        return self.said, rest

    def end(self) -> int:
        """End it at once; returns how it ended, ``TOO_LONG`` for one past its deadline."""
        if self._late or self._process.poll():
            why = "was past its deadline" if self._late else f"ended with {self._process.returncode}"
            self._log.info("process %d %s", self._process.pid, why)
        kill_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        code = abs(self._process.wait())
        return TOO_LONG if self._late else code

    def _pass_on(self) -> None:
        """Log what it logs at its level, and whatever else is on its standard error as ``debug``."""
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in iter(lambda: pipe.readline(_LONGEST_LINE), b""):
                if self._lines > 0:
                    self._lines -= 1
                    text = line.decode("utf-8", "replace").strip()
                    level, _, message = text.partition(" ")
                    own = level in _LEVELS
                    self._log.log(_LEVELS[level] if own else logging.DEBUG, "%s", message if own else text)


class Children:
    """Processes of one kind that outlive what they are asked about: any thread may be the next to need one.

    Like the state of the libraries in them, for which they stand, they belong to the whole process.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self.idle: list[Child] = []
        atexit.register(self.end)

    def take(self) -> tuple[Child, bool]:
        """Return a child for the caller alone, and whether it is fresh: an idle one may have ended."""
        with self._lock:
            idle = self.idle.pop() if self.idle else None
        return (idle, False) if idle else (Child(self._module), True)

    def give_back(self, child: Child) -> None:
        """Keep a child for the next question; end it where one idle child a core is kept already."""
        with self._lock:
            if len(self.idle) < usable_cores():
                self.idle.append(child)
                return
        child.end()

    def end(self) -> None:
        """End all idle children."""
        while self.idle:
            self.idle.pop().end()


# What follows runs in the child.


def answer_all(answer: Answer, *, max_bytes: int, memory: int = MEMORY, limit: str = "RLIMIT_AS") -> None:
    """Answer questions in the child until the parent is gone. At most ``max_bytes`` come with one.

    ``memory``: bytes that the kernel allows as ``limit``. ``BadImageError`` and the like are said, not
    raised.
    """
    die_with_parent(int(sys.argv[1]))
    _log_to_parent(int(sys.argv[2]))
    _limit("RLIMIT_CORE", 0)
    _limit(limit, memory)
    inward = sys.stdin.buffer
    outward = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints is no answer
    while True:
        try:
            question, data = _receive(inward, max_bytes=max_bytes)
        except EOFError:
            return
        _limit("RLIMIT_CPU", time.process_time() + float(question["seconds"]))
        rest = b""
        try:
            said, rest = answer(question, data)
        except (BadImageError, ModelUnavailableError) as error:
            said = {"error": str(error)}
        except MemoryError:
            said = {"error": "there is not enough memory to decode it"}
        _limit("RLIMIT_CPU", math.inf)
        with suppress(BrokenPipeError):
            _send(outward, said, rest)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname} {' '.join(record.getMessage().split())}"


def _log_to_parent(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.getLogger("askpix").addHandler(handler)
    logging.getLogger("askpix").setLevel(level)


def die_with_parent(parent: int) -> None:
    """End this child process when process ``parent`` ends, where the kernel supports it (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit(1)  # it ended before this was said


def guard() -> None:
    """Run a foreign program in a child, within limits, with all that it starts; end them when the parent
    ends.

    Arguments: CPU seconds, and the command. Its standard input is a pipe that the parent has open.
    """
    seconds, *command = sys.argv[1:]
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_AS", MEMORY)
    _limit("RLIMIT_CPU", float(seconds))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the caller's program

    def wait_for_parent() -> None:
        os.read(0, 1)
        process.kill()

    threading.Thread(target=wait_for_parent, daemon=True).start()
    process.wait()
    with suppress(AttributeError):
        os.killpg(0, signal.SIGKILL)


def _limit(name: str, wanted: float) -> None:
    """Set a soft limit: those of a question rise again, and its signal ends the process all the same."""
    with suppress(ImportError, OSError, ValueError, AttributeError):
        import resource  # noqa: PLC0415 - not on every platform

        which = getattr(resource, name)
        _, hard = resource.getrlimit(which)
        soft = hard if wanted == math.inf else math.ceil(wanted)
        resource.setrlimit(which, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _send(pipe: IO[bytes], said: Said, data: bytes) -> None:
    words = json.dumps(said).encode()
    pipe.write(_HEADER.pack(len(words), len(data)) + words)
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes], *, max_bytes: int) -> tuple[Said, bytes]:
    """Raises ``EOFError`` when the other side is gone, ``ValueError`` when it says nonsense."""
    head = pipe.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise EOFError
    words, data = _HEADER.unpack(head)
    if words > _MAX_SAID or data > max_bytes:
        raise ValueError("too much was said")
    text = pipe.read(words)
    rest = pipe.read(data)
    if len(text) < words or len(rest) < data:
        raise EOFError
    said = json.loads(text)
    if not isinstance(said, dict):
        raise ValueError("not an object")
    return said, rest
