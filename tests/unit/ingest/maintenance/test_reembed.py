"""Another model beside the one in use: nothing lost, resumable, back again."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from askpix.core.db.engine import open_database
from askpix.core.errors import IndexMismatchError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import Box, TextLine, Vectors, Where
from askpix.ingest.catalog.catalog import Catalog, Collection
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.maintenance.reembed import BuildReport, align, build
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.pipeline.writer import mend
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture

COLOURS = ("red", "green", "blue", "orange", "purple", "gray")


class Wide(ColourEmbedder):
    """Another model: other numbers, the same sense."""

    def __init__(self, *, fail_after: int | None = None) -> None:
        super().__init__(dim=7, model_id="wide")
        self.left = fail_after

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        if self.left is not None:
            self.left -= len(images)
            if self.left < 0:
                raise KeyboardInterrupt
        return super().embed_images(images)


class World:
    def __init__(self, home: Path) -> None:
        self.photos = home / "photos"
        self.photos.mkdir()
        for number, colour in enumerate(COLOURS):
            picture(colour, size=(64, 48 + number)).save(self.photos / f"{colour}.png")
        pages = [picture(c, size=(60, 80)) for c in ("yellow", "black", "white")]
        pages[0].save(self.photos / "scan.tif", save_all=True, append_images=pages[1:])
        self.catalog = Catalog(open_database(home / "catalog.sqlite", METADATA, version=VERSION))
        self.stores: dict[int, MemoryStore] = {0: MemoryStore(dim=5, text_dim=64)}
        self.words = WordEmbedder()
        self.collection = self.catalog.create_collection(
            "default", embedder="colour", dim=5, text_embedder=self.words.model_id, text_dim=64
        )
        self.index()

    def index(self) -> None:
        collection = self.catalog.get_collection("default")
        assert collection
        index(
            [self.photos],
            collection=collection,
            catalog=self.catalog,
            open_store=lambda: self.open(collection),
            embedder=ColourEmbedder if collection.dim == 5 else Wide,
            limits=DEFAULT_LIMITS,
            prune=True,
        )

    @contextmanager
    def open(self, collection: Collection) -> Iterator[MemoryStore]:
        yield self.stores.setdefault(
            collection.generation, MemoryStore(dim=collection.dim, text_dim=collection.text_dim)
        )

    def read(self, colour: str, text: str) -> str:
        """As if the words had been read; returns the picture's id."""
        [point] = [r.id for r in self.records() if r.uri.endswith(f"{colour}.png")]
        self.catalog.texts.save({point: [TextLine(text, Box(1, 2, 30, 12))]}, {}, engine="test")
        return point

    def records(self) -> list[object]:
        store = self.stores[0]
        return store.get(list(store.ids()))  # type: ignore[return-value]

    def begin(self) -> Collection:
        return self.catalog.generations.begin(
            self.collection, embedder="wide", dim=7, text_embedder=self.words.model_id, text_dim=64
        )

    def build(self, new: Collection, embedder: Wide | None = None) -> BuildReport:
        return build(
            new,
            catalog=self.catalog,
            open_store=lambda: self.open(new),
            embedder=embedder or Wide(),
            text_embedder=self.words,
            limits=DEFAULT_LIMITS,
            threads=2,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def best(store: MemoryStore, colour: str, dim: int) -> str:
    vector = ColourEmbedder(dim=dim).embed_texts([colour])[0]
    [hit] = store.search("image", vector, where=Where(), limit=1)
    return store.get([hit.id])[0].uri


def test_new_vectors_hold_all_images_and_words(world: World) -> None:
    point = world.read("blue", "GRAND TOTAL 12.50")
    new = world.begin()
    report = world.build(new)
    assert report.complete and report.images == report.expected == report.embedded == 9
    store = world.stores[1]
    assert sorted(store.ids()) == sorted(world.stores[0].ids())
    for old in world.stores[0].get(list(world.stores[0].ids())):
        [made] = store.get([old.id])
        assert (made.uri, made.page, made.width, made.height) == (old.uri, old.page, old.width, old.height)
    assert best(store, "purple", 7).endswith("purple.png")
    assert store.get([point])[0].text == "GRAND TOTAL 12.50"
    assert [hit.id for hit in store.search("words", "grand total", where=Where(), limit=3)] == [point]
    # Until it is changed over, the old one is in use.
    assert world.catalog.get_collection("default") == world.collection


def test_doing_it_again_does_nothing_twice(world: World) -> None:
    new = world.begin()
    world.build(new)
    assert world.begin() == new
    again = world.build(new)
    assert (again.embedded, again.images) == (0, 9)


def test_an_interrupted_build_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("askpix.ingest.maintenance.reembed._CHUNK", 2)
    new = world.begin()
    with pytest.raises(KeyboardInterrupt):
        world.build(new, Wide(fail_after=4))
    done = world.stores[1].count()
    assert 4 <= done < 9  # whatever thread had made it
    report = world.build(world.begin())
    assert (report.embedded, report.images) == (9 - done, 9)


def test_a_kill_between_image_and_words_is_mended(world: World) -> None:
    new = world.begin()
    world.build(new)
    point = world.read("red", "INVOICE 77")
    assert world.stores[1].get([point])[0].text == ""
    world.build(new)
    assert world.stores[1].get([point])[0].text == "INVOICE 77"


def test_missing_and_changed_files_are_named_and_nothing_is_lost(world: World) -> None:
    (world.photos / "red.png").unlink()
    picture("white", size=(64, 51)).save(world.photos / "green.png")
    report = world.build(world.begin())
    assert not report.complete
    assert [Path(failure.path).name for failure in report.missing] == ["green.png", "red.png"]
    assert len(report.missing_ids) == 2 and report.images == 7
    # Another file with the same bytes will do.
    assert world.stores[0].count() == 9


def test_any_copy_with_the_same_bytes_will_do(world: World) -> None:
    (world.photos / "again").mkdir()
    data = (world.photos / "red.png").read_bytes()
    (world.photos / "zebra.png").write_bytes(data)
    world.index()
    (world.photos / "red.png").unlink()
    assert world.build(world.begin()).complete


def test_images_removed_from_the_ledger_leave_the_new_vectors(world: World) -> None:
    new = world.begin()
    world.build(new)
    (world.photos / "red.png").unlink()
    world.index()
    report = world.build(new)
    assert (report.images, report.expected, world.stores[1].count()) == (8, 8, 8)


def test_changing_over_and_back(world: World) -> None:
    new = world.begin()
    world.build(new)
    world.catalog.generations.change_over(world.collection, new)
    assert world.catalog.get_collection("default") == new
    assert world.catalog.generations.others(new, "replaced") == [world.collection]
    assert world.catalog.generations.others(new, "building") == []
    with pytest.raises(IndexMismatchError, match="another model meanwhile"):
        world.catalog.generations.change_over(world.collection, new)

    # Life goes on with the new one ...
    (world.photos / "red.png").unlink()
    picture("pink", size=(50, 50)).save(world.photos / "pink.png")
    world.index()
    words_point = world.read("blue", "TICKET 5")
    world.catalog.texts.mark_stored([words_point])
    # ... and back: what the old vectors do not have is to be done by the next run.
    old = world.collection
    with world.open(old) as store:
        assert align(old, catalog=world.catalog, store=store) == 2  # pink, and the ticket
    world.catalog.generations.change_over(new, old)
    world.index()
    assert world.stores[0].count() == world.catalog.count_images(old) == 9
    assert best(world.stores[0], "pink", 5).endswith("pink.png")
    assert world.catalog.texts.unstored(old.id, limit=9) == [words_point]
    with world.open(old) as store:
        mend(old, world.catalog, store)
        assert store.count() == 9


def test_another_model_begins_anew(world: World) -> None:
    first = world.begin()
    other = world.catalog.generations.begin(
        world.collection, embedder="tall", dim=6, text_embedder="word-bag", text_dim=64
    )
    assert (first.generation, other.generation) == (1, 2)
    world.catalog.generations.forget(first)
    assert world.catalog.generations.others(world.collection, "building") == [other]


def test_vectors_of_pages_come_from_their_pages(world: World) -> None:
    world.build(world.begin())
    pages = {r.page: r.id for r in world.stores[1].get(list(world.stores[1].ids())) if r.page}
    for number, colour in enumerate(("yellow", "black", "white"), start=1):
        expected = Wide().embed_images([picture(colour, size=(60, 80))])
        np.testing.assert_allclose(world.stores[1].image_vectors([pages[number]]), expected, atol=1e-6)


def test_a_file_that_cannot_be_read_is_not_waited_for(world: World) -> None:
    if os.geteuid() == 0:
        (world.photos / "red.png").write_bytes(b"no image")
    else:
        (world.photos / "red.png").chmod(0)
    report = world.build(world.begin())
    assert [Path(failure.path).name for failure in report.missing] == ["red.png"]
