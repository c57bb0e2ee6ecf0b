"""Work of one thread on a chunk of files: read, hash, decode, embed. One worker serves all threads."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.sandbox import StoppedError, longest_questions
from askpix.core.types import Box, ImageRecord, Vectors
from askpix.ingest.catalog.models import Collection, SourceState
from askpix.ingest.formats.base import Page
from askpix.ingest.formats.content import Content, sha256_of
from askpix.ingest.formats.pages import open_pages
from askpix.ingest.metadata.exif import read_metadata
from askpix.ingest.pipeline.plan import Task
from askpix.ingest.sources.remote import read_source
from askpix.ingest.vision.screenshots import with_tag
from askpix.ingest.vision.thumbhash import looks
from askpix.retrieval.embedders.base import Embedder

_STUCK_SHARE = 0.05
"""Share of ``ImageLimits.decode_seconds`` after which a decode counts as stuck; few pages take longer."""
_MAX_PENDING_PIXELS = 24_000_000
"""Decoded pixels a thread holds before it embeds what it has: three bytes each."""


@dataclass(slots=True, eq=False)
class Outcome:
    """Result of one file."""

    task: Task
    sha256: str | None = None
    error: str | None = None
    passing: bool = False
    """The error is of the moment (no permission, disk away), not of the bytes."""
    kills: int = 0
    """Decoders that it ended in this run."""
    vanished: bool = False
    first: "Outcome | None" = None
    """The file with the same bytes that is being looked into already; this one shares its fate."""
    settled: bool = False
    records: list[ImageRecord] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)


class Contents:
    """Bytes by their SHA-256: those in the index, and those that a thread is busy with. Thread-safe.

    ``errors`` has what is wrong with those of which only some pages could be indexed; ``set_aside`` has those
    that are not to be decoded again, whatever file they are in.
    """

    def __init__(
        self, indexed: set[str], errors: dict[str, str], set_aside: Mapping[str, SourceState] | None = None
    ) -> None:
        self._indexed = indexed
        self.set_aside = set_aside or {}
        self.errors = errors
        self._busy: dict[str, Outcome] = {}
        self._lock = threading.Lock()

    def __contains__(self, sha256: str | None) -> bool:
        return sha256 in self._indexed

    def claim(self, sha256: str, outcome: Outcome) -> bool:
        """Return whether the caller is to embed the content; else it is in the index, or ``outcome.first`` is
        set.
        """
        with self._lock:
            if sha256 in self._indexed:
                return False
            first = self._busy.setdefault(sha256, outcome)
        if first is not outcome:
            outcome.first = first
        return first is outcome

    def settle(self, sha256: str, *, indexed: bool, error: str | None) -> None:
        """Release the content: it was written, or has nothing to write."""
        with self._lock:
            self._busy.pop(sha256, None)
            if indexed:
                self._indexed.add(sha256)
                if error:
                    self.errors[sha256] = error


class Worker:
    """Files into outcomes. ``stop`` makes every thread return what it has as soon as it can."""

    def __init__(
        self,
        *,
        collection: Collection,
        contents: Contents,
        embedder: Embedder,
        limits: ImageLimits,
        batch: int,
        busy: int,
        read: Callable[[str, ImageLimits], Content] = read_source,
    ) -> None:
        self._read = read
        self._collection = collection
        self._contents = contents
        self._embedder = embedder
        self._limits = limits
        self._batch = batch
        self._device = threading.Semaphore(embedder.workers)
        # Threads beyond the cores wait for files; were they to decode too, they would take the caches from
        # one another (2 to 3 % of all time on two cores).
        self._busy = threading.Semaphore(busy)
        self.stop = threading.Event()
        self._decoding: dict[int, Outcome] = {}
        self.pages = 0
        """Decoded so far, by all threads or nearly so."""

    def stuck(self) -> list[Outcome]:
        """Files that a child process has been decoding for long."""
        threads = longest_questions(_STUCK_SHARE * self._limits.decode_seconds)
        return [outcome for thread, outcome in list(self._decoding.items()) if thread in threads]

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Process the files and return their outcomes, up to the point where ``stop`` was set."""
        outcomes: list[Outcome] = []
        pending: list[tuple[Outcome, Page]] = []
        for task in tasks:
            if self.stop.is_set():
                break
            outcome = Outcome(task)
            outcomes.append(outcome)
            try:
                self._look(outcome, pending)
            except BadImageError as error:
                outcome.error = str(error)
                outcome.kills += isinstance(error, DecoderKilledError)
                cause = error.__cause__
                outcome.vanished = isinstance(cause, FileNotFoundError)
                outcome.passing = outcome.sha256 is None and isinstance(cause, OSError)
            except StoppedError:
                outcomes.remove(outcome)
                pending = [(other, page) for other, page in pending if other is not outcome]
        self._embed(pending)
        return outcomes

    def _look(self, outcome: Outcome, pending: list[tuple[Outcome, Page]]) -> None:
        data = self._read(outcome.task.source.uri, self._limits)
        outcome.sha256 = sha256_of(data)
        if not self._contents.claim(outcome.sha256, outcome):
            return
        if before := self._contents.set_aside.get(outcome.sha256):
            outcome.error = before.error
            outcome.kills = before.kills or 0
            return
        broken: list[str] = []
        pages = open_pages(data, limits=self._limits, min_side=self._embedder.image_side)
        while page := self._next(outcome, pages):
            if self.stop.is_set():
                raise StoppedError  # its pages are left for the next run
            if page.picture is None:
                outcome.kills += page.killed
                broken.append(f"page {page.place}: {page.error}" if page.place else str(page.error))
                continue
            pending.append((outcome, page))
            pixels = sum(p.picture.image.width * p.picture.image.height for _, p in pending if p.picture)
            if len(pending) >= self._batch or pixels >= _MAX_PENDING_PIXELS:
                self._embed(pending)
        outcome.error = "; ".join(broken) or None

    def _next(self, outcome: Outcome, pages: Iterator[Page]) -> Page | None:
        me = threading.get_ident()
        with self._busy:
            self._decoding[me] = outcome
            try:
                found = next(pages, None)
                self.pages += found is not None
                return found
            finally:
                del self._decoding[me]

    def _embed(self, pending: list[tuple[Outcome, Page]]) -> None:
        pictures = [page.picture for _, page in pending if page.picture]
        if not pictures:
            return
        with self._device, self._busy:
            vectors = self._embedder.embed_images([picture.image for picture in pictures])
        for (outcome, page), picture, vector in zip(pending, pictures, vectors, strict=True):
            about = read_metadata(picture.exif)
            phash, preview, regions = looks(picture.image)
            scale = picture.width / picture.image.width
            record = ImageRecord(
                id=self._collection.image_id(outcome.sha256 or "", page.place),
                uri=outcome.task.source.uri,
                kind=page.kind,
                width=picture.width,
                height=picture.height,
                page=page.page,
                time_s=page.time_s,
                taken_at=about.taken_at,
                camera=about.camera,
                lat=about.lat,
                lon=about.lon,
                phash=phash,
                preview=preview,
                regions=()
                if page.kind == "frame"
                else tuple(Box(*(float(round(side * scale)) for side in box)) for box in regions),
            )
            outcome.records.append(with_tag(record))
            outcome.vectors.append(vector)
        pending.clear()
