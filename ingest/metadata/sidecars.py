"""Sidecar files of an image, found by their names. No file is opened for it.

XMP: ``a.xmp``, ``a.jpg.xmp``. Google Takeout: ``a.jpg.json`` and ``a.jpg.supplemental-metadata.json``, cut to
46 characters and ``.json``, or after any letter; the number of a second file of that name stands elsewhere
(``a(1).jpg`` has ``a.jpg(1).json``); an edited copy (``a-edited.jpg``, in the owner's language) and the film
of a live photo have the original's; a title without an extension has none there either (``a.json``). Its
albums: ``metadata.json`` in the folder, in the owner's language. Picasa: ``.picasa.ini`` in the folder.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple, Protocol
from unicodedata import normalize

from askpix.ingest.metadata.picasa import is_picasa

_log = logging.getLogger(__name__)
_CUT = 46
"""Characters that Takeout leaves of a name before ``.json``."""
_FULL = ".supplemental-metadata"
_NUMBERED = re.compile(r"(.*)(\(\d{1,4}\))", re.DOTALL | re.ASCII)
_EDITED = (
    "-edited", "-bearbeitet", "-modifié", "-editado", "-editada", "-editat", "-bewerkt", "-modificato",
    "-modificata", "-edytowane", "-redigeret", "-redigerad", "-muokattu", "-upraveno", "-düzenlendi",
    "-編集済み", "-已修改", "-edição", "-изменено", "-수정됨", "-edytowany",
    "-ha editado", "-effects", "-smile", "-mix",
)  # fmt: skip
_ALBUMS = re.compile(
    r"(?:metadata|metadaten|métadonnées|metadatos|metadados|metadati|metagegevens|metadane|メタデータ|метаданные)"
    r"(?:\(\d+\))?\.json"
)
_NO_IMAGES = (".json", ".xmp", ".txt", ".html", ".aae", ".pp3", ".dop")
_FILMS = (".mp4", ".mov")
_STILLS = (".heic", ".jpg", ".jpeg", ".png", ".heif")


class Sidecar(NamedTuple):
    """A file that tells about an image, as it is on the disk. ``name`` is within the same folder, or where it
    lies elsewhere its whole address."""

    name: str
    size: int
    mtime_ns: int


class Entry(Protocol):
    """A file of a folder's list (``os.DirEntry``), or of an archive's."""

    @property
    def name(self) -> str: ...

    def is_file(self, *, follow_symlinks: bool = ...) -> bool: ...

    def stat(self, *, follow_symlinks: bool = ...) -> Any: ...


class Found(NamedTuple):
    """A sidecar's entry. ``address`` is empty in the image's own folder."""

    entry: Entry
    address: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """The files of a folder that may tell about its images, by the name in small letters."""

    entries: Mapping[str, Sequence[Found]]
    albums: tuple[Found, ...]
    twins: Mapping[str, Sequence[str]]
    """Names of the other files by their stem in small letters."""

    @classmethod
    def of(cls, entries: Sequence[Entry], elsewhere: Sequence[Found] = ()) -> "Beside | None":
        """Return the sidecars among these entries, and among those of folders that are named together with
        this one; None where there are none, which costs one test of each name.
        """
        here = [Found(entry) for entry in entries if is_sidecar(entry.name)]
        if not here and not elsewhere:
            return None
        found: dict[str, list[Found]] = {}
        for each in (*here, *elsewhere):
            found.setdefault(_key(each.entry.name), []).append(each)
        twins: dict[str, list[str]] = {}
        for entry in entries:
            if not entry.name.casefold().endswith(_NO_IMAGES):
                twins.setdefault(_key(_stem(entry.name)), []).append(entry.name)
        albums = (group for name, group in found.items() if is_album(name) or is_picasa(name))
        return cls(found, tuple(each for group in albums for each in group), twins)

    def stamp(self, name: str) -> str | None:
        """Return the state of the sidecars of ``name`` as text that changes when one of them does; None: no
        sidecar.
        """
        twins = self.twins.get(_key(_stem(name)), (name,))
        bare = () if len({_key(twin) for twin in twins}) > 1 else bare_candidates(name)
        rivals = [twin for twin in twins if _key(twin) == _key(name) or _stem(twin) != _stem(name)]
        wanted = [
            each
            for candidate in (*candidates(name), *bare)
            for each in _by_case(name, self.entries.get(candidate, ()))
            if not any(_likeness(twin, each) > _likeness(name, each) for twin in rivals)
        ]
        found: list[Sidecar] = []
        for entry, address in dict.fromkeys((*wanted, *self.albums)):
            try:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append(Sidecar(address or entry.name, status.st_size, status.st_mtime_ns))
            except OSError as error:
                _log.debug("not looked at %r: %s", entry.name, error)
                continue  # as if it were not there: the image is
        return json.dumps(found, ensure_ascii=True) if found else None


def _by_case(name: str, found: Sequence[Found]) -> list[Found]:
    """Choose among spellings that differ in case those most like the image's; elsewhere only its own."""
    limit = max((_likeness(name, each) for each in found), default=0)
    return [each for each in found if _likeness(name, each) == limit and (limit >= 0 or not each.address)]


def _likeness(name: str, sidecar: Found) -> int:
    """Less for each letter of the stem that differs in case, and a little less if the extension does."""
    stem = normalize("NFC", _stem(name))
    other = normalize("NFC", sidecar.entry.name)
    pairs = zip(stem, other, strict=False)
    same = takewhile(lambda pair: pair[0].casefold() == pair[1].casefold(), pairs)
    differing = sum(letter != found for letter, found in same)
    extension = normalize("NFC", name)[len(stem) :]
    return (1 if extension in other else 0) - 2 * differing


def _key(name: str) -> str:
    """One spelling for those that file systems and archives of different makers give the same name."""
    return normalize("NFC", name.casefold())


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def unpack(stamp: str | None) -> list[Sidecar]:
    """The files of a stamp."""
    return [Sidecar(*each) for each in json.loads(stamp)] if stamp else []


def with_unnamed(now: str | None, before: str | None, roots: tuple[str, ...]) -> str | None:
    """A stamp with those sidecars of the one before that lie outside of ``roots``: the other part of an
    export counts although it was not named this time.
    """
    kept = [each for each in unpack(before) if is_elsewhere(each.name) and not each.name.startswith(roots)]
    return json.dumps([*unpack(now), *kept], ensure_ascii=True) if kept else now


def is_sidecar(name: str) -> bool:
    """Return whether a file of this name may describe an image beside it."""
    return name.casefold().endswith((".json", ".xmp")) or is_picasa(name)


def is_album(name: str) -> bool:
    """Return whether a file of this name describes all images of its folder."""
    return bool(_ALBUMS.fullmatch(name.rpartition("/")[2].casefold()))


def is_elsewhere(name: str) -> bool:
    """Return whether a sidecar of this name lies in another folder or archive."""
    return "/" in name or os.sep in name


def candidates(name: str) -> Iterator[str]:
    """Names, in small letters, that a file about the image ``name`` may have; the surest first."""
    name = _key(name)
    stem, dot, kind = name.rpartition(".")
    if not dot:
        stem = name
    yield f"{name}.xmp"
    yield f"{stem}.xmp"
    yield from _takeout(stem, dot + kind)
    if original := _original(stem, dot + kind):
        for each in dict.fromkeys((dot + kind, *_STILLS)):
            yield from _takeout(original, each)
    if dot + kind in _FILMS:
        for still in _STILLS:
            yield from _takeout(stem, still)


def bare_candidates(name: str) -> Iterator[str]:
    """Names without the image's extension: Takeout leaves it out where the title in Google Photos has none.
    Any of its stem may be meant.
    """
    stem = _key(_stem(name))
    if stem != _key(name):
        yield from _takeout(stem, "")
        if original := _original(stem, _key(name)[len(stem) :]):
            yield from _takeout(original, "")


def _original(stem: str, extension: str) -> str | None:
    """The stem that an edited copy was made of; Takeout cuts long names in what it adds, too."""
    plain = _NUMBERED.fullmatch(stem)
    bare, number = (plain[1], plain[2]) if plain else (stem, "")
    is_cut = len(bare) + len(extension) >= _CUT + len(".json") - 1
    for ending in _EDITED:
        for length in range(len(ending), 1 if is_cut else len(ending) - 1, -1):
            if bare.endswith(ending[:length]):
                return bare[:-length] + number
    return None


def _takeout(stem: str, kind: str) -> Iterator[str]:
    numbered = _NUMBERED.fullmatch(stem)
    bases = [(stem + kind, "")]
    if numbered:
        bases.insert(0, (numbered[1] + kind, numbered[2]))
    for base, number in bases:
        full = base + _FULL
        # Where it was cut depends on the year of the export, and on whether the number counts.
        shortest = min(len(base), _CUT - 6)
        for length in range(len(full), shortest - 1, -1):
            yield f"{full[:length]}{number}.json"
        # Characters are counted as UTF-16 has them, where an emoji is two.
        cut = base.encode("utf-16-le", "surrogatepass")[: 2 * _CUT].decode("utf-16-le", "ignore")
        if cut != base[:_CUT]:
            yield f"{cut}{number}.json"
