"""``collections adapt``: learn from the captions that images carry and from what people took for what they
looked for; prove it, keep it, take it back."""

from collections.abc import Collection as Collection_
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, NotFoundError
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.catalog import Collection
from askpix.ingest.metadata.captions import file_captions, listed_captions, without_stamps
from askpix.ingest.pipeline.embed_images import OnProgress
from askpix.ingest.pipeline.report import Progress
from askpix.retrieval.embedders.adaptation import LEAST, MOST, Fit, Recall, fit_map
from askpix.retrieval.stores.adapted import adaptation_of

_OTHERS = 2_000
"""Images without captions that the captions' own have to be told from, when there are as many."""


@dataclass(frozen=True, slots=True)
class AdaptReport:
    """Result of learning. ``kept``: it won, and searches use it from now on."""

    collection: str
    embedder: str
    pictures: int
    captions: int
    """Captions and queries; ``clicks`` of them are queries that found what they looked for."""
    clicks: int
    gallery: int
    """Images among which each caption had to find its own, none of which the map had seen."""
    before: Recall
    after: Recall
    gain: float
    """Gain of the mean reciprocal rank."""
    error: float
    weight: float
    kept: bool


def adapt(
    workspace: Workspace,
    name: str,
    *,
    listing: Path | None = None,
    clicks: bool = True,
    on_progress: OnProgress | None = None,
) -> AdaptReport:
    """Fit the map of ``retrieval.embedders.adaptation`` on captions from ``listing``, else from and beside
    the files, and on the good hits of the collection's people (``clicks``).

    It is kept only when it finds more in cross-validation than chance explains; else what was there stays.
    Raises ``AskpixError`` when there are too few captions, ``NotFoundError`` for a listing that is not there.
    """
    collection = workspace.collection(name)
    records = [
        record
        for part in _parts(sorted(workspace.catalog.contents(collection)))
        for record in workspace.catalog.records(collection, part)
    ]
    told = _listed(records, listing) if listing else _written(records, on_progress)
    pairs = workspace.good_hits(collection).pairs() if clicks else []
    told, clicked = _joined(told, pairs, known={record.id for record in records})
    if len(told) < LEAST:
        where = f"in {str(listing)!r}" if listing else "in or beside the files (EXIF, XMP, IPTC, .txt, .json)"
        raise AskpixError(
            f"{len(told)} of {len(records)} images of {name!r} have a caption {where} or are the good "
            f"hit of a search: it takes {LEAST}, and 200 or more pay; --captions FILE names a list"
        )
    fit = _fit(workspace, collection, records, told)
    if fit.wins:
        made = adaptation_of(fit, embedder=collection.embedder, text_embedder=collection.text_embedder)
        made.save(workspace.adaptation_file(collection))
    return AdaptReport(
        collection=collection.name,
        embedder=collection.embedder,
        pictures=fit.pictures,
        captions=fit.captions,
        clicks=clicked,
        gallery=fit.gallery,
        before=fit.before,
        after=fit.after,
        gain=round(fit.gain, 4),
        error=round(fit.error, 4),
        weight=fit.weight,
        kept=fit.wins,
    )


def undo(workspace: Workspace, name: str) -> Collection:
    """Search as before ``adapt``. Raises ``NotFoundError`` when there is nothing to take back."""
    collection = workspace.collection(name)
    try:
        workspace.adaptation_file(collection).unlink()
    except FileNotFoundError as error:
        raise NotFoundError(f"collection {name!r} has learned nothing that could be taken back") from error
    except OSError as error:
        raise AskpixError(f"cannot take it back: {error.strerror or error}") from error
    return collection


def _fit(
    workspace: Workspace,
    collection: Collection,
    records: Sequence[ImageRecord],
    told: Mapping[str, Sequence[str]],
) -> Fit:
    # Ids are hashes: the first of them are a fair sample.
    ids = sorted(told)[:MOST]
    others = sorted(record.id for record in records if record.id not in told)[:_OTHERS]
    with workspace.open_store(collection) as store:
        images = store.image_vectors(ids)
        rest = store.image_vectors(others)
    texts = [caption for point in ids for caption in told[point]]
    owners = [row for row, point in enumerate(ids) for _ in told[point]]
    return fit_map(
        images,
        workspace.text_embedder_of(collection).embed_texts(texts),
        owners,
        workspace.embedder(collection.embedder).embed_texts(texts),
        others=rest if len(rest) else np.zeros((0, images.shape[1]), np.float32),
    )


def _written(records: Sequence[ImageRecord], on_progress: OnProgress | None) -> dict[str, list[str]]:
    """Captions in and beside the files. Pages of a document are not what its title speaks of."""
    found: dict[str, list[str]] = {}
    for number, record in enumerate(records, start=1):
        if record.page is None and record.time_s is None:
            places = (record.uri, *record.copies)
            captions = dict.fromkeys(text for uri in places for text in file_captions(Path(uri)))
            if captions:
                found[record.id] = list(captions)
        if on_progress and number % 100 == 0:
            on_progress(Progress("reading captions", number, len(records), 0.0, 0))
    return without_stamps(found)


def _joined(
    told: Mapping[str, Sequence[str]], pairs: Sequence[tuple[str, str]], *, known: Collection_[str]
) -> tuple[dict[str, list[str]], int]:
    """Captions and queries by image, and how many queries were added; those of images that are gone are
    not."""
    found = {point: list(captions) for point, captions in told.items()}
    added = 0
    for query, point in pairs:
        if point in known and query not in found.setdefault(point, []):
            found[point].append(query)
            added += 1
    return {point: texts for point, texts in found.items() if texts}, added


def _listed(records: Sequence[ImageRecord], listing: Path) -> dict[str, list[str]]:
    """Captions of a list, by the whole path; else by the file's name where only one image has it."""
    listed = listed_captions(listing)
    by_name: dict[str, list[str]] = {}
    for path in listed:
        by_name.setdefault(Path(path).name.casefold(), []).append(path)
    held: dict[str, set[str]] = {}
    for record in records:
        for uri in (record.uri, *record.copies):
            held.setdefault(Path(uri).name.casefold(), set()).add(record.id)
    found: dict[str, list[str]] = {}
    for record in records:
        captions: dict[str, None] = {}
        for uri in (record.uri, *record.copies):
            name = Path(uri).name.casefold()
            alone = by_name.get(name, []) if len(held[name]) == 1 and len(by_name.get(name, ())) == 1 else []
            captions.update(dict.fromkeys(listed.get(uri) or [c for path in alone for c in listed[path]]))
        if captions and record.page is None:
            found[record.id] = list(captions)
    return without_stamps(found)


def _parts(items: Sequence[str], size: int = 1000) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
