"""Files into pages: a photo is one, a PDF or a multi-page TIFF several, a film has one for each scene, and an
animation its first frame and one for each further scene.

Office documents are PDFs by the time their pages are asked for (``askpix.ingest.formats.office``).

PDF pages are pictures here, with sizes and boxes at one resolution however they are drawn, so that a box on a
page means the same place at every call; a process of its own draws them (``ingest.formats.pdf_worker``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import ImageLimits, Picture, open_image, open_images
from askpix.core.imaging.decoder_errors import signature
from askpix.core.types import Kind
from askpix.ingest.formats.animation import frame_at, later_scenes, may_move
from askpix.ingest.formats.content import Content, OnDisk, film_container, time_at
from askpix.ingest.formats.office import CONVERSIONS
from askpix.ingest.formats.pdf_worker import opened
from askpix.ingest.formats.sandboxed import open_rare, rare_format
from askpix.ingest.formats.video_worker import opened_film


@dataclass(frozen=True, slots=True)
class Page:
    """One retrievable picture of a file, or why it could not be made."""

    place: int | None
    """As ``askpix.ingest.formats.content.place_of`` has it."""
    kind: Kind
    picture: Picture | None
    error: str | None = None
    killed: bool = False
    """It crashed its decoder, or was over a limit of it."""

    @property
    def page(self) -> int | None:
        """Its number; None for a plain picture and for a frame."""
        return None if self.kind == "frame" else self.place

    @property
    def time_s(self) -> float | None:
        """Of a frame, in seconds."""
        return time_at(self.place) if self.kind == "frame" and self.place else None


def open_pages(data: Content, *, limits: ImageLimits, min_side: int | None = None) -> Iterator[Page]:
    """The pictures of a file, decoded one after another. ``min_side`` as in ``open_image``.

    One broken page is a ``Page`` with an error. Raises ``BadImageError`` when nothing can be opened.
    """
    if isinstance(data, OnDisk) or is_film(data):
        yield from _frames(data, limits, min_side)
        return
    if rare := rare_format(data):
        yield Page(None, "photo", open_rare(data, rare, limits=limits, min_side=min_side))
        return
    pdf = pdf_of(data, limits)
    if pdf is not None:
        yield from _numbered(_pdf_pages(pdf, limits, min_side))
        return
    found = open_images(data, limits=limits, min_side=min_side)
    first = next(found)
    if isinstance(first, BadImageError):
        second = next(found, None)
        if second is None:
            raise first
        yield from _numbered(chain((first, second), found))
    elif first.pages > 1:
        yield Page(1, "page", first)
        del first  # each page may be large
        yield from _numbered(found, start=2)
    else:
        yield Page(None, "photo", first)
        if may_move(data):
            yield from _later(data, limits, min_side)


def open_page(
    data: Content, place: int | None, *, limits: ImageLimits, min_side: int | None = None
) -> Picture:
    """One picture of a file; ``place`` as ``ingest.formats.content.place_of`` has it. Raises
    ``BadImageError``."""
    if isinstance(data, OnDisk) or is_film(data):
        with opened_film(data, limits) as film:
            return film.picture(place or 1, min_side)
    if rare := rare_format(data):
        return open_rare(data, rare, limits=limits, min_side=min_side)
    if place and may_move(data):
        return frame_at(data, place, limits=limits, min_side=min_side)
    pdf = pdf_of(data, limits)
    if pdf is None:
        return open_image(data, limits=limits, min_side=min_side, page=place or 1)
    with opened(pdf, limits) as document:
        return document.picture(place or 1, min_side)


def is_film(data: Content) -> bool:
    """Whether it is a video, by how it begins."""
    return isinstance(data, OnDisk) or film_container(data[:1024]) is not None


def pdf_of(data: bytes, limits: ImageLimits) -> bytes | None:
    """The PDF that a file is, or that an office document becomes; None for others. ``BadImageError`` where
    that fails."""
    return data if is_pdf(data) else CONVERSIONS.pdf_of(data, limits)


def is_pdf(data: bytes) -> bool:
    """Whether the bytes claim to be a PDF. Writers may put some bytes before its header, and a picture may
    have those letters among its metadata."""
    return b"%PDF-" in data[:1024] and signature(data) is None


def _numbered(found: Iterator[Picture | BadImageError], start: int = 1) -> Iterator[Page]:
    for number, picture in enumerate(found, start):
        if isinstance(picture, BadImageError):
            yield Page(number, "page", None, str(picture), isinstance(picture, DecoderKilledError))
        else:
            yield Page(number, "page", picture)


def _pdf_pages(data: bytes, limits: ImageLimits, min_side: int | None) -> Iterator[Picture | BadImageError]:
    with opened(data, limits) as document:
        for number in range(1, document.pages + 1):
            try:
                yield document.picture(number, min_side)
            except BadImageError as error:
                yield error


def _later(data: bytes, limits: ImageLimits, min_side: int | None) -> Iterator[Page]:
    try:
        for scene in later_scenes(data, limits=limits, min_side=min_side):
            yield Page(scene.place, "frame", scene.picture)
    except BadImageError as error:
        yield Page(None, "frame", None, str(error))


def _frames(content: Content, limits: ImageLimits, min_side: int | None) -> Iterator[Page]:
    with opened_film(content, limits) as film:
        found = film.moments(min_side)
        first = next(found, None)
        if first is None:
            raise BadImageError("damaged video: none of its frames can be decoded")
        try:
            for place, picture in chain((first,), found):
                yield Page(place, "frame", picture)
        except BadImageError as error:
            yield Page(None, "frame", None, str(error), isinstance(error, DecoderKilledError))
