"""``askpix collections export`` and ``import``: a collection as one file, between stores and machines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from askpix.api.workspace.page_index import pages_opener
from askpix.api.workspace.region_index import let_sheets_go, open_sheets, sheets_opener
from askpix.api.workspace.stores import check_store
from askpix.core.errors import AskpixError
from askpix.ingest.maintenance.archive_reader import ArchiveReader
from askpix.ingest.maintenance.export import export_collection
from askpix.ingest.maintenance.import_ import import_parts, rename
from askpix.ingest.pipeline.report import TransferReport

if TYPE_CHECKING:
    from pathlib import Path

    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.models import Collection
    from askpix.ingest.pipeline.report import OnTransfer

_UNFINISHED = ".importing"
"""Suffix of a collection's name until all of it is there."""


def export_to(
    workspace: Workspace, name: str, path: Path, *, on_progress: OnTransfer | None = None
) -> TransferReport:
    """Write the collection ``name`` to ``path``; nobody may be indexing into it meanwhile."""
    collection = workspace.collection(name)
    if path.is_dir():
        raise AskpixError(f"{str(path)!r} is a folder; name a file")
    with workspace.run_on(collection):
        return export_collection(
            collection,
            path,
            engine=workspace.catalog.engine,
            catalog=workspace.catalog,
            open_store=workspace.store_opener(collection),
            open_pages=pages_opener(workspace, collection),
            open_sheets=sheets_opener(workspace, collection),
            on_progress=on_progress,
        )


def import_from(
    workspace: Workspace, path: Path, name: str | None = None, *, on_progress: OnTransfer | None = None
) -> TransferReport:
    """A new collection from the file, in the store of the settings; whole, or not there at all."""
    if not path.is_file():
        raise AskpixError(f"no file {str(path)!r}")
    reader = ArchiveReader(path)
    try:
        wanted = name or reader.manifest.name
        if workspace.catalog.get_collection(wanted) is not None:
            raise AskpixError(f"there is a collection {wanted!r} already; give another name after the file")
        draft = _draft(workspace, reader, wanted)
        try:
            with workspace.run_on(draft):
                report = import_parts(
                    reader,
                    draft,
                    engine=workspace.catalog.engine,
                    open_store=workspace.store_opener(draft),
                    open_pages=pages_opener(workspace, draft),
                    open_sheets=lambda: open_sheets(workspace, draft),
                    on_progress=on_progress,
                )
            workspace.let_go(draft, "pages")
            let_sheets_go(workspace, draft)
            workspace.let_go(draft, str(draft.generation))  # a server may hold it under its draft's name
            _finish(workspace, draft, wanted)
        except BaseException:
            workspace.delete_collection(draft.name)
            raise
        return TransferReport(wanted, report.pictures, report.sources, report.missing)
    finally:
        reader.close()


def _finish(workspace: Workspace, draft: Collection, wanted: str) -> None:
    """The folder first: after a kill in between it is still the draft that the next try removes."""
    old = workspace.folder(draft)
    new = workspace.folder(replace(draft, name=wanted))
    old.rename(new)
    try:
        rename(workspace.catalog.engine, draft, wanted)
    except BaseException:
        new.rename(old)
        raise


def _draft(workspace: Workspace, reader: ArchiveReader, wanted: str) -> Collection:
    """The collection under a name that says that it is not whole; what a kill left of an earlier try goes."""
    check_store(workspace.settings)
    name = wanted[: 63 - len(_UNFINISHED)] + _UNFINISHED
    if workspace.catalog.get_collection(name) is not None:
        workspace.delete_collection(name)
    manifest = reader.manifest
    made = workspace.catalog.create_collection(
        name,
        embedder=manifest.embedder,
        dim=manifest.dim,
        text_embedder=manifest.text_embedder,
        text_dim=manifest.text_dim,
        store=workspace.settings.store,
    )
    if manifest.page_embedder is None or manifest.page_dim is None:
        return made
    workspace.catalog.set_page_embedder(made, manifest.page_embedder, manifest.page_dim)
    return replace(made, page_embedder=manifest.page_embedder, page_dim=manifest.page_dim)
