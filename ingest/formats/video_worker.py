"""Films in processes apart: one that makes FFmpeg crash, or decode for ever, costs itself alone.

A child has one film open at a time (``core.sandbox``). It reads the film from its file; one that came from a
bucket is sent to it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import ImageLimits, Picture
from askpix.core.sandbox import NONSENSE, TOO_LONG, Child, Children, answer_all
from askpix.ingest.formats.content import FILMS_POSSIBLE, NO_FILMS, Content, OnDisk, film_container, place_at
from askpix.ingest.metadata.video import film_exif

_SCENE, _SCAN = 2, 10
"""Times ``ImageLimits.decode_seconds``: from one moment to the next, and to find where a film's key frames
lie; that of a film of three hours takes one or two seconds."""
CHILDREN = Children("askpix.ingest.formats.video_worker")


class ApartFilm:
    """A film that another process has open. Not thread-safe. Raises ``BadImageError``, also for a crash."""

    def __init__(self, content: Content, limits: ImageLimits) -> None:
        if not FILMS_POSSIBLE:
            raise BadImageError(NO_FILMS)
        self._limits = limits
        self._scene_seconds = _SCENE * limits.decode_seconds
        self._scan_seconds = _SCAN * limits.decode_seconds
        if isinstance(content, OnDisk):
            where, data = {"path": str(content.path), "container": content.container}, b""
        else:
            where, data = {"container": film_container(content) or ""}, content
        question = {"do": "open", **where, "limits": asdict(limits)}
        self._child: Child | None = None
        while True:
            self._child, fresh = CHILDREN.take()
            try:
                with self._answering() as child:
                    said, _ = child.ask(question, data, seconds=self._scan_seconds)
                    self.width, self.height = (int(side) for side in said["sides"])
                    self.seconds = max(0.0, float(said["lasts"]))
                    self.said = {str(key): str(value) for key, value in said["said"].items()}
            except BadImageError:
                if self._crashed and not fresh:
                    continue  # it may have been ended while it was idle: a fresh one will tell
                self.close()
                raise
            return

    def moments(self, min_side: int | None) -> Iterator[tuple[int, Picture]]:
        """Places (``ingest.formats.content.place_at``) and pictures of the moments that tell the film, in
        order.

        Ends with a ``BadImageError`` where the film does before its time: what came before it holds.
        """
        count, seconds = 0, self._scan_seconds
        while True:
            question = {"do": "next", "min_side": min_side}
            with self._answering() as child:
                answer, pixels = child.ask(question, seconds=seconds, most=3 * self._limits.max_pixels)
                if answer.get("end"):
                    if answer["cut_off"]:
                        raise BadImageError(f"the video is {str(answer['cut_off'])[:200]}")
                    return
                milliseconds = int(answer["at"])
                picture = self._picture(answer, pixels, milliseconds)
            count, seconds = count + 1, self._scene_seconds
            if count > self._limits.max_pages:
                raise BadImageError(f"only its first {self._limits.max_pages} scenes are indexed")
            yield place_at(milliseconds / 1000), picture

    def picture(self, place: int, min_side: int | None) -> Picture:
        """The frame of a place."""
        question = {"do": "frame", "at": place - 1, "min_side": min_side}
        with self._answering() as child:
            most = 3 * self._limits.max_pixels
            answer, pixels = child.ask(question, seconds=self._scene_seconds, most=most)
            return self._picture(answer, pixels, place - 1)

    def close(self) -> None:
        """Leave the process to the next film. Closing twice is fine."""
        child, self._child = self._child, None
        if child is not None:
            CHILDREN.give_back(child)

    @property
    def _crashed(self) -> bool:
        return self._child is None

    def _picture(self, answer: dict[str, Any], pixels: bytes, milliseconds: int) -> Picture:
        width, height = (int(side) for side in answer["sides"])
        image = Image.frombytes("RGB", (width, height), pixels)
        return Picture(image, self.width, self.height, "video", 1, film_exif(self.said, milliseconds / 1000))

    @contextmanager
    def _answering(self) -> Iterator[Child]:
        try:
            if self._child is None:
                raise EOFError
            yield self._child
        except BadImageError:
            raise
        except NONSENSE as error:
            if self._end() == TOO_LONG:
                why = f"a scene of it takes more than {self._scene_seconds:g} seconds to decode"
                raise DecoderKilledError(f"{why}: convert the video") from error
            why = "the video makes its reader crash, or takes too much memory: convert it"
            raise DecoderKilledError(why) from error
        except BaseException:
            self._end()  # Ctrl-C: what it would still say is nobody's
            raise

    def _end(self) -> int:
        child, self._child = self._child, None
        return child.end() if child else 0


@contextmanager
def opened_film(content: Content, limits: ImageLimits) -> Iterator[ApartFilm]:
    """A film for as long as the block lasts. Raises ``BadImageError``."""
    film = ApartFilm(content, limits)
    try:
        yield film
    finally:
        film.close()


def serve() -> None:
    """In the child."""
    from askpix.ingest.formats.video import Film  # noqa: PLC0415 - FFmpeg is for the child alone

    film: Film | None = None
    moments: Iterator[int] = iter(())

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        nonlocal film, moments
        if question["do"] == "open":
            if film is not None:
                film.close()
                film = None
            try:
                # The film's to close, as long as it is open.
                file = Path(question["path"]).open("rb") if "path" in question else io.BytesIO(data)  # noqa: SIM115
            except OSError as error:
                raise BadImageError(f"cannot read the video: {error.strerror or error}") from error
            film = Film(file, question["container"], ImageLimits(**question["limits"]))
            moments = film.moments()
            return {"sides": [film.width, film.height], "said": film.said, "lasts": film.seconds}, b""
        if film is None:
            raise BadImageError("no video is open")
        at = next(moments, None) if question["do"] == "next" else int(question["at"])
        if at is None:
            return {"end": True, "cut_off": film.cut_off}, b""
        image = film.frame(at, question["min_side"])
        return {"at": at, "sides": list(image.size)}, image.tobytes()

    answer_all(answer, most=2**32)
