"""Images inside zip archives, as they lie there: nothing is unpacked to the disk.

A source's address is ``zip:///ARCHIVE.zip!/NAME``. Names in an archive are only names: nothing is ever
written by them. What an entry says of its size is not believed; no more than the limit is inflated.
"""

import logging
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.formats.pages import by_extension
from askpix.ingest.metadata.containers import is_container
from askpix.ingest.metadata.merge import combine, read_bytes_inside, read_film
from askpix.ingest.metadata.model import About
from askpix.ingest.metadata.quicktime import read_film_header
from askpix.ingest.metadata.sidecars import Beside, Found, is_elsewhere, is_sidecar
from askpix.ingest.metadata.video import FilmFacts
from askpix.ingest.sources.ignore import Ignores
from askpix.ingest.sources.walk import (
    MOTION_PART,
    Skipped,
    Source,
    is_ignored,
    live_stems,
    may_be_motion_part,
)

_log = logging.getLogger(__name__)
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # a password; RecursionError
    LookupError,
    ValueError,
)
"""Exceptions that ``zipfile`` raises for damaged, encrypted and unsupported archives."""
UNREADABLE = (OSError, *ZIP_ERRORS)
"""Exceptions of an archive, with those of the disk."""
_SCHEME = "zip://"
_MARK = ".zip!/"
_MAX_ENTRIES = 2_000_000
_HEAD = 512 * 1024
_MAX_FILM = 2**30
_MAX_MOTION = 16 * 2**20
"""Bytes that are inflated to see how long a film of a photo's name is."""
_WHOLE = 64 * 2**20
"""Bytes that are unpacked of a film or document, whose words may stand at its end."""
_ENCRYPTED = 1


def is_zip(path: Path) -> bool:
    """Return whether naming this path means the files in it."""
    return path.suffix.casefold() == ".zip" and path.is_file()


def zip_uri(path: Path) -> str:
    """Return the prefix of the addresses of all that is in the archive."""
    return f"{_SCHEME}{path.absolute().as_posix()}!/"


def is_inside(uri: str) -> bool:
    """Return whether this is the address of an entry in an archive."""
    return uri.startswith(_SCHEME)


def find_inside(
    path: Path,
    ignore: Sequence[str] = (),
    elsewhere: Callable[[Path, str], list[Found]] = lambda path, folder: [],
) -> Iterator[Source | Skipped]:
    """Every image, document and film in an archive, by name. What cannot be read is said.

    ``elsewhere`` finds the sidecars in other archives for a folder in this one.
    """
    start = zip_uri(path)
    try:
        infos = _opened(path).infolist()
    except UNREADABLE as error:
        yield Skipped(str(path), f"cannot read: {_why(error)}")
        return
    if len(infos) > _MAX_ENTRIES:
        yield Skipped(str(path), f"cannot read: more than {_MAX_ENTRIES:,} entries, which is the limit")
        return
    ignores = Ignores.of(ignore, start.rstrip("/")) if ignore else Ignores()
    folders: dict[str, list[zipfile.ZipInfo]] = {}
    for info in infos:
        if not info.is_dir():
            folders.setdefault(info.filename.rpartition("/")[0], []).append(info)
    for folder, inside in sorted(folders.items()):
        if any(map(is_ignored, filter(None, folder.split("/")))):
            continue
        beside = Beside.of([_Entry(info) for info in inside], elsewhere(path, folder))
        stems = live_stems(info.filename.rpartition("/")[2] for info in inside)
        for info in sorted(inside, key=lambda each: each.filename):
            name = info.filename.rpartition("/")[2]
            extension = name.rpartition(".")[2].casefold() if "." in name else ""
            if extension not in by_extension() or is_ignored(name):
                continue
            uri = start + info.filename
            if may_be_motion_part(name, stems) and _is_motion_part(path, info):
                yield Skipped(uri, MOTION_PART)
                continue
            if ignores.leaves_out(uri, is_folder=False):
                continue
            if info.flag_bits & _ENCRYPTED:
                yield Skipped(uri, "encrypted; unpack it to index it")
            else:
                yield Source(uri, info.file_size, _stamp(info), beside.stamp(name) if beside else None)


def sidecars_in(path: Path) -> dict[str, tuple[list[Found], list[str]]]:
    """The sidecars in an archive by their folder in it, with the names of all files there; none where it
    cannot be read.
    """
    try:
        infos = _opened(path).infolist()
    except UNREADABLE:
        return {}  # whoever looks for images in it says so
    start = zip_uri(path)
    found: dict[str, tuple[list[Found], list[str]]] = {}
    for info in infos[:_MAX_ENTRIES]:
        folder, _, name = info.filename.rpartition("/")
        sidecars, names = found.setdefault(folder, ([], []))
        names.append(name)
        if is_sidecar(name) and not info.flag_bits & _ENCRYPTED:
            sidecars.append(Found(_Entry(info), start + info.filename))
    return {folder: each for folder, each in found.items() if each[0]}


def read_sidecar(address: str, limit: int) -> bytes | None:
    """The bytes of a sidecar by its whole address; None when it is gone or has more than so many."""
    try:
        if is_inside(address):
            data = _read(*_parts(address), limit)
        else:
            with Path(address).open("rb") as file:
                data = file.read(limit + 1)
    except (*UNREADABLE, BadImageError):
        return None
    return data if len(data) <= limit else None


def read_inside(uri: str, limits: ImageLimits) -> bytes:
    """The bytes of an entry, never more than the limit. Raises ``BadImageError``."""
    path, name = _parts(uri)
    data = _read(path, name, limits.max_bytes)
    if len(data) > limits.max_bytes:
        raise BadImageError(f"{name!r} is over the limit of {limits.max_bytes} bytes; unpack it to index it")
    return data


def archive_is_gone(uri: str) -> bool:
    """Return whether the archive of an entry is no file any more."""
    try:
        _parts(uri)
    except BadImageError:
        return True
    return False


def look_inside(uri: str, size: int, stamp: int, beside: str | None) -> About | None:
    """Return the metadata of an entry and of those beside it (``ingest.pipeline.metadata_stage``); None when
    it has changed.
    """
    path, name = _parts(uri)
    try:
        info = _opened(path).getinfo(name)
        if (info.file_size, _stamp(info)) != (size, stamp):
            return None
        head = _read(path, name, _HEAD)
        if len(head) > _HEAD and is_container(head):
            head = _read(path, name, _WHOLE)
        inside = read_bytes_inside(head)
        film = _film(path, info) if is_container(head) else None
    except (*UNREADABLE, BadImageError) as error:
        _log.info("%r cannot be read: %s", uri, _why(error))
        return None

    def read(other: str, limit: int) -> bytes | None:
        if is_elsewhere(other):
            return read_sidecar(other, limit)
        return read_sidecar(f"{uri.rpartition('/')[0]}/{other}", limit)

    return combine(name.rpartition("/")[2], inside, beside, read, film)


def _is_motion_part(path: Path, info: zipfile.ZipInfo) -> bool:
    if info.file_size > _MAX_MOTION or info.flag_bits & _ENCRYPTED:
        return False
    try:
        with _opened(path).open(info) as file:
            header = read_film_header(file, info.file_size)
    except UNREADABLE:
        return False
    return header is not None and header.is_motion_part


def _film(path: Path, info: zipfile.ZipInfo) -> FilmFacts | None:
    """Return the facts in a film. Its header may be its end, so that all of it is inflated."""
    if info.file_size > _MAX_FILM:
        return None
    with _opened(path).open(info) as file:
        return read_film(file, info.file_size)


@dataclass(frozen=True)
class _Entry:
    """An entry as a folder's list has its files."""

    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        return self.info.filename.rpartition("/")[2]

    def is_file(self, *, follow_symlinks: bool = False) -> bool:
        return not stat.S_ISLNK(self.info.external_attr >> 16) or follow_symlinks

    def stat(self, *, follow_symlinks: bool = False) -> SimpleNamespace:
        del follow_symlinks
        return SimpleNamespace(st_size=self.info.file_size, st_mtime_ns=_stamp(self.info))


def _stamp(info: zipfile.ZipInfo) -> int:
    """Return a number for the content: archives made anew have new dates and the same checksums."""
    return info.CRC + 1


def _parts(uri: str) -> tuple[Path, str]:
    whole = uri.removeprefix(_SCHEME)
    # The first that is a file: names of folders and of entries may have the mark too.
    at = whole.casefold().find(_MARK)
    while at >= 0:
        path = Path(whole[: at + len(_MARK) - 2])
        if path.is_file():
            return path, whole[at + len(_MARK) :]
        at = whole.casefold().find(_MARK, at + 1)
    raise BadImageError(f"cannot read {uri!r}: its archive is gone") from FileNotFoundError(uri)


def _read(path: Path, name: str, limit: int) -> bytes:
    try:
        with _opened(path).open(name) as file:
            return file.read(limit + 1)
    except UNREADABLE as error:
        raise BadImageError(f"cannot read {name!r} in {path.name!r}: {_why(error)}") from error


def _opened(path: Path) -> zipfile.ZipFile:
    status = path.stat()
    return _kept(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _kept(path: Path, size: int, mtime_ns: int) -> zipfile.ZipFile:
    """Return the opened archive. Its list is read once: that of 100,000 entries takes a second. Several
    threads read entries.
    """
    del size, mtime_ns
    return zipfile.ZipFile(path)


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RuntimeError):
        return "it is encrypted, or packed in a way that is not known here"
    return "the archive is damaged"
