"""A catalog that is gone, made again from what the store keeps of each image and from the files.

The store has ids, places, sizes, dates, cameras, tags and words. Where the files are as they were, their
digests come from them. Boxes of words, descriptions, captions and previews are lost: the next indexing run
reads words and descriptions again.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from askpix.core.errors import BadImageError
from askpix.core.log import tolerated
from askpix.core.types import Box, ImageRecord, TextLine
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection, SourceState
from askpix.ingest.formats.content import Content, place_of, sha256_of
from askpix.ingest.maintenance.import_ import rename
from askpix.retrieval.stores.base import VectorStore

_log = logging.getLogger(__name__)
_AT_ONCE = 256
_UNFINISHED = ".rebuilding"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """``changed`` of the ``images`` come from files that are gone or are not as they were indexed."""

    images: int
    changed: int


def rebuild(
    collection: Collection, *, catalog: Catalog, store: VectorStore, read: Callable[[str], Content]
) -> Rebuilt:
    """Enter a collection that only its store knows. Doing it again, also after a kill, is doing it once.

    The next indexing run finds unchanged files unchanged, looks at all others again and reads words anew.
    """
    # Under its own name only when it is whole: a run would take vectors that are not entered yet for strays.
    draft = replace(collection, name=collection.name[: 63 - len(_UNFINISHED)] + _UNFINISHED)
    if catalog.get_collection(draft.name) is None:
        catalog.adopt(draft)
    files = _Files(read)
    ids = sorted(store.ids())
    changed = 0
    for start in range(0, len(ids), _AT_ONCE):
        states: dict[str, SourceState] = {}
        added: dict[str, list[ImageRecord]] = {}
        lines: dict[str, list[TextLine]] = {}
        records = store.get(ids[start : start + _AT_ONCE])
        for record in records:
            uris = (record.uri, *record.copies)
            same = [uri for uri in uris if files.hold(uri, collection, record)]
            sha256 = files[same[0]].sha256 if same else None
            # Pages of one document stay together, and no file has such a digest.
            sha256 = sha256 or hashlib.sha256(f"lost:{record.uri}".encode("utf-8", "replace")).hexdigest()
            unknown = SourceState(-1, -1, sha256)
            states |= {uri: files[uri] if uri in same else unknown for uri in uris}
            added.setdefault(sha256, []).append(record)
            changed += not same
            if record.text:
                nowhere = Box(0, 0, 0, 0)
                lines[record.id] = [TextLine(text, nowhere) for text in record.text.split("\n")]
        catalog.record(collection, states=states, added=added)
        catalog.texts.keep(lines, engine="store")
        catalog.tags.save({record.id: record.tags for record in records if record.tags})
    rename(catalog.engine, draft, collection.name)
    return Rebuilt(len(ids), changed)


class _Files(dict[str, SourceState]):
    """Files as they are now, each read once; pages of a document ask for the same."""

    def __init__(self, read: Callable[[str], Content]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, uri: str) -> SourceState:
        size = mtime_ns = -1  # of what is no plain file: the next run looks at it again
        sha256 = None
        with suppress(OSError, ValueError):
            status = Path(uri).stat()
            size = status.st_size
            mtime_ns = status.st_mtime_ns
        with tolerated(_log, f"cannot read {uri!r}", BadImageError, OSError):
            sha256 = sha256_of(self._read(uri))
        self[uri] = found = SourceState(size, mtime_ns, sha256)
        return found

    def hold(self, uri: str, collection: Collection, record: ImageRecord) -> bool:
        """Return whether a file has the very bytes of a record: its id follows from them."""
        sha256 = self[uri].sha256
        return sha256 is not None and collection.image_id(sha256, place_of(record)) == record.id
