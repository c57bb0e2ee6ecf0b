"""Near duplicates of new images: another size, another compression, a slight edit of one that is there.

Candidates come from the vectors; a difference hash of the pixels decides (dHash: N. Krawetz, "Kind of Like
That", 2013: 64 signs of horizontal differences; up to 10 of them differing is one image, edited).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.core.types import ImageRecord, Where
from askpix.ingest.catalog.models import Collection
from askpix.ingest.formats.content import place_of
from askpix.ingest.formats.pages import open_page
from askpix.ingest.sources.remote import read_source

_log = logging.getLogger(__name__)
_CANDIDATES = 4
_MIN_COSINE = 0.9
_MAX_BITS = 10
_MAX_LOOKED_AT = 500
"""New images of one job that are compared: each costs a search and a few decodes."""


def near_duplicates(
    workspace: Workspace, collection: Collection, ids: Sequence[str]
) -> Mapping[str, list[dict[str, Any]]]:
    """``{id: [{"id", "uri", "bits"}]}`` of those new images that look like others in the collection."""
    found: dict[str, list[dict[str, Any]]] = {}
    with workspace.open_store(collection) as store:
        for record in store.get(list(ids)[:_MAX_LOOKED_AT]):
            row = store.image_vectors([record.id])[0]
            hits = store.search("image", row, where=Where(), limit=_CANDIDATES + 1)
            likely = [hit.id for hit in hits if hit.id != record.id and hit.score >= _MIN_COSINE]
            mine = _hash(workspace, record) if likely else None
            for other in store.get(likely) if mine is not None else ():
                theirs = _hash(workspace, other)
                bits = 64 if theirs is None or mine is None else int((mine != theirs).sum())
                if bits <= _MAX_BITS:
                    found.setdefault(record.id, []).append({"id": other.id, "uri": other.uri, "bits": bits})
    return found


def difference_hash(image: Image.Image) -> "np.ndarray[tuple[int], np.dtype[np.bool_]] | None":
    """``(64,)`` signs; None for an image without structure, which would be like any other such."""
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    steps = small[:, 1:] - small[:, :-1]
    return (steps > 0).ravel() if np.abs(steps).max() >= 4 else None


def _hash(workspace: Workspace, record: ImageRecord) -> "np.ndarray[tuple[int], np.dtype[np.bool_]] | None":
    for uri in (record.uri, *record.copies):
        try:
            data = read_source(uri, workspace.limits)
            return difference_hash(
                open_page(data, place_of(record), limits=workspace.limits, min_side=72).image
            )
        except AskpixError as error:
            _log.debug("%r cannot be compared: %s", uri, error)
            continue
    return None
