"""Tag images during indexing."""

from collections.abc import Callable, Sequence

from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tags import Tagger, TagLedger
from askpix.ingest.pipeline.report import Progress
from askpix.ingest.vision.screenshots import with_tag
from askpix.retrieval.stores.base import VectorStore

_AT_ONCE = 512
"""Images in memory at a time: their vectors and what is found."""


def tag_images(
    *,
    collection: Collection,
    ledger: TagLedger,
    store: VectorStore,
    tagger: Tagger,
    on_progress: Callable[[Progress], None] | None = None,
) -> int:
    """Tag every image that has not been; returns how many. Killed at any moment, the next run goes on."""
    done = 0
    total = ledger.count_untagged(collection)
    while ids := ledger.untagged(collection, limit=_AT_ONCE):
        records = store.get(ids)
        there = [record.id for record in records]
        # What the store lost has none: it is tagged when it has been embedded again.
        found: dict[str, Sequence[str]] = dict.fromkeys(ids, ())
        if there:
            tagged = zip(records, tagger(store.image_vectors(there)), strict=True)
            # Known without looking, so no vocabulary takes it away.
            found.update((record.id, with_tag(record, tags).tags) for record, tags in tagged)
            own = ledger.own(there)
            every = {point: (*found[point], *own.get(point, ())) for point in there}
            store.set_tags({point: tuple(dict.fromkeys(tags)) for point, tags in every.items()})
        ledger.save(found)
        done += len(ids)
        if on_progress:
            on_progress(Progress("tagging", done, total, 0.0, 0))
    return done
