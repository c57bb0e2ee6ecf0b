"""PDFs in processes of their own: one that makes PDFium crash, or draw for minutes, costs one page.

A child serves one document at a time and several one after another; idle ones wait for the next. It limits
itself: CPU seconds a page, memory, and it ends when its parent does, even in the middle of a page. What it
says is data (a length, JSON, pixels) that is checked here, never pickles: it has read untrusted bytes.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from PIL import Image

from core.errors import BadImageError
from core.images import ImageLimits, Picture
from core.machine import usable_cores
from core.types import Box, TextLine

CPU_SECONDS = 60
"""Of one page; a map of a hundred thousand lines takes two."""
_MEMORY = 4 * 2**30
"""Bytes of address space. PDFium reserves some of it and uses little."""
_MOST_SAID = 64 * 2**20
_NONSENSE = (EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError)
"""What follows from an answer that is none, or not one to the question."""
_HEADER = struct.Struct("<II")
"""Lengths of the JSON and of the bytes that follow."""
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from ingest.pdf_process import serve; serve()"


class _Child:
    """A process, and what it is asked. Not thread-safe: one caller has it at a time."""

    def __init__(self, code: str = _CHILD) -> None:
        root = str(Path(__file__).resolve().parent.parent)
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", code, *dict.fromkeys([root, *(path for path in sys.path if path)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it in order
        )
        self.said: dict[str, Any] = {}

    def ask(
        self, question: dict[str, Any], data: bytes = b"", *, most: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Its answer, and at most so many bytes.

        Raises ``BadImageError`` with what it says is wrong, and of ``_NONSENSE`` what fits when it has ended.
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


# Processes outlive the documents they serve, and any thread may be the next to need one: like PDFium's own
# state, which they stand for, they belong to the whole process.
_IDLE: list[_Child] = []
_LOCK = threading.Lock()


@atexit.register
def _end_idle() -> None:
    while _IDLE:
        _IDLE.pop().end()


class ApartPdf:
    """A PDF that another process has open. Not thread-safe.

    Raises ``BadImageError``, also for what the process ended of: a crash, too long, too much memory. The next
    page is asked of another one.
    """

    def __init__(self, data: bytes, limits: ImageLimits, *, seconds: float = CPU_SECONDS) -> None:
        self._data, self._limits, self._seconds = data, limits, seconds
        self._child: _Child | None = None
        self.pages = 0
        try:
            with self._served() as child:
                self.pages = int(child.said["pages"])
        except BaseException:
            self.close()
            raise

    def picture(self, number: int, min_side: int | None) -> Picture:
        """See ``ingest.pdf.PdfDocument.picture``."""
        with self._served() as child:
            question = {"do": "picture", "page": number, "min_side": min_side}
            answer, pixels = child.ask(question, most=3 * self._limits.max_pixels)
            width, height, *drawn = (int(side) for side in answer["sides"])
            image = Image.frombytes("RGB", (drawn[0], drawn[1]), pixels)
        return Picture(image, width, height, "PDF", self.pages, Image.Exif())

    def lines(self, number: int) -> list[TextLine] | None:
        """See ``ingest.pdf.PdfDocument.lines``."""
        with self._served() as child:
            lines = child.ask({"do": "lines", "page": number})[0]["lines"]
            found = [TextLine(str(text), Box(*(float(side) for side in box))) for text, *box in lines or ()]
        return None if lines is None else found

    def close(self) -> None:
        """Leave the process to the next document. Closing twice is fine."""
        child, self._child = self._child, None
        if child is None:
            return
        with _LOCK:
            if len(_IDLE) < usable_cores():
                _IDLE.append(child)
                return
        child.end()

    @contextmanager
    def _served(self) -> Iterator[_Child]:
        """The process with this document, a new one where the last has ended."""
        try:
            if self._child is None:
                self._child = self._opened()
            yield self._child
        except BadImageError:
            raise
        except _NONSENSE as error:
            raise BadImageError(self._why(self._end())) from error
        except BaseException:
            self._end()  # Ctrl-C: what it would still say is nobody's
            raise

    def _opened(self) -> _Child:
        limits = asdict(self._limits)
        while True:
            with _LOCK:
                idle = _IDLE.pop() if _IDLE else None
            child = idle or _Child()
            try:
                child.ask({"do": "open", "limits": limits, "seconds": self._seconds}, self._data)
            except EOFError:
                if idle is None:
                    self._child = child
                    raise
                child.end()  # while it was idle, perhaps: a fresh one will tell
            except BaseException:
                self._child = child
                raise
            else:
                return child

    def _end(self) -> int:
        child, self._child = self._child, None
        return child.end() if child else 0

    def _why(self, code: int) -> str:
        if abs(code) == _TOO_LONG:
            return f"a page takes more than {self._seconds:g} seconds to read: save the PDF anew, or print it"
        return "the PDF makes its reader crash, or takes too much memory: save it anew, or print it to PDF"


@contextmanager
def opened(data: bytes, limits: ImageLimits) -> Iterator[ApartPdf]:
    """A PDF for as long as the block lasts. Raises ``BadImageError``."""
    document = ApartPdf(data, limits)
    try:
        yield document
    finally:
        document.close()


# What follows runs in the child.

_TOO_LONG = int(getattr(signal, "SIGXCPU", 24))
"""What ends a process of which a page takes too long: the signal of that name, by its own hand."""


def serve() -> None:
    """In the child: answer questions until the parent is gone."""
    from ingest.pdf import PdfDocument  # noqa: PLC0415 - PDFium is for the child alone

    _limit_memory()
    inward, outward = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints is no answer
    watch = _Watch()
    document: PdfDocument | None = None
    seconds = float(CPU_SECONDS)
    while True:
        try:
            question, data = _receive(inward, most=2**32)
        except EOFError:
            return
        pixels, answer = b"", dict[str, Any]()
        seconds = float(question.get("seconds", seconds))
        watch.begin(seconds)
        try:
            if question["do"] == "open":
                if document is not None:
                    document.close()
                    document = None
                document = PdfDocument(data, ImageLimits(**question["limits"]))
                answer = {"pages": document.pages}
            elif document is None:
                answer = {"error": "no document is open"}
            elif question["do"] == "picture":
                picture = document.picture(question["page"], question["min_side"])
                pixels = picture.image.convert("RGB").tobytes()
                answer = {"sides": [picture.width, picture.height, *picture.image.size]}
            else:
                lines = document.lines(question["page"])
                said = None if lines is None else [[line.text, *line.box] for line in lines]
                answer = {"lines": said}
        except BadImageError as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "there is not enough memory to draw it"}
        watch.end()
        with suppress(BrokenPipeError):
            _send(outward, answer, pixels)


class _Watch:
    """Ends this process when a page takes too long, or when nobody waits for it any more."""

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
                os.kill(os.getpid(), _TOO_LONG)
            if os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGTERM)


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError, AttributeError):
        import resource  # noqa: PLC0415 - not on every platform

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _MEMORY if most == resource.RLIM_INFINITY else min(_MEMORY, most)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _send(pipe: IO[bytes], said: dict[str, Any], data: bytes) -> None:
    words = json.dumps(said).encode()
    pipe.write(_HEADER.pack(len(words), len(data)) + words)
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes], *, most: int) -> tuple[dict[str, Any], bytes]:
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
