"""Stage three with a model whose patches are colours: from pictures to hits."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from askpix.core.db.engine import open_database
from askpix.core.errors import StoreUnavailableError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import Box, TextLine, Where
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.pages import MANY_LINES
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.pipeline.page_stage import embed_pages
from askpix.ingest.pipeline.report import PagesReport
from askpix.retrieval.late_interaction.page_search import PageSubQuery
from askpix.retrieval.qdrant.edge_pages import QdrantEdgePages
from askpix.retrieval.query.parser import parse
from askpix.retrieval.search.retriever import Retriever
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture
from tests.support.late_interaction import PatchEmbedder, half


class World:
    """An indexed folder of one-page and many-page files, and what stage three needs."""

    def __init__(self, home: Path) -> None:
        self.home, self.files = home, home / "files"
        self.files.mkdir(exist_ok=True)
        self.catalog = Catalog(open_database(home / "catalog.sqlite", METADATA, version=VERSION))
        self.store = MemoryStore(dim=5, text_dim=64)
        self.model = PatchEmbedder()
        self.busy = 0
        found = self.catalog.get_collection("default")
        self.collection = found or self.catalog.create_collection(
            "default", embedder="colour", dim=5, text_embedder="word-bag", text_dim=64
        )
        if found is None:
            self.catalog.set_page_embedder(self.collection, "patches", 5)

    def document(self, name: str, *colours: str) -> None:
        first, *others = [half(colour) for colour in colours]
        first.save(self.files / name, save_all=True, append_images=others)

    @contextmanager
    def open_store(self) -> Iterator[MemoryStore]:
        yield self.store

    @contextmanager
    def open_pages(self) -> Iterator[QdrantEdgePages]:
        if self.busy:
            self.busy -= 1
            raise StoreUnavailableError("in use by process 4711")
        with QdrantEdgePages.open(self.home / "pages", model_id="patches", dim=5) as pages:
            yield pages

    def index(self, *, prune: bool = False) -> None:
        index(
            [self.files],
            collection=self.collection,
            catalog=self.catalog,
            open_store=self.open_store,
            embedder=ColourEmbedder,
            limits=DEFAULT_LIMITS,
            prune=prune,
        )

    def embed(self) -> PagesReport:
        return embed_pages(
            collection=self.collection,
            catalog=self.catalog,
            open_pages=self.open_pages,
            load=lambda: self.model,
            limits=DEFAULT_LIMITS,
        )

    def ids(self) -> set[str]:
        with self.open_pages() as pages:
            return set(pages.ids())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_pages_are_embedded_once_and_photos_are_not(world: World) -> None:
    world.document("a.tiff", "red", "green", "blue")
    picture("red").save(world.files / "photo.png")
    world.index()
    report = world.embed()
    assert (report.embedded, report.failed, world.model.seen) == (3, (), 3)
    assert world.embed().embedded == 0
    assert world.model.seen == 3 and len(world.ids()) == 3


def test_a_photo_with_much_text_is_a_page(world: World) -> None:
    for colour in ("red", "green"):
        picture(colour).save(world.files / f"{colour}.png")
    world.index()
    few, many = sorted(world.catalog.embedded_ids(world.collection))
    line = TextLine("words", Box(0, 0, 9, 9))
    world.catalog.texts.save({few: [line] * (MANY_LINES - 1), many: [line] * MANY_LINES}, {}, engine="e")
    assert world.embed().embedded == 1
    assert world.ids() == {many}


def test_removed_pages_leave_the_store_and_new_ones_come(world: World) -> None:
    world.document("a.tiff", "red", "green")
    world.document("b.tiff", "blue", "black")
    world.index()
    world.embed()
    before = world.ids()
    (world.files / "a.tiff").unlink()
    world.document("c.tiff", "yellow", "white", "pink")
    world.index(prune=True)
    assert world.embed().embedded == 3
    after = world.ids()
    assert len(after) == 5 and len(after & before) == 2


def test_a_file_that_is_away_waits_and_one_that_changed_is_left(world: World) -> None:
    world.document("a.tiff", "red", "green")
    world.index()
    kept = (world.files / "a.tiff").rename(world.home / "away.tiff")
    report = world.embed()
    assert (report.embedded, report.failed) == (0, ())
    (world.files / "a.tiff").write_bytes(b"something else")
    assert world.embed().embedded == 0
    kept.rename(world.files / "a.tiff")
    assert world.embed().embedded == 2


def test_a_page_that_cannot_be_decoded_fails_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.document("a.tiff", "red", "green")
    world.index()
    from dataclasses import replace

    strict = replace(DEFAULT_LIMITS, max_pixels=100)
    report = embed_pages(
        collection=world.collection,
        catalog=world.catalog,
        open_pages=world.open_pages,
        load=lambda: world.model,
        limits=strict,
    )
    assert [failure.path[-13:] for failure in report.failed] == ["a.tiff#page=1", "a.tiff#page=2"]
    assert "over the limit" in report.failed[0].error
    again = world.embed()
    assert (again.embedded, again.failed) == (0, ())
    world.catalog.set_page_embedder(world.collection, "patches", 5)  # asked for anew: tried again
    assert world.embed().embedded == 2


def test_the_model_is_not_loaded_for_nothing(world: World) -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    picture("red").save(world.files / "photo.png")
    world.index()
    report = embed_pages(
        collection=world.collection,
        catalog=world.catalog,
        open_pages=world.open_pages,
        load=load,
        limits=DEFAULT_LIMITS,
    )
    assert report.embedded == 0


def test_a_store_in_use_is_asked_again_and_nothing_is_lost(world: World) -> None:
    world.document("a.tiff", *["red", "green"] * 40)
    world.index()
    calls = 0

    def soon_busy() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            world.busy = 1

    world.model.before = soon_busy
    assert world.embed().embedded == 80
    assert len(world.ids()) == 80 and world.model.seen == 80


def test_ctrl_c_keeps_what_was_embedded(world: World) -> None:
    world.document("a.tiff", *["red", "green"] * 10)
    world.index()

    def stop() -> None:
        if world.model.seen >= 6:
            raise KeyboardInterrupt

    world.model.before = stop
    with pytest.raises(KeyboardInterrupt):
        world.embed()
    assert len(world.ids()) == 6
    world.model.before = lambda: None
    assert world.embed().embedded == 14


def _run_and_tell(home: str) -> None:
    world = World(Path(home))

    def tell() -> None:
        with (world.home / "batches").open("a") as log:
            log.write("x")
        time.sleep(0.005)

    world.model.before = tell
    world.embed()


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(world: World) -> None:
    for number in range(8):
        # Sizes differ, so that no two pages are the same bytes.
        pages = [half(c).resize((80 + number, 80 + k)) for k, c in enumerate(["red", "green", "blue"] * 10)]
        pages[0].save(world.files / f"{number}.tiff", save_all=True, append_images=pages[1:])
    world.index()
    told = world.home / "batches"
    told.touch()
    sizes = [0]
    for _ in range(2):
        before = told.stat().st_size
        child = multiprocessing.get_context("spawn").Process(target=_run_and_tell, args=(str(world.home),))
        child.start()
        while told.stat().st_size < before + 25 and child.is_alive():  # 2 pages a batch, 32 a handing over
            child.join(0.005)
        assert child.pid is not None and child.is_alive()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        sizes.append(len(world.ids()))
    assert 32 <= sizes[1] <= sizes[2] - 32 and sizes[2] < 240, sizes
    report = world.embed()
    assert report.embedded == 240 - sizes[2] and report.failed == ()
    assert world.ids() == set(world.catalog.embedded_ids(world.collection))


def test_search_finds_the_page_by_its_patches(world: World) -> None:
    """A page with a red half among 59 others: mean colours mislead, patches do not."""
    world.document("all.tiff", *["lightgray"] * 29, "red", *["gray"] * 30)
    world.index()
    world.embed()
    with world.open_pages() as pages:
        sub_query = PageSubQuery(world.model, pages)
        retriever = Retriever(ColourEmbedder(), WordEmbedder(), world.store, page_sub_query=sub_query)
        result = retriever.retrieve(parse("red"), top_k=60, show_all=True)
        best = result.hits[0]
        assert best.record.page == 30 and best.why.page is not None and best.why.page > 0.9
        assert result.matched
        filtered = retriever.retrieve(parse("red", Where(path="no/such/*")), show_all=True)
        assert filtered.hits == ()
        first = retriever.retrieve(parse("red"), top_k=7, show_all=True).hits
        rest = retriever.retrieve(parse("red"), top_k=53, offset=7, show_all=True).hits
        assert [h.record.id for h in (*first, *rest)] == [h.record.id for h in result.hits]
