"""Does every image of the catalog have exactly one vector set in the store? If not, how it gets one.

An image's vector set is its image vector with its record, and the words that the catalog has for it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from askpix.core.errors import ModelUnavailableError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.log import tolerated
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.maintenance.reembed import build
from askpix.ingest.pipeline.embed_images import OnProgress
from askpix.ingest.pipeline.text_sync import prepare, texts_of
from askpix.ingest.pipeline.writer import mend
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.stores.base import OpenStore, VectorStore

_log = logging.getLogger(__name__)
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Proof:
    """Ids by what is wrong with them; nothing is when all are empty.

    ``missing`` have no vector, ``strays`` are vectors of no image, ``twice`` are there more than once,
    ``spoiled`` have a vector that is not of length one, ``moved`` name other files than the catalog,
    ``unworded`` other words, and ``orphans`` are images of no file. ``images`` is how many are right.
    """

    images: int
    missing: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    spoiled: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    unworded: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Every image has exactly one vector set, and nothing else is there."""
        return not any(
            (self.missing, self.strays, self.twice, self.spoiled, self.moved, self.unworded, self.orphans)
        )

    def __str__(self) -> str:
        found = (
            (self.missing, "pictures without a vector"),
            (self.strays, "vectors without an image"),
            (self.twice, "images with two vectors"),
            (self.spoiled, "damaged vectors"),
            (self.moved, "images with old file names"),
            (self.unworded, "images with other words than were read"),
            (self.orphans, "images that no file holds"),
        )
        wrong = ", ".join(f"{len(ids)} {what}" for ids, what in found if ids)
        return wrong or f"{self.images} images, each with one vector set"


@dataclass(frozen=True, slots=True)
class Mended:
    """``found`` was wrong; ``embedded`` images got new vectors; ``left`` could not, for now: the next
    indexing run of their folder tries again."""

    found: Proof
    embedded: int
    left: int


def prove(collection: Collection, *, catalog: Catalog, store: VectorStore) -> Proof:
    """Look at every image and every vector; memory is that of the ids. Nobody may be indexing meanwhile."""
    ledger = set(catalog.embedded_ids(collection))
    held = Counter(store.ids())
    everything = 2**31
    waiting = {
        *catalog.texts.unstored(collection.id, limit=everything),
        *catalog.notes.unstored(collection, limit=everything),
    }
    orphans = set(catalog.orphans(collection))
    spoiled: list[str] = []
    moved: list[str] = []
    unworded: list[str] = []
    seen: set[str] = set()
    for records in _records(collection, catalog):
        there = [record for record in records if record.id in held]
        ids = [record.id for record in there]
        stored = {record.id: record for record in store.get(ids)}
        lengths = np.linalg.norm(store.image_vectors(ids), axis=1) if ids else ()
        for record, text, length in zip(there, texts_of(catalog, ids), lengths, strict=True):
            seen.add(record.id)
            found = stored[record.id]
            if not abs(length - 1) < 0.02:  # stores that quantise are exact to a percent; NaN is caught too
                spoiled.append(record.id)
            if (found.uri, found.copies) != (record.uri, record.copies):
                moved.append(record.id)
            if found.text != text and record.id not in waiting:
                unworded.append(record.id)
    twice = sorted(image_id for image_id, times in held.items() if times > 1)
    wrong = {*twice, *spoiled, *moved, *unworded, *orphans}
    return Proof(
        images=len(seen - wrong),
        missing=tuple(sorted(ledger - set(held) - orphans)),
        strays=tuple(sorted(set(held) - ledger)),
        twice=tuple(twice),
        spoiled=tuple(spoiled),
        moved=tuple(moved),
        unworded=tuple(unworded),
        orphans=tuple(sorted(orphans)),
    )


def restore(
    collection: Collection,
    *,
    catalog: Catalog,
    open_store: OpenStore,
    embedder: Callable[[], Embedder],
    text_embedder: Callable[[], TextEmbedder],
    limits: ImageLimits,
    on_progress: OnProgress | None = None,
) -> Mended:
    """Give every image its one vector set again, from its file, and remove what belongs to none.

    An image whose file is gone, or whose model is not here, is noted as not embedded: what was read in it
    is kept, and the next indexing run sees to it. Hold the collection around it.
    """
    catalog.begin_run(collection)
    with open_store() as store:
        found = prove(collection, catalog=catalog, store=store)
        store.delete(sorted({*found.strays, *found.twice, *found.spoiled}))
        catalog.mark_lost(found.orphans)
        store.delete(found.orphans)
        catalog.forget_images(found.orphans)
    embedded = 0
    left = sorted({*found.missing, *found.twice, *found.spoiled})
    if found.unworded:
        _reword(catalog, open_store, found.unworded, text_embedder)
    if left:
        with tolerated(_log, f"{len(left)} images are left", ModelUnavailableError):  # they are left then
            built = build(
                collection,
                catalog=catalog,
                open_store=open_store,
                embedder=embedder(),
                text_embedder=text_embedder(),
                limits=limits,
                on_progress=on_progress,
            )
            embedded = built.embedded
            left = list(built.missing_ids)
    catalog.mark_lost(left)
    with open_store() as store:
        mend(collection, catalog, store)
    catalog.end_run(collection)
    return Mended(found, embedded, len(left))


def _reword(
    catalog: Catalog, open_store: OpenStore, ids: Sequence[str], text_embedder: Callable[[], TextEmbedder]
) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        texts, rows = prepare(catalog, part, text_embedder())
        with open_store() as store:
            store.set_text(part, texts, rows)


def _records(collection: Collection, catalog: Catalog) -> Iterator[Sequence[ImageRecord]]:
    contents = catalog.embedded_contents(collection)
    for start in range(0, len(contents), _AT_ONCE):
        found = catalog.records_by_content(collection, contents[start : start + _AT_ONCE])
        yield [record for group in found.values() for record in group]
