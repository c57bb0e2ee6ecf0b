"""Uploads: streamed to disk below the home, under names that can do no harm.

uploads/COLLECTION_ID/SHA256/NAME    the bytes; .NAME.url beside it says where they were fetched
uploads/incoming/                    still on the way; emptied at the start
thumbnails/ID[:2]/ID-SIZE.EXT        made when first asked for
"""

import hashlib
import logging
import os
import re
import secrets
import shutil
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from askpix.api.security.problems import ProblemError
from askpix.core.log import tolerated

_log = logging.getLogger(__name__)
_MAX_NAME = 120
_MAX_URL = 8192
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has come: ``name`` as it is shown, ``path`` where it lies."""

    name: str
    path: Path
    sha256: str
    size: int


class Incoming:
    """A file on its way. ``commit`` makes it durable under its name, ``discard`` leaves nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.size = 0
        self._digest = hashlib.sha256()
        self._path = folder / f"{secrets.token_hex(16)}.part"
        self._file: IO[bytes] = self._path.open("xb")

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def commit(self, folder: Path, *, url: str | None = None) -> Upload:
        """Move it to where a collection's uploads lie; durable on return."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        sha256 = self._digest.hexdigest()
        target = folder / sha256 / safe_name(self.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if url is not None:
            _url_file(target).write_text(url, "utf-8")
        self._path.replace(target)
        return Upload(target.name, target, sha256, self.size)


class Uploads:
    """The folders of a home in which uploads and thumbnails lie."""

    def __init__(self, home: Path, *, max_bytes: int, max_files: int) -> None:
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._root = home / "uploads"
        self.thumbnails = home / "thumbnails"
        self._incoming = self._root / "incoming"

    def begin(self, name: str) -> Incoming:
        """A new file; its name is only kept to be shown. Raises a 507 when the disk is full."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._incoming).free < 64 * 2**20:
            raise ProblemError(507, "the server's disk is full; nothing of this request was kept")
        return Incoming(self._incoming, name)

    def folder(self, collection_id: str) -> Path:
        """Return the folder of a collection's uploads."""
        return self._root / collection_id

    def clear_parts(self) -> None:
        """Uploads that a killed server never acknowledged."""
        shutil.rmtree(self._incoming, ignore_errors=True)

    def holds(self, uri: str) -> bool:
        """Return whether it is an uploaded file."""
        return uri.startswith(str(self._root) + os.sep)

    def shown(self, uri: str) -> str:
        """A uri as others are told it: where it was fetched, or the name it was sent under."""
        if not self.holds(uri):
            return uri
        path = Path(uri)
        with suppress(OSError, ValueError):
            return _url_file(path).read_text("utf-8")
        with suppress(OSError, ValueError):
            # As it was kept once, under a name that uploads may have too; those lie in the folder of their
            # own digest.
            old = path.with_name(path.name + ".url")
            url = old.read_bytes() if old.stat().st_size < _MAX_URL else b""
            if url and hashlib.sha256(url).hexdigest() != path.parent.name:
                return url.decode("utf-8")
        return f"upload:{path.name}"

    def delete(self, uri: str) -> None:
        """An uploaded file, and what is known of where it was fetched."""
        path = Path(uri)
        path.unlink(missing_ok=True)
        _url_file(path).unlink(missing_ok=True)
        with tolerated(_log, "an upload's folder stays", OSError):
            path.parent.rmdir()  # unless the same bytes came under another name

    def delete_all(self, collection_id: str) -> None:
        """Delete all uploads of a collection."""
        shutil.rmtree(self.folder(collection_id), ignore_errors=True)

    def delete_thumbnails(self, image_id: str) -> None:
        """Every size of an image's."""
        for path in (self.thumbnails / image_id[:2]).glob(f"{image_id}-*"):
            path.unlink(missing_ok=True)


def _url_file(path: Path) -> Path:
    """Return the path of the note on the URL. No upload has such a name: ``safe_name`` strips
    leading dots.
    """
    return path.with_name(f".{path.name}.url")


def safe_name(name: str) -> str:
    """A name that stays in its folder on every system: the last part, without control characters."""
    last = name.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode("utf-8")
    flat = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] != "C")
    flat = _UNSAFE.sub("_", flat).strip(" .")
    stem, dot, extension = flat.rpartition(".")
    if dot and len(extension) <= 8:
        stem = stem or "picture"
        extension = f".{extension}"
    else:
        stem = flat or "picture"
        extension = ""
    if _RESERVED.fullmatch(stem):
        stem = f"_{stem}"
    while len((stem + extension).encode()) > _MAX_NAME:
        stem = stem[:-1]
    return stem + extension
