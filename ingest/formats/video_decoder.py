"""Films: the moments worth an image of their own, and the frame of any moment.

Scenes are found among the key frames, which encoders put where a scene begins and every few seconds besides:
decoding those alone costs a fiftieth of decoding all. Where they lie far apart (screen recordings) frames
between them are looked at too. A frame is taken when it differs from the last one that was.

FFmpeg decodes untrusted bytes in C, so only child processes load this (``ingest.formats.video``).
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits, check_size
from askpix.core.imaging.decoder_errors import one_line
from askpix.ingest.formats.scenes import SMALL, Scenes

_STEP = 1.0
"""Seconds between two looks at least; one cut a second is a fast trailer's."""
_GAP = 10.0
_BETWEEN = 5.0
"""Key frames further apart than the first have looks between them, every so often."""
_MAX_LOOKS = 4_000
"""Most frames sampled from one film: in longer ones the samples lie further apart."""
_LONGEST = 24 * 3600.0
_SAID = (
    "creation_time",
    "com.apple.quicktime.creationdate",
    "com.apple.quicktime.location.iso6709",
    "location",
    "location-eng",
    "com.apple.quicktime.make",
    "com.apple.quicktime.model",
    "make",
    "model",
    "date",
    "title",
)
_ERRORS = (av.FFmpegError, OSError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError)
"""Exceptions that PyAV raises for damaged files, next to its own."""

_log = logging.getLogger(__name__)


class Film:
    """An open film. Raises ``BadImageError`` when it cannot be opened or is over a limit. Not thread-safe.

    ``width`` and ``height`` are of its upright frames with square pixels, ``said`` what was written in it.
    """

    def __init__(self, file: BinaryIO, container: str, limits: ImageLimits) -> None:
        try:
            # No other file or address is opened on its behalf, whatever it says.
            self._container = av.open(
                file, "r", format=container, options={"protocol_whitelist": "none"}, metadata_errors="replace"
            )
        except _ERRORS as error:
            raise BadImageError(f"damaged video: {one_line(error)}") from error
        shown = [each for each in self._container.streams.video if not _is_cover(each)]
        if not shown:
            self.close()
            raise BadImageError("there are no moving pictures in it")
        self._stream = shown[0]
        self._stream.codec_context.thread_count = 1  # as many films as cores are open at once
        self._base = self._stream.time_base or Fraction(1, 1000)
        self._begin = self._stream.start_time or 0
        self._keys: list[float] = []
        self._frames: Iterator[Any] = iter(())
        self._at: float | None = None
        try:
            first = self._first()
        except BadImageError:
            self.close()
            raise
        aspect = float(self._stream.sample_aspect_ratio or 1) or 1.0
        wide = round(first.width * aspect) if 0.1 < aspect < 10 else first.width
        self._turn = round(first.rotation / 90) % 4
        self.width, self.height = (wide, first.height) if self._turn % 2 == 0 else (first.height, wide)
        try:
            check_size(self.width, self.height, limits)
        except BadImageError:
            self.close()
            raise
        self.cut_off = ""
        """Reason why the film ends early; empty when it does not."""
        self.said = {
            key: str(value)[:200]
            for metadata in (self._stream.metadata, self._container.metadata)
            for key, value in metadata.items()
            if key.lower() in _SAID
        }

    def close(self) -> None:
        """Let go of it."""
        self._container.close()

    @property
    def seconds(self) -> float:
        """Duration by the header, in seconds; 0 where it has none."""
        if self._container.duration:
            return float(self._container.duration) / 1_000_000
        return float(self._stream.duration * self._base) if self._stream.duration else 0.0

    def moments(self) -> Iterator[int]:
        """The milliseconds of the frames that tell the film, in order; at least one."""
        scenes = Scenes()
        flat = None
        for time in self._looks():
            frame = self._seek(time)
            if frame is None:
                continue
            at = self._time(frame)
            small = _small(frame)
            if flat is None and scenes.shows_nothing(small):
                flat = at
            if scenes.takes(small, at):
                yield round(1000 * at)
        if not scenes.any:
            if flat is None:
                raise BadImageError("damaged video: none of its frames can be decoded")
            yield round(1000 * flat)

    def frame(self, milliseconds: int, min_side: int | None) -> Image.Image:
        """The upright frame of a moment, its shorter side at least ``min_side`` where it was.

        Raises ``BadImageError`` where there is none.
        """
        frame = self._seek(milliseconds / 1000)
        if frame is None:
            raise BadImageError(
                f"no frame at {milliseconds / 1000:.3f} s: the video is cut off or has changed"
            )
        width, height = (self.width, self.height) if self._turn % 2 == 0 else (self.height, self.width)
        scale = 1.0 if min_side is None else min(1.0, min_side / min(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        try:
            image: Image.Image = frame.reformat(*size, format="rgb24", interpolation="AREA").to_image()
        except _ERRORS as error:
            raise BadImageError(f"damaged video: {one_line(error)}") from error
        turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
        turn = turns[self._turn]
        return image if turn is None else image.transpose(turn)

    def _looks(self) -> list[float]:
        """Return the times to sample, by the film's packets: nothing is decoded, so hours pass in seconds."""
        keys: list[float] = []
        end = 0.0
        try:
            self._container.seek(0)
            for packet in self._container.demux(self._stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None:
                    continue
                time = float((stamp - self._begin) * self._base)
                if time > _LONGEST:
                    self.cut_off = f"only its first {_LONGEST / 3600:.0f} hours were looked at"
                    break
                if time < 0:
                    continue
                end = max(end, time)
                if packet.is_keyframe:
                    keys.append(time)
                if packet.is_corrupt:
                    self.cut_off = "parts of it are damaged"
        except _ERRORS as error:
            self.cut_off = f"cut off after {end:.0f} s: {one_line(error)}"
        promised = float(self._stream.duration * self._base) if self._stream.duration else 0.0
        if not self.cut_off and promised > end + 5 and promised > 1.1 * end:
            self.cut_off = f"cut off after {end:.0f} of {promised:.0f} s"
        self._keys = sorted(keys) or [0.0]
        step = max(_STEP, end / _MAX_LOOKS)
        looks: list[float] = []
        for key, following in zip(self._keys, [*self._keys[1:], end], strict=True):
            if not looks or key - looks[-1] >= step:
                looks.append(key)
            if following - key > _GAP:
                apart = max(_BETWEEN, step)
                looks += [key + n * apart for n in range(1, int((following - key) / apart) + 1)]
        return looks

    def _seek(self, time: float) -> Any:
        """The first frame at ``time`` or after it, in whole milliseconds; at the end the last one."""
        wanted = round(1000 * time)
        on_the_way = self._at is not None and self._at < time and self._keys and not self._key_between(time)
        try:
            found = self._next(wanted) if on_the_way else None
            if found is None:
                found = self._from_key(time, wanted)
            if found is None and time > 0:
                found = self._from_key(max(0.0, time - _GAP), wanted)  # an index that is a little off
        except _ERRORS as error:
            _log.info("a video is damaged at %.0f s: %s", time, one_line(error))
            self._at = None
            self.cut_off = self.cut_off or f"damaged at {time:.0f} s: {one_line(error)}"
            return None
        return found

    def _key_between(self, time: float) -> bool:
        return bisect_right(self._keys, time) > bisect_right(self._keys, self._at or 0.0)

    def _from_key(self, time: float, wanted: int) -> Any:
        self._container.seek(int(time / self._base) + self._begin, stream=self._stream, backward=True)
        self._frames = self._container.decode(self._stream)
        return self._next(wanted)

    def _next(self, wanted: int) -> Any:
        last = None
        for frame in self._frames:
            if frame.pts is None:
                continue
            last, self._at = frame, self._time(frame)
            if round(1000 * self._at) >= wanted:
                return frame
        self._at = None
        return last if last is not None and wanted - round(1000 * self._time(last)) < 1000 else None

    def _first(self) -> Any:
        try:
            return next(iter(self._container.decode(self._stream)))
        except StopIteration:
            raise BadImageError("damaged video: it has no frame") from None
        except _ERRORS as error:
            raise BadImageError(f"damaged video: {one_line(error)}") from error

    def _time(self, frame: Any) -> float:
        return max(0.0, float((frame.pts - self._begin) * self._base))


def _is_cover(stream: Any) -> bool:
    """A song's image is a stream of one frame."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _small(frame: Any) -> "np.ndarray[Any, np.dtype[np.float32]]":
    small: np.ndarray[Any, np.dtype[np.uint8]] = frame.reformat(
        *SMALL, format="rgb24", interpolation="AREA"
    ).to_ndarray()
    return small.astype(np.float32)
