"""Work on untrusted bytes in processes apart: what crashes, takes for ever or all memory costs itself alone.

A child limits itself: CPU seconds a question, memory, and it ends when its parent does, even in the middle of
one. What it says is data (a length, JSON, bytes) that is checked here, never pickles: it has read untrusted
bytes. Each module that works so has a ``serve`` for the child, which hands ``answer_all`` what it can answer.
"""

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from askpix.core.errors import BadImageError, ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.subprocesses import python_command

NONSENSE = (EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError)
"""What follows from an answer that is none, or not one to the question."""
TOO_LONG = int(getattr(signal, "SIGXCPU", 24))
"""What ends a process of which a question takes too long: the signal of that name, by its own hand."""
MEMORY = 4 * 2**30
"""Bytes of address space. Decoders reserve some of it and use little."""
_MOST_SAID = 64 * 2**20
_HEADER = struct.Struct("<II")
"""Lengths of the JSON and of the bytes that follow."""

Said = dict[str, Any]
Answer = Callable[[Said, bytes], tuple[Said, bytes]]


class Child:
    """A process, and what it is asked. Not thread-safe: one caller has it at a time."""

    def __init__(self, module: str) -> None:
        """``module`` has the ``serve`` that it runs."""
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
            python_command(f"{module}:serve"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it in order
        )
        self.said: Said = {}

    def ask(self, question: Said, data: bytes = b"", *, most: int = 0) -> tuple[Said, bytes]:
        """Its answer, and at most so many bytes. ``seconds`` in the question is CPU time for it.

        Raises ``BadImageError`` with what it says is wrong, and of ``NONSENSE`` what fits when it has ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise EOFError
        try:
            _send(self._process.stdin, question, data)
        except OSError as error:
            raise EOFError from error
        self.said, rest = _receive(self._process.stdout, most=most)
        if "error" in self.said:
            raise BadImageError(str(self.said["error"])[:300])
        return self.said, rest

    def end(self) -> int:
        """How it ended, at once."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return self._process.wait()


class Children:
    """Processes of one kind that outlive what they are asked about: any thread may be the next to need one.

    Like the state of the libraries in them, for which they stand, they belong to the whole process.
    """

    def __init__(self, module: str) -> None:
        self._module, self._lock = module, threading.Lock()
        self.idle: list[Child] = []
        atexit.register(self.end)

    def take(self) -> tuple[Child, bool]:
        """One for the caller alone, and whether it is fresh: an idle one may have ended meanwhile."""
        with self._lock:
            idle = self.idle.pop() if self.idle else None
        return (idle, False) if idle else (Child(self._module), True)

    def give_back(self, child: Child) -> None:
        """It waits for the next; where as many as cores do already, it ends."""
        with self._lock:
            if len(self.idle) < usable_cores():
                self.idle.append(child)
                return
        child.end()

    def end(self) -> None:
        """All that are idle."""
        while self.idle:
            self.idle.pop().end()


# What follows runs in the child.


def answer_all(answer: Answer, *, most: int, seconds: float, memory: int | None = MEMORY) -> None:
    """In the child: answer questions until the parent is gone. ``most``: bytes that come with one.

    ``seconds``: CPU time for a question that names none. ``BadImageError`` and the like are said, not raised.
    """
    if memory is not None:
        _limit_memory(memory)
    inward, outward = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints is no answer
    watch = _Watch()
    while True:
        try:
            question, data = _receive(inward, most=most)
        except EOFError:
            return
        watch.begin(float(question.get("seconds", seconds)))
        rest = b""
        try:
            said, rest = answer(question, data)
        except (BadImageError, ModelUnavailableError) as error:
            said = {"error": str(error)}
        except MemoryError:
            said = {"error": "there is not enough memory to decode it"}
        watch.end()
        with suppress(BrokenPipeError):
            _send(outward, said, rest)


class _Watch:
    """Ends this process when a question takes too long, or when nobody waits for it any more."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._parent = os.getppid()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self, seconds: float) -> None:
        self._until = time.process_time() + seconds

    def end(self) -> None:
        self._until = None

    def _watch(self) -> None:
        while True:
            time.sleep(0.5)
            until = self._until
            if until is not None and time.process_time() > until:
                os.kill(os.getpid(), TOO_LONG)
            if os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGTERM)


def _limit_memory(memory: int) -> None:
    with suppress(ImportError, OSError, ValueError, AttributeError):
        import resource  # noqa: PLC0415 - not on every platform

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _send(pipe: IO[bytes], said: Said, data: bytes) -> None:
    words = json.dumps(said).encode()
    pipe.write(_HEADER.pack(len(words), len(data)) + words)
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes], *, most: int) -> tuple[Said, bytes]:
    """Raises ``EOFError`` when the other side is gone, ``ValueError`` when it says nonsense."""
    head = pipe.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise EOFError
    words, data = _HEADER.unpack(head)
    if words > _MOST_SAID or data > most:
        raise ValueError("too much was said")
    text, rest = pipe.read(words), pipe.read(data)
    if len(text) < words or len(rest) < data:
        raise EOFError
    said = json.loads(text)
    if not isinstance(said, dict):
        raise ValueError("not an object")
    return said, rest
