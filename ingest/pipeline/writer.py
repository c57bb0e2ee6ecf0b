"""Writer of a run: first the store, then the catalog, so that what the catalog lists can be found.

A kill between the two leaves images in the store that the catalog does not know. The catalog notes when a
run begins and when it has come to its end; after one that has not, both are compared and made to agree.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from askpix.core.types import ImageRecord, Vectors
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import MAX_KILLS, Collection, SourceState
from askpix.ingest.pipeline.plan import Plan
from askpix.ingest.pipeline.report import Failure
from askpix.ingest.pipeline.worker import Contents, Outcome
from askpix.ingest.sources.walk import Skipped
from askpix.retrieval.stores.base import VectorStore

_log = logging.getLogger(__name__)
_SET_ASIDE = "set aside: it is tried again when it has changed, or with other limits"


@dataclass(slots=True)
class _Batch:
    """Catalog entries to write, and new files with known bytes."""

    states: dict[str, SourceState] = field(default_factory=dict)
    added: dict[str, Sequence[ImageRecord]] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)


class Writer:
    """Outcomes into store and catalog, and the counts of the report. For one thread."""

    def __init__(
        self,
        *,
        collection: Collection,
        catalog: Catalog,
        store: VectorStore,
        contents: Contents,
        plan: Plan,
        conditions: str,
    ) -> None:
        self._collection = collection
        self._catalog = catalog
        self._store = store
        self._contents = contents
        self._conditions = conditions
        self._gone = plan.gone
        self._waiting: list[Outcome] = []
        self._noted: list[Outcome] = []
        self._touched: set[str] = set()
        self.unchanged = plan.unchanged
        self.failures = plan.failures
        self.skipped = plan.skipped
        self.added = self.updated = self.removed = self.duplicates = self.embedded = 0

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Make outcomes durable. Those that share the fate of a file still under way wait for it."""
        ready = [outcome for outcome in outcomes if outcome.first is None]
        for outcome in ready:
            outcome.settled = True
        shared = [*self._waiting, *(outcome for outcome in outcomes if outcome.first is not None)]
        ready += [outcome for outcome in shared if outcome.first and outcome.first.settled]
        self._waiting = [outcome for outcome in shared if outcome.first and not outcome.first.settled]

        records = [record for outcome in ready for record in outcome.records]
        if records:
            vectors: list[Vectors] = [vector for outcome in ready for vector in outcome.vectors]
            self._store.upsert(records, np.stack(vectors))
        batch = _Batch()
        for outcome in ready:
            self._enter(outcome, batch)
        gone = self._renamed(batch.copies)
        self._catalog.record(self._collection, states=batch.states, added=batch.added, gone=gone)
        self._noted = [outcome for outcome in self._noted if outcome not in ready]
        for outcome in ready:
            if outcome.sha256 and outcome.first is None:
                indexed = outcome.sha256 in batch.added
                self._contents.settle(outcome.sha256, indexed=indexed, error=outcome.error)
        # An image that was embedded again may have sources which this run does not look at.
        held = self._catalog.sources_of(self._collection, list(batch.added))
        self._touched |= {sha256 for sha256, uris in held.items() if len(uris) > 1}
        self.embedded += len(records)

    def note_stuck(self, outcomes: Iterable[Outcome]) -> None:
        """Enter a try before its result is known, once for each: if everything ends now, it has counted."""
        states = {}
        for outcome in outcomes:
            if outcome not in self._noted:
                self._noted.append(outcome)
                uri = outcome.task.source.uri
                states[uri] = self._state(outcome, "its decoder was stopped before it was done", kills=1)
        if states:
            self._catalog.record(self._collection, states=states, added={})

    def withdraw_notes(self) -> None:
        """Take back tries that this run does not see to their end: it stopped them, their files did not."""
        tasks = [outcome.task for outcome in self._noted]
        self._noted.clear()
        states = {task.source.uri: task.before for task in tasks if task.before}
        gone = sorted({task.source.uri for task in tasks} - states.keys())
        if tasks:
            self._catalog.record(self._collection, states=states, added={}, gone=gone)

    def _state(self, outcome: Outcome, error: str | None, *, kills: int) -> SourceState:
        source = outcome.task.source
        before = outcome.task.before
        if kills and before and (before.sha256, before.tried_with) == (outcome.sha256, self._conditions):
            kills = min(kills + (before.kills or 0), MAX_KILLS)
        state = SourceState(
            source.size,
            source.mtime_ns,
            outcome.sha256,
            error,
            self._conditions if error else None,
            source.beside,
            kills or None,
            source.ctime_ns,
        )
        if not state.set_aside or (error or "").endswith(_SET_ASIDE):
            return state
        return replace(state, error=f"{error}; {_SET_ASIDE}")

    def _enter(self, outcome: Outcome, batch: _Batch) -> None:
        """Count one file, and note what the catalog has to enter."""
        task = outcome.task
        sha256 = outcome.sha256
        uri = task.source.uri
        was = task.before.sha256 if task.before else None
        if outcome.vanished:
            self.skipped.append(Skipped(uri, "gone before it was read"))
            return
        error = outcome.first.error if outcome.first else outcome.error
        if sha256 is not None and sha256 in self._contents:
            error = self._contents.errors.get(sha256)
        decoded = outcome.first or outcome
        state = self._state(outcome, error, kills=decoded.kills if error else 0)
        if state.error:
            _log.info("failed %r: %s", uri, state.error)
            self.failures.append(Failure(uri, state.error))
        if outcome.passing:
            # Nothing is known of its bytes now: what the ledger has of it stays.
            return
        batch.states[uri] = state
        if was and was != sha256:
            self._touched.add(was)
        if sha256 is None:
            return
        if outcome.records:
            batch.added[sha256] = outcome.records
        elif sha256 in batch.added or sha256 in self._contents:
            self._touched.add(sha256)
        else:
            return
        if task.indexed:
            same = was == sha256 and not outcome.records
            self.unchanged += same
            self.updated += not same
        elif outcome.records:
            self.added += 1
        else:
            self.duplicates += 1
            batch.copies[uri] = sha256

    def _renamed(self, copies: dict[str, str]) -> list[str]:
        """Files that are gone while the same bytes turned up under another name."""
        if not (copies and self._gone):
            return []
        held = self._catalog.sources_of(self._collection, sorted(set(copies.values())))
        renamed: list[str] = []
        for sha256 in copies.values():
            old = next((uri for uri in held.get(sha256, ()) if uri in self._gone), None)
            if old is not None:
                del self._gone[old]
                renamed.append(old)
        self.duplicates -= len(renamed)
        self.updated += len(renamed)
        return renamed

    def touch(self, shas: Iterable[str]) -> None:
        """Contents that others wrote, and whose sources may have changed: ``finish`` settles them too."""
        self._touched |= set(shas)

    def finish(self, *, prune: bool) -> None:
        """Settle contents whose sources changed: images that none holds go, the store learns of the rest.

        Only now, when every file was looked at: bytes that left one file may have come up in another.
        ``prune`` forgets the sources that are gone first.
        """
        if prune:
            self._touched |= {state.sha256 for state in self._gone.values() if state.sha256}
            self._catalog.record(self._collection, states={}, added={}, gone=self._gone)
            self.removed += len(self._gone)
        touched = sorted(self._touched)
        orphans = self._catalog.orphans(self._collection, touched)
        # Never listed without being there, not even between these three.
        self._catalog.mark_lost(orphans)
        self._store.delete(orphans)
        self._catalog.forget_images(orphans)
        for record in self._catalog.records(self._collection, touched):
            self._store.set_copies(record)
        self._touched.clear()


def mend(collection: Collection, catalog: Catalog, store: VectorStore) -> None:
    """Make store and catalog agree after a crash, or when either was put back from a backup.

    Images that the catalog does not know leave the store. Those that the store lost are embedded again
    when their files are looked at; words that were read in them are kept.
    """
    _log.info("making store and catalog of %r agree: the last run was cut off", collection.name)
    ledger = set(catalog.embedded_ids(collection))
    vectors = set(store.ids())
    orphans = set(catalog.orphans(collection))
    catalog.mark_lost(sorted(orphans))
    store.delete(sorted((vectors - ledger) | orphans))
    catalog.forget_images(sorted(orphans))
    catalog.mark_lost(sorted(ledger - vectors - orphans))
    for part in _parts(sorted(catalog.contents(collection))):
        known = {record.id: record for record in catalog.records(collection, part)}
        for stored in store.get(list(known)):
            record = known[stored.id]
            if (stored.uri, stored.copies) != (record.uri, record.copies):
                store.set_copies(record)


def _parts(items: Sequence[str], size: int = 1000) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
