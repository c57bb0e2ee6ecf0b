"""Every picture has exactly one vector set: proven and restored, on both databases and all stores."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from askpix.core.db.engine import open_database
from askpix.core.errors import ModelUnavailableError, StoreUnavailableError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import Box, TextLine
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.maintenance.verify import Mended, Proof, prove, restore
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.pipeline.text_sync import prepare
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture, record, unit
from tests.support.postgres import new_schema
from tests.support.stores import DIM, OPENERS, TEXT_DIM

COLOURS = ("red", "green", "blue", "orange", "purple", "gray")


class World:
    """Six pictures of one colour each, one with words, indexed."""

    def __init__(self, root: Path, database: Path | str, kind: str) -> None:
        self.catalog = Catalog(open_database(database, METADATA, version=VERSION))
        self.folder, self.opener = root / "vectors", OPENERS[kind]
        self.folder.mkdir()
        self.memory = MemoryStore(dim=DIM, text_dim=TEXT_DIM) if kind == "memory" else None
        self.photos = root / "photos"
        self.photos.mkdir()
        for number, colour in enumerate(COLOURS):
            picture(colour, size=(64, 48 + number)).save(self.photos / f"{colour}.png")
        self.words = WordEmbedder(dim=TEXT_DIM)
        self.collection = self.catalog.create_collection(
            "default", embedder="colour", dim=DIM, text_embedder="word-bag", text_dim=TEXT_DIM
        )
        self.index()
        with self.open() as store:
            self.ids = {Path(each.uri).stem: each.id for each in store.get(list(store.ids()))}
            red = self.ids["red"]
            self.catalog.texts.save({red: [TextLine("TOTAL 42", Box(1, 2, 30, 12))]}, {}, engine="test")
            store.set_text([red], *prepare(self.catalog, [red], self.words))
            self.catalog.texts.mark_stored([red])

    def index(self) -> None:
        index(
            [self.photos],
            collection=self.collection,
            catalog=self.catalog,
            open_store=self.open,
            embedder=lambda: ColourEmbedder(dim=DIM),
            limits=DEFAULT_LIMITS,
        )

    @contextmanager
    def open(self) -> Iterator[Any]:
        if self.memory is not None:
            yield self.memory
            return
        with closing(self.opener(self.folder)) as store:
            yield store

    def prove(self) -> Proof:
        with self.open() as store:
            return prove(self.collection, catalog=self.catalog, store=store)

    def restore(self, *, model: bool = True) -> Mended:
        def embedder() -> ColourEmbedder:
            if not model:
                raise ModelUnavailableError("its weights are gone")
            return ColourEmbedder(dim=DIM)

        return restore(
            self.collection,
            catalog=self.catalog,
            open_store=self.open,
            embedder=embedder,
            text_embedder=lambda: self.words,
            limits=DEFAULT_LIMITS,
        )

    def check_right(self, *, less: int = 0) -> None:
        found = self.prove()
        assert found.holds and found.images == len(COLOURS) - less, found
        assert str(found) == f"{len(COLOURS) - less} images, each with one vector set"
        with self.open() as store:
            for colour in COLOURS[less:]:
                expected = ColourEmbedder(dim=DIM).embed_images([picture(colour, size=(64, 48))])
                np.testing.assert_allclose(store.image_vectors([self.ids[colour]]), expected, atol=2e-2)
            if not less:
                assert store.get([self.ids["red"]])[0].text == "TOTAL 42"
                assert store.count() == len(COLOURS)


@pytest.fixture(params=[*sorted(OPENERS), "memory and postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    kind, _, server = request.param.partition(" and ")
    where = new_schema(request.getfixturevalue(server)) if server else tmp_path / "catalog.sqlite"
    made = World(tmp_path, where, kind)
    yield made
    made.catalog.close()


@pytest.fixture
def small(tmp_path: Path) -> World:
    return World(tmp_path, tmp_path / "catalog.sqlite", "memory")


def damage(world: World) -> dict[str, str]:
    """Each kind of harm to one picture; its id by the name of the harm."""
    stray, ids = record(99), world.ids
    with world.open() as store:
        store.delete([ids["red"]])
        store.upsert([stray], unit(np.ones((1, DIM))))
        moved = store.get([ids["green"]])[0]
        store.set_copies(replace(moved, uri="/elsewhere.png"))
        store.set_text([ids["blue"]], ["never read"], [np.zeros((0, TEXT_DIM), np.float32)])
    world.catalog.record(world.collection, states={}, added={}, gone=[str(world.photos / "gray.png")])
    (world.photos / "gray.png").unlink()
    return {
        "missing": ids["red"],
        "strays": stray.id,
        "moved": ids["green"],
        "unworded": ids["blue"],
        "orphans": ids["gray"],
    }


def test_each_harm_is_found_and_mended(world: World) -> None:
    world.check_right()
    harm = damage(world)
    found = world.prove()
    assert {name: getattr(found, name) for name in harm} == {name: (at,) for name, at in harm.items()}
    assert not found.holds and found.images == 2
    mended = world.restore()
    assert (mended.embedded, mended.left) == (1, 0) and mended.found == found
    after = world.prove()
    assert after.holds and after.images == 5
    with world.open() as store:
        assert store.get([world.ids["red"]])[0].text == "TOTAL 42"
        expected = ColourEmbedder(dim=DIM).embed_images([picture("red", size=(64, 48))])
        np.testing.assert_allclose(store.image_vectors([world.ids["red"]]), expected, atol=2e-2)
    assert not world.catalog.unfinished(world.collection)


def test_what_is_right_is_left_alone(small: World) -> None:
    assert small.memory is not None
    before = small.memory.image_vectors(sorted(small.ids.values()))
    assert small.restore(model=False) == Mended(small.prove(), 0, 0)
    np.testing.assert_array_equal(before, small.memory.image_vectors(sorted(small.ids.values())))
    small.check_right()


def test_a_damaged_vector_is_made_again(small: World) -> None:
    assert small.memory is not None
    [broken] = small.memory.get([small.ids["red"]])
    small.memory.upsert([broken], np.full((1, DIM), np.nan, np.float32))
    assert small.prove().spoiled == (small.ids["red"],)
    assert "1 damaged vectors" in str(small.prove())
    small.restore()
    small.check_right()


def test_without_the_file_the_words_wait_for_it(small: World) -> None:
    with small.open() as store:
        store.delete([small.ids["red"]])
    (small.photos / "red.png").rename(small.photos.parent / "red.png")
    mended = small.restore()
    assert (mended.embedded, mended.left) == (0, 1)
    small.check_right(less=1)
    (small.photos.parent / "red.png").rename(small.photos / "red.png")
    small.index()
    assert small.catalog.lines([small.ids["red"]])[small.ids["red"]][0].text == "TOTAL 42"


def test_without_the_model_the_next_run_does_it(small: World) -> None:
    with small.open() as store:
        store.delete([small.ids["red"]])
        store.set_text([small.ids["blue"]], ["never read"], [np.zeros((0, TEXT_DIM), np.float32)])
    mended = small.restore(model=False)
    assert (mended.embedded, mended.left) == (0, 1)
    small.index()
    with small.open() as store:
        assert store.count() == len(COLOURS)


def test_a_store_that_goes_away_leaves_all_for_the_next_time(small: World) -> None:
    assert small.memory is not None
    damage(small)
    whole = small.memory.upsert

    def away(*_: Any) -> None:
        raise StoreUnavailableError("the server is gone")

    small.memory.upsert = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError):
        small.restore()
    assert small.catalog.unfinished(small.collection)
    small.memory.upsert = whole  # type: ignore[method-assign]
    small.restore()
    assert small.prove().holds
