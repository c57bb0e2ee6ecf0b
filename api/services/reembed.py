"""``collections reembed``: another model for a collection, judged on its own searches, and the way back.

The new vectors are built beside those in use (``ingest.maintenance.reembed``); search goes on with the old
ones until all is there. Then one transaction changes over. The vectors replaced are kept until they are
dropped.
"""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from askpix.api.models.proofs import Role
from askpix.api.services.prove import check_works
from askpix.api.services.search import open_searcher
from askpix.api.workspace.region_index import embed_sheets_of
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, BadQueryError, NotFoundError
from askpix.core.log import tolerated
from askpix.core.types import SearchResult
from askpix.ingest.catalog.catalog import Collection
from askpix.ingest.maintenance.reembed import BuildReport, align, build
from askpix.ingest.pipeline.embed_images import OnProgress
from askpix.ingest.pipeline.report import Failure
from askpix.retrieval.query.parser import parse
from askpix.retrieval.search.retriever import Retriever

_log = logging.getLogger(__name__)
TOP = 10
_QUERIES = 50
_REPORT = "reembedding.json"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The collection's latest searches, with the old vectors and with the new.

    ``overlap`` is the mean share of the old first ``TOP`` hits that are among the new first ``TOP``;
    ``best_kept`` the share of searches whose old first hit is. None without a search to judge by. A better
    model changes both: they say how much people will notice, not whether it is good.
    """

    queries: int
    overlap: float | None
    best_kept: float | None


@dataclass(frozen=True, slots=True)
class ReembedReport:
    """Result of changing the model. ``changed_over`` is False when images were missing."""

    collection: str
    was: str
    embedder: str
    images: int
    expected: int
    embedded: int
    missing: tuple[Failure, ...]
    changed_over: bool
    comparison: Comparison
    seconds: float


def reembed(
    workspace: Workspace,
    name: str,
    embedder_id: str,
    *,
    without_missing: bool = False,
    unproven: bool = False,
    on_progress: OnProgress | None = None,
) -> ReembedReport:
    """Give the collection another model; a run that was stopped or killed goes on where it was.

    Images whose files are gone cannot be embedded again: then nothing is changed over, unless
    ``without_missing``. Raises ``AskpixError`` when it has that model already, or holds nothing, and when the
    model fails its proof, unless ``unproven``.
    """
    catalog = workspace.catalog
    collection = workspace.collection(name)
    embedder = workspace.embedder(embedder_id)
    text = workspace.text_embedder_of(collection)
    if workspace.settings.text_embedder != "auto":
        text = workspace.text_embedder_for(workspace.settings.text_embedder)
    if not unproven:
        otherwise = "add --unproven if it was trained for other images than photos"
        changes: list[tuple[Role, str, str]] = [
            ("embedder", embedder.model_id, collection.embedder),
            ("text embedder", text.model_id, collection.text_embedder),
        ]
        for role, model_id, now in changes:
            if model_id != now:
                check_works(workspace, model_id, role, now=now, otherwise=otherwise)
    with workspace.run_on(collection):
        collection = workspace.collection(name)  # as it is now that nobody else changes it
        if embedder.model_id == collection.embedder and text.model_id == collection.text_embedder:
            raise AskpixError(f"collection {name!r} has the embedder {embedder.model_id!r} already")
        new = catalog.generations.begin(
            collection,
            embedder=embedder.model_id,
            dim=embedder.dim,
            text_embedder=text.model_id,
            text_dim=text.dim,
        )
        _drop(workspace, [g for g in catalog.generations.others(collection, "building") if g != new])
        built = build(
            new,
            catalog=catalog,
            open_store=workspace.store_opener(new),
            embedder=embedder,
            text_embedder=text,
            limits=workspace.limits,
            on_progress=on_progress,
        )
        comparison = compare(workspace, collection, new)
        changed = built.complete or without_missing
        if changed:
            embed_sheets_of(workspace, new, on_progress)
            _change_over(workspace, collection, new, built)
    report = ReembedReport(
        collection=collection.name,
        was=collection.embedder,
        embedder=new.embedder,
        images=built.images,
        expected=built.expected,
        embedded=built.embedded,
        missing=built.missing,
        changed_over=changed,
        comparison=comparison,
        seconds=built.seconds,
    )
    with tolerated(
        _log, "the report is not kept", OSError
    ):  # it is told on the terminal too; a full disk spoils no change that is done
        (workspace.folder(collection) / _REPORT).write_text(json.dumps(asdict(report), default=str), "utf-8")
    return report


def kept_report(workspace: Workspace, collection: Collection) -> dict[str, Any] | None:
    """The last report of ``reembed`` as JSON has it; None when there is none that can be read."""
    with suppress(OSError, ValueError):
        found = json.loads((workspace.folder(collection) / _REPORT).read_text("utf-8"))
        return found if isinstance(found, dict) else None
    return None


def roll_back(workspace: Workspace, name: str) -> tuple[Collection, int]:
    """Take the vectors that were replaced last into use again.

    Returns the collection as it is then, and how many images (or their words) came since and are left to
    the next `askpix index`. Raises ``NotFoundError`` when there are none.
    """
    catalog = workspace.catalog
    collection = workspace.collection(name)
    with workspace.run_on(collection):
        collection = workspace.collection(name)
        kept = catalog.generations.others(collection, "replaced")
        if not kept:
            raise NotFoundError(f"collection {name!r} has no earlier vectors to go back to")
        catalog.begin_run(collection)  # a kill from here on is mended by the next indexing run
        with workspace.open_store(kept[0]) as store:
            left = align(kept[0], catalog=catalog, store=store)
        catalog.generations.change_over(collection, kept[0])
        catalog.end_run(kept[0])
    return kept[0], left


def drop_replaced(workspace: Workspace, name: str) -> int:
    """Remove vectors that are not in use: replaced ones, and those of a change that was given up."""
    catalog = workspace.catalog
    collection = workspace.collection(name)
    with workspace.run_on(collection):
        idle = [
            *catalog.generations.others(collection, "replaced"),
            *catalog.generations.others(collection, "building"),
        ]
        _drop(workspace, idle)
    return len(idle)


def compare(workspace: Workspace, old: Collection, new: Collection) -> Comparison:
    """The latest searches on both."""
    queries = workspace.recent(old).latest(_QUERIES)
    if not queries:
        return Comparison(0, None, None)
    with open_searcher(workspace, old) as before, open_searcher(workspace, new) as after:
        pairs = [(_ids(before.retriever, text), _ids(after.retriever, text)) for text in queries]
    pairs = [(first, second) for first, second in pairs if first]
    if not pairs:
        return Comparison(0, None, None)
    return Comparison(
        queries=len(pairs),
        overlap=sum(len({*a} & {*b}) / len(a) for a, b in pairs) / len(pairs),
        best_kept=sum(a[0] in b for a, b in pairs) / len(pairs),
    )


def _ids(retriever: Retriever, text: str) -> Sequence[str]:
    try:
        result: SearchResult = retriever.retrieve(parse(text), top_k=TOP, show_all=True)
    except BadQueryError:  # one that asked for nothing without its image
        return ()
    return [hit.record.id for hit in result.hits]


def _change_over(workspace: Workspace, old: Collection, new: Collection, built: BuildReport) -> None:
    catalog = workspace.catalog
    earlier = catalog.generations.others(old, "replaced")
    catalog.begin_run(old)  # a kill from here on is mended by the next indexing run
    catalog.generations.change_over(old, new)
    catalog.mark_lost(built.missing_ids)
    catalog.end_run(new)
    _drop(workspace, earlier)  # one to go back to is enough


def _drop(workspace: Workspace, idle: Sequence[Collection]) -> None:
    for generation in idle:
        workspace.drop_vectors(generation)
        workspace.catalog.generations.forget(generation)
