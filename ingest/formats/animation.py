"""Animated images (GIF, WebP, PNG, AVIF): the scenes that come after their first frame, and the frame of any
moment. The first frame is the image itself, as for everybody who shows it as one.

A frame lasts as long as the file says, and a tenth of a second where it says a hundredth or less: browsers
show it so (WebKit, Gecko and Blink alike).
"""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.color import to_rgb
from askpix.core.imaging.decode import DECODING, FORMATS, DecodedImage, ImageLimits, check_size
from askpix.core.imaging.decoder_errors import as_bad_image
from askpix.ingest.formats.base import Format, Page
from askpix.ingest.formats.content import place_at
from askpix.ingest.formats.image import ImageFile, may_move, media_type
from askpix.ingest.formats.scenes import SMALL, Scenes

_MAX_FRAMES = 5_000
_MAX_PIXELS = 1_000_000_000
"""Most pixels of all frames together: some ten seconds of decoding. Later frames are not decoded."""
_MAX_SCENES = 100
_TOO_SHORT = 10
_INSTEAD = 100
"""Milliseconds of a frame."""


class Scene(NamedTuple):
    """A frame and where it is: ``askpix.ingest.formats.content.place_at`` of its moment."""

    place: int
    picture: DecodedImage


class Animation(ImageFile):
    """An animated image in memory."""

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``."""
        if place:
            return frame_at(self.data, place, limits=self.limits, min_side=min_side)
        return super().picture(place, min_side)

    def pages(self, min_side: int | None) -> Iterator[Page]:
        """See ``Document``: the first frame, and one for each further scene."""
        yield from super().pages(min_side)
        try:
            for scene in later_scenes(self.data, limits=self.limits, min_side=min_side):
                yield Page(scene.place, "frame", scene.picture)
        except BadImageError as error:
            yield Page.of(None, "frame", error)


ANIMATION = Format(
    name="animation", extensions=frozenset(), sniff=may_move, open=Animation, media_type=media_type
)


def later_scenes(data: bytes, *, limits: ImageLimits, min_side: int | None = None) -> Iterator[Scene]:
    """A frame for each scene after the first one, at most a hundred. ``min_side`` as in ``open_image``.

    Raises ``BadImageError`` where the file is damaged from there on; what came before is good.
    """
    found: list[Scene] = []
    damaged = None
    try:
        # All at once: between two of them the caller may wait for one who waits for these pixels.
        found.extend(_later(data, limits, min_side))
    except BadImageError as error:
        damaged = error
    yield from found
    if damaged:
        raise damaged


def _later(data: bytes, limits: ImageLimits, min_side: int | None) -> Iterator[Scene]:
    scenes = Scenes()
    taken = 0
    for number, (at, image) in enumerate(_frames(data, limits)):
        small = image.resize(SMALL, Image.Resampling.BOX, reducing_gap=1.0)
        begins = scenes.takes(np.asarray(small, np.float32), at / 1000)
        if begins and number:
            taken += 1
            yield Scene(place_at(at / 1000), _picture(image, min_side))
        if taken >= _MAX_SCENES:
            return


def frame_at(data: bytes, place: int, *, limits: ImageLimits, min_side: int | None = None) -> DecodedImage:
    """The frame that is shown at a place. Raises ``BadImageError`` where there is none."""
    for at, image in _frames(data, limits):
        if place_at(at / 1000) >= place:
            return _picture(image, min_side)
    raise BadImageError(f"no frame at {(place - 1) / 1000:.3f} s: the animation is cut off or has changed")


def _frames(data: bytes, limits: ImageLimits) -> Iterator[tuple[int, Image.Image]]:
    """Yield each composed frame with the millisecond at which it begins."""
    with as_bad_image(data), Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        check_size(*opened.size, limits)
        count = getattr(opened, "n_frames", 1)
        limit = min(count, _MAX_FRAMES, _MAX_PIXELS // (opened.width * opened.height))
        if count == 1:
            return
        at = 0
        # The canvas is kept from frame to frame, next to the frame itself.
        with DECODING.held(2 * opened.width * opened.height):
            for number in range(limit):
                opened.seek(number)
                opened.load()
                yield at, to_rgb(opened)
                lasts = opened.info.get("duration") or 0
                at += round(lasts) if isinstance(lasts, int | float) and lasts > _TOO_SHORT else _INSTEAD
            opened.close()


def _picture(image: Image.Image, min_side: int | None) -> DecodedImage:
    shorter = min(image.size)
    shown = image.copy() if min_side is None or min_side >= shorter else _shrunk(image, min_side / shorter)
    return DecodedImage(shown, image.width, image.height, "animation", 1, Image.Exif())


def _shrunk(image: Image.Image, scale: float) -> Image.Image:
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=1.0)
