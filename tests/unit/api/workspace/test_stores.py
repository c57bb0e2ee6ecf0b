"""A collection stays with the store that it was made in."""

from pathlib import Path

import numpy as np
import pytest

from askpix.api.settings import Settings
from askpix.api.workspace.page_index import drop_pages, open_pages
from askpix.api.workspace.stores import vector_spec
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, StoreUnavailableError
from askpix.retrieval.faiss.store import FaissStore
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
from askpix.retrieval.qdrant.kinds import physical_name
from tests.support.fakes import record


def workspace(home: Path, **settings: object) -> Workspace:
    return Workspace(Settings(home=home, _env_file=None, **settings))  # type: ignore[arg-type]


def make(there: Workspace, name: str) -> None:
    there.catalog.create_collection(
        name, embedder="colour", dim=8, text_embedder="bag", text_dim=4, store=there.settings.store
    )


def test_a_collection_opens_with_its_own_store_whatever_the_setting_says(tmp_path: Path) -> None:
    for store in ("faiss", "edge"):
        there = workspace(tmp_path, store=store)
        make(there, store)
        with there.open_store(there.collection(store)) as opened:
            opened.upsert([record(1)], np.eye(8, dtype=np.float32)[:1])
    later = workspace(tmp_path, store="qdrant")
    for store, kind in (("faiss", FaissStore), ("edge", QdrantEdgeStore)):
        with later.open_store(later.collection(store)) as opened:
            assert isinstance(opened, kind)
            assert opened.count() == 1
        folder = later.vectors_folder(later.collection(store))
        later.delete_collection(store)
        assert not folder.exists()


def test_a_server_that_is_not_named_or_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AskpixError, match="needs ASKPIX_QDRANT_URL"):
        workspace(tmp_path, store="qdrant").create_collection("x")
    with pytest.raises(StoreUnavailableError, match="cannot reach Qdrant"):
        workspace(tmp_path, store="qdrant", qdrant_url="http://127.0.0.1:9").create_collection("x")
    assert workspace(tmp_path).catalog.list_collections() == []
    make(workspace(tmp_path, store="qdrant"), "far")
    there = workspace(tmp_path)
    with (
        pytest.raises(AskpixError, match="kept on a Qdrant server; set ASKPIX_QDRANT_URL"),
        there.open_store(there.collection("far")),
    ):
        pass


def test_pages_are_where_the_vectors_are(tmp_path: Path) -> None:
    for store in ("faiss", "edge", "qdrant"):
        there = workspace(tmp_path, store=store)
        make(there, store)
        there.catalog.set_page_embedder(there.collection(store), "transformers:late", 4)
        made = there.collection(store)
        if store == "qdrant":
            with pytest.raises(AskpixError, match="set ASKPIX_QDRANT_URL"), open_pages(there, made):
                pass
            continue
        with open_pages(there, made) as pages:
            pages.set_pages([record(1).id], [np.eye(4, dtype=np.float16)])
            assert pages.count() == 1
        drop_pages(there, made)
        with open_pages(there, made) as pages:
            assert pages.count() == 0
        there.let_go(made, "pages")


def test_a_store_of_a_newer_version_is_said(tmp_path: Path) -> None:
    there = workspace(tmp_path)
    there.catalog.create_collection(
        "new", embedder="colour", dim=8, text_embedder="bag", text_dim=4, store="cloud"
    )
    with pytest.raises(AskpixError, match="'cloud' store: update"), there.open_store(there.collection("new")):
        pass


def test_collections_of_the_same_models_share_a_physical_one(tmp_path: Path) -> None:
    there = workspace(tmp_path, store="qdrant")
    for name in ("a", "b"):
        make(there, name)
    there.catalog.create_collection("c", embedder="other", dim=8, text_embedder="bag", text_dim=4)
    specs = (vector_spec(there.settings, there.collection(name), tmp_path) for name in "abc")
    a, b, c = map(physical_name, specs)
    assert a == b != c
