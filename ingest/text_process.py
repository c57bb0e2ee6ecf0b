"""Words read in processes apart: a picture that makes the networks' runtime crash costs itself and no other.

Each process has an engine on one core and reads one picture at a time, so that as many as there are cores
read side by side without one interpreter's lock. One that ends is replaced; its picture is tried once more,
for it may have been ended from outside. What a child says is data that is checked here, as with PDFs.
"""

import os
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import finalize

from PIL import Image

from core.errors import BadImageError, ModelUnavailableError
from core.machine import usable_cores
from core.types import Box, TextLine
from ingest.pdf_process import _NONSENSE, _Child, _receive, _send, _Watch

CPU_SECONDS = 600
"""Of one picture; a full page takes some seconds."""
_MOST_PIXELS = 3 * 200_000_000
_CODE = "import sys; sys.path[:] = sys.argv[1:]; from ingest.text_process import serve; serve()"


class ApartTextReader:
    """A ``TextReader`` whose engines live in children. Thread-safe; ``read`` waits for nobody."""

    def __init__(self, *, name: str, workers: int, models: str | None = None) -> None:
        self.engine_id = name
        self.workers = workers
        self._models = models
        self._idle: deque[_Child] = deque()
        finalize(self, _end_all, self._idle)

    @classmethod
    def load(cls, *, workers: int | None = None, models: Path | None = None) -> "ApartTextReader":
        """The first child is started and asked at once. ``models``: see ``ingest.ocr_engine.OcrEngine.load``.

        Raises ``ModelUnavailableError``.
        """
        child = _Child(_CODE)
        folder = str(models.expanduser().absolute()) if models else None
        try:
            said, _ = child.ask({"do": "load", "models": folder})
        except BadImageError as error:
            child.end()
            raise ModelUnavailableError(str(error)) from error
        except _NONSENSE as error:
            child.end()
            raise ModelUnavailableError("OCR cannot be loaded: its process ends at once") from error
        made = cls(name=str(said["engine"]), workers=workers or usable_cores(), models=folder)
        made._idle.append(child)
        return made

    def read(self, image: Image.Image, /) -> list[TextLine]:
        """See ``ingest.text.TextReader.read``."""
        picture = image if image.mode == "RGB" else image.convert("RGB")
        question = {"do": "read", "size": picture.size}
        pixels = picture.tobytes()
        for attempt in range(2):
            child = self._taken()
            try:
                answer, _ = child.ask(question, pixels)
                lines = [
                    TextLine(str(text), Box(*(float(side) for side in box)), float(confidence))
                    for text, confidence, *box in answer["lines"]
                ]
            except BadImageError:
                self._idle.append(child)
                raise
            except _NONSENSE as error:
                child.end()
                if attempt:
                    raise BadImageError("it makes the reader of words crash, or takes too long") from error
            except BaseException:
                child.end()  # Ctrl-C: what it would still say is nobody's
                raise
            else:
                self._idle.append(child)
                return lines
        raise AssertionError

    def close(self) -> None:
        """End the children; reading again starts new ones."""
        _end_all(self._idle)

    def _taken(self) -> _Child:
        with suppress(IndexError):
            return self._idle.pop()
        child = _Child(_CODE)
        try:
            child.ask({"do": "load", "models": self._models})
        except BaseException:
            child.end()
            raise
        return child


def _end_all(idle: deque[_Child]) -> None:
    while idle:
        idle.pop().end()


# What follows runs in the child.


def serve() -> None:
    """In the child: answer questions until the parent is gone."""
    from ingest.text import RapidOcrReader  # noqa: PLC0415 - the networks are for the child alone

    inward, outward = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints is no answer
    watch = _Watch()
    reader: RapidOcrReader | None = None
    while True:
        try:
            question, data = _receive(inward, most=_MOST_PIXELS)
        except EOFError:
            return
        answer: dict[str, Any] = {}
        watch.begin(CPU_SECONDS)
        try:
            if question["do"] == "load":
                reader = RapidOcrReader.load(workers=1, models=question["models"])
                answer = {"engine": reader.engine_id}
            elif reader is None:
                answer = {"error": "no engine is loaded"}
            else:
                width, height = question["size"]
                lines = reader.read(Image.frombytes("RGB", (width, height), data))
                answer = {"lines": [[line.text, line.confidence, *line.box] for line in lines]}
        except (BadImageError, ModelUnavailableError) as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "there is not enough memory to read it"}
        watch.end()
        with suppress(BrokenPipeError):
            _send(outward, answer, b"")
