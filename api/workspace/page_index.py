"""Open multi-vector page indexes: from a collection to its page embedder, store and sub-query.

Page embedder ids: ``transformers:DIR_OR_REPO``, and ``none``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askpix.api.workspace.stores import page_kind_of, page_spec
from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.embedders.base import same_model

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.models import Collection
    from askpix.ingest.pipeline.embed_images import OnProgress
    from askpix.ingest.pipeline.report import PagesReport
    from askpix.retrieval.late_interaction.base import LateEmbedder
    from askpix.retrieval.late_interaction.page_search import PageSubQuery
    from askpix.retrieval.stores.kinds import PageSpec
    from askpix.retrieval.stores.pages import PageStore

_SCHEME = "transformers:"


def late_embedder(workspace: Workspace, embedder_id: str) -> LateEmbedder:
    """The page embedder with this id, loaded once."""
    embedder_id = workspace.id_of(embedder_id, "page embedder")
    with workspace.loading:
        if embedder_id not in workspace.late_embedders:
            from askpix.retrieval.late_interaction.colpali import ColPaliEmbedder

            workspace.late_embedders[embedder_id] = ColPaliEmbedder.load(reference(embedder_id))
    return workspace.late_embedders[embedder_id]


def reference(model_id: str) -> str:
    """Return the reference after ``transformers:``. A directory becomes absolute, so that it is found from
    anywhere.
    """
    if not model_id.startswith(_SCHEME) or model_id == _SCHEME:
        raise ModelUnavailableError(
            f"no page embedder {model_id!r}; write transformers:DIR_OR_REPO with a ColPali, ColQwen2 or "
            "ColModernVBert, or none"
        )
    name = model_id.removeprefix(_SCHEME)
    folder = Path(name).expanduser()
    return str(folder.absolute()) if folder.is_dir() else name


def choose_page_embedder(workspace: Workspace, collection: Collection, embedder_id: str) -> Collection:
    """The collection with this page embedder from now on; matrices of another one are removed."""
    if embedder_id == "none":
        wanted = None
        dim = None
    else:
        embedder_id = workspace.id_of(embedder_id, "page embedder")
        wanted = f"{_SCHEME}{reference(embedder_id)}"
        dim = collection.page_dim
        has = collection.page_embedder
        if has is not None and dim is not None and same_model(wanted, has):
            wanted = has
        else:
            made = late_embedder(workspace, wanted)
            wanted = made.model_id
            dim = made.dim  # pinned to its commit, or to what its files are now
            workspace.late_embedders[wanted] = made
    if wanted != collection.page_embedder:
        drop_pages(workspace, collection)
        workspace.catalog.set_page_embedder(collection, wanted, dim)
    return replace(collection, page_embedder=wanted, page_dim=dim)


@contextmanager
def open_pages(workspace: Workspace, collection: Collection) -> Iterator[Any]:
    """The page store of a collection that has a page embedder: where its vectors are, else in its folder."""

    def open_it() -> PageStore:
        return page_kind_of(workspace.settings, collection).open_pages(_spec(workspace, collection))

    with workspace.shared((collection.id, "pages"), open_it) as pages:
        yield pages


def pages_opener(workspace: Workspace, collection: Collection) -> Callable[[], Any] | None:
    """``open_pages`` bound to a collection; None where there is no page embedder."""
    return None if collection.page_embedder is None else lambda: open_pages(workspace, collection)


def drop_pages(workspace: Workspace, collection: Collection) -> None:
    """Remove the matrices of a collection's page embedder, wherever they are."""
    workspace.let_go(collection, "pages")
    if collection.page_embedder is not None:
        page_kind_of(workspace.settings, collection).drop_pages(_spec(workspace, collection))


@contextmanager
def open_page_sub_query(workspace: Workspace, collection: Collection) -> Iterator[PageSubQuery]:
    """The sub-query for pages of a collection with a page embedder, held until the end of the ``with``."""
    assert collection.page_embedder is not None
    from askpix.retrieval.late_interaction.optional_pages import open_for_search
    from askpix.retrieval.late_interaction.page_search import PageSubQuery

    embedder = late_embedder(workspace, collection.page_embedder)
    with open_for_search(lambda: open_pages(workspace, collection)) as pages:
        yield PageSubQuery(embedder, pages)


def embed_pages_of(workspace: Workspace, collection: Collection, progress: OnProgress) -> PagesReport:
    """Stage three of indexing; does nothing where there is no page embedder."""
    from askpix.ingest.pipeline.page_stage import embed_pages
    from askpix.ingest.pipeline.report import PagesReport

    model = collection.page_embedder
    if model is None:
        return PagesReport()
    return embed_pages(
        collection=collection,
        catalog=workspace.catalog,
        open_pages=lambda: open_pages(workspace, collection),
        load=lambda: late_embedder(workspace, model),
        limits=workspace.limits,
        on_progress=progress,
    )


def _spec(workspace: Workspace, collection: Collection) -> PageSpec:
    assert collection.page_embedder is not None and collection.page_dim is not None
    folder = workspace.folder(collection) / "pages"
    return page_spec(workspace.settings, collection, folder, collection.page_embedder, collection.page_dim)
