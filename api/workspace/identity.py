"""Identity file of a collection's folder, so that its vectors are of use without the catalog."""

import json
import logging
import uuid
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from askpix.core.log import tolerated
from askpix.ingest.catalog.models import Collection
from askpix.retrieval.stores.folder import read_json, write_json

_log = logging.getLogger(__name__)
IDENTITY = "collection.json"
DELETED = "deleted.json"
"""The same file once the collection is being deleted."""


def write_identity(folder: Path, collection: Collection) -> None:
    """Keep it as it is now. A full disk spoils nothing: the next run writes it."""
    said = {**asdict(collection), "created_at": collection.created_at.isoformat()}
    if read_json(folder / IDENTITY) != json.loads(json.dumps(said)):
        with tolerated(_log, f"{str(folder)!r} does not say of which collection it is", OSError):
            write_json(folder / IDENTITY, said)
            (folder / DELETED).unlink(missing_ok=True)


def read_identity(folder: Path) -> Collection | None:
    """The collection that a folder is of; None where it does not say so."""
    with tolerated(_log, f"{str(folder)!r} does not say of what it is", TypeError, ValueError, KeyError):
        said = read_json(folder / IDENTITY)
        found = Collection(**{**said, "created_at": datetime.fromisoformat(said["created_at"])})
        name, _, start = folder.name.rpartition("-")  # an import renames its folder at the end
        return replace(found, name=name) if found.id.startswith(start) and uuid.UUID(found.id) else None
    return None


def mark_deleted(folder: Path, *, back: bool = False) -> None:
    """Note that it goes, or that it stays after all; a full disk has room for it."""
    old, new = (DELETED, IDENTITY) if back else (IDENTITY, DELETED)
    with tolerated(_log, f"{str(folder)!r} is not marked as deleted", OSError):
        (folder / old).rename(folder / new)
