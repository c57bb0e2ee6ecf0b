"""A collection as one file: a ZIP archive, written and read piece by piece, that no store or machine owns.

manifest.json           what it is: ``FORMAT``, version, models, how many pictures, sources and parts
sources/00000.jsonl     files as they were when last looked into, up to 10,000 a piece (deflated)
parts/00000.jsonl       pictures, up to 1,000 a piece: what the catalog knows of each, its words with their
                        boxes, its content's SHA-256, and how many passages it has (deflated)
parts/00000.image.f32   their image vectors: float32, little-endian, row by row, in the same order (stored)
parts/00000.text.f32    their passages, one after the other (stored)
parts/00000.pages.f16   where there is a page embedder: the many vectors of pages, float16, one page after the
                        other (stored)
parts/00000.sheets.f16  where there are sheets: the vectors of the pictures on them, in the same way

There are no ids in it: they follow from the content and the collection that it becomes part of. Nothing in
it is ever unpacked to a path it names, and nothing is believed: see ``ArchiveReader``.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError

from core.errors import AskpixError, IndexMismatchError
from core.types import Vectors
from retrieval.late_interaction import Matrix

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # a password; RecursionError
    ValueError,
)
FORMAT, VERSION = "askpix-collection", 1
PART = 1_000
SOURCES = 10_000
_MOST_DIM = 65_536
_LONGEST = 1.5
"""Square of the length of a page's vectors, which is one but for rounding."""
_MOST_MANIFEST = 1 << 20
_MOST_LINES = 1 << 30
"""Bytes of one piece of JSON lines, unpacked: a thousand pictures with a megabyte of words each."""
_MOST_LINE = 64 << 20


def _text(most: int) -> Any:
    """A string of up to ``most`` characters, also those that are not Unicode: names of files have them."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            raise ValueError(f"not a text of up to {most} characters")
        return value

    return PlainValidator(check)


Text = Annotated[str, _text(16_384)]
Words = Annotated[str, _text(16_000_000)]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Corners = tuple[Finite, Finite, Finite, Finite]
Line = tuple[Words, Finite, Finite, Finite, Finite, Finite]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Manifest(_Checked):
    """What an archive says of itself."""

    format: Literal["askpix-collection"]
    version: int
    name: Text
    embedder: Text
    dim: int = Field(ge=1, le=_MOST_DIM)
    text_embedder: Text
    text_dim: int = Field(ge=1, le=_MOST_DIM)
    pictures: int = Field(ge=0)
    parts: int = Field(ge=0, le=10_000_000)
    source_parts: int = Field(ge=0, le=10_000_000)
    vocabulary: dict[str, Any] | None = None
    page_embedder: Text | None = None
    page_dim: int | None = Field(default=None, ge=1, le=_MOST_DIM)


class Source(_Checked):
    """A row of ``sources``."""

    uri: Text
    size: int = Field(ge=0, lt=1 << 63)
    mtime_ns: int = Field(ge=-(1 << 63), lt=1 << 63)
    sha256: Sha | None = None
    error: Text | None = None
    tried_with: Text | None = None


class Picture(_Checked):
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
    """As ``ingest.about.About`` has it."""
    regions: tuple[Corners, ...] = Field(default=(), strict=False, max_length=100)
    """Where pictures lie on it."""
    caption: Words | None = None
    captioned_by: Text | None = None
    passages: int = Field(ge=0, le=1_000_000)
    patches: int = Field(default=0, ge=0, le=100_000)
    """Vectors of the page embedder."""
    embedded_regions: int = Field(default=0, ge=0, le=100)
    """Vectors of the pictures on it: none, or one for each region."""


@dataclass(frozen=True, slots=True)
class Part:
    """Up to ``PART`` pictures, their image vectors, and the passages of each."""

    pictures: tuple[Picture, ...]
    image: Vectors
    passages: tuple[Vectors, ...]
    pages: tuple[Matrix, ...] = ()
    """The matrices of those pictures that have ``patches``, in order."""
    sheets: tuple[Matrix, ...] = ()
    """Likewise of those with ``embedded_regions``."""


class ArchiveWriter:
    """Writes the pieces in order; the manifest last, so that what was cut off is no archive."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=3)
        self._parts = self._sources = self._pictures = 0

    def sources(self, rows: Sequence[Source]) -> None:
        """A piece of the sources."""
        self._lines(f"sources/{self._sources:05}.jsonl", rows)
        self._sources += 1

    def part(self, part: Part) -> None:
        """A piece of the pictures."""
        stem = f"parts/{self._parts:05}"
        self._lines(f"{stem}.jsonl", part.pictures)
        self._rows(f"{stem}.image.f32", [part.image])
        self._rows(f"{stem}.text.f32", part.passages)
        if part.pages:
            self._rows(f"{stem}.pages.f16", part.pages, "<f2")
        if part.sheets:
            self._rows(f"{stem}.sheets.f16", part.sheets, "<f2")
        self._parts += 1
        self._pictures += len(part.pictures)

    def finish(self, **about: Any) -> None:
        """Write the manifest and close the file; ``about``: name, models, vocabulary."""
        manifest = Manifest(
            format="askpix-collection",
            version=VERSION,
            pictures=self._pictures,
            parts=self._parts,
            source_parts=self._sources,
            **about,
        )
        self._zip.writestr("manifest.json", manifest.model_dump_json())
        self._zip.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._zip.close()

    def _lines(self, name: str, rows: Sequence[_Checked]) -> None:
        with self._zip.open(name, "w", force_zip64=True) as file:
            for row in rows:
                # Not model_dump_json: names of files may hold what is not UTF-8, which JSON can escape.
                file.write(json.dumps(row.model_dump(), ensure_ascii=True).encode() + b"\n")

    def _rows(self, name: str, blocks: Sequence[Any], kind: str = "<f4") -> None:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_STORED  # noise does not shrink
        with self._zip.open(info, "w", force_zip64=True) as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block, kind).tobytes())


class ArchiveReader:
    """Reads an archive that may be anybody's. Whatever is wrong with it is one ``AskpixError``.

    Names are looked up, never followed; sizes are compared with what the manifest allows before anything is
    read; vectors must be finite and of length one.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) and error.strerror else "it is cut or no archive"
            )
            raise AskpixError(f"cannot read {path.name!r}: {reason}") from error
        try:
            self.manifest = self._manifest()
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def _manifest(self) -> Manifest:
        raw = self._bytes("manifest.json", _MOST_MANIFEST)
        try:
            found = _json(raw)
        except (ValueError, RecursionError) as error:
            raise self._bad("its manifest is no JSON") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise self._bad("it is not an export of Askpix")
        if not isinstance(found.get("version"), int) or found["version"] > VERSION:
            raise IndexMismatchError(f"{self._name!r} was written by a newer version: update Askpix")
        manifest: Manifest = self._validated(Manifest, found, "its manifest")
        return manifest

    def sources(self) -> Iterator[list[Source]]:
        """The sources, piece by piece."""
        for number in range(self.manifest.source_parts):
            yield self._lines(Source, f"sources/{number:05}.jsonl", SOURCES)

    def parts(self) -> Iterator[Part]:
        """The pictures, piece by piece."""
        seen = 0
        for number in range(self.manifest.parts):
            stem = f"parts/{number:05}"
            pictures = self._lines(Picture, f"{stem}.jsonl", PART)
            seen += len(pictures)
            image = self._rows(f"{stem}.image.f32", len(pictures), self.manifest.dim)
            counts = [picture.passages for picture in pictures]
            text = self._rows(f"{stem}.text.f32", sum(counts), self.manifest.text_dim)
            patches = [picture.patches for picture in pictures if picture.patches]
            pages = self._pages(f"{stem}.pages.f16", sum(patches)) if patches else np.zeros((0, 1))
            sheets = self._sheets(f"{stem}.sheets.f16", pictures)
            yield Part(tuple(pictures), image, _cut(text, counts), _cut(pages, patches), sheets)
        if seen != self.manifest.pictures:
            raise self._bad(f"it holds {seen} of {self.manifest.pictures} pictures")

    def _rows(self, name: str, count: int, dim: int) -> Vectors:
        wanted = 4 * count * dim
        if self._info(name).file_size != wanted:
            raise self._bad(f"{name!r} is not {count} vectors of {dim} numbers")
        rows = np.frombuffer(self._bytes(name, wanted), "<f4").astype(np.float32).reshape(count, dim)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        # NaN and infinity show in the length too.
        if not bool(np.all(np.abs(lengths - 1) < 0.01)):
            raise self._bad(f"{name!r} holds vectors that are not of length one")
        return rows

    def _pages(self, name: str, count: int) -> Any:
        dim = self.manifest.page_dim
        if dim is None or self.manifest.page_embedder is None:
            raise self._bad("it has vectors of pages, and does not say of which model")
        return self._halves(name, count, dim)

    def _sheets(self, name: str, pictures: Sequence[Picture]) -> tuple[Any, ...]:
        laid = [picture for picture in pictures if picture.embedded_regions]
        counts = [picture.embedded_regions for picture in laid]
        if counts != [len(picture.regions) for picture in laid]:
            raise self._bad(f"{name!r} does not have a vector for each picture on a sheet")
        return _cut(self._halves(name, sum(counts), self.manifest.dim), counts) if counts else ()

    def _halves(self, name: str, count: int, dim: int) -> Any:
        if self._info(name).file_size != 2 * count * dim:
            raise self._bad(f"{name!r} is not {count} vectors of {dim} numbers")
        rows = np.frombuffer(self._bytes(name, 2 * count * dim), "<f2").astype(np.float16).reshape(count, dim)
        lengths = np.einsum("ij,ij->i", rows, rows, dtype=np.float32)
        if not bool(np.all(lengths < _LONGEST)):  # nor with what is no number
            raise self._bad(f"{name!r} holds vectors that are too long")
        return rows

    def _lines(self, kind: Any, name: str, most: int) -> list[Any]:
        info = self._info(name)
        rows: list[Any] = []
        if info.file_size > _MOST_LINES:
            raise self._bad(f"{name!r} is larger than {_MOST_LINES >> 20} MB")
        try:
            with self._zip.open(info) as file:
                while line := file.readline(_MOST_LINE + 1):
                    if len(line) > _MOST_LINE or len(rows) == most:
                        raise self._bad(f"{name!r} is larger than an export's")
                    rows.append(self._validated(kind, _json(line), f"line {len(rows) + 1} of {name!r}"))
        except _DAMAGED as error:
            raise self._bad(f"{name!r} is damaged") from error
        return rows

    def _validated(self, kind: Any, found: Any, what: str) -> Any:
        try:
            return kind.model_validate(_tuples(found))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise self._bad(f"{what} has a wrong {field!r}: {first['msg'].lower()}") from error

    def _info(self, name: str) -> zipfile.ZipInfo:
        try:
            return self._zip.getinfo(name)
        except KeyError as error:
            raise self._bad(f"{name!r} is missing") from error

    def _bytes(self, name: str, most: int) -> bytes:
        """All of a piece, which may say of itself that it has ``most`` bytes, and have no more."""
        info = self._info(name)
        if info.file_size > most:
            raise self._bad(f"{name!r} is larger than {most} bytes")
        try:
            with self._zip.open(info) as file:
                content = file.read(most + 1)
        except _DAMAGED as error:
            raise self._bad(f"{name!r} is damaged") from error
        if len(content) != info.file_size:
            raise self._bad(f"{name!r} is damaged")
        return content

    def _bad(self, reason: str) -> AskpixError:
        return AskpixError(f"cannot import {self._name!r}: {reason}")


def _cut(rows: Any, counts: Sequence[int]) -> tuple[Any, ...]:
    ends = np.cumsum(counts).tolist()
    return tuple(rows[end - count : end] for end, count in zip(ends, counts, strict=True))


def _json(raw: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    return json.loads(raw, parse_constant=refuse)


def _tuples(value: Any) -> Any:
    """JSON has lists where the shapes here have tuples."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
