"""Folders and archives that are named together: parts of one export, whose files tell about each other.

Google cuts a Takeout into archives by size, so that an image may lie in one and its sidecar in another. Two
folders are the same one when they have the same path below ``Takeout``. Elsewhere, those of the same path
below what was named share only sidecars that have no image of their own.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from askpix.ingest.metadata.sidecars import Found, is_sidecar
from askpix.ingest.sources import zip_files

_EXPORT = "takeout"


class _Below(NamedTuple):
    """Place of a folder in an export, or below what was named."""

    is_export: bool
    names: tuple[str, ...]


class Together:
    """Finds sidecars of other folders and archives for those of one, when it is asked for them."""

    def __init__(self, folders: Sequence[str] = (), archives: Sequence[Path] = ()) -> None:
        self._archives = archives
        self._parts = [part for folder in folders for part in _parts(Path(folder))]
        self._is_one = len(self._parts) + len(archives) < 2

    def beside_folder(self, folder: str) -> list[Found]:
        """The sidecars elsewhere for the images of a folder."""
        path = Path(folder)
        part = next((part for part in self._parts if path.is_relative_to(part)), None)
        if self._is_one or part is None:
            return []
        return self._find(_below(path.relative_to(part).parts, part.parts), own=path)

    def beside_archive(self, archive: Path, folder: str) -> list[Found]:
        """The same for a folder inside an archive."""
        if self._is_one:
            return []
        own = zip_files.zip_uri(archive)
        found = self._find(_below(folder.split("/")))
        return [each for each in found if not each.address.startswith(own)]

    def _find(self, below: _Below, own: Path | None = None) -> list[Found]:
        found = list(self._packed.get(below, ()))
        for place in sorted({base.joinpath(*below.names) for base in self._bases(below)}):
            try:
                with os.scandir(place) as listed:
                    entries = [] if place == own else list(listed)
            except (OSError, ValueError):
                continue  # it has no such folder
            here = [Found(entry, Path(entry.path).as_posix()) for entry in entries if is_sidecar(entry.name)]
            found += here if below.is_export else without_images(here, (entry.name for entry in entries))
        return found

    def _bases(self, below: _Below) -> list[Path]:
        if not below.is_export:
            return [part for part in self._parts if not _export_at(part.parts)]
        return [
            Path(*part.parts[:at]) if (at := _export_at(part.parts)) else part / "Takeout"
            for part in self._parts
        ]

    @cached_property
    def _packed(self) -> Mapping[_Below, list[Found]]:
        packed: dict[_Below, list[Found]] = {}
        for archive in self._archives:
            for folder, (found, names) in zip_files.sidecars_in(archive).items():
                below = _below(folder.split("/"))
                packed.setdefault(below, []).extend(
                    found if below.is_export else without_images(found, names)
                )
        return packed


def without_images(sidecars: Iterable[Found], names: Iterable[str]) -> list[Found]:
    """Sidecars that none of the other files of their folder can be meant by."""
    stems = {name.casefold().rpartition(".")[0] for name in names if not is_sidecar(name)}
    kept = []
    for each in sidecars:
        name = each.entry.name.casefold()
        starts = {name[:at] for at, letter in enumerate(name) if letter == "."}
        if not starts & stems:
            kept.append(each)
    return kept


def _parts(folder: Path) -> list[Path]:
    """The folders in which parts of an export were unpacked beside each other; else the folder itself."""
    try:
        inside = sorted(each.parent for each in folder.glob("*/Takeout") if each.is_dir())
    except OSError:
        inside = []
    return inside if len(inside) > 1 else [folder]


def _below(inside: Sequence[str], above: Sequence[str] = ()) -> _Below:
    names = (*above, *inside)
    at = _export_at(names)
    found = names[at:] if at else inside
    return _Below(bool(at), tuple(name for name in found if name))


def _export_at(names: Sequence[str]) -> int:
    """Number of names up to ``Takeout``; 0 where it is none of them."""
    return next((n + 1 for n, name in enumerate(names) if name.casefold() == _EXPORT), 0)
