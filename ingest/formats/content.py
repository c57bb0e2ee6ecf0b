"""Content of a file: bytes in memory, or a film, which stays on disk; and the place of an image in it.

Films are too large to be held, so whoever opens one reads from its file.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from askpix.core.errors import BadImageError
from askpix.core.types import ImageRecord

_WHOLE = 64 * 2**20
"""Bytes of a film of which every one is hashed: more take a disk seconds to minutes."""
_BLOCKS = 62
_BLOCK = 2**16
_END = 2**20


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A film: where it lies, and its first bytes."""

    path: Path
    head: bytes


Content: TypeAlias = bytes | OnDisk


def sha256_of(content: Content) -> str:
    """The SHA-256 of all bytes, in hexadecimal. Raises ``BadImageError`` when a film cannot be read.

    Of a film of more than 64 MB it is that of its size, its first and last MB and 62 blocks of 64 kB evenly
    between: whoever edits a film changes its first bytes, where its index or its dates stand, or its size.
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    try:
        with content.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if size <= _WHOLE:
                return hashlib.file_digest(file, "sha256").hexdigest()
            digest = hashlib.sha256(b"film\0%d\0" % size)
            digest.update(file.read(_END))
            step = (size - 2 * _END - _BLOCK) // (_BLOCKS - 1)
            for number in range(_BLOCKS):
                file.seek(_END + number * step)
                digest.update(file.read(_BLOCK))
            file.seek(size - _END)
            digest.update(file.read(_END))
    except OSError as error:
        raise BadImageError(f"cannot read {str(content.path)!r}: {error.strerror or error}") from error
    return digest.hexdigest()


def place_of(record: ImageRecord) -> int | None:
    """Return the place of an image in its file: page, or millisecond of a film plus one; None: the whole
    file.
    """
    if record.kind == "frame" and record.time_s is not None:
        return place_at(record.time_s)
    return record.page


def place_at(time_s: float) -> int:
    """The place of a film's frame."""
    return round(1000 * time_s) + 1


def time_at(place: int) -> float:
    """The seconds of a film's frame."""
    return (place - 1) / 1000


def place_label(kind: str, place: int | None) -> str:
    """Return the fragment that follows a file's name for one of its images (RFC 8118, W3C
    Media Fragments).
    """
    if not place:
        return ""
    return f"#t={time_at(place):g}" if kind == "frame" else f"#page={place}"


def label_of(record: ImageRecord) -> str:
    """``place_label`` of a record."""
    return place_label(record.kind, place_of(record))
