"""Films made for tests, of the sample photos: what is seen in them, and when, is known."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from askpix.api.demo import PICTURES
from tests.support.fakes import picture

Scene = tuple[str | Image.Image, float]
"""A sample photo, a colour or a picture, and for how many seconds."""


def film(
    path: Path,
    scenes: Sequence[Scene],
    *,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    rate: int = 10,
    gop: int = 20,
    rotation: int = 0,
    aspect: Fraction | None = None,
    says: Mapping[str, str] | None = None,
    sound: bool = False,
) -> Path:
    """One scene after another, with a little camera shake, as real films have. Returns ``path``."""
    options = {"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=options) as container:
        for key, value in (says or {}).items():
            container.metadata[key] = value
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        voice: Any = container.add_stream("aac", rate=8000) if sound else None
        number = 0
        for shown, seconds in scenes:
            pixels = np.asarray(_picture(shown, size))
            for _ in range(round(seconds * rate)):
                shaken = np.roll(pixels, (number % 3) - 1, axis=1)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shaken), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, rate)
                for packet in stream.encode(frame):
                    container.mux(packet)
                number += 1
        for packet in stream.encode(None):
            container.mux(packet)
        if voice is not None:
            _silence(container, voice)
    return path


def song(path: Path) -> Path:
    """Sound and no picture."""
    with av.open(str(path), "w") as container:
        _silence(container, container.add_stream("aac", rate=8000))
    return path


def _silence(container: Any, voice: Any) -> None:
    for at in range(8):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, at * 1024
        for packet in voice.encode(frame):
            container.mux(packet)
    for packet in voice.encode(None):
        container.mux(packet)


def _picture(shown: str | Image.Image, size: tuple[int, int]) -> Image.Image:
    if isinstance(shown, Image.Image):
        return shown.convert("RGB").resize(size)
    photo = PICTURES / "photos" / f"{shown}.jpg"
    if photo.exists():
        return Image.open(photo).convert("RGB").resize(size)
    return Image.new("RGB", size, shown)


def moving(
    form: str, *scenes: tuple[str, int], duration: int = 100, size: tuple[int, int] = (96, 72)
) -> bytes:
    """``scenes`` of a colour and so many frames; a white stripe walks, so that no two frames are the same."""
    frames = []
    for colour, count in scenes:
        for number in range(count):
            frame = picture(colour, size=size)
            frame.paste("white", (number * 2 % size[0], 0, number * 2 % size[0] + 2, size[1]))
            frame.paste("black", (0, 0, size[0] // 8, size[1] // 8))
            frames.append(frame)
    buffer = BytesIO()
    frames[0].save(
        buffer, form, save_all=True, append_images=frames[1:], duration=duration, loop=0, **SAVED[form]
    )
    return buffer.getvalue()


SAVED = {
    "GIF": {"disposal": 2},
    "WEBP": {"lossless": True},
    "PNG": {},
    "AVIF": {"quality": 90},
}
