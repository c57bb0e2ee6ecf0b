"""Writes an archive (``askpix.ingest.maintenance.archive_format``) piece by piece."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from askpix.ingest.maintenance.archive_format import VERSION, Checked, Manifest, Part, Source


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
        """A piece of the images."""
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

    def _lines(self, name: str, rows: Sequence[Checked]) -> None:
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
