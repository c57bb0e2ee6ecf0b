"""Progress of an indexing run, and its report at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from askpix.ingest.sources.walk import Skipped


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a stage. ``rate`` is per second since the stage began; ``total`` None = not known yet."""

    stage: str
    done: int
    total: int | None
    rate: float
    failed: int
    pages: int = 0
    """Looked at so far, also in files that are not done: what moves while one long document is read."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A file (or page: ``path#page=3``) that could not be indexed, and why."""

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class ReadReport:
    """Stage two: images looked at for words, those that had some, and those that failed."""

    read: int = 0
    with_text: int = 0
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PagesReport:
    """Stage three, where the collection has a page embedder: pages embedded, and those that failed."""

    embedded: int = 0
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SheetsReport:
    """After stage one: sheets looked at again, how many images lie on them, and those that failed."""

    embedded: int = 0
    pictures: int = 0
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CaptionReport:
    """The last stage, where it was asked for: images captioned, what it cost, and why it stopped early."""

    captioned: int = 0
    failed: tuple[Failure, ...] = ()
    tokens: int = 0
    cost_usd: float | None = 0.0
    left: int = 0
    """Images without a caption."""
    stopped: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Stage one, counted in files: a file is added, updated, unchanged, removed, a duplicate or failed.

    ``duplicates`` are new files with the very bytes of one that is there. ``images`` is how many images the
    collection holds now (a document has one a page). ``seconds`` is the whole run, and ``images_per_second``
    the images embedded in it over that time; ``embedding_seconds`` is stage one alone.
    """

    collection: str
    embedder: str
    added: int
    updated: int
    unchanged: int
    removed: int
    duplicates: int
    failed: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    images: int
    seconds: float
    images_per_second: float
    text: ReadReport = field(default_factory=ReadReport)
    sheets: SheetsReport = field(default_factory=SheetsReport)
    tagged: int = 0
    """Images held against the collection's vocabulary in this run."""
    pages: PagesReport = field(default_factory=PagesReport)
    captions: CaptionReport = field(default_factory=CaptionReport)
    embedding_seconds: float = 0.0
    described: int = 0
    """Images of which something new was found written: dates, places, names, words."""


@dataclass(frozen=True, slots=True)
class TransferReport:
    """Result of an export or import. ``missing``: images of the catalog that the store did not have; index
    them again.
    """

    collection: str
    pictures: int
    sources: int
    missing: int = 0


OnTransfer = Callable[[int, int], None]
"""Told how many images of how many went in or out."""
