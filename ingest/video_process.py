"""Films in processes of their own: one that makes FFmpeg crash, or decode for ever, costs itself alone.

As with PDFs (``ingest.pdf_process``): a child has one film open at a time, limits its own memory and time,
and what it says is data that is checked here. It reads the film from its file; one of a bucket is sent to it.
"""

import atexit
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import BadImageError
from core.images import ImageLimits, Picture
from core.machine import usable_cores
from ingest.content import FILMS_POSSIBLE, NO_FILMS, Content, OnDisk, film_container, place_at
from ingest.film_facts import film_exif
from ingest.pdf_process import _NONSENSE, _TOO_LONG, _Child, _limit_memory, _receive, _send, _Watch

CPU_SECONDS = 120.0
"""From one moment to the next at most."""
_SCAN_SECONDS = 600.0
"""CPU to find where a film's key frames lie; that of three hours takes one or two."""
_CODE = "import sys; sys.path[:] = sys.argv[1:]; from ingest.video_process import serve; serve()"

# As with PDFs, processes outlive the films they serve and belong to the whole process.
_IDLE: list[_Child] = []
_LOCK = threading.Lock()


@atexit.register
def _end_idle() -> None:
    while _IDLE:
        _IDLE.pop().end()


class ApartFilm:
    """A film that another process has open. Not thread-safe. Raises ``BadImageError``, also for a crash."""

    def __init__(self, content: Content, limits: ImageLimits, *, seconds: float = CPU_SECONDS) -> None:
        if not FILMS_POSSIBLE:
            raise BadImageError(NO_FILMS)
        self._limits, self._seconds = limits, seconds
        if isinstance(content, OnDisk):
            where, data = {"path": str(content.path), "container": content.container}, b""
        else:
            where, data = {"container": film_container(content) or ""}, content
        question = {"do": "open", **where, "limits": asdict(limits), "seconds": seconds}
        self._child: _Child | None = None
        while True:
            with _LOCK:
                idle = _IDLE.pop() if _IDLE else None
            self._child = idle or _Child(_CODE)
            try:
                with self._answering():
                    said, _ = self._child.ask(question, data)
                    self.width, self.height = (int(side) for side in said["sides"])
                    self.said = {str(key): str(value) for key, value in said["said"].items()}
            except BadImageError:
                # An idle one may have been ended from outside meanwhile: a fresh one will tell.
                if idle is not None and self._crashed:
                    continue
                self.close()
                raise
            return

    @property
    def _crashed(self) -> bool:
        return self._child is None

    def moments(self, min_side: int | None) -> Iterator[tuple[int, Picture]]:
        """Places (``ingest.content.place_at``) and pictures of the moments that tell the film, in order.

        Ends with a ``BadImageError`` where the film does before its time: what came before it holds.
        """
        count = 0
        while True:
            with self._answering():
                answer, pixels = self._ask({"do": "next", "min_side": min_side})
                if answer.get("end"):
                    if answer["cut_off"]:
                        raise BadImageError(f"the video is {str(answer['cut_off'])[:200]}")
                    return
                milliseconds = int(answer["at"])
                picture = self._picture(answer, pixels, milliseconds)
            count += 1
            if count > self._limits.max_pages:
                raise BadImageError(f"only its first {self._limits.max_pages} scenes are indexed")
            yield place_at(milliseconds / 1000), picture

    def picture(self, place: int, min_side: int | None) -> Picture:
        """The frame of a place."""
        with self._answering():
            answer, pixels = self._ask({"do": "frame", "at": place - 1, "min_side": min_side})
            return self._picture(answer, pixels, place - 1)

    def close(self) -> None:
        """Leave the process to the next film. Closing twice is fine."""
        child, self._child = self._child, None
        if child is None:
            return
        with _LOCK:
            if len(_IDLE) < usable_cores():
                _IDLE.append(child)
                return
        child.end()

    def _ask(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        if self._child is None:
            raise BadImageError("the video made its reader crash")
        return self._child.ask(question, most=3 * self._limits.max_pixels)

    def _picture(self, answer: dict[str, Any], pixels: bytes, milliseconds: int) -> Picture:
        width, height = (int(side) for side in answer["sides"])
        image = Image.frombytes("RGB", (width, height), pixels)
        return Picture(image, self.width, self.height, "video", 1, film_exif(self.said, milliseconds / 1000))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except BadImageError:
            raise
        except _NONSENSE as error:
            child, self._child = self._child, None
            code = child.end() if child else 0
            if abs(code) == _TOO_LONG:
                raise BadImageError(
                    f"a scene of the video takes more than {self._seconds:g} seconds to decode: convert it"
                ) from error
            raise BadImageError(
                "the video makes its reader crash, or takes too much memory: convert it"
            ) from error
        except BaseException:
            child, self._child = self._child, None
            if child:
                child.end()
            raise


@contextmanager
def opened_film(content: Content, limits: ImageLimits) -> Iterator[ApartFilm]:
    """A film for as long as the block lasts. Raises ``BadImageError``."""
    film = ApartFilm(content, limits)
    try:
        yield film
    finally:
        film.close()


# What follows runs in the child.


def serve() -> None:
    """In the child: answer questions until the parent is gone."""
    from ingest.video import Film  # noqa: PLC0415 - FFmpeg is for the child alone

    _limit_memory()
    inward, outward = sys.stdin.buffer, open(1, "wb", closefd=False)  # noqa: SIM115 - as long as the process
    watch = _Watch()
    film: Film | None = None
    moments: Iterator[int] = iter(())
    seconds = CPU_SECONDS
    while True:
        try:
            question, data = _receive(inward, most=2**32)
        except EOFError:
            return
        pixels, answer = b"", dict[str, Any]()
        scans = question["do"] == "open" or (
            question["do"] == "next" and film is not None and not film.looked
        )
        seconds = float(question.get("seconds", seconds))
        watch.begin(max(seconds, _SCAN_SECONDS) if scans and seconds == CPU_SECONDS else seconds)
        try:
            if question["do"] == "open":
                if film is not None:
                    film.close()
                    film = None
                path = question.get("path")
                file = io.BytesIO(data) if path is None else Path(path).open("rb")  # noqa: SIM115 - the film's
                film = Film(file, question["container"], ImageLimits(**question["limits"]))
                moments = film.moments()
                answer = {"sides": [film.width, film.height], "said": film.said}
            elif film is None:
                answer = {"error": "no video is open"}
            elif question["do"] == "next":
                at = next(moments, None)
                if at is None:
                    answer = {"end": True, "cut_off": film.cut_off}
                else:
                    image = film.frame(at, question["min_side"])
                    pixels, answer = image.tobytes(), {"at": at, "sides": list(image.size)}
            else:
                image = film.frame(question["at"], question["min_side"])
                pixels, answer = image.tobytes(), {"sides": list(image.size)}
        except BadImageError as error:
            answer = {"error": str(error)}
        except OSError as error:
            answer = {"error": f"cannot read the video: {error.strerror or error}"}
        except MemoryError:
            answer = {"error": "there is not enough memory to decode it"}
        watch.end()
        with suppress(BrokenPipeError):
            _send(outward, answer, pixels)
