"""File formats: how files of a format are recognised, and how they are opened.

A format is a ``Format`` in a module of its own, named in ``askpix.ingest.formats.pages``; installed packages
add theirs under the entry-point group ``askpix.formats``. Those modules are imported before any folder is
walked, so they import no decoder. A decoder is a ``Document`` that its format names as text: it is imported
in a child process with limits (``askpix.ingest.formats.sandboxed``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import DecodedImage, ImageLimits
from askpix.core.types import Kind, TextLine
from askpix.ingest.formats.content import time_at

UNKNOWN = "application/octet-stream"
"""The media type of what browsers are to save, not to show."""


@dataclass(frozen=True, slots=True)
class Page:
    """A retrievable image of a file, or the reason why it could not be made."""

    place: int | None
    """Place in the file, as ``askpix.ingest.formats.content.place_of`` encodes it."""
    kind: Kind
    picture: DecodedImage | None
    error: str | None = None
    killed: bool = False
    """True if it crashed its decoder, or exceeded one of the decoder's limits."""

    @classmethod
    def of(cls, place: int | None, kind: Kind, found: DecodedImage | BadImageError) -> "Page":
        """Make a page of what its decoding gave."""
        if isinstance(found, BadImageError):
            return cls(place, kind, None, str(found), isinstance(found, DecoderKilledError))
        return cls(place, kind, found)

    @property
    def page(self) -> int | None:
        """Page number; None for a plain image and for a frame."""
        return None if self.kind == "frame" else self.place

    @property
    def time_s(self) -> float | None:
        """Time of a frame in seconds; None for anything else."""
        return time_at(self.place) if self.kind == "frame" and self.place else None


class Document:
    """An open file of any format, and the base class of decoders. Not thread-safe; every method may raise
    ``BadImageError``."""

    kind: Kind = "photo"
    count = 1
    """Pages."""
    scale = 1.0
    """Pixels that a page may be drawn with for each one of the size that it says it has."""

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self.data = data
        self.limits = limits

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """Decode one page. ``place`` as ``askpix.ingest.formats.content.place_of`` has it, at least 1 in a
        child process; ``min_side`` as in ``askpix.core.imaging.decode.open_image``, or ignored."""
        raise NotImplementedError

    def pages(self, min_side: int | None) -> Iterator[Page]:
        """Decode all pages in turn. One that is broken is a ``Page`` with an error."""
        if self.kind == "photo":
            yield Page(None, "photo", self.picture(None, min_side))
            return
        for number in range(1, self.count + 1):
            yield self._page(number, min_side)

    def lines(self, place: int | None) -> list[TextLine] | None:
        """Return the text that the file has for a page, boxes in pixels of its size; None: it is to be read
        as an image."""
        del place
        return None

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""

    def _page(self, number: int, min_side: int | None) -> Page:
        try:
            return Page.of(number, "page", self.picture(number, min_side))
        except BadImageError as error:
            return Page.of(number, "page", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A file format. The functions are called in the main process: they must be quick and bear any bytes."""

    name: str
    """Name for messages, such as "JPEG XL"."""
    extensions: frozenset[str]
    """File extensions that are looked for in folders, in lower case, without the dot."""
    sniff: Callable[[bytes], bool]
    """Return whether a file is of this format, given all of it or its first 1024 bytes."""
    decoder: str = ""
    """``package.module:Class``, a ``Document`` for a child process; made with the bytes and the limits."""
    kind: Kind = "photo"
    """"photo": one image; "page": numbered pages, as many as the decoder's ``count``."""
    open: Callable[[Any, ImageLimits], Document] | None = None
    """Given a ``Content``: for a format that is decoded in another way than by its ``decoder``."""
    sniff_unnamed: Callable[[bytes], bool] | None = None
    """``sniff`` for the first bytes of files in folders that have no extension; None: the same."""
    ambiguous: frozenset[str] = frozenset()
    """Extensions that others use too: the first bytes decide."""
    on_disk: bool = False
    """True if files are too large to be held in memory: an ``OnDisk`` is opened."""
    required_module: str = ""
    """A module of an optional dependency without which no file can be opened."""
    required_setting: str = ""
    """A field of ``ImageLimits`` without which no file can be opened."""
    advice: str = ""
    """Says what to install or set then."""
    media_type: Callable[[bytes], str] = lambda _: UNKNOWN
    """Returns the media type for the first bytes: one that browsers show and never run."""

    def missing(self, limits: ImageLimits) -> str | None:
        """Return what to install or set before its files can be opened; None where they can."""
        if (self.required_module and find_spec(self.required_module) is None) or (
            self.required_setting and not getattr(limits, self.required_setting)
        ):
            return self.advice
        return None
