"""A catalog made again from the store: on every store, also after a kill in the middle."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import askpix.ingest.maintenance.rebuild
from askpix.core.db.engine import open_database
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.maintenance.rebuild import rebuild
from askpix.ingest.maintenance.verify import prove
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.sources.remote import read_source
from tests.support.fakes import ColourEmbedder, picture
from tests.support.stores import DIM, OPENERS, TEXT_DIM

READ = partial(read_source, limits=DEFAULT_LIMITS)
COLOURS = ("red", "green", "blue", "orange", "purple")


def new_catalog(path: Path) -> Catalog:
    return Catalog(open_database(path, METADATA, version=VERSION))


def run(photos: Path, collection: Collection, catalog: Catalog, open_store: Callable[[], Any]) -> Any:
    return index(
        [photos],
        collection=collection,
        catalog=catalog,
        open_store=open_store,
        embedder=lambda: ColourEmbedder(dim=DIM),
        limits=DEFAULT_LIMITS,
    )


@pytest.mark.parametrize("kind", ["qdrant_edge", "faiss"])
def test_a_rebuilt_collection_is_whole_and_indexing_doubles_nothing(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(askpix.ingest.maintenance.rebuild, "_AT_ONCE", 2)
    photos, folder = tmp_path / "photos", tmp_path / "vectors"
    photos.mkdir()
    folder.mkdir()
    for number, colour in enumerate(COLOURS):
        picture(colour, size=(64, 48 + number)).save(photos / f"{colour}.png")
    (photos / "copy of red.png").write_bytes((photos / "red.png").read_bytes())

    def open_store() -> Any:
        return closing(OPENERS[kind](folder))

    old = new_catalog(tmp_path / "old.sqlite")
    collection = old.create_collection(
        "album", embedder="colour", dim=DIM, text_embedder="word-bag", text_dim=TEXT_DIM
    )
    run(photos, collection, old, open_store)
    with open_store() as store:
        ids = {Path(each.uri).stem: each.id for each in store.get(list(store.ids()))}
        store.set_text([ids["green"]], ["TOTAL 42\nTHANKS"], [np.zeros((0, TEXT_DIM), np.float32)])
        store.set_tags({ids["blue"]: ["sea"]})
    (photos / "orange.png").unlink()
    picture("gray", size=(64, 99)).save(photos / "purple.png")

    catalog = new_catalog(tmp_path / "new.sqlite")
    with monkeypatch.context() as killed, open_store() as store:
        calls = [0]
        record = catalog.record

        def record_once(*args: Any, **kwargs: Any) -> None:
            calls[0] += 1
            if calls[0] == 2:
                raise KeyboardInterrupt
            record(*args, **kwargs)

        killed.setattr(catalog, "record", record_once)
        with pytest.raises(KeyboardInterrupt):
            rebuild(collection, catalog=catalog, store=store, read=READ)
    assert catalog.get_collection("album") is None, "not there until it is whole"

    with open_store() as store:
        done = rebuild(collection, catalog=catalog, store=store, read=READ)
        assert (done.images, done.changed) == (5, 2)
        assert catalog.get_collection("album") == collection
        proof = prove(collection, catalog=catalog, store=store)
        assert proof.holds and proof.images == 5, proof
    report = run(photos, collection, catalog, open_store)
    assert (report.added, report.updated, report.unchanged) == (0, 1, 4)
    with open_store() as store:
        after: Mapping[str, Any] = {Path(each.uri).stem: each for each in store.get(list(store.ids()))}
        assert sorted(after) == ["blue", "copy of red", "green", "orange", "purple"]
        assert after["green"].text == "TOTAL 42\nTHANKS" and after["blue"].tags == ("sea",)
        assert after["green"].id == ids["green"] and after["purple"].id != ids["purple"]
        assert prove(collection, catalog=catalog, store=store).holds
    old.close()
    catalog.close()


def test_files_that_come_back_later_are_the_images_that_were_rebuilt(tmp_path: Path) -> None:
    """As from a disk that was not there, at the same place or at another."""
    photos, away, other = tmp_path / "photos", tmp_path / "away", tmp_path / "other"
    photos.mkdir()
    (tmp_path / "vectors").mkdir()
    for number, colour in enumerate(COLOURS):
        picture(colour, size=(64, 48 + number)).save(photos / f"{colour}.png")

    def open_store() -> Any:
        return closing(OPENERS["faiss"](tmp_path / "vectors"))

    old, catalog = new_catalog(tmp_path / "old.sqlite"), new_catalog(tmp_path / "new.sqlite")
    collection = old.create_collection(
        "album", embedder="colour", dim=DIM, text_embedder="word-bag", text_dim=TEXT_DIM
    )
    run(photos, collection, old, open_store)
    photos.rename(away)
    with open_store() as store:
        ids = set(store.ids())
        assert rebuild(collection, catalog=catalog, store=store, read=READ).changed == len(ids)
    away.rename(photos)
    other.mkdir()
    (photos / "red.png").rename(other / "red.png")
    for _ in range(2):
        report = run(photos, collection, catalog, open_store)
        more = run(other, collection, catalog, open_store)
        with open_store() as store:
            assert set(store.ids()) == ids and prove(collection, catalog=catalog, store=store).holds
            assert not [each.uri for each in store.get(list(ids)) if not Path(each.uri).exists()]
    assert (report.unchanged, more.unchanged) == (4, 1), "the second time there is nothing to do"
    old.close()
    catalog.close()
