"""Open the index of images on sheets: their store, the stage that fills it, and the sub-query of search.

They are kept as pages of many vectors are (``api.workspace.page_index``), made with the collection's own
embedder and apart for each of its generations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askpix.api.workspace.stores import page_kind_of, page_spec
from askpix.core.errors import ModelUnavailableError
from askpix.core.log import tolerated

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.models import Collection
    from askpix.ingest.maintenance.verify_regions import SheetsProof
    from askpix.ingest.pipeline.embed_images import OnProgress
    from askpix.ingest.pipeline.report import SheetsReport
    from askpix.retrieval.late_interaction.region_search import SheetSubQuery
    from askpix.retrieval.stores.kinds import PageSpec
    from askpix.retrieval.stores.pages import PageStore

_log = logging.getLogger(__name__)


@contextmanager
def open_sheets(workspace: Workspace, collection: Collection) -> Iterator[Any]:
    """The store of sheets of this generation, made when missing."""

    def open_it() -> PageStore:
        spec = _spec(workspace, collection)
        spec.folder.mkdir(parents=True, exist_ok=True)  # says that there is something, if elsewhere
        return page_kind_of(workspace.settings, collection).open_pages(spec)

    with workspace.shared((collection.id, _which(collection)), open_it) as sheets:
        yield sheets


def sheets_opener(workspace: Workspace, collection: Collection) -> Callable[[], Any] | None:
    """``open_sheets`` bound to a collection; None where there never was a sheet."""
    return (lambda: open_sheets(workspace, collection)) if workspace.has_sheets(collection) else None


@contextmanager
def open_sheet_sub_query(workspace: Workspace, collection: Collection) -> Iterator[SheetSubQuery]:
    """The sub-query for images on sheets, held until the end of the ``with``."""
    from askpix.retrieval.late_interaction.optional_pages import open_for_search
    from askpix.retrieval.late_interaction.region_search import SheetSubQuery

    adapted = workspace.adaptation(collection)
    with open_for_search(lambda: open_sheets(workspace, collection)) as sheets:
        yield SheetSubQuery(
            sheets,
            workspace.catalog.sheets.boxes,
            dim=collection.dim,
            lift=adapted.join_images if adapted else None,
        )


def embed_sheets_of(
    workspace: Workspace, collection: Collection, progress: OnProgress | None = None
) -> SheetsReport:
    """The stage of indexing; does nothing where there never was a sheet."""
    from askpix.ingest.pipeline.region_stage import embed_sheets
    from askpix.ingest.pipeline.report import SheetsReport

    opener = sheets_opener(workspace, collection)
    if opener is None:
        return SheetsReport()
    return embed_sheets(
        collection=collection,
        catalog=workspace.catalog,
        open_pages=opener,
        load=lambda: workspace.embedder(collection.embedder),
        limits=workspace.limits,
        on_progress=progress,
    )


def prove_sheets_of(workspace: Workspace, collection: Collection) -> SheetsProof:
    """Return whether each sheet has its vectors."""
    from askpix.ingest.maintenance.verify_regions import SheetsProof, prove_sheets

    opener = sheets_opener(workspace, collection)
    if opener is None:
        return SheetsProof()
    with opener() as sheets:
        return prove_sheets(collection, catalog=workspace.catalog, store=sheets)


def mend_sheets_of(workspace: Workspace, collection: Collection) -> SheetsProof:
    """Return what was wrong, and repair what can be; the caller reserves the collection."""
    found = prove_sheets_of(workspace, collection)
    if not found.holds:
        with open_sheets(workspace, collection) as sheets:
            sheets.delete(found.spoiled)
        with tolerated(
            _log, "sheets are not looked at", ModelUnavailableError
        ):  # the next indexing run does it
            embed_sheets_of(workspace, collection)
    return found


def drop_sheets(workspace: Workspace, collection: Collection) -> None:
    """Remove what was embedded of this generation's sheets; no command may have it open."""
    let_sheets_go(workspace, collection)
    spec = _spec(workspace, collection)
    if spec.folder.exists():
        page_kind_of(workspace.settings, collection).drop_pages(spec)


def let_sheets_go(workspace: Workspace, collection: Collection) -> None:
    """Close their store where this process holds it."""
    workspace.let_go(collection, _which(collection))


def _spec(workspace: Workspace, collection: Collection) -> PageSpec:
    """Return the specification of the region store. Each generation's regions are apart: images have the same
    ids in all of them.
    """
    folder = _folder(workspace, collection)
    scope = f"sheets:{collection.generation}:"
    return page_spec(workspace.settings, collection, folder, collection.embedder, collection.dim, scope=scope)


def _which(collection: Collection) -> str:
    return f"sheets-{collection.generation}"


def _folder(workspace: Workspace, collection: Collection) -> Path:
    return workspace.folder(collection) / _which(collection)
