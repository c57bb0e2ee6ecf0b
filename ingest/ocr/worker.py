"""Words read in processes apart: an image that makes the networks' runtime crash costs itself and no other.

Each process has an engine on one core and reads one image at a time, so that as many as there are cores
read side by side without one interpreter's lock. One that ends is replaced; its image is tried once more,
for it may have been ended from outside. See ``askpix.core.sandbox``.
"""

import logging
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import finalize

from PIL import Image

from askpix.core.errors import BadImageError, ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.sandbox import NONSENSE, TOO_LONG, Child, answer_all
from askpix.core.types import Box, TextLine

_log = logging.getLogger(__name__)
CPU_SECONDS = 600
"""Most CPU seconds for one image; a full page takes some seconds."""
_MAX_PIXELS = 3 * 200_000_000
_MEMORY = 12 * 2**30
"""Bytes: 5 GB are taken by a sheet of 144 megapixels that is full of print. Of writable memory, not of
addresses: an engine's threads reserve those by the core."""


class ApartTextReader:
    """A ``TextReader`` whose engines live in children. Thread-safe; ``workers`` read at once, others wait."""

    def __init__(self, *, name: str, workers: int, load: dict[str, Any]) -> None:
        self.engine_id = name
        self.workers = workers
        self._load = load
        # Several collections may be read at once, and each engine takes about 0.4 GB.
        self._free = threading.Semaphore(workers)
        self._idle: deque[Child] = deque()
        finalize(self, _end_all, self._idle)

    @classmethod
    def load(
        cls, *, workers: int | None = None, models: Path | None = None, openvino: bool = False
    ) -> "ApartTextReader":
        """The first child is started and asked at once; ``ingest.ocr.engine.OcrEngine.load`` is what it does.

        Raises ``ModelUnavailableError``.
        """
        folder = str(models.expanduser().absolute()) if models else None
        question = {"do": "load", "models": folder, "openvino": openvino}
        child = _loaded(question)
        made = cls(name=str(child.said["engine"]), workers=workers or usable_cores(), load=question)
        made._idle.append(child)
        return made

    def read(self, image: Image.Image, /) -> list[TextLine]:
        """See ``askpix.ingest.ocr.reader.TextReader.read``."""
        picture = image if image.mode == "RGB" else image.convert("RGB")
        question = {"do": "read", "size": picture.size}
        pixels = picture.tobytes()
        with self._free:
            return self._ask(question, pixels)

    def _ask(self, question: dict[str, Any], pixels: bytes) -> list[TextLine]:
        for attempt in range(2):
            child = self._taken()
            try:
                answer, _ = child.ask(question, pixels, seconds=CPU_SECONDS)
                lines = [
                    TextLine(str(text), Box(*(float(side) for side in box)), float(confidence))
                    for text, confidence, *box in answer["lines"]
                ]
            except BadImageError:
                self._idle.append(child)
                raise
            except NONSENSE as error:
                _log.info("a process that reads words has ended: %s", error or type(error).__name__)
                if child.end() == TOO_LONG or attempt:
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

    def _taken(self) -> Child:
        with suppress(IndexError):
            return self._idle.pop()
        return _loaded(self._load)


def _loaded(question: dict[str, Any]) -> Child:
    """A child with an engine. Raises ``ModelUnavailableError``: no image is to blame."""
    child = Child("askpix.ingest.ocr.worker")
    try:
        child.ask(question, seconds=CPU_SECONDS)
    except BadImageError as error:
        child.end()
        raise ModelUnavailableError(str(error)) from error
    except NONSENSE as error:
        child.end()
        raise ModelUnavailableError("OCR cannot be loaded: its process ends at once") from error
    except BaseException:
        child.end()
        raise
    return child


def _end_all(idle: deque[Child]) -> None:
    while idle:
        idle.pop().end()


def serve() -> None:
    """Serve questions in the child process."""
    from askpix.ingest.ocr.reader import RapidOcrReader  # noqa: PLC0415 - the networks are for the child alone

    reader: RapidOcrReader | None = None

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        nonlocal reader
        if question["do"] == "load":
            reader = RapidOcrReader.load(workers=1, models=question["models"], openvino=question["openvino"])
            return {"engine": reader.engine_id}, b""
        if reader is None:
            raise BadImageError("no engine is loaded")
        width, height = question["size"]
        lines = reader.read(Image.frombytes("RGB", (width, height), data))
        return {"lines": [[line.text, line.confidence, *line.box] for line in lines]}, b""

    answer_all(answer, max_bytes=_MAX_PIXELS, memory=_MEMORY, limit="RLIMIT_DATA")
