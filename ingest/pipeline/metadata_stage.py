"""The stage between images and their words: what is written about each, in its file and beside it.

    sources not described -> [ header, XMP, IPTC, name, files beside ] -> one ``About`` a content -> written

Only headers are read. Where nothing is said that the first stage did not see, the store is not touched; where
something is, the image is written again with the vectors it has: nothing is embedded twice.
"""

import io
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from askpix.core.errors import BadImageError
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.notes import Undescribed
from askpix.ingest.metadata.exif import parse_date
from askpix.ingest.metadata.merge import combine, look_into, read_bytes_inside, read_film
from askpix.ingest.metadata.model import About
from askpix.ingest.pipeline.report import Progress
from askpix.ingest.pipeline.text_sync import hand_over_notes
from askpix.ingest.sources.remote import Remote, name_of, remote_uri
from askpix.ingest.sources.zip_files import is_inside, look_inside, read_sidecar
from askpix.retrieval.embedders.base import TextEmbedder
from askpix.retrieval.stores.base import OpenStore, VectorStore

_AT_ONCE = 200
"""Contents in one go."""
_THREADS = 4
"""Waiting for disks and networks; what they read is parsed one at a time anyway."""

Look = Callable[[Undescribed], About | None]


def describe(
    *,
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    text_embedder: Callable[[], TextEmbedder],
    look: Look | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Describe every content that has a source which was not looked into; returns how many images changed.

    A source that is gone, away or changed meanwhile is left for the next run. ``look`` reads one source (for
    sources that are no files). Killed at any moment, the next run goes on. Hold ``collection_run`` around it.
    Raises ``StoreUnavailableError``.
    """
    began = clock()
    changed = 0
    done = 0
    shas = catalog.notes.undescribed(collection)
    with ExitStack() as stack, ThreadPoolExecutor(_THREADS, thread_name_prefix="describing") as pool:
        # A large store takes seconds to open: once, and only when something is to be written.
        held: list[VectorStore] = []

        def opened() -> VectorStore:
            if not held:
                held.append(stack.enter_context(open_store()))
            return held[0]

        for start in range(0, len(shas), _AT_ONCE):
            part = shas[start : start + _AT_ONCE]
            records = catalog.records_by_content(collection, part)
            of = catalog.notes.sources_of(collection, part)
            every = [source for sources in of.values() for source in sources]
            told = dict(zip(every, pool.map(look or look_at_file, every), strict=True))
            found: dict[str, About] = {}
            looked: list[Undescribed] = []
            for sha256, sources in of.items():
                abouts = [about for each in sources if (about := told[each]) is not None]
                # A copy that cannot be asked now may be the one that knows.
                if len(abouts) == len(sources):
                    looked += sources
                    found |= {record.id: united(abouts) for record in records.get(sha256, ())}
            flat = {record.id: record for group in records.values() for record in group}
            changed += _enter(collection, catalog, opened, found, flat, looked)
            done += len(part)
            if on_progress:
                rate = done / max(1e-6, clock() - began)
                on_progress(Progress("describing", done, len(shas), rate, 0))
    hand_over_notes(collection, catalog, open_store, text_embedder, rewritten=changed > 0)
    return changed


def look_at_file(source: Undescribed) -> About | None:
    """Return the metadata of a file; None when it differs from the ledger.

    Of an object in a bucket its first part is fetched, nothing beside it; of a URL only the name counts.
    """
    if is_inside(source.uri):
        return look_inside(source.uri, source.size, source.mtime_ns, source.beside)
    if remote_uri(source.uri):
        if source.uri.startswith("http"):
            return combine(name_of(source.uri), [], None, lambda name, limit: None)
        try:
            data = Remote().head(source.uri, source.size)
        except BadImageError:
            return None
        inside = read_bytes_inside(data)
        film = None if inside else read_film(io.BytesIO(data), source.size)
        return combine(name_of(source.uri), inside, None, lambda name, limit: None, film)
    try:
        status = os.stat(source.uri)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    if (status.st_size, status.st_mtime_ns) != (source.size, source.mtime_ns):
        return None
    return look_into(Path(source.uri), source.beside, read_sidecar)


def united(abouts: Sequence[About]) -> About:
    """Unite the metadata of files with the same bytes: they differ only in name, folder and sidecars."""
    if len(abouts) == 1:
        return abouts[0]
    # One that a person's program wrote about counts for more than one with a bare name.
    ranked = sorted(
        abouts, key=lambda about: (about.taken_from in (None, "name"), about.taken_as is not None)
    )
    first = ranked[0]
    filled = {
        name: next((v for each in ranked if (v := getattr(each, name)) is not None), None)
        for name in ("camera", "title", "description", "creator", "rating", "place")
    }
    placed = next((each for each in ranked if each.lat is not None), first)
    return replace(
        first,
        lat=placed.lat,
        lon=placed.lon,
        notes=tuple(dict.fromkeys(text for each in ranked for text in each.notes)),
        keywords=tuple(dict.fromkeys(word for each in ranked for word in each.keywords)),
        people=tuple(dict.fromkeys(name for each in ranked for name in each.people)),
        albums=tuple(dict.fromkeys(name for each in ranked for name in each.albums)),
        **filled,
    )


def _enter(  # noqa: PLR0917
    collection: Collection,
    catalog: Catalog,
    opened: Callable[[], VectorStore],
    found: dict[str, About],
    records: dict[str, ImageRecord],
    looked: Sequence[Undescribed],
) -> int:
    """First the store, then the catalog."""
    before = catalog.notes.abouts(list(found))
    found = {i: _fitting(records[i], about, before.get(i, About())) for i, about in found.items()}
    facts = {i: _facts(records[i], about, before.get(i, About())) for i, about in found.items()}
    rewritten = [
        record
        for i, about in found.items()
        if (record := _told(records[i], facts[i], before.get(i, About()), about)) != records[i]
    ]
    if rewritten:
        ids = [record.id for record in rewritten]
        catalog.texts.mark_read(ids)
        catalog.notes.mark_unstored(ids)
        _rewrite(opened(), rewritten)
    catalog.notes.describe(collection, found, facts, looked)
    return len(rewritten)


def _fitting(record: ImageRecord, about: About, before: About) -> About:
    """Return the part of a file's metadata that holds for this image in it."""
    frame = record.kind == "frame"
    # When a page was scanned would hide the dates that are written on it; a film with a date knows better.
    if about.taken_from == "name" and (
        record.kind == "page" or (frame and record.taken_at and not before.taken_at)
    ):
        return replace(about, taken_at=None, taken_from=None)
    if frame and about.taken_at and record.time_s:
        return replace(about, taken_at=about.taken_at + timedelta(seconds=round(record.time_s)))
    return about


def _facts(record: ImageRecord, about: About, before: About) -> dict[str, object]:
    """The columns of an image. What neither the file nor anything beside it says any more is taken back."""
    again = about if about.taken_at or before.taken_at or not _can_be(record.taken_at) else None
    placed = about if about.lat is not None or before.lat is not None else None
    return {
        "taken_at": again.taken_at if again else record.taken_at,
        "camera": about.camera or record.camera,
        "lat": placed.lat if placed else record.lat,
        "lon": placed.lon if placed else record.lon,
    }


def _can_be(taken_at: datetime | None) -> bool:
    """False for a date that an older version took for one."""
    return taken_at is None or parse_date(taken_at.isoformat()) is not None


def _told(record: ImageRecord, facts: dict[str, object], before: About, about: About) -> ImageRecord:
    gone = set(before.tags) - set(about.tags)
    tags = dict.fromkeys((*(tag for tag in record.tags if tag not in gone), *about.tags))
    return replace(record, **facts, tags=tuple(tags))  # type: ignore[arg-type]


def _rewrite(store: VectorStore, records: Sequence[ImageRecord]) -> None:
    """Rewrite records with the vectors that they have; their text is synced again afterwards."""
    held = {record.id: record for record in store.get([record.id for record in records])}
    told = [
        replace(held[r.id], taken_at=r.taken_at, camera=r.camera, lat=r.lat, lon=r.lon, tags=r.tags, text="")
        for r in records
        if r.id in held
    ]
    if told:
        store.upsert(told, store.image_vectors([record.id for record in told]))
