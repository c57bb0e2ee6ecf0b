"""What the HTTP API answers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Out(BaseModel):
    """An answer; it may have more fields than are listed."""

    model_config = ConfigDict(extra="allow")


class GoodOut(Out):
    """How many were noted."""

    noted: int


class Problem(Out):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None


class TextCounts(Out):
    """Pictures by whether their words have been read."""

    pending: int
    done: int
    failed: int


class CollectionOut(Out):
    """A collection and what is in it."""

    name: str
    id: str
    embedder: str
    dim: int
    text_embedder: str
    created_at: str
    images: int
    sources: int
    failed: int
    text: TextCounts


class CollectionsOut(Out):
    """A page of collections."""

    collections: list[CollectionOut]
    total: int
    limit: int
    offset: int


class FacetOut(Out):
    """A value that a filter takes, what people call it, and how many pictures have it."""

    value: str | int
    label: str
    count: int


class FacetsOut(Out):
    """Counts by facet."""

    kinds: list[FacetOut]
    years: list[FacetOut]
    months: list[FacetOut]
    countries: list[FacetOut]
    cities: list[FacetOut]
    cameras: list[FacetOut]
    tags: list[FacetOut]


class DeletedOut(Out):
    """What was deleted, and how many pictures it held."""

    deleted: str
    images: int


class FileOut(Out):
    """A file that has come. ``duplicate``: these very bytes were there already."""

    name: str
    sha256: str
    bytes: int
    duplicate: bool


class AcceptedOut(Out):
    """The job that works on it, and the files that have come."""

    job: str
    url: str
    files: list[FileOut] = []


class JobOut(Out):
    """A job. ``result`` is what ``askpix index --json`` prints, with ids and near duplicates."""

    id: str
    kind: str
    collection: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None
    retry_at: str | None = None
    """Of one that failed of what passes (a full disk, a database that is away): when it is tried again."""
    created_at: str
    updated_at: str


class JobsOut(Out):
    """A page of jobs, newest first."""

    jobs: list[JobOut]
    limit: int
    offset: int


class HitOut(Out):
    """A picture that was found."""

    rank: int
    id: str
    uri: str
    kind: str
    page: int | None
    time_s: float | None
    score: float
    why: dict[str, float | None]
    width: int
    height: int
    taken_at: str | None
    snippet: str | None
    duplicates: int
    region: list[float] | None = Field(
        default=None, description="Where on a sheet the picture lies that fits best: x0, y0, x1, y1."
    )
    preview: str | None = None


class SearchOut(Out):
    """``matched`` is false when nothing in the collection fits; ``reason`` says why."""

    query: dict[str, Any]
    matched: bool
    reason: str | None
    hits: list[HitOut]
    took_ms: float


class CitationOut(Out):
    """A proof: boxes are in pixels of the upright original."""

    marker: int
    id: str
    uri: str
    page: int | None
    quote: str | None
    box: list[float] | None


class AnswerOut(Out):
    """``answered`` is false when the evidence does not hold the answer."""

    question: str
    answer: str
    answered: bool
    citations: list[CitationOut]
    hits: list[HitOut]
    generator: str
    usage: dict[str, Any]
    took_ms: float


class ImageOut(Out):
    """A picture's record."""

    id: str
    collection: str
    uri: str
    kind: str
    page: int | None
    width: int
    height: int
    taken_at: str | None
    sha256: str
    text: str
    about: dict[str, Any] = Field(
        default={},
        description="Of one picture: what its owner wrote in the file or beside it (title, description, "
        "people, albums, keywords, rating, creator, place), where there is any.",
    )
    caption: str | None = Field(default=None, description="Of one picture: a generator's sentence.")
    file_date: str | None = Field(
        default=None,
        description="Of one picture without `taken_at`: when its file was last written. Where a `taken_at` "
        "is from stands in `about.taken_from`: exif, gps, xmp, iptc, takeout or name.",
    )


class ImagesOut(Out):
    """A page of pictures."""

    images: list[ImageOut]
    total: int
    limit: int
    offset: int


class HealthOut(Out):
    """How the server is."""

    status: str
