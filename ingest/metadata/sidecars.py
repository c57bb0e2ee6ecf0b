"""Sidecar files of an image, found by their names. No file is opened for it.

XMP: ``a.xmp``, ``a.jpg.xmp``. Google Takeout: ``a.jpg.json`` and ``a.jpg.supplemental-metadata.json``, cut to
46 characters and ``.json``; the number of a second file of that name stands elsewhere (``a(1).jpg`` has
``a.jpg(1).json``); an edited copy (``a-edited.jpg``, in the owner's language) and the film of a live photo
have the original's. Its albums: ``metadata.json`` in the folder, in the owner's language.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_log = logging.getLogger(__name__)
_CUT = 46
"""Characters that Takeout leaves of a name before ``.json``."""
_FULL = ".supplemental-metadata"
_NUMBERED = re.compile(r"(.*)(\(\d{1,4}\))", re.DOTALL | re.ASCII)
_EDITED = (
    "-edited", "-bearbeitet", "-modifié", "-editado", "-editada", "-editat", "-bewerkt", "-modificato",
    "-modificata", "-edytowane", "-redigeret", "-redigerad", "-muokattu", "-upraveno", "-düzenlendi",
    "-編集済み", "-已修改", "-edição", "-изменено",
)  # fmt: skip
_ALBUMS = re.compile(
    r"(?:metadata|metadaten|métadonnées|metadatos|metadados|metadati|metagegevens|metadane|メタデータ|метаданные)"
    r"(?:\(\d+\))?\.json"
)
_FILMS = (".mp4", ".mov")
_STILLS = (".heic", ".jpg", ".jpeg", ".png", ".heif")


class Sidecar(NamedTuple):
    """A file beside an image, as it is on the disk. ``name`` is within the same folder."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Beside:
    """The files of a folder that may tell about its images, by the name in small letters."""

    entries: Mapping[str, os.DirEntry[str]]
    albums: tuple[os.DirEntry[str], ...]

    @classmethod
    def of(cls, entries: Sequence[os.DirEntry[str]]) -> "Beside | None":
        """Return the sidecars among these entries; None where there are none, which costs one test of each
        name.
        """
        found = {
            name: entry for entry in entries if (name := entry.name.casefold()).endswith((".json", ".xmp"))
        }
        if not found:
            return None
        return cls(found, tuple(entry for name, entry in found.items() if _ALBUMS.fullmatch(name)))

    def stamp(self, name: str) -> str | None:
        """Return the state of the sidecars of ``name`` as text that changes when one of them does; None: no
        sidecar.
        """
        wanted = [self.entries[each] for each in candidates(name) if each in self.entries]
        found: list[Sidecar] = []
        for entry in dict.fromkeys((*wanted, *self.albums)):
            try:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append(Sidecar(entry.name, status.st_size, status.st_mtime_ns))
            except OSError as error:
                _log.debug("not looked at %r: %s", entry.path, error)
                continue  # as if it were not there: the image is
        return json.dumps(found, ensure_ascii=True) if found else None


def unpack(stamp: str | None) -> list[Sidecar]:
    """The files of a stamp."""
    return [Sidecar(*each) for each in json.loads(stamp)] if stamp else []


def is_sidecar(name: str) -> bool:
    """Return whether a file of this name may describe an image beside it."""
    return name.casefold().endswith((".json", ".xmp"))


def is_album(name: str) -> bool:
    """Return whether a file of this name describes all images of its folder."""
    return bool(_ALBUMS.fullmatch(name.casefold()))


def candidates(name: str) -> Iterator[str]:
    """Names, in small letters, that a file about the image ``name`` may have; the surest first."""
    name = name.casefold()
    stem, dot, kind = name.rpartition(".")
    if not dot:
        stem = name
    yield f"{name}.xmp"
    yield f"{stem}.xmp"
    yield from _takeout(stem, dot + kind)
    for ending in _EDITED:
        plain = _NUMBERED.fullmatch(stem)
        bare, number = (plain[1], plain[2]) if plain else (stem, "")
        if bare.endswith(ending):
            yield from _takeout(bare.removesuffix(ending) + number, dot + kind)
    if dot + kind in _FILMS:
        for still in _STILLS:
            yield from _takeout(stem, still)


def _takeout(stem: str, kind: str) -> Iterator[str]:
    numbered = _NUMBERED.fullmatch(stem)
    bases = [(stem + kind, "")]
    if numbered:
        bases.insert(0, (numbered[1] + kind, numbered[2]))
    for base, number in bases:
        full = base + _FULL
        # Where it was cut depends on the year of the export, and on whether the number counts.
        lengths = {len(full), min(len(base), _CUT), *range(_CUT - 6, min(len(full), _CUT + 6) + 1)}
        for length in sorted(lengths, reverse=True):
            if length >= min(len(base), _CUT - 6) and length <= len(full):
                yield f"{full[:length]}{number}.json"
        yield f"{base}{number}.json"
