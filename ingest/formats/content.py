"""What is in a file: bytes in memory, or a film, which stays on the disk.

Films are known by how they begin. They are too large to be held, so whoever opens one reads from its file.
"""

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from askpix.core.errors import BadImageError
from askpix.core.files import read_whole
from askpix.core.imaging.decode import ImageLimits
from askpix.core.imaging.decoder_errors import signature
from askpix.core.types import ImageRecord

FILMS_POSSIBLE = find_spec("av") is not None
"""Whether the extra for videos is installed."""
NO_FILMS = "a video: install `askpix[video]` to index it"
FILM_EXTENSIONS = frozenset(
    "mp4 m4v mov qt mkv webm avi wmv asf mpg mpeg m2ts mts ts flv 3gp 3g2 ogv".split()
)
AMBIGUOUS_EXTENSIONS = frozenset(("mts", "ts"))
"""Also those of a programming language: the first bytes decide."""
_HEAD = 1024
_WHOLE = 64 * 2**20
"""Bytes of a film of which every one is hashed: more take a disk seconds to minutes."""
_BLOCKS, _BLOCK = 62, 2**16
_END = 2**20
_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""With which QuickTime files without ``ftyp`` begin."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A film: where it lies, and which of FFmpeg's containers it is."""

    path: Path
    container: str


Content: TypeAlias = bytes | OnDisk


def read_content(path: Path, *, limits: ImageLimits) -> Content:
    """A file's bytes, never more than the limit, or the film that it is. Raises ``BadImageError``."""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(_HEAD)
            container = film_container(head)
            if container:
                return OnDisk(path, container)
            file.seek(0)
            data = read_whole(file, limits.max_bytes)
    except OSError as error:
        raise BadImageError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if len(data) > limits.max_bytes:
        raise BadImageError(f"{path.name!r} is over the limit of {limits.max_bytes} bytes")
    return data


def film_container(head: bytes) -> str | None:
    """The demuxer of FFmpeg for a file that begins so; None where it is no film.

    Never left to be guessed: some of its formats are lists of other files to open.
    """
    if head[4:8] == b"ftyp":
        # Pictures begin so too; CR3, a camera's raw picture, as well.
        return None if signature(head) or head[8:12] in (b"crx ", b"jxl ", b"M4A ", b"M4B ") else "mov"
    if head[4:8] in _BOXES and head[:1] == b"\0":
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "asf"
    if head.startswith(b"\0\0\1\xba"):
        return "mpeg"
    if head.startswith(b"FLV\1"):
        return "flv"
    if head.startswith(b"OggS"):
        return "ogg"
    # Packets begin with "G", each 188 bytes; camcorders put four bytes of time before each.
    if any(head[at::step][:3] == b"GGG" for at, step in ((0, 188), (4, 192))):
        return "mpegts"
    return None


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
    """Where in its file a picture is: page, or millisecond of a film plus one; None: it is all of it."""
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
    """What follows a file's name when one of its pictures is meant (RFC 8118, W3C Media Fragments)."""
    if not place:
        return ""
    return f"#t={time_at(place):g}" if kind == "frame" else f"#page={place}"


def label_of(record: ImageRecord) -> str:
    """``place_label`` of a record."""
    return place_label(record.kind, place_of(record))
