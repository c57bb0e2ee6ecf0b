"""A store that an installed package adds is indexed into, searched, and told from one that is not there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from askpix.api.settings import Settings
from askpix.api.workspace.page_index import open_pages
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.retrieval.qdrant.edge_pages import QdrantEdgePages
from askpix.retrieval.stores.kinds import STORES
from tests.support.fakes import record
from tests.support.home_results import PICTURES, command
from tests.support.toy_store import ToyStore

ENTRY_POINTS = """
[askpix.stores]
toy = tests.support.toy_store:ToyKind
a-name-that-is-too-long = tests.support.toy_store:ToyKind
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, installed: as far as Python knows, a folder with these two files."""
    info = tmp_path / "site" / "toy_store-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(info.parent)
    STORES.__dict__.pop("_plugins", None)
    yield
    STORES.__dict__.pop("_plugins", None)


def workspace(home: Path, **settings: object) -> Workspace:
    return Workspace(Settings(home=home, _env_file=None, **settings))  # type: ignore[arg-type]


def make(there: Workspace, store: str) -> None:
    there.catalog.create_collection(
        "x", embedder="colour", dim=8, text_embedder="bag", text_dim=4, store=store
    )


def test_a_home_is_indexed_and_searched_with_it(plugin: None, tmp_path: Path) -> None:
    home = tmp_path / "home"
    pictures = [str(PICTURES / name) for name in ("photos/cat.jpg", "receipts/hotel-alpenblick.jpg")]
    done = command(home, "index", *pictures, "--ocr", "on", store="toy")
    assert (done["added"], done["failed"]) == (2, [])
    assert [path.name for path in home.glob("collections/*/vectors/*")] == ["toy.pickle"]
    found = command(home, "search", "a cat")
    assert found["matched"] and found["hits"][0]["uri"].endswith("cat.jpg")
    assert command(home, "search", '"Alpenblick"')["hits"][0]["uri"].endswith("hotel-alpenblick.jpg")
    assert command(home, "collections", "show", "default")["store"] == "toy"
    command(home, "collections", "delete", "default", "--yes")
    assert not list(home.glob("collections/*/vectors"))


def test_pages_of_one_that_keeps_none_are_in_the_default_store(plugin: None, tmp_path: Path) -> None:
    there = workspace(tmp_path / "home", store="toy")
    make(there, "toy")
    there.catalog.set_page_embedder(there.collection("x"), "transformers:late", 4)
    with there.open_store(there.collection("x")) as store:
        assert isinstance(store, ToyStore)
    with open_pages(there, there.collection("x")) as pages:
        assert isinstance(pages, QdrantEdgePages)
        pages.set_pages([record(1).id], [np.eye(4, dtype=np.float16)])
        assert pages.count() == 1


def test_one_that_is_not_installed_is_one_line_with_those_that_are(plugin: None, tmp_path: Path) -> None:
    for name, reason in (
        ("nothing", "is not an installed store; there are: edge, qdrant, faiss, .*toy"),
        ("a-name-that-is-too-long", "has more than 16 characters"),
    ):
        there = workspace(tmp_path / "home", store=name)
        with pytest.raises(AskpixError, match=f"ASKPIX_STORE='{name}' {reason}"):
            there.create_collection("x")
    make(there, "gone")
    with (
        pytest.raises(AskpixError, match=r"'x' is kept in a 'gone' store.*edge, qdrant, faiss, .*toy"),
        there.open_store(there.collection("x")),
    ):
        pass
