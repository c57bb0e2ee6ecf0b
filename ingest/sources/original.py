"""Original bytes of a record: exactly those that were indexed, from whichever source still has them."""

import logging
import os
from collections.abc import Sequence

from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.imaging.decode import DecodedImage, ImageLimits
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.models import Collection
from askpix.ingest.formats.content import Content, place_of, sha256_of
from askpix.ingest.formats.pages import open_page
from askpix.ingest.sources.remote import read_source, remote_uri
from askpix.ingest.sources.zip_files import archive_is_gone, is_inside

_log = logging.getLogger(__name__)
FILE_ID = "file:"
"""Records of files that are in no collection have ids that begin so; the SHA-256 of their bytes follows."""


def is_gone(record: ImageRecord) -> bool:
    """Return whether no file of a record is there any more; buckets and the web are not asked."""
    return all(map(_is_gone, (record.uri, *record.copies)))


def _is_gone(uri: str) -> bool:
    if remote_uri(uri):
        return False
    if is_inside(uri):
        return archive_is_gone(uri)
    try:
        os.stat(uri)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass  # it may well be there
    return False


def open_original(
    record: ImageRecord,
    collections: Sequence[Collection],
    *,
    limits: ImageLimits,
    min_side: int | None = None,
) -> DecodedImage:
    """The image of a record, decoded as ``min_side`` allows (see ``core.imaging.decode.open_image``).

    Raises ``NotFoundError`` when no file has its bytes any more, ``BadImageError`` when they cannot be
    decoded.
    """
    data = original_bytes(record, collections, limits=limits)
    return open_page(data, place_of(record), limits=limits, min_side=min_side)


def original_bytes(record: ImageRecord, collections: Sequence[Collection], *, limits: ImageLimits) -> Content:
    """Return the content that the record was made from; a file that changed since is not used.

    ``collections`` are those that the record may belong to. Raises ``NotFoundError`` when none has them.
    """
    for uri in (record.uri, *record.copies):
        try:
            data = read_source(uri, limits)
        except BadImageError as error:
            _log.info("%r cannot be read: %s", uri, error)
            continue
        # The id follows from the bytes: no need to ask the catalog what they were.
        sha256 = sha256_of(data)
        if record.id == FILE_ID + sha256 or any(
            each.image_id(sha256, place_of(record)) == record.id for each in collections
        ):
            return data
    raise NotFoundError(f"{record.uri!r} is gone or has changed; run `askpix index` on its folder again")
