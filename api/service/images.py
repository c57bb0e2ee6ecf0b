"""Images as the service hands them out: the very file that was indexed, and thumbnails kept on disk."""

import logging
import os
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from askpix.api.service.service import Service
from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.models import Collection
from askpix.ingest.formats.content import Content, place_of, sha256_of
from askpix.ingest.formats.pages import HEAD, format_of, open_page, read_content
from askpix.ingest.sources.remote import is_elsewhere, read_source
from askpix.ingest.sources.walk import live_stems, motion_part_of
from askpix.ingest.vision.thumbhash import preview

_log = logging.getLogger(__name__)
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
"""Longer sides in pixels: a few sizes that many share, so that nobody fills the disk with one a pixel."""
FORMATS = {"image/avif": ("AVIF", "avif"), "image/webp": ("WEBP", "webp"), "image/jpeg": ("JPEG", "jpg")}
_SAVED: dict[str, dict[str, int]] = {
    "AVIF": {"quality": 60, "speed": 9},
    "WEBP": {"quality": 78, "method": 2},
    "JPEG": {"quality": 82},
}
"""Encoder options. At 512 pixels AVIF takes 13 ms instead of 135 at its default speed, and is a tenth larger.
"""
_DECODING = threading.Semaphore(2)
"""An image at the limit takes a gigabyte while it is decoded."""


def content_of(service: Service, collection: Collection, record: ImageRecord, sha256: str) -> Content:
    """Return the indexed content, from wherever it still lies. Raises ``NotFoundError``,
    ``BadImageError``.
    """
    found = file_of(service, collection, record, sha256)
    return read_content(found, limits=service.workspace.limits) if isinstance(found, Path) else found


def file_of(service: Service, collection: Collection, record: ImageRecord, sha256: str) -> Path | bytes:
    """A file that still has the bytes that were indexed; those bytes, where they lie in no file of their own
    (in an archive, in a bucket, on the web). Raises ``NotFoundError``."""
    for uri in (record.uri, *record.copies):
        if is_elsewhere(uri):
            try:
                data = read_source(uri, service.workspace.limits)
            except BadImageError as error:
                _log.info("%r cannot be read: %s", uri, error)
                continue
            if isinstance(data, bytes) and sha256_of(data) == sha256:
                return data
            continue
        path = Path(uri)
        try:
            status = path.stat()
        except OSError as error:
            _log.info("%r cannot be read: %s", uri, error)
            continue
        state = service.catalog.lookup.state(collection, uri)
        if state and (state.size, state.mtime_ns, state.sha256) == (
            status.st_size,
            status.st_mtime_ns,
            sha256,
        ):
            return path
        try:
            if sha256_of(read_content(path, limits=service.workspace.limits)) == sha256:
                return path
        except BadImageError as error:
            _log.info("%r cannot be read: %s", uri, error)
            continue
    raise NotFoundError(f"the file of image {record.id!r} is gone or has changed; index its folder again")


def motion_of(service: Service, collection: Collection, record: ImageRecord, sha256: str) -> Path | None:
    """The film of a live photo, where both lie in a folder; those in archives are not looked for."""
    if record.kind != "photo" or is_elsewhere(record.uri) or not live_stems([record.uri]):
        return None
    try:
        path = file_of(service, collection, record, sha256)
    except NotFoundError:
        return None
    return motion_part_of(path) if isinstance(path, Path) else None


def file_date(service: Service, collection: Collection, record: ImageRecord) -> datetime | None:
    """Return when the oldest of its files was last written, in UTC: the last resort for an undated image.
    None for sources that are no files of their own: their stamp is no date.
    """
    states = [
        service.catalog.lookup.state(collection, uri)
        for uri in (record.uri, *record.copies)
        if not is_elsewhere(uri)
    ]
    stamps = [state.mtime_ns for state in states if state and state.mtime_ns > 0]
    try:
        return datetime.fromtimestamp(min(stamps) // 10**9, UTC) if stamps else None
    except (ValueError, OverflowError, OSError):  # a disk's clock that was never set
        return None


def media_type(found: Path | bytes) -> str:
    """Return the media type by the first bytes, never by the name: one that browsers show and do not run."""
    if isinstance(found, bytes):
        head = found[:HEAD]
    else:
        with found.open("rb") as file:
            head = file.read(HEAD)
    return format_of(head).media_type(head)


def choose_format(accept: str) -> str:
    """The smallest of our formats that the client says it takes; JPEG when it says nothing of them."""
    offered: dict[str, float] = {}
    for entry in accept.split(","):
        kind, *options = (part.strip().lower() for part in entry.split(";"))
        quality = next((option[2:] for option in options if option.startswith("q=")), "1")
        try:
            offered[kind] = float(quality)
        except ValueError:
            offered[kind] = 0.0
    for kind in ("image/avif", "image/webp"):
        if offered.get(kind, 0.0) > 0:
            return kind
    return "image/jpeg"


def snap(size: int) -> int:
    """The smallest size we make that is at least ``size``."""
    return next((each for each in SIZES if each >= size), SIZES[-1])


def thumbnail(
    service: Service, collection: Collection, record: ImageRecord, sha256: str, *, size: int, kind: str
) -> Path:
    """A file with the image, its longer side at most ``size`` (one of ``SIZES``) pixels, never enlarged."""
    form, extension = FORMATS[kind]
    path = service.uploads.thumbnails / record.id[:2] / f"{record.id}-{size}.{extension}"
    if path.exists():
        return path
    data = content_of(service, collection, record, sha256)
    short = min(record.width, record.height) * size // max(record.width, record.height, 1)
    with _DECODING:
        image = open_page(
            data, place_of(record), limits=service.workspace.limits, min_side=max(1, short)
        ).image
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    if record.preview is None:
        service.catalog.timeline.keep_preview(record.id, preview(image))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(8)}.{extension}")
    try:
        image.save(draft, form, **_SAVED[form])
        os.replace(draft, path)  # noqa: PTH105
    finally:
        draft.unlink(missing_ok=True)
    return path
