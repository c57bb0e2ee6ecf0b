"""The nouns that every layer shares. Plain frozen dataclasses: no behaviour beyond their own fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]
else:
    # The command line imports these words for its options: they must not cost it numpy's start-up.
    Vectors = Any
"""``(n, dim)`` or ``(dim,)`` float32, C-contiguous, rows of length one: a dot product is a cosine."""

Kind: TypeAlias = Literal["photo", "page", "frame"]
Mode: TypeAlias = Literal["auto", "image", "text", "hybrid"]


class Box(NamedTuple):
    """Axis-aligned rectangle in pixels of the upright original, ``x1``/``y1`` exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text in an image, in reading order with its neighbours."""

    text: str
    box: Box
    confidence: float = 1.0


MAX_RATING = 5
"""Stars; -1 is rejected, 0 not rated (XMP specification part 1, 8.4)."""


def rating_tag(rating: int) -> str:
    """Return the tag that a rated image has: filters and facets take it as any other."""
    return f"rating:{rating}"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A retrievable image (a photo, a page, a video frame) as the store keeps it.

    ``id`` is a UUID derived from the collection, the bytes' SHA-256 and the page, so writing twice is
    writing once. ``uri`` is the absolute path (or URL) of the first source with these bytes; ``copies``
    are the other sources with the very same bytes. ``width`` and ``height`` are pixels of the upright
    original. ``taken_at`` is local time at the place of the image, without a zone.
    """

    id: str
    uri: str
    kind: Kind
    width: int
    height: int
    page: int | None = None
    """1-based page of a document; None for a single image."""
    time_s: float | None = None
    taken_at: datetime | None = None
    camera: str | None = None
    lat: float | None = None
    lon: float | None = None
    tags: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    text: str = ""
    """Words in the image, lines joined by newlines; empty until they have been read."""
    phash: str | None = None
    """Perceptual hash in hexadecimal (``askpix.retrieval.search.perceptual_hash``); None: not known."""
    preview: str | None = None
    """A blurred stand-in in hexadecimal (``ingest.vision.thumbhash``), in the catalog alone; None: not made
    yet."""
    regions: tuple[Box, ...] = ()
    """Boxes of the images on it, if it is a sheet of several (``ingest.vision.regions``); in the catalog
    alone.
    """


@dataclass(frozen=True, slots=True)
class Near:
    """A circle on the globe: degrees and kilometres."""

    lat: float
    lon: float
    km: float


@dataclass(frozen=True, slots=True)
class Where:
    """Filter on what is known of an image. Fields that are None do not filter; the rest must all hold.

    ``after`` is inclusive, ``before`` exclusive. ``path`` is a glob on the path, matched from the right
    and without regard to case: ``holiday/*`` finds ``/home/ann/Holiday/a.jpg``; ``*`` crosses ``/``.
    ``camera`` matches without regard to case. Every tag of ``tags`` must be present.
    ``phrases`` must all occur in the image's text; none of ``without`` may.

    An image's moment is ``taken_at``. One without it has the dates written in its text instead (a receipt),
    and when no date is written there the years are (a chart): any of them may satisfy ``after``, ``before``,
    ``months`` and ``weekdays``; a year alone satisfies ``after`` and ``before`` that hold all of it.
    ``spans``: in one of these, each from its first moment up to, and without, its second.
    ``hours`` asks for ``taken_at``. Any of the months (1-12), weekdays (0 is Monday), hours (0-23) will do.
    ``amount_min`` and ``amount_max`` are inclusive: one total in the text, or one amount where no total is
    named, lies between (``retrieval.text.entities``). ``country`` is an ISO 3166 code: "CA", or "CA-ON" for
    a first-level region. ``rating_min`` and ``rating_max``, inclusive, ask for the stars that a person gave,
    1 to 5; images without a rating (0) and rejected ones (-1) are meant only where a bound says so.
    ``must_not``: no condition of any of these may hold; what is not known of an image does not hold. They
    deny nothing themselves.
    """

    after: datetime | None = None
    before: datetime | None = None
    near: Near | None = None
    path: str | None = None
    kind: Kind | None = None
    tags: tuple[str, ...] = ()
    camera: str | None = None
    phrases: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    months: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    amount_min: float | None = None
    amount_max: float | None = None
    country: str | None = None
    rating_min: int | None = None
    rating_max: int | None = None
    spans: tuple[tuple[datetime, datetime], ...] = ()
    must_not: "tuple[Where, ...]" = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """A filter with the words of the query that it was parsed from, so that it can be checked and undone."""

    words: str
    field: str
    value: str
    negative: bool = False
    """The filter leaves out what the value names."""


class Part(NamedTuple):
    """A piece of a question that counts on its own when images are compared; below 0: unlike this."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """A question as understood: what is left to be found by meaning, and the filter."""

    raw: str = ""
    text: str = ""
    """The words that are searched by meaning, once quotes and minus words were taken out."""
    where: Where = field(default_factory=Where)
    clauses: tuple[Clause, ...] = ()
    parts: tuple[Part, ...] = ()
    """Query parts that images are compared with, where that is not ``text`` as a whole: their weighted sum.
    """


@dataclass(frozen=True, slots=True)
class Why:
    """Similarity of a hit by each sub-query: cosine of the image and of its text; None = not found by it."""

    image: float | None = None
    text: float | None = None
    page: float | None = None
    """Mean best cosine of the query's tokens among the page's patches (late interaction)."""
    rerank: float | None = None
    """Score of the reranker, on the scale of ``ranked_by``; None = not asked, or no score returned."""
    ranked_by: str | None = None
    """Id of the reranker that gave the hit its place; None = the sub-queries did."""
    words: float | None = None
    """BM25 of the query's words in its text; None = none of them stands there."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result. ``score`` orders the hits (higher is better); its scale depends on the mode."""

    rank: int
    record: ImageRecord
    score: float
    why: Why = field(default_factory=Why)
    snippet: str | None = None
    """The piece of the image's text that fits the query best, if any text does."""
    region: Box | None = None
    """Box of the image on a sheet that fits best; None: the whole image."""
    similar: tuple[str, ...] = ()
    """Ids of bursts and near duplicates of it, as far as they were seen; they are no hits of their own."""
    missing: bool = False
    """None of its files is there any more: deleted, moved, or on a disk that is not connected."""

    @property
    def duplicates(self) -> int:
        """Number of further sources that hold the same image, or one that cannot be told from it."""
        return len(self.record.copies) + len(self.similar)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits with an honest verdict: ``matched`` is False when nothing in the collection fits the query."""

    query: Query
    matched: bool
    reason: str | None
    hits: tuple[Hit, ...]
    took_ms: float
    notes: tuple[str, ...] = ()
    """Notes for a person on how the query was read and searched, one line each."""
    confidence: float | None = None
    """0..1 that something matches, above 0.5 when ``matched``; None where a filter or an image decides."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A numbered hit as a generator may use it: the record and the lines of text read in it."""

    number: int
    """1-based; the marker ``[number]`` in an answer cites it."""
    hit: Hit
    lines: tuple[TextLine, ...] = ()
    read: bool = True
    """False: nobody looked for words, so that there are no ``lines`` says nothing."""
    region: Box | None = None
    """Part of the image to show, in pixels of the upright original; None: all of it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a conversation. ``evidence`` goes with it as images or text, as the model allows."""

    role: Literal["system", "user", "assistant"]
    text: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A claim's proof: the image, the words quoted from it and where they stand."""

    marker: int
    image_id: str
    uri: str
    page: int | None = None
    quote: str | None = None
    box: Box | None = None
    time_s: float | None = None
    """Seconds from the beginning of the video, for a frame."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Image as it was shown to a generator: nothing is shrunk or left out silently."""

    number: int
    how: Literal["picture", "crop", "text"]
    width: int = 0
    """Pixels as sent; 0 without an image."""
    height: int = 0
    tokens: int = 0
    """Tokens of the image, by the model's formula."""
    lines: int = 0
    """Lines of text sent with it."""
    of_lines: int = 0
    """Lines of text that were read in it."""
    box: Box | None = None
    """Box that a crop shows, in pixels of the upright original."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of an answer. ``cost_usd`` is None when the price is not known; 0.0 for local models.

    Tokens are those that the model's provider counted, where it counts; ``image_tokens`` is by the model's
    formula, and counted for a model in this process. ``estimated`` is True when all of it is by our own
    count.
    """

    input_tokens: int = 0
    image_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    estimated: bool = False
    sent: tuple[Sent, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A claim of an answer that its evidence does not bear, or not wholly."""

    claim: str
    reason: str
    dropped: bool = False
    """True if the claim was left out of the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that can be checked. ``answered`` is False when the evidence does not hold one."""

    question: str
    text: str
    answered: bool
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    generator: str
    usage: Usage
    took_ms: float
    generator_why: str | None = None
    """Reason why this generator was chosen, and whether it sees."""
    plan: Mapping[str, Any] | None = None
    """Plan of a question about the whole collection, as plain values; None for any other question."""
    understood: str | None = None
    """A follow-up as it was understood, to stand alone; None where the question did."""
    doubts: tuple[Doubt, ...] = ()
    """Claims that were dropped, and those left in although the evidence does not support them."""
    notes: tuple[str, ...] = ()
    """Notes for a person on the search behind the answer, one line each."""


def join_lines(lines: Sequence[TextLine]) -> str:
    """The text of an image as stored and searched: its lines, one per row."""
    return "\n".join(line.text for line in lines)
