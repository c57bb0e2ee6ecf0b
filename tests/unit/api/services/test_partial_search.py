"""A part of a search that cannot answer is named, and what the others find is shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from askpix.api.schemas.results import answer_result, search_result, to_json
from askpix.api.services.ask import ask_collection
from askpix.api.services.index import run_index
from askpix.api.services.search import open_searcher, search
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import StoreUnavailableError
from askpix.core.types import Answer
from askpix.ingest.catalog.models import Collection
from askpix.retrieval.qdrant import connection
from tests.support.fakes import grain
from tests.support.late_interaction import PatchEmbedder
from tests.support.qdrant import FakeQdrant, Request, answer_all, fake_qdrant
from tests.support.workspaces import Fakes

MISSING = "so hits may be missing: Qdrant at 'http://127.0.0.1:"


@dataclass
class World:
    qdrant: FakeQdrant
    workspace: Workspace
    collection: Collection

    def fail(self, *parts: str, at: str = "") -> None:
        """Refuse what asks the ``using`` vectors, or the physical collection, of these parts, where the path
        ends with ``at``; without it pages and regions cannot even be opened."""

        def fault(request: Request) -> tuple[int, str] | None:
            if not request.path.startswith("/collections/") or not request.path.endswith(at):
                return None
            said = [str((request.body or {}).get("using")), self.kind(request.path.split("/")[2])]
            return (500, "1 of 1 read operations failed") if set(said) & set(parts) else None

        self.qdrant.fault = fault

    def kind(self, physical: str) -> str:
        """Whether a physical collection holds pictures, pages or regions."""
        if not physical.startswith("askpix-pages-"):
            return "pictures"
        (made,) = self.qdrant.asked("PUT", f"/collections/{physical}")
        return "regions" if made.body["metadata"]["model"].startswith("sheets:") else "pages"

    def search(self, text: str = "red", **options: Any) -> Any:
        return to_json(search_result(search(self.workspace, self.collection, text, **options)))


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("partial")
    (photos := home / "photos").mkdir()
    for number, colour in enumerate(("green", "gray", "yellow", "purple", "orange", "black", "red")):
        grain(colour, (64, 48 + number)).save(photos / f"{colour}.png")
    sheet = Image.new("RGB", (620, 877), "white")
    for number, (colour, top) in enumerate((("red", 60), ("blue", 300), ("green", 580))):
        sheet.paste(grain(colour, (250, 200), number), (40 + 90 * number, top))
    sheet.save(photos / "album.png")
    with fake_qdrant() as qdrant:
        settings = Settings(
            home=home / "home", _env_file=None, embedder="narrow", store="qdrant", qdrant_url=qdrant.url
        )
        workspace = Fakes(settings)
        workspace.late_embedders["patches"] = PatchEmbedder()
        collection = workspace.open_or_create("default")
        workspace.catalog.set_page_embedder(collection, "patches", 5)
        collection = workspace.collection("default")
        run_index(workspace, collection, [photos], ocr="off", prune=False)
        yield World(qdrant, workspace, workspace.collection("default"))
        workspace.catalog.close()


@pytest.fixture
def world(indexed: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(connection, "_FIRST_WAIT_S", 0.001)
    yield indexed
    indexed.qdrant.fault = answer_all


def names(found: Any) -> list[str]:
    return [Path(hit["uri"]).stem for hit in found["hits"]]


def test_where_all_answer_nothing_is_said(world: World) -> None:
    found = world.search(show_all=True)
    assert found["query"]["notes"] == []
    assert set(names(found)[:2]) == {"red", "album"}


@pytest.mark.parametrize(
    ("part", "at", "note"),
    [
        ("pages", "", "pages were not searched"),
        ("pages", "/query", "pages were not searched"),
        ("regions", "", "regions of pages were not searched"),
        ("regions", "/query", "regions of pages were not searched"),
        ("regions", "/points", "regions of pages were not searched"),
        ("text", "", "texts by meaning were not searched"),
        ("words", "", "words in texts were not searched"),
    ],
)
def test_what_fails_is_named_and_the_rest_is_shown(world: World, part: str, at: str, note: str) -> None:
    world.fail(part, at=at)
    found = world.search(show_all=True)
    assert len(found["hits"]) == 8 and "red" in names(found)[:2]
    (said,) = found["query"]["notes"]
    assert said.startswith(f"{note}, {MISSING}") and said.endswith("1 of 1 read operations failed")
    world.qdrant.fault = answer_all
    assert world.search(show_all=True)["query"]["notes"] == [], "it is asked again the next time"


def test_all_but_the_images_may_fail(world: World) -> None:
    world.fail("pages", "regions", "text", "words")
    found = world.search(show_all=True)
    assert len(found["query"]["notes"]) == 4 and names(found)[0] == "red"
    missed = world.search("no such thing")
    assert not missed["matched"] and "pages were not searched" in missed["reason"]


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        (("image",), {}),
        (("image",), {"mode": "image"}),
        (("text", "words"), {"mode": "text"}),
        (("pictures", "pages", "regions"), {}),
    ],
)
def test_where_the_images_or_all_fail_it_is_an_error(
    world: World, parts: tuple[str, ...], options: dict[str, Any]
) -> None:
    world.fail(*parts)
    with pytest.raises(StoreUnavailableError, match=r"refused \(500\)"):
        world.search(**options)


def test_words_alone_do_where_meaning_fails(world: World) -> None:
    world.fail("text")
    assert len(world.search(mode="text")["query"]["notes"]) == 1


def test_a_reranker_whose_pages_fail_leaves_the_order(world: World) -> None:
    plain = world.search(show_all=True)
    world.fail("pages")
    found = world.search(show_all=True, rerank="pages")
    assert any("were not put in the order of late interaction" in note for note in found["query"]["notes"])
    assert sorted(names(found)) == sorted(names(plain))


def test_an_answer_says_what_was_not_searched(world: World) -> None:
    world.fail("regions")
    asked = ask_collection(world.workspace, world.collection, "what is red?", top_k=3, generator="extractive")
    (answer,) = [each for each in asked if isinstance(each, Answer)]
    assert to_json(answer_result(answer))["notes"][0].startswith("regions of pages were not searched")


def test_a_measurement_is_never_of_a_part(world: World) -> None:
    """Evaluations run the retriever itself: a figure without its pages would be a wrong one."""
    world.fail("pages")
    with (
        pytest.raises(StoreUnavailableError),
        open_searcher(world.workspace, world.collection) as searcher,
    ):
        searcher.run(searcher.read("red"))
