"""Videos in child processes: one that makes FFmpeg crash, or decode for ever, costs itself alone.

A child has one film open at a time (``core.sandbox``). It reads the film from its file; one that came from a
bucket is sent to it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import DecodedImage, ImageLimits
from askpix.core.imaging.decoder_errors import signature
from askpix.core.sandbox import NONSENSE, TOO_LONG, Child, Children, answer_all
from askpix.ingest.formats.base import UNKNOWN, Document, Format, Page
from askpix.ingest.formats.content import Content, OnDisk, place_at
from askpix.ingest.metadata.video import film_exif

_SCENE = 2
_SCAN = 10
"""Times ``ImageLimits.decode_seconds``: from one moment to the next, and to find where a film's key frames
lie; that of a film of three hours takes one or two seconds."""
CHILDREN = Children("askpix.ingest.formats.video")
_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Boxes that QuickTime files without ``ftyp`` begin with."""
_MEDIA_TYPES = {
    "mov": "video/mp4",
    "matroska": "video/webm",
    "ogg": "video/ogg",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "mpeg": "video/mpeg",
}
"""Media types that browsers accept: they play QuickTime as MP4 and Matroska as WebM where they know the
codec.
"""


def container_of(head: bytes) -> str | None:
    """Return FFmpeg's demuxer for a file that begins so; None where it is no video.

    Never left to be guessed: some of its formats are lists of other files to open.
    """
    if head[4:8] == b"ftyp":
        # Images begin so too; CR3, a camera's raw image, as well.
        return None if signature(head) or head[8:12] in (b"crx ", b"jxl ", b"M4A ", b"M4B ") else "mov"
    if head[4:8] in _BOXES and head[:1] == b"\0":
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "asf"
    if head.startswith(b"\0\0\1\xba"):
        return "mpeg"
    if head.startswith(b"FLV\1"):
        return "flv"
    if head.startswith(b"OggS"):
        return "ogg"
    # Packets begin with "G", each 188 bytes; camcorders put four bytes of time before each.
    if any(head[at : 3 * step : step] == b"GGG" for at, step in ((0, 188), (4, 192))):
        return "mpegts"
    return None


class SandboxedVideo(Document):
    """A video that a child process has open. Raises ``BadImageError``, also for a crash."""

    kind = "frame"

    def __init__(self, content: Content, limits: ImageLimits) -> None:
        super().__init__(b"", limits)
        self._scene_seconds = _SCENE * limits.decode_seconds
        self._scan_seconds = _SCAN * limits.decode_seconds
        if isinstance(content, OnDisk):
            where = {"path": str(content.path)}
            head = content.head
            data = b""
        else:
            where = {}
            head = content
            data = content
        question = {"do": "open", **where, "container": container_of(head) or "", "limits": asdict(limits)}
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

    def moments(self, min_side: int | None) -> Iterator[tuple[int, DecodedImage]]:
        """Places (``ingest.formats.content.place_at``) and images of the moments that tell the film, in
        order.

        Ends with a ``BadImageError`` where the film does before its time: what came before it holds.
        """
        count = 0
        seconds = self._scan_seconds
        while True:
            question = {"do": "next", "min_side": min_side}
            with self._answering() as child:
                answer, pixels = child.ask(question, seconds=seconds, max_bytes=3 * self.limits.max_pixels)
                if answer.get("end"):
                    if answer["cut_off"]:
                        raise BadImageError(f"the video is {str(answer['cut_off'])[:200]}")
                    return
                milliseconds = int(answer["at"])
                picture = self._picture(answer, pixels, milliseconds)
            count = count + 1
            seconds = self._scene_seconds
            if count > self.limits.max_pages:
                raise BadImageError(f"only its first {self.limits.max_pages} scenes are indexed")
            yield place_at(milliseconds / 1000), picture

    def pages(self, min_side: int | None) -> Iterator[Page]:
        """See ``Document``: one for each scene."""
        found = self.moments(min_side)
        first = next(found, None)
        if first is None:
            raise BadImageError("damaged video: none of its frames can be decoded")
        try:
            for place, picture in chain((first,), found):
                yield Page(place, "frame", picture)
        except BadImageError as error:
            yield Page.of(None, "frame", error)

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``: the frame of a place, without one the first."""
        at = (place or 1) - 1
        question = {"do": "frame", "at": at, "min_side": min_side}
        with self._answering() as child:
            limit = 3 * self.limits.max_pixels
            answer, pixels = child.ask(question, seconds=self._scene_seconds, max_bytes=limit)
            return self._picture(answer, pixels, at)

    def close(self) -> None:
        """Leave the process to the next film. Closing twice is fine."""
        child = self._child
        self._child = None
        if child is not None:
            CHILDREN.give_back(child)

    @property
    def _crashed(self) -> bool:
        return self._child is None

    def _picture(self, answer: dict[str, Any], pixels: bytes, milliseconds: int) -> DecodedImage:
        width, height = (int(side) for side in answer["sides"])
        image = Image.frombytes("RGB", (width, height), pixels)
        return DecodedImage(
            image, self.width, self.height, "video", 1, film_exif(self.said, milliseconds / 1000)
        )

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
        child = self._child
        self._child = None
        return child.end() if child else 0


VIDEO = Format(
    name="video",
    extensions=frozenset("mp4 m4v mov qt mkv webm avi wmv asf mpg mpeg m2ts mts ts flv 3gp 3g2 ogv".split()),
    ambiguous=frozenset(("mts", "ts")),  # those of a programming language too
    sniff=lambda data: container_of(data[:1024]) is not None,
    open=SandboxedVideo,
    on_disk=True,
    required_module="av",
    advice="a video: install `askpix[video]` to index it",
    media_type=lambda head: _MEDIA_TYPES.get(container_of(head) or "", UNKNOWN),
)


def serve() -> None:
    """Serve questions in the child process."""
    from askpix.ingest.formats.video_decoder import Film  # noqa: PLC0415 - FFmpeg is for the child alone

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

    answer_all(answer, max_bytes=2**32)
