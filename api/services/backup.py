"""A home as one file, and back: catalog, keys, vectors, uploads, and what was learned.

The file is a zip: the databases as copies that SQLite makes of itself, all other files as they lie, and last
a list of them with SHA-256. Uploaded images are packed already; the rest is deflated, for most of a store's
files are zeros that it reserved, and come back as holes. Vectors on a Qdrant server are not in it: the server
takes snapshots, which the list names. Nobody writes meanwhile: the locks of the server, of
indexing and of every store are held. Restoring unpacks beside the home, checks every sum, and only then takes
it into use.
"""

import hashlib
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

import filelock
from sqlalchemy import select, update

from askpix.api.security.tables import database_of, jobs
from askpix.api.settings import Settings
from askpix.api.workspace.server_file import LOCK
from askpix.api.workspace.snapshots import Snapshot, take_snapshots
from askpix.api.workspace.workspace import Workspace
from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError, StoreUnavailableError
from askpix.ingest.pipeline.embed_images import collection_run
from askpix.ingest.sources.zip_files import ZIP_ERRORS
from askpix.retrieval.stores.folder import acquire

FORMAT = 2
_LIST = "askpix-backup.json"
_DATABASES = ("catalog.sqlite", "service.sqlite")
_LEFT_OUT = frozenset(
    {LOCK, "serve.json", "lock", "indexing.lock", "owner.json", "wanted"}
    | {f"{name}{end}" for name in _DATABASES for end in ("-wal", "-shm", "-journal")}
)
"""Locks and what belongs to running processes; the copies of the databases hold what their logs do."""
_CACHES = ("thumbnails",)
"""Folders of the home that are made again by themselves."""
_BLOCK = 2**20
_HOLE = 2**16
"""Bytes of zeros that are not written but left out of the file."""
_PACKED = "uploads"
"""A folder of the home with images: deflating those only takes time."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Header of a backup file."""

    created_at: str
    askpix: str
    home: str
    """Home that it was made of: uploaded images are recorded below it."""
    files: int
    size: int
    """Bytes, unpacked."""
    snapshots: tuple[Snapshot, ...] = ()
    """Snapshots on the Qdrant server, not in the file, of the vectors that are there."""
    notes: tuple[str, ...] = ()
    """Notes on vectors that are in no snapshot, and why; one line each."""


def back_up(home: Path, target: Path, *, wait_s: float = 0.0, settings: Settings | None = None) -> Backup:
    """Write all of ``home`` to ``target``, whole or not at all.

    ``settings`` say whether vectors are on a Qdrant server, which takes snapshots of them; where it cannot,
    the backup is made all the same, with a note.

    Raises ``AskpixError``: no home, ``target`` exists or cannot be written, or somebody is writing.
    """
    if not any((home / name).exists() for name in (*_DATABASES, "collections")):
        raise AskpixError(f"{str(home)!r} is no home of Askpix: there is nothing to back up")
    if target.exists():
        raise AskpixError(f"{str(target)!r} is there already; name another file")
    draft = target.with_name(target.name + ".part")
    try:
        with _still(home, wait_s), draft.open("wb") as file:
            found = _write(home, file, settings)
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
            with zipfile.ZipFile(source) as archive:
                found = _unpack(archive, fresh)
            if home.exists():
                home.rmdir()
            fresh.replace(home)
    except ZIP_ERRORS as error:
        raise AskpixError(f"{str(source)!r} is no backup of Askpix, or is cut off or damaged") from error
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


def _snapshots(settings: Settings | None) -> tuple[tuple[Snapshot, ...], tuple[str, ...]]:
    """Snapshots of the vectors on a Qdrant server, and what is in none."""
    if settings is None or not (settings.database_url or (settings.home / "catalog.sqlite").exists()):
        return (), ()
    workspace = Workspace(settings)
    try:
        tenants = [each.id for each in workspace.catalog.list_collections() if each.store == "qdrant"]
        if not tenants:
            return (), ()
        if not settings.qdrant_url:
            raise AskpixError("set ASKPIX_QDRANT_URL to its address")
        taken, notes = take_snapshots(settings, tenants)
    except (AskpixError, ModuleNotFoundError) as error:
        return (), (f"vectors on the Qdrant server are in no snapshot: {error}",)
    finally:
        workspace.catalog.close()
    return tuple(taken), tuple(notes)


def _write(home: Path, file: IO[bytes], settings: Settings | None) -> Backup:
    sums: dict[str, str] = {}
    size = 0
    with TemporaryDirectory(prefix="askpix-") as copies, zipfile.ZipFile(file, "w") as archive:
        for name, path in (*_copied(home, Path(copies)), *_files(home)):
            info = zipfile.ZipInfo(name)
            packed = PurePosixPath(name).parts[0] == _PACKED
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            info._compresslevel = 1  # type: ignore[attr-defined] # before Python 3.13 it has no public name
            digest = hashlib.sha256()
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    target.write(block)
                    size += len(block)
            sums[name] = digest.hexdigest()
        # Last: where the file cannot be written, nothing is left on the server.
        snapshots, notes = _snapshots(settings)
        about = {
            "format": FORMAT,
            "askpix": version("askpix"),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "home": str(home),
            "files": sums,
            "snapshots": [asdict(each) for each in snapshots],
            "notes": notes,
        }
        archive.writestr(_LIST, json.dumps(about))
    made = str(about["created_at"]), str(about["askpix"]), str(home)
    return Backup(*made, len(sums), size, snapshots, notes)


def _copied(home: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    for name in _DATABASES:
        if not (home / name).exists():
            continue
        try:
            source = sqlite3.connect(home / name)
            copy = sqlite3.connect(folder / name)
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


def _unpack(archive: zipfile.ZipFile, folder: Path) -> Backup:
    sums: dict[str, str] = {}
    size = 0
    names = archive.namelist()
    about: Any = None
    if _LIST in names:
        with archive.open(_LIST) as said:
            about = json.loads(said.read(_BLOCK * 64))
    for info in archive.infolist():
        inner = PurePosixPath(info.filename)
        link = info.external_attr >> 28 not in (0, 8)  # of a regular file, or of who says nothing
        if inner.is_absolute() or ".." in inner.parts or not inner.parts or info.is_dir() or link:
            raise AskpixError(f"{info.filename!r} has no place in a backup of Askpix")
        if info.filename == _LIST:
            continue
        if info.filename in sums:
            raise AskpixError(f"{info.filename!r} is in the backup twice")
        target = folder.joinpath(*inner.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with archive.open(info) as source, target.open("wb") as file:
            size += _copy(source, file, digest.update)
        sums[info.filename] = digest.hexdigest()
    if not isinstance(about, dict) or not isinstance(about.get("files"), dict):
        raise AskpixError("it is no backup of Askpix, or is cut off: the list of its files is missing")
    if about.get("format") != FORMAT:
        raise AskpixError("the backup was written by a newer version of Askpix: update Askpix")
    if wrong := sorted(set(sums.items()) ^ set(about["files"].items())):
        raise AskpixError(f"the backup is damaged: {wrong[0][0]!r} is not what was written")
    try:
        snapshots = tuple(Snapshot(**each) for each in about.get("snapshots", ()))
    except TypeError as error:
        raise AskpixError("the backup was written by a newer version of Askpix: update Askpix") from error
    notes = tuple(str(note) for note in about.get("notes", ()))
    made = str(about["created_at"]), str(about["askpix"]), str(about["home"])
    return Backup(*made, len(sums), size, snapshots, notes)


def _copy(source: IO[bytes], target: IO[bytes], seen: Callable[[bytes], object]) -> int:
    """Block by block; zeros become holes, which take no room on the disk. How many bytes there were."""
    size = 0
    while block := source.read(_HOLE):
        seen(block)
        size += len(block)
        if block.count(0) == len(block):
            target.seek(len(block), os.SEEK_CUR)
        else:
            target.write(block)
    target.truncate(size)
    return size


_AT_ONCE = 200


def follow_home(settings: Settings, old: str) -> int:
    """After the home was ``old``: ledger, stores and waiting jobs have uploads where they are now.

    Returns how many images those are. Raises ``StoreUnavailableError``.
    """
    here = settings.home.as_posix()
    if old.rstrip("/") == here.rstrip("/"):
        return 0
    uploads = f"{old.rstrip('/')}/uploads", f"{here.rstrip('/')}/uploads"
    _move_jobs(settings, *uploads)
    workspace = Workspace(settings)
    count = 0
    try:
        moved = workspace.catalog.move_sources(*uploads)
        for collection in workspace.catalog.list_collections():
            shas = sorted(set(moved.get(collection.id, ())))
            if not shas:
                continue
            with workspace.open_store(collection) as store:
                for start in range(0, len(shas), _AT_ONCE):
                    part = shas[start : start + _AT_ONCE]
                    for records in workspace.catalog.records_by_content(collection, part).values():
                        for record in records:
                            store.set_copies(record)
                            count += 1
    finally:
        workspace.catalog.close()
    return count


def _move_jobs(settings: Settings, old: str, new: str) -> None:
    """Move the paths in jobs: what was acknowledged and is not indexed yet stands there."""
    engine = database_of(settings.home)
    try:
        with transaction(engine) as connection:
            for row in connection.execute(select(jobs.c.number, jobs.c.spec)).all():
                spec = dict(row.spec)
                files = [dict(file) for file in spec.get("files", ())]
                for file in files:
                    if str(file.get("path", "")).startswith(old + "/"):
                        file["path"] = new + file["path"][len(old) :]
                if files and json.dumps(files) != json.dumps(spec["files"]):
                    change = update(jobs).where(jobs.c.number == row.number)
                    connection.execute(change.values(spec={**spec, "files": files}))
    finally:
        engine.dispose()
