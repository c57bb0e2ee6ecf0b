"""Tags of a collection's own vocabulary, on a real catalog and the memory store."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from askpix.core.db.engine import open_database
from askpix.core.errors import NotFoundError
from askpix.core.types import Vectors, Where
from askpix.ingest.catalog.catalog import Catalog, Collection
from askpix.ingest.catalog.models import SourceState
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.catalog.tags import Vocabulary
from askpix.ingest.pipeline.tag_stage import tag_images
from tests.support.fakes import MemoryStore, record, unit

CATS = Vocabulary(("cat", "dog"), 0.3)


@pytest.fixture
def catalog(database: Path | str) -> Iterator[Catalog]:
    opened = Catalog(open_database(database, METADATA, version=VERSION))
    yield opened
    opened.close()


@pytest.fixture
def filled(catalog: Catalog) -> tuple[Collection, MemoryStore]:
    collection = catalog.create_collection("c", embedder="e", dim=2, text_embedder="t", text_dim=2)
    store = MemoryStore(dim=2, text_dim=2)
    enter(catalog, collection, store, range(3))
    return collection, store


def enter(catalog: Catalog, collection: Collection, store: MemoryStore, numbers: Sequence[int]) -> None:
    records = [record(number) for number in numbers]
    store.upsert(records, unit([[1, number] for number in numbers]))
    states = {
        each.uri: SourceState(1, 1, f"sha{number}") for number, each in zip(numbers, records, strict=True)
    }
    added = {f"sha{number}": [each] for number, each in zip(numbers, records, strict=True)}
    catalog.record(collection, states=states, added=added)


def run(catalog: Catalog, filled: tuple[Collection, MemoryStore], vocabulary: Vocabulary = CATS) -> int:
    """Tags with the first label what leans to the first axis, and with the second what leans to the other."""
    collection, store = filled

    def tagger(vectors: Vectors) -> list[tuple[str, ...]]:
        return [(vocabulary.labels[int(row[0] < row[1])],) if vocabulary.labels else () for row in vectors]

    return tag_images(collection=collection, ledger=catalog.tags, store=store, tagger=tagger)


def test_images_are_tagged_once_in_store_and_catalog(
    catalog: Catalog, filled: tuple[Collection, MemoryStore]
) -> None:
    collection, store = filled
    assert catalog.tags.vocabulary(collection) is None
    catalog.tags.use(collection, CATS)
    assert catalog.tags.vocabulary(collection) == CATS
    assert run(catalog, filled) == 3 and run(catalog, filled) == 0
    assert store.count(Where(tags=("dog",))) == 1 and store.count(Where(tags=("cat",))) == 2
    kept = {each.id: each.tags for each in catalog.records(collection, ["sha0", "sha1", "sha2"])}
    assert kept == {record(0).id: ("cat",), record(1).id: ("cat",), record(2).id: ("dog",)}


def test_later_images_are_tagged_alone(catalog: Catalog, filled: tuple[Collection, MemoryStore]) -> None:
    collection, store = filled
    catalog.tags.use(collection, CATS)
    run(catalog, filled)
    enter(catalog, collection, store, [5])
    catalog.tags.use(collection, CATS)
    assert run(catalog, filled) == 1 and store.get([record(5).id])[0].tags == ("dog",)


@pytest.mark.parametrize("other", [Vocabulary(("bird", "horse"), 0.3), Vocabulary(("cat", "dog"), 0.5)])
def test_another_vocabulary_begins_anew(
    catalog: Catalog, filled: tuple[Collection, MemoryStore], other: Vocabulary
) -> None:
    collection, store = filled
    catalog.tags.use(collection, CATS)
    run(catalog, filled)
    catalog.tags.use(collection, other)
    assert catalog.tags.count_untagged(collection) == 3
    assert run(catalog, filled, other) == 3 and store.count(Where(tags=(other.labels[1],))) == 1


def test_without_labels_tags_go(catalog: Catalog, filled: tuple[Collection, MemoryStore]) -> None:
    collection, store = filled
    catalog.tags.use(collection, CATS)
    run(catalog, filled)
    catalog.tags.use(collection, Vocabulary(()))
    run(catalog, filled, Vocabulary(()))
    assert store.count(Where(tags=("cat",))) == 0 and catalog.tags.count_untagged(collection) == 0


def test_a_image_embedded_again_is_tagged_again(
    catalog: Catalog, filled: tuple[Collection, MemoryStore]
) -> None:
    collection, store = filled
    catalog.tags.use(collection, CATS)
    run(catalog, filled)
    enter(catalog, collection, store, [1])  # as after a crash: the store's new record has no tags
    assert store.get([record(1).id])[0].tags == ()
    assert run(catalog, filled) == 1 and store.get([record(1).id])[0].tags == ("cat",)


def test_what_the_store_lost_does_not_hold_it_up(
    catalog: Catalog, filled: tuple[Collection, MemoryStore]
) -> None:
    collection, store = filled
    store.delete([record(0).id])
    catalog.tags.use(collection, CATS)
    assert run(catalog, filled) == 3 and store.count() == 2


def test_stopped_in_the_middle_it_goes_on(catalog: Catalog, filled: tuple[Collection, MemoryStore]) -> None:
    collection, store = filled
    catalog.tags.use(collection, CATS)

    def broken(vectors: Vectors) -> list[tuple[str, ...]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tag_images(collection=collection, ledger=catalog.tags, store=store, tagger=broken)
    assert run(catalog, filled) == 3


def test_a_deleted_collection_has_no_vocabulary(catalog: Catalog) -> None:
    gone = catalog.create_collection("gone", embedder="e", dim=2, text_embedder="t", text_dim=2)
    catalog.tags.use(gone, CATS)
    catalog.delete_collection("gone")
    assert catalog.tags.vocabulary(gone) is None
    with pytest.raises(NotFoundError):
        catalog.tags.use(gone, CATS)
