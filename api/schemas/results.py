"""Results as other programs get them: one dataclass each, for Python, ``--json`` and HTTP alike.

``to_json`` is the one way from any of them, or from a report of ``ingest``, to plain JSON values; pydantic
reads the same dataclasses back (``askpix.Client``). Fields are only ever added: programs rely on the names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, TypeAdapter, WithJsonSchema

from askpix.core import types as core
from askpix.core.types import Doubt, Kind, TextLine, Usage

LocalTime = Annotated[datetime, WithJsonSchema({"type": "string"})]
"""ISO 8601 without a zone."""
UtcTime = Annotated[datetime, PlainSerializer(lambda at: at.replace(tzinfo=UTC), return_type=datetime)]
"""Kept without a zone, and told in UTC."""
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
IF_SET = Field(exclude_if=lambda value: value is None)
"""Left out of JSON where it is None."""
Rectangle = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the upright original, x1 and y1 exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Similarity of a hit by each sub-query; None where it did not find the image or was not run."""

    image: float | None = None
    """Cosine of the query with the image."""
    text: float | None = None
    """Cosine of the query with the best passage of the image's text."""
    page: Annotated[float | None, IF_SET] = None
    """Mean best cosine of the query's tokens among the page's patches."""
    words: Annotated[float | None, IF_SET] = None
    """BM25 of the query's words in the image's text."""
    rerank: Annotated[float | None, IF_SET] = None
    """Score of the reranker ``ranked_by``."""
    ranked_by: Annotated[str | None, IF_SET] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An image found. Hits are ordered by ``score``, higher first; its scale depends on the mode."""

    rank: int
    id: str
    uri: str
    kind: Kind
    page: int | None = None
    """1-based page of a document."""
    time_s: float | None = None
    """Seconds from the beginning of the video."""
    score: float
    why: Why = field(default_factory=Why)
    width: int
    height: int
    """Pixels of the upright original."""
    taken_at: LocalTime | None = None
    """Local time where the image was taken, without a zone."""
    snippet: str | None = None
    """The piece of the image's text that fits the query best."""
    duplicates: int = 0
    """Number of further files that hold this image, or one that cannot be told from it."""
    region: Rectangle | None = None
    """The part of a page with several images on it that fits best."""
    similar: tuple[str, ...] = ()
    """Ids of near duplicates, which are no hits of their own."""
    missing: Annotated[bool | None, IF_SET] = None
    """True where none of its files is there any more."""
    preview: Annotated[str | None, IF_SET] = None
    """A blurred stand-in (ThumbHash, hexadecimal), over HTTP."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Words of the query that were read as a filter."""

    words: str
    field: str
    value: str
    negative: bool = False
    """True if the clause leaves out what the value names."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the query that images are compared with; a negative weight means unlike it."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryReading:
    """Query as it was parsed."""

    text: str
    """Text that is searched by meaning."""
    phrases: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    """The filter in the form that a request takes; only what filters."""
    clauses: tuple[Clause, ...] = ()
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    """Notes for a person on the parsed query or the result, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Hits, and whether anything fits: ``matched`` is False when nothing does, and ``reason`` says why."""

    query: QueryReading
    matched: bool
    reason: str | None = None
    confidence: float | None = None
    """Probability that something matches; None where a filter or an image decides."""
    hits: tuple[Hit, ...] = ()
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """The proof of a claim: the image, the words quoted from it and where they stand."""

    marker: int
    """The ``[number]`` in the answer."""
    id: str
    uri: str
    page: int | None = None
    time_s: float | None = None
    quote: str | None = None
    box: Rectangle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A checked answer. ``answered`` is False when the evidence does not hold one."""

    question: str
    answer: str
    answered: bool
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    """The evidence."""
    generator: str
    generator_why: str | None = None
    """Reason why this generator was chosen, and whether it sees."""
    usage: Usage = field(default_factory=Usage)
    plan: Mapping[str, Any] | None = None
    """Plan of a question about the whole collection."""
    understood_as: str | None = None
    """A follow-up question as it was understood."""
    doubts: tuple[Doubt, ...] = ()
    """Claims that the evidence does not bear."""
    notes: tuple[str, ...] = ()
    """Notes for a person on the search behind the answer, one line each."""
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCounts:
    """Images of a collection by whether the words in them have been read."""

    pending: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """A collection: its models, its store and what is in it."""

    name: str
    id: str
    embedder: str
    dim: int
    text_embedder: str
    page_embedder: str | None = None
    store: str
    created_at: UtcTime
    images: int
    sources: int
    """Files and URLs looked into."""
    failed: int
    """Sources that could not be indexed."""
    text: TextCounts
    disk_bytes: Annotated[int | None, IF_SET] = None
    """Bytes of its folder; where one collection is shown."""
    facets: Annotated[Mapping[str, tuple["FacetCount", ...]] | None, IF_SET] = None
    """Counts by kind, year, place, camera ...; on the command line, where one collection is shown."""


@dataclass(frozen=True, slots=True)
class FacetCount:
    """A value that a filter takes, what people call it, and how many images have it."""

    value: str | int
    label: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file that the server has. ``duplicate``: it had these very bytes already."""

    name: str
    sha256: str
    bytes: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The job that indexes an upload, where it is watched, and the files that have arrived."""

    job: str
    url: str
    files: tuple[UploadedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job of a server. ``result`` has the fields of ``askpix index --json``, and each file's ids."""

    id: str
    kind: str
    collection: str
    state: JobState
    progress: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    error: str | None = None
    retry_at: UtcTime | None = None
    """Time of the next try of a job that failed for a passing reason (a full disk, a database away)."""
    created_at: UtcTime
    updated_at: UtcTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An indexed image: a photo, a page of a document, or a frame of a video."""

    id: str
    collection: str
    uri: str
    kind: Kind
    width: int
    height: int
    page: int | None = None
    time_s: float | None = None
    taken_at: LocalTime | None = None
    camera: str | None = None
    lat: float | None = None
    lon: float | None = None
    tags: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    """Further files with the very same bytes."""
    sha256: str
    text: str = ""
    """The words in it."""
    phash: str | None = None
    preview: str | None = None
    regions: tuple[Rectangle, ...] = ()
    lines: Annotated[tuple[TextLine, ...] | None, IF_SET] = None
    """The words with their boxes; where one image is shown."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Metadata by its owner in the file or beside it (title, people, albums, keywords, rating, place), and
    ``taken_from``: the source of ``taken_at``, and ``taken_as`` where that is not when it was taken; where
    one image is shown.
    """
    caption: str | None = None
    """A generator's sentence; where one image is shown."""
    file_date: datetime | None = None
    """Time of the last change of the file of an image without ``taken_at``; where one image is shown."""
    motion: bool = False
    """True if it is a live photo whose short film lies beside it; where one image is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """An image in words, by its path or, over HTTP, its index among those sent."""

    path: Annotated[str | None, IF_SET] = None
    index: Annotated[int | None, IF_SET] = None
    caption: str
    page: Annotated[int | None, IF_SET] = None
    error: Annotated[str | None, IF_SET] = None
    """Reason why there is none; the command line lists failures on standard error instead."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its probability, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The labels of an image, most probable first, by its path or, over HTTP, its index among those sent."""

    path: Annotated[str | None, IF_SET] = None
    index: Annotated[int | None, IF_SET] = None
    page: int | None = None
    time_s: Annotated[float | None, IF_SET] = None
    labels: tuple[Label, ...]
    error: Annotated[str | None, IF_SET] = None
    """Reason why there are none; the command line lists failures on standard error instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPage:
    """A part of the list of collections, by name."""

    collections: tuple[CollectionInfo, ...]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePage:
    """A part of a list of images."""

    images: tuple[Image, ...]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A part of the list of jobs, newest first."""

    jobs: tuple[Job, ...]
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """The name or id that was deleted, and how many images went."""

    deleted: str
    images: int


@dataclass(frozen=True, slots=True)
class Captions:
    """Captions in the order of the images sent, and the generator that wrote them."""

    results: tuple[Caption, ...]
    generator: str


@dataclass(frozen=True, slots=True)
class Classifications:
    """Labels in the order of the images sent, and the embedder that compared them."""

    results: tuple[Classification, ...]
    embedder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    kind: Annotated[str | None, IF_SET] = None
    """The error's name in ``askpix.core.errors``."""


def to_json(value: object) -> Any:
    """Return any result, or a list of results, as plain JSON values: dates as ISO 8601, tuples as lists."""
    if isinstance(value, list):
        return [to_json(each) for each in value]
    return _adapter(type(value)).dump_python(value, mode="json")


def to_json_bytes(value: object) -> bytes:
    """Return any result as UTF-8 JSON."""
    return _adapter(type(value)).dump_json(value)


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
"""Built once for each type: it costs milliseconds."""


def search_result(found: core.SearchResult) -> SearchResult:
    """Return what the retriever found as the result that other programs get."""
    query = found.query
    return SearchResult(
        query=QueryReading(
            text=query.text,
            phrases=query.where.phrases,
            without=query.where.without,
            where=where_json(query.where),
            clauses=tuple(
                Clause(each.words, each.field, each.value, each.negative) for each in query.clauses
            ),
            parts=tuple(Part(*each) for each in query.parts),
            notes=found.notes,
        ),
        matched=found.matched,
        reason=found.reason,
        confidence=None if found.confidence is None else round(found.confidence, 4),
        hits=tuple(map(_hit, found.hits)),
        took_ms=round(found.took_ms, 1),
    )


def answer_result(answer: core.Answer) -> Answer:
    """Return a checked answer as the result that other programs get."""
    return Answer(
        question=answer.question,
        answer=answer.text,
        answered=answer.answered,
        citations=tuple(
            Citation(
                marker=each.marker,
                id=each.image_id,
                uri=each.uri,
                page=each.page,
                time_s=each.time_s,
                quote=each.quote,
                box=_rounded(each.box),
            )
            for each in answer.citations
        ),
        hits=tuple(map(_hit, answer.hits)),
        generator=answer.generator,
        generator_why=answer.generator_why,
        usage=answer.usage,
        plan=answer.plan,
        understood_as=answer.understood,
        doubts=answer.doubts,
        notes=answer.notes,
        took_ms=round(answer.took_ms, 1),
    )


def where_json(where: core.Where) -> dict[str, Any]:
    """Return a filter as a request takes it: only what filters."""
    full = _adapter(core.Where).dump_python(where, mode="json", exclude={"phrases", "without"})
    return _given(full)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value not in (None, [])}
    if denied := given.get("must_not"):
        given["must_not"] = [_given(each) for each in denied]
    return given


def _hit(hit: core.Hit) -> Hit:
    record = hit.record
    why = hit.why
    return Hit(
        rank=hit.rank,
        id=record.id,
        uri=record.uri,
        kind=record.kind,
        page=record.page,
        time_s=record.time_s,
        score=round(hit.score, 6),
        why=Why(
            image=why.image,
            text=why.text,
            page=why.page,
            words=why.words,
            rerank=why.rerank,
            ranked_by=why.ranked_by,
        ),
        width=record.width,
        height=record.height,
        taken_at=record.taken_at,
        snippet=hit.snippet,
        duplicates=hit.duplicates,
        region=hit.region,
        similar=hit.similar,
        missing=hit.missing or None,
    )


def _rounded(box: core.Box | None) -> Rectangle | None:
    return box and (round(box.x0, 1), round(box.y0, 1), round(box.x1, 1), round(box.y1, 1))
