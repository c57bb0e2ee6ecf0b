"""Words into the store: those read in images, and those written about them, as one text an image."""

from collections.abc import Callable, Sequence

import numpy as np

from askpix.core.types import Vectors, join_lines
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.ocr.reader import passages, pieces_of
from askpix.retrieval.embedders.base import TextEmbedder
from askpix.retrieval.stores.base import OpenStore

_AT_ONCE = 256


def texts_of(catalog: Catalog, ids: Sequence[str]) -> list[str]:
    """The text of each image as the store should have it: lines read in it, then words about it."""
    lines = catalog.lines(ids)
    written = catalog.notes.texts(ids)
    return ["\n".join(filter(None, (join_lines(lines.get(i, ())), *written.get(i, ())))) for i in ids]


def prepare(
    catalog: Catalog, ids: Sequence[str], text_embedder: TextEmbedder
) -> tuple[list[str], list[Vectors]]:
    """Texts, and the vectors of their passages: lines and notes never share one."""
    lines = catalog.lines(ids)
    written = catalog.notes.texts(ids)
    pieces = [
        [*passages(lines.get(i, ())), *(piece for note in written.get(i, ()) for piece in pieces_of(note))]
        for i in ids
    ]
    flat = text_embedder.embed_texts([piece for group in pieces for piece in group])
    rows = np.split(flat, np.cumsum([len(group) for group in pieces])[:-1]) if pieces else []
    return texts_of(catalog, ids), rows


def hand_over_notes(
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    text_embedder: Callable[[], TextEmbedder],
    *,
    rewritten: bool = False,
) -> int:
    """Give the store all words that the catalog has and it has not, when something about images changed.

    ``text_embedder`` is asked for only then. Returns for how many images. Raises
    ``StoreUnavailableError``; the next run hands them over.
    """
    done = 0
    if not catalog.notes.unstored(collection, limit=1) and not rewritten:
        return 0
    while ids := _waiting(collection, catalog):
        texts, rows = prepare(catalog, ids, text_embedder())
        with open_store() as store:
            store.set_text(ids, texts, rows)
        catalog.notes.mark_stored(ids)
        catalog.texts.mark_handed_over(ids)
        done += len(ids)
    return done


def _waiting(collection: Collection, catalog: Catalog) -> list[str]:
    return catalog.notes.unstored(collection, limit=_AT_ONCE) or catalog.texts.unstored(
        collection.id, limit=_AT_ONCE
    )
