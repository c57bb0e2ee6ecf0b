"""Reads an archive (``ingest.maintenance.archive_format``) piece by piece, and believes nothing that it
says."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from askpix.core.errors import AskpixError, IndexMismatchError
from askpix.core.types import Vectors
from askpix.ingest.maintenance.archive_format import (
    FORMAT,
    PART,
    SOURCES,
    VERSION,
    DecodedImage,
    Manifest,
    Part,
    Source,
)
from askpix.ingest.sources.zip_files import UNREADABLE

_OF_PAGES = (0.0, 1.5)
_OF_SHEETS = (0.98, 1.02)
"""Between which the squared lengths of half-precision vectors are: a model may leave padding at zero."""
_MAX_MANIFEST = 1 << 20
_MAX_LINES = 1 << 30
"""Bytes of one piece of JSON lines, unpacked: a thousand images with a megabyte of words each."""
_MAX_LINE = 64 << 20


class ArchiveReader:
    """Reads an archive that may be anybody's. Whatever is wrong with it is one ``AskpixError``.

    Names are looked up, never followed; sizes are compared with what the manifest allows before anything is
    read; vectors must be finite and of length one.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            self._zip = zipfile.ZipFile(path)
        except UNREADABLE as error:
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
        raw = self._bytes("manifest.json", _MAX_MANIFEST)
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
        """The images, piece by piece."""
        seen = 0
        for number in range(self.manifest.parts):
            stem = f"parts/{number:05}"
            pictures = self._lines(DecodedImage, f"{stem}.jsonl", PART)
            seen += len(pictures)
            image = self._rows(f"{stem}.image.f32", len(pictures), self.manifest.dim)
            counts = [picture.passages for picture in pictures]
            text = self._rows(f"{stem}.text.f32", sum(counts), self.manifest.text_dim)
            patches = [picture.patches for picture in pictures if picture.patches]
            pages = self._pages(f"{stem}.pages.f16", sum(patches)) if patches else np.zeros((0, 1))
            sheets = self._sheets(f"{stem}.sheets.f16", pictures)
            yield Part(tuple(pictures), image, _cut(text, counts), _cut(pages, patches), sheets)
        if seen != self.manifest.pictures:
            raise self._bad(f"it holds {seen} of {self.manifest.pictures} images")

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
        return self._halves(name, count, dim, _OF_PAGES)

    def _sheets(self, name: str, pictures: Sequence[DecodedImage]) -> tuple[Any, ...]:
        laid = [picture for picture in pictures if picture.embedded_regions]
        counts = [picture.embedded_regions for picture in laid]
        if counts != [len(picture.regions) for picture in laid]:
            raise self._bad(f"{name!r} does not have a vector for each image on a sheet")
        if not counts:
            return ()
        return _cut(self._halves(name, sum(counts), self.manifest.dim, _OF_SHEETS), counts)

    def _halves(self, name: str, count: int, dim: int, lengths: tuple[float, float]) -> Any:
        if self._info(name).file_size != 2 * count * dim:
            raise self._bad(f"{name!r} is not {count} vectors of {dim} numbers")
        rows = np.frombuffer(self._bytes(name, 2 * count * dim), "<f2").astype(np.float16).reshape(count, dim)
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float32)
        # Nothing that is no number lies between.
        if not bool(np.all((lengths[0] <= squares) & (squares < lengths[1]))):
            raise self._bad(f"{name!r} holds vectors of a wrong length")
        return rows

    def _lines(self, kind: Any, name: str, limit: int) -> list[Any]:
        info = self._info(name)
        rows: list[Any] = []
        if info.file_size > _MAX_LINES:
            raise self._bad(f"{name!r} is larger than {_MAX_LINES >> 20} MB")
        try:
            with self._zip.open(info) as file:
                while line := file.readline(_MAX_LINE + 1):
                    if len(line) > _MAX_LINE or len(rows) == limit:
                        raise self._bad(f"{name!r} is larger than an export's")
                    rows.append(self._validated(kind, _json(line), f"line {len(rows) + 1} of {name!r}"))
        except UNREADABLE as error:
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

    def _bytes(self, name: str, limit: int) -> bytes:
        """Read a whole piece, whose declared and real size may be ``limit`` bytes at most."""
        info = self._info(name)
        if info.file_size > limit:
            raise self._bad(f"{name!r} is larger than {limit} bytes")
        try:
            with self._zip.open(info) as file:
                content = file.read(limit + 1)
        except UNREADABLE as error:
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
