"""A home as one file, and back: catalog, keys, vectors, uploads, and what was learned.

The file is a tar: the databases as copies that SQLite makes of itself, all other files as they lie, and last
a list of them with SHA-256. Nobody writes meanwhile: the locks of the server, of indexing and of every store
are held. Restoring unpacks beside the home, checks every sum, and only then takes it into use.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

import filelock

from api.note import LOCK
from core.errors import AskpixError, StoreUnavailableError
from ingest.pipeline import collection_run
from retrieval.store_folder import acquire

FORMAT = 1
_LIST = "askpix-backup.json"
_DATABASES = ("catalog.sqlite", "service.sqlite")
_LEFT_OUT = frozenset(
    {LOCK, "serve.json", "lock", "indexing.lock", "owner.json"}
    | {f"{name}{end}" for name in _DATABASES for end in ("-wal", "-shm", "-journal")}
)
"""Locks and what belongs to running processes; the copies of the databases hold what their logs do."""
_CACHES = ("thumbnails",)
"""Folders of the home that are made again by themselves."""
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Backup:
    """What is in a backup file."""

    created_at: str
    askpix: str
    home: str
    """Where it was made: pictures that were uploaded are recorded below it."""
    files: int
    size: int
    """Bytes, unpacked."""


def back_up(home: Path, target: Path, *, wait_s: float = 0.0) -> Backup:
    """Write all of ``home`` to ``target``, whole or not at all.

    Raises ``AskpixError``: no home, ``target`` exists or cannot be written, or somebody is writing.
    """
    if not any((home / name).exists() for name in (*_DATABASES, "collections")):
        raise AskpixError(f"{str(home)!r} is no home of Askpix: there is nothing to back up")
    if target.exists():
        raise AskpixError(f"{str(target)!r} is there already; name another file")
    draft = target.with_name(target.name + ".part")
    try:
        with _still(home, wait_s), draft.open("wb") as file:
            found = _write(home, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise AskpixError(f"cannot back up to {str(target)!r}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return found


def restore(source: Path, home: Path) -> Backup:
    """Make ``home``, which must be empty or not there, what it was. Nothing is in use before all is checked.

    Raises ``AskpixError``: not a backup, damaged, of a newer version, ``home`` in use, disk full.
    """
    if home.exists() and any(home.iterdir()):
        raise AskpixError(
            f"{str(home)!r} is not empty: restore into a new ASKPIX_HOME, or move it away first"
        )
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{home.name}-", dir=home.parent) as folder:
            fresh = Path(folder) / "home"
            fresh.mkdir()
            with tarfile.open(source, "r:") as archive:
                found = _unpack(archive, fresh)
            if home.exists():
                home.rmdir()
            fresh.replace(home)
    except tarfile.TarError as error:
        raise AskpixError(f"{str(source)!r} is no backup of Askpix, or is cut off: {error}") from error
    except OSError as error:
        raise AskpixError(f"cannot restore {str(source)!r}: {error.strerror or error}") from error
    return found


@contextmanager
def _still(home: Path, wait_s: float) -> Iterator[None]:
    """Nobody writes to the home for as long as the block lasts."""
    with ExitStack() as held:
        serving = filelock.FileLock(home / LOCK)
        try:
            held.enter_context(serving.acquire(timeout=wait_s))
        except filelock.Timeout as error:
            raise StoreUnavailableError("`askpix serve` runs on this home; stop it for the backup") from error
        for folder in sorted(home.glob("collections/*/")):
            held.enter_context(collection_run(folder))
            for vectors in sorted(folder.glob("vectors*/")):
                held.callback(acquire(vectors, wait_s).release)
                held.callback((vectors / "owner.json").unlink, missing_ok=True)
        yield


def _write(home: Path, file: IO[bytes]) -> Backup:
    sums: dict[str, str] = {}
    size = 0
    with TemporaryDirectory(prefix="askpix-") as copies, tarfile.open(fileobj=file, mode="w:") as archive:
        for name, path in (*_copied(home, Path(copies)), *_files(home)):
            with path.open("rb") as source:
                info = archive.gettarinfo(arcname=name, fileobj=source)
                counted = _Counted(source)
                archive.addfile(info, counted)
            sums[name] = counted.digest.hexdigest()
            size += info.size
        about = {
            "format": FORMAT,
            "askpix": version("askpix"),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "home": str(home),
            "files": sums,
        }
        said = json.dumps(about).encode()
        info = tarfile.TarInfo(_LIST)
        info.size = len(said)
        archive.addfile(info, io.BytesIO(said))
    return Backup(str(about["created_at"]), str(about["askpix"]), str(home), len(sums), size)


def _copied(home: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    for name in _DATABASES:
        if not (home / name).exists():
            continue
        try:
            source, copy = sqlite3.connect(home / name), sqlite3.connect(folder / name)
            with source, copy:
                source.backup(copy)
            source.close()
            copy.close()
        except sqlite3.Error as error:
            raise AskpixError(f"{name} cannot be copied: {error}") from error
        yield name, folder / name


def _files(home: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(home.rglob("*")):
        inner = path.relative_to(home)
        if path.is_symlink() or not path.is_file() or inner.parts[0] in _CACHES:
            continue
        if path.name not in _LEFT_OUT and inner.as_posix() not in _DATABASES:
            yield inner.as_posix(), path


class _Counted:
    """A file that sums up what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._read: Callable[[int], bytes] = file.read
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        data = self._read(size)
        self.digest.update(data)
        return data


def _unpack(archive: tarfile.TarFile, folder: Path) -> Backup:
    sums: dict[str, str] = {}
    size = 0
    about: dict[str, Any] | None = None
    for member in archive:
        taken = archive.extractfile(member) if member.isreg() else None
        if taken is None or member.name in sums or about is not None:
            raise AskpixError(f"{member.name!r} has no place in a backup of Askpix")
        if member.name == _LIST:
            about = json.loads(taken.read(_BLOCK * 64))
            continue
        inner = PurePosixPath(member.name)
        if inner.is_absolute() or ".." in inner.parts or not inner.parts:
            raise AskpixError(f"{member.name!r} has no place in a backup of Askpix")
        target = folder.joinpath(*inner.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        counted = _Counted(taken)
        with target.open("wb") as file:
            shutil.copyfileobj(counted, file, _BLOCK)
        sums[member.name] = counted.digest.hexdigest()
        size += member.size
    if not isinstance(about, dict) or not isinstance(about.get("files"), dict):
        raise AskpixError("it is no backup of Askpix, or is cut off: the list of its files is missing")
    if about.get("format") != FORMAT:
        raise AskpixError("the backup was written by a newer version of Askpix: update Askpix")
    if wrong := sorted(set(sums.items()) ^ set(about["files"].items())):
        raise AskpixError(f"the backup is damaged: {wrong[0][0]!r} is not what was written")
    return Backup(str(about["created_at"]), str(about["askpix"]), str(about["home"]), len(sums), size)
