"""A collection as one file: a ZIP archive, written and read piece by piece, that no store or machine owns.

manifest.json           what it is: ``FORMAT``, version, models, how many images, sources and parts
sources/00000.jsonl     files as they were when last looked into, up to 10,000 a piece (deflated)
parts/00000.jsonl       images, up to 1,000 a piece: what the catalog knows of each, its words with their
                        boxes, its content's SHA-256, and how many passages it has (deflated)
parts/00000.image.f32   their image vectors: float32, little-endian, row by row, in the same order (stored)
parts/00000.text.f32    their passages, one after the other (stored)
parts/00000.pages.f16   where there is a page embedder: the many vectors of pages, float16, one page after the
                        other (stored)
parts/00000.sheets.f16  where there are sheets: the vectors of the images on them, in the same way

There are no ids in it: they follow from the content and the collection that it becomes part of. Nothing in
it is ever unpacked to a path it names, and nothing is believed: see ``ingest.maintenance.archive_reader``.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints

from askpix.core.types import Vectors
from askpix.retrieval.stores.pages import Matrix

FORMAT = "askpix-collection"
VERSION = 1
PART = 1_000
SOURCES = 10_000
_MAX_DIM = 65_536


def _text(limit: int) -> Any:
    """A string of up to ``limit`` characters, also those that are not Unicode: names of files have them."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit or "\0" in value:
            raise ValueError(f"not a text of up to {limit} characters")
        return value

    return PlainValidator(check)


Text = Annotated[str, _text(16_384)]
Words = Annotated[str, _text(16_000_000)]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Corners = tuple[Finite, Finite, Finite, Finite]
Line = tuple[Words, Finite, Finite, Finite, Finite, Finite]


class Checked(BaseModel):
    """A row that may be anybody's: nothing is converted, and what is unknown is left out."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Manifest(Checked):
    """Header of an archive: what it says of itself."""

    format: Literal["askpix-collection"]
    version: int
    name: Text
    embedder: Text
    dim: int = Field(ge=1, le=_MAX_DIM)
    text_embedder: Text
    text_dim: int = Field(ge=1, le=_MAX_DIM)
    pictures: int = Field(ge=0)
    parts: int = Field(ge=0, le=10_000_000)
    source_parts: int = Field(ge=0, le=10_000_000)
    vocabulary: dict[str, Any] | None = None
    page_embedder: Text | None = None
    page_dim: int | None = Field(default=None, ge=1, le=_MAX_DIM)


class Source(Checked):
    """A row of ``sources``."""

    uri: Text
    size: int = Field(ge=0, lt=1 << 63)
    mtime_ns: int = Field(ge=-(1 << 63), lt=1 << 63)
    sha256: Sha | None = None
    error: Text | None = None
    tried_with: Text | None = None


class DecodedImage(Checked):
    """A row of ``images`` with its lines, and how many passages its text has in the store."""

    sha256: Sha
    page: int = Field(ge=0, lt=1 << 31)
    kind: Literal["photo", "page", "frame"]
    width: int = Field(ge=1, lt=1 << 31)
    height: int = Field(ge=1, lt=1 << 31)
    uri: Text
    copies: tuple[Text, ...] = Field(default=(), strict=False, max_length=100_000)
    time_s: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    taken_at: Text | None = None
    camera: Text | None = None
    lat: Finite | None = None
    lon: Finite | None = None
    phash: Annotated[str, StringConstraints(max_length=80)] | None = None
    tags: tuple[Text, ...] = Field(default=(), strict=False, max_length=10_000)
    tagged: bool = False
    text: Words = ""
    text_state: Literal["pending", "read", "done", "failed"]
    text_error: Words | None = None
    engine: Text | None = None
    lines: tuple[Line, ...] = Field(default=(), strict=False)
    about: dict[str, Any] | None = None
    """Metadata in the form of ``askpix.ingest.metadata.model.About``."""
    regions: tuple[Corners, ...] = Field(default=(), strict=False, max_length=100)
    """Boxes of the images on it."""
    caption: Words | None = None
    captioned_by: Text | None = None
    passages: int = Field(ge=0, le=1_000_000)
    patches: int = Field(default=0, ge=0, le=100_000)
    """Vectors of the page embedder."""
    embedded_regions: int = Field(default=0, ge=0, le=100)
    """Vectors of the images on it: none, or one for each region."""


@dataclass(frozen=True, slots=True)
class Part:
    """Up to ``PART`` images, their image vectors, and the passages of each."""

    pictures: tuple[DecodedImage, ...]
    image: Vectors
    passages: tuple[Vectors, ...]
    pages: tuple[Matrix, ...] = ()
    """The matrices of those images that have ``patches``, in order."""
    sheets: tuple[Matrix, ...] = ()
    """Likewise of those with ``embedded_regions``."""
