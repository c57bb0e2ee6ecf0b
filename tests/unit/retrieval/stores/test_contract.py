"""One contract for every vector store. A new adapter adds a line to ``OPENERS`` and runs all of it."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from askpix.core.errors import BadQueryError, NotFoundError
from askpix.core.types import ImageRecord, Near, Vectors, Where
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.conditions import to_clauses
from askpix.retrieval.stores.facets import Count, Facets
from tests.support.fakes import MemoryStore, record, unit
from tests.support.sparse import copy_tree
from tests.support.stores import DIM, LASTING, OPENERS, TEXT_DIM

NOWHERE = str(uuid.UUID(int=7))


@pytest.fixture(scope="session")
def empty_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of each kind, made once and copied for each test: making one syncs the disk many times."""
    root = tmp_path_factory.mktemp("stores")
    for name, opens in OPENERS.items():
        (root / name).mkdir()
        opens(root / name).close()
    return root


@pytest.fixture(params=list(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path, empty_folders: Path) -> Iterator[VectorStore]:
    folder = copy_tree(empty_folders / request.param, tmp_path / "vectors")
    opened: AbstractContextManager[VectorStore] = OPENERS[request.param](folder)
    with opened as ready:
        yield ready


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow) if name == "qdrant_local" else name for name in LASTING
    ]
)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    return lambda: LASTING[request.param](tmp_path / "vectors")


def axis(number: int, dim: int = DIM) -> Vectors:
    row = np.zeros(dim, np.float32)
    row[number % dim] = 1
    return row


def add(store: VectorStore, *records: ImageRecord, vectors: Any = None) -> None:
    store.upsert(records, unit(vectors) if vectors is not None else np.stack([axis(0)] * len(records)))


def found(store: VectorStore, where: Where) -> set[str]:
    """What ``where`` lets through, asked in all the ways there are."""
    by_search = {hit.id for hit in store.search("image", axis(0), where=where, limit=50)}
    by_scroll = store.scroll(where, limit=50)
    assert len(by_scroll) == len(set(by_scroll)) == store.count(where)
    assert set(by_scroll) == by_search
    return by_search


# --- empty and unknown ------------------------------------------------------------------------------------


def test_an_empty_store_answers_everything(store: VectorStore) -> None:
    assert store.count() == store.count(Where(kind="page")) == 0
    assert store.search("image", axis(1), where=Where(), limit=5) == []
    assert store.search("text", axis(1, TEXT_DIM), where=Where(), limit=5) == []
    assert store.search("words", "total", where=Where(phrases=("total",)), limit=5) == []
    assert store.scroll(Where(), limit=5) == list(store.ids()) == []
    assert store.get([NOWHERE]) == store.get([]) == []
    assert store.sample_vectors(3).shape == store.image_vectors([]).shape == (0, DIM)
    store.delete([NOWHERE])
    store.delete([])
    store.upsert([], np.zeros((0, DIM), np.float32))
    store.set_text([], [], [])
    store.optimize()
    assert store.count() == 0


def test_unknown_and_impossible_ids_are_nobody(store: VectorStore) -> None:
    add(store, record(1))
    strange = [NOWHERE, "no uuid", "", "..", record(1).id.upper(), "🦆"]
    assert store.get(strange) == []
    store.delete(strange)
    store.set_text(strange, ["x"] * len(strange), [unit(axis(0, TEXT_DIM))] * len(strange))
    store.set_copies(ImageRecord(NOWHERE, "/x.jpg", "photo", 1, 1))
    assert list(store.ids()) == [record(1).id]
    for unknown in strange:
        with pytest.raises(NotFoundError):
            store.image_vectors([record(1).id, unknown])


def test_nothing_asked_nothing_given(store: VectorStore) -> None:
    add(store, record(1))
    assert store.search("image", axis(0), where=Where(), limit=0) == []
    assert store.search("image", axis(0), where=Where(), limit=5, offset=1) == []
    assert store.search("words", "", where=Where(), limit=5) == []
    assert store.search("words", "?!", where=Where(), limit=5) == []
    assert store.scroll(Where(), limit=0) == store.scroll(Where(), limit=5, offset=9) == []
    assert store.sample_vectors(0).shape == (0, DIM)
    assert len(store.search("image", axis(0), where=Where(), limit=10**9)) == 1
    assert len(store.scroll(Where(), limit=10**9)) == 1


# --- what is written is there -----------------------------------------------------------------------------

FULL = record(
    "full",
    uri="/home/ann/Été 2019/東京 🗼.jpg",
    kind="frame",
    page=3,
    time_s=12.25,
    taken_at=datetime(2019, 7, 14, 23, 59, 59, 123456),
    camera="Canon EOS 5D",
    lat=48.8584,
    lon=2.2945,
    tags=("été", "tour"),
    copies=("/backup/東京.jpg", "C:\\Users\\Ann\\x.jpg"),
    text="Grand\nTotal 67.85 €",
)


def test_records_come_back_as_they_went_in(store: VectorStore) -> None:
    plain = record("plain")
    odd = record("odd", uri="/photos/\udcff\udce9.jpg", copies=("/b/\udc80.jpg",), lat=200.0, lon=2.0)
    early = record("early", taken_at=datetime(1, 1, 1), lat=90.0, lon=-180.0)
    late = record("late", taken_at=datetime(9999, 12, 31, 23, 59, 59, 999999), time_s=0.0, lat=0.0, lon=0.0)
    everything = [FULL, plain, odd, early, late]
    add(store, *everything)
    ids = [each.id for each in everything]
    assert store.get([*ids, NOWHERE, *ids[:1]]) == [*everything, FULL]
    assert sorted(store.ids()) == sorted(ids)
    assert store.scroll(Where(), limit=3) == [late.id, FULL.id, early.id]


def test_vectors_come_back_in_the_order_asked(store: VectorStore) -> None:
    rows = unit(np.random.default_rng(1).normal(size=(5, DIM)))
    records = [record(number) for number in range(5)]
    store.upsert(records, rows)
    ids = [each.id for each in records]
    np.testing.assert_allclose(store.image_vectors([ids[3], ids[0], ids[3]]), rows[[3, 0, 3]], atol=1e-6)
    assert store.image_vectors(ids).dtype == np.float32
    sample = store.sample_vectors(3)
    assert sample.shape == (3, DIM)
    np.testing.assert_array_equal(sample, store.sample_vectors(3))
    assert store.sample_vectors(99).shape == (5, DIM)
    np.testing.assert_allclose((sample @ rows.T).max(axis=1), 1, atol=1e-5)


def test_replacing_keeps_one_and_drops_its_text(store: VectorStore) -> None:
    one = record(1)
    add(store, one, vectors=axis(0))
    store.set_text([one.id], ["old words"], [unit(axis(1, TEXT_DIM))])
    add(store, record(1, uri="/new.jpg"), vectors=axis(1))
    assert store.count() == 1
    assert store.get([one.id]) == [record(1, uri="/new.jpg")]
    assert store.search("image", axis(1), where=Where(), limit=2)[0].score == pytest.approx(1)
    assert store.search("text", axis(1, TEXT_DIM), where=Where(), limit=2) == []
    assert store.search("words", "old words", where=Where(), limit=2) == []
    assert found(store, Where(phrases=("old words",))) == set()


def test_the_same_image_twice_in_one_call_is_one(store: VectorStore) -> None:
    add(store, record(1), record(1, uri="/last.jpg"), vectors=[axis(0), axis(1)])
    assert store.count() == 1
    assert store.get([record(1).id])[0].uri == "/last.jpg"


def test_a_wrong_shape_is_refused(store: VectorStore) -> None:
    with pytest.raises((ValueError, AssertionError)):
        store.upsert([record(1)], np.ones((1, DIM + 1), np.float32))
    add(store, record(1))
    with pytest.raises((ValueError, AssertionError)):
        store.set_text([record(1).id], ["x"], [np.ones((1, TEXT_DIM + 1), np.float32)])


def test_words_of_a_record_are_found_without_set_text(store: VectorStore) -> None:
    add(store, FULL, record(2))
    assert [hit.id for hit in store.search("words", "total", where=Where(), limit=5)] == [FULL.id]


def test_text_is_attached_replaced_and_taken_away(store: VectorStore) -> None:
    a, b, c = record("a"), record("b"), record("c")
    add(store, a, b, c)
    passages = unit([axis(0, TEXT_DIM), axis(1, TEXT_DIM)])
    store.set_text([a.id, NOWHERE, b.id], ["invoice", "ghost", "receipt"], [passages, passages, passages[:1]])
    best = store.search("text", axis(1, TEXT_DIM), where=Where(), limit=5)
    assert [(hit.id, round(hit.score, 5)) for hit in best] == [(a.id, 1.0), (b.id, 0.0)]
    assert [hit.id for hit in store.search("words", "invoices", where=Where(), limit=5)] == [a.id]
    assert store.get([a.id])[0].text == "invoice"
    np.testing.assert_allclose(store.image_vectors([a.id])[0], axis(0), atol=1e-6)

    store.set_text([a.id], ["letter"], [passages[:1]])
    assert store.search("words", "invoice", where=Where(), limit=5) == []
    assert store.search("text", axis(1, TEXT_DIM), where=Where(), limit=1)[0].score == pytest.approx(0)

    store.set_text([a.id, b.id], ["", "kept words"], [np.zeros((0, TEXT_DIM), np.float32)] * 2)
    assert store.search("text", axis(0, TEXT_DIM), where=Where(), limit=5) == []
    assert [hit.id for hit in store.search("words", "letter kept", where=Where(), limit=5)] == [b.id]
    assert [each.text for each in store.get([a.id, b.id])] == ["", "kept words"]
    assert found(store, Where(phrases=("letter",))) == set()
    assert store.count() == 3


def test_copies_are_rewritten_and_found_by_path(store: VectorStore) -> None:
    add(store, FULL, record(2))
    moved = record("full", uri="/new/place.jpg", copies=("/other/copy.png",), tags=("ignored",))
    store.set_copies(moved)
    after = store.get([FULL.id])[0]
    assert (after.uri, after.copies, after.tags, after.text) == (
        moved.uri,
        moved.copies,
        FULL.tags,
        FULL.text,
    )
    assert found(store, Where(path="other/*")) == {FULL.id}
    assert found(store, Where(path="*東京*")) == set()
    store.set_copies(record("full", uri="/new/place.jpg"))
    assert store.get([FULL.id])[0].copies == ()
    assert found(store, Where(path="other/*")) == set()


def test_tags_are_rewritten_and_found_and_nothing_else_changes(store: VectorStore) -> None:
    add(store, FULL, record(2), record(3))
    store.set_text([record(2).id], ["a word"], [unit(axis(0, TEXT_DIM))])
    store.set_tags({FULL.id: ("cat", "red sofa"), record(2).id: ("cat",), NOWHERE: ("ghost",)})
    assert store.get([FULL.id])[0] == replace(FULL, tags=("cat", "red sofa"))
    assert found(store, Where(tags=("cat",))) == {FULL.id, record(2).id}
    assert found(store, Where(tags=("cat", "red sofa"))) == {FULL.id}
    assert found(store, Where(tags=FULL.tags)) == set() and store.count() == 3
    assert [hit.id for hit in store.search("text", axis(0, TEXT_DIM), where=Where(), limit=3)] == [
        record(2).id
    ]
    assert store.get([record(2).id])[0].text == "a word"
    store.set_tags({FULL.id: (), record(3).id: ("a\ud800b",)})
    assert store.get([FULL.id])[0].tags == () and found(store, Where(tags=("cat",))) == {record(2).id}
    store.set_tags({})


def test_what_is_deleted_is_gone_from_every_leg(store: VectorStore) -> None:
    add(store, *(record(number, text=f"word {number}") for number in range(4)))
    gone = record(1).id
    store.set_text([gone], ["word"], [unit(axis(0, TEXT_DIM))])
    store.delete([gone, NOWHERE, gone])
    assert store.count() == 3
    assert gone not in set(store.ids())
    assert gone not in found(store, Where())
    assert store.search("text", axis(0, TEXT_DIM), where=Where(), limit=5) == []
    assert gone not in {hit.id for hit in store.search("words", "word", where=Where(), limit=5)}
    assert store.get([gone]) == []
    add(store, record(1))
    assert store.count() == 4


# --- filters ----------------------------------------------------------------------------------------------


def test_tags_and_paths_are_compared_as_people_see_them(store: VectorStore) -> None:
    zoe = record("zoe", uri="/photos/Zu\u0308rich/[2019] trip.jpg", tags=("Zoe\u0308", "Holiday"))
    add(store, zoe, record("other", uri="/photos/Berlin/2 trip.jpg", tags=("work",)))
    for tag in ("Zoë", "Zoe\u0308", "zoe", "ZOË", "holiday"):
        assert found(store, Where(tags=(tag,))) == {zoe.id}
        assert zoe.id not in found(store, Where(must_not=(Where(tags=(tag,)),)))
    for path in ("Zürich/*", "Zu\u0308rich/*", "zurich/*", "[[]2019] trip.jpg"):
        assert found(store, Where(path=path)) == {zoe.id}
    store.set_tags({zoe.id: ("Café",)})
    assert found(store, Where(tags=("cafe",))) == {zoe.id} and not found(store, Where(tags=("zoe",)))
    assert store.get([zoe.id])[0].tags == ("Café",)


def test_stars_are_a_range_and_no_stars_are_asked_for_by_name(store: VectorStore) -> None:
    rated = {n: record(f"rated {n}", tags=(f"rating:{n}", "x")) for n in (-1, 1, 3, 5)}
    blank = record("blank", tags=("x",))
    add(store, blank, *rated.values())
    every = {n: each.id for n, each in rated.items()} | {0: blank.id}
    for low, high, meant in (
        (5, 5, {5}),
        (3, None, {3, 5}),
        (None, 3, {1, 3}),
        (0, 1, {0, 1}),
        (0, 0, {0}),
        (-1, -1, {-1}),
        (2, 2, set()),
        (-1, 5, {-1, 0, 1, 3, 5}),
    ):
        where = Where(rating_min=low, rating_max=high)
        assert found(store, where) == {every[n] for n in meant}, where
        if meant != set(every):
            assert found(store, Where(must_not=(where,))) == {every[n] for n in set(every) - meant}, where


@pytest.mark.parametrize(
    "denied",
    [
        Where(tags=("été",)),
        Where(camera="canon"),
        Where(country="FR"),
        Where(near=Near(48.86, 2.29, 5)),
        Where(after=datetime(2019, 1, 1), before=datetime(2020, 1, 1)),
        Where(months=(7,)),
        Where(weekdays=(6,)),
        Where(hours=(23,)),
        Where(amount_min=60, amount_max=70),
        Where(kind="frame"),
        Where(path="Été 2019/*"),
        Where(path="backup/*"),
        Where(phrases=("grand total",)),
        Where(
            spans=((datetime(2018, 1, 1), datetime(2018, 2, 1)), (datetime(2019, 7, 1), datetime(2019, 8, 1)))
        ),
        Where(tags=("tour", "nothing has this"), path="nowhere/*"),
    ],
)
def test_denied_conditions_leave_out_what_they_name_and_nothing_else(
    store: VectorStore, denied: Where
) -> None:
    other = record(
        "other", taken_at=datetime(2018, 5, 3, 12), lat=52.52, lon=13.4, camera="Nikon", tags=("x",)
    )
    blank = record("blank", text="nothing is known of this")
    add(store, FULL, other, blank)
    kept = {other.id, blank.id}
    assert found(store, Where(must_not=(denied,))) == kept
    assert store.count(Where(must_not=(denied,))) == 2
    assert {
        hit.id for hit in store.search("image", axis(0), where=Where(must_not=(denied,)), limit=5)
    } == kept
    assert store.facets(Where(must_not=(denied,)))["cameras"] == (Count("Nikon", 1),)
    assert found(store, Where(camera="nikon", must_not=(denied,))) == {other.id}
    assert found(store, Where(must_not=(denied, Where(camera="nikon")))) == {blank.id}


def test_a_denied_denial_is_refused() -> None:
    with pytest.raises(BadQueryError, match="must_not"):
        to_clauses(Where(must_not=(Where(must_not=(Where(kind="page"),)),)))


def test_no_filter_lets_all_through(store: VectorStore) -> None:
    add(store, record(1), FULL)
    assert store.count() == store.count(None) == store.count(Where()) == 2
    assert found(store, Where()) == {record(1).id, FULL.id}
    assert found(store, Where(path="", camera="", phrases=("!",), without=("?", ""))) == found(store, Where())


def test_kind_tags_and_camera(store: VectorStore) -> None:
    nikon = record(2, kind="page", camera="NIKON D70", tags=("tour", "Paris"))
    add(store, record(1), FULL, nikon)
    assert found(store, Where(kind="frame")) == {FULL.id}
    assert found(store, Where(kind="photo")) == {record(1).id}
    assert found(store, Where(tags=("tour",))) == {FULL.id, nikon.id}
    assert found(store, Where(tags=("tour", "été"))) == {FULL.id}
    assert found(store, Where(tags=("to",))) == set()
    assert found(store, Where(camera="canon eos 5d")) == {FULL.id}
    assert found(store, Where(camera="Nikon")) == {nikon.id}
    assert found(store, Where(kind="page", tags=("Paris",), camera="d70")) == {nikon.id}
    assert found(store, Where(kind="frame", tags=("Paris",))) == set()


def test_dates_after_is_inclusive_before_exclusive(store: VectorStore) -> None:
    midnight = datetime(2018, 5, 12)
    last = record("last", taken_at=midnight - timedelta(microseconds=1))
    first = record("first", taken_at=midnight)
    half = record("half", taken_at=midnight + timedelta(milliseconds=500))
    add(store, first, last, half, record("undated"))
    assert found(store, Where(after=midnight)) == {first.id, half.id}
    assert found(store, Where(before=midnight)) == {last.id}
    assert found(store, Where(after=midnight, before=midnight)) == set()
    assert found(store, Where(after=midnight, before=midnight + timedelta(seconds=1))) == {first.id, half.id}
    assert store.scroll(Where(), limit=9) == [half.id, first.id, last.id, record("undated").id]


def test_near_is_a_circle_also_at_the_edges_of_the_map(store: VectorStore) -> None:
    paris, fiji_west, fiji_east, pole = (
        record("paris", lat=48.8566, lon=2.3522),
        record("west", lat=-17.0, lon=179.9),
        record("east", lat=-17.0, lon=-179.9),
        record("pole", lat=89.9, lon=10.0),
    )
    add(store, paris, fiji_west, fiji_east, pole, record("nowhere"), record("half", lat=48.8566))
    versailles = Near(48.8049, 2.1204, 18.5)  # 17.9 km from Paris
    assert found(store, Where(near=versailles)) == {paris.id}
    assert found(store, Where(near=Near(48.8049, 2.1204, 17.0))) == set()
    assert found(store, Where(near=Near(48.8566, 2.3522, 0.001))) == {paris.id}
    assert found(store, Where(near=Near(-17.0, 180.0, 15))) == {fiji_west.id, fiji_east.id}
    assert found(store, Where(near=Near(89.9, -170.0, 30))) == {pole.id}
    assert found(store, Where(near=Near(0, 0, 30_000))) == {paris.id, fiji_west.id, fiji_east.id, pole.id}


def test_a_image_without_a_date_has_those_written_in_it(store: VectorStore) -> None:
    receipt = record("receipt", text="ACME\n12.05.2018 13:05\nTax 2.00\nTotal RM 67.85")
    other = record("other", text="30.06.2018\nTotal 20.00")
    photo = record("photo", text="12/05/2018", taken_at=datetime(2020, 7, 4, 21, 30))
    chart = record("chart", text="Share in %\n2015 2016 2017")
    add(store, receipt, other, photo, chart, record("nothing", text="Total"))
    may, june, july = (datetime(2018, month, 1) for month in (5, 6, 7))
    assert found(store, Where(after=may, before=june)) == {receipt.id}
    assert found(store, Where(after=may, before=july)) == {receipt.id, other.id}
    assert found(store, Where(after=datetime(2019, 1, 1))) == {photo.id}
    assert found(store, Where(after=datetime(2015, 1, 1), before=datetime(2016, 1, 1))) == {chart.id}
    assert found(store, Where(after=datetime(2015, 2, 1), before=datetime(2016, 1, 1))) == set()
    assert found(store, Where(before=datetime(2018, 1, 1))) == {chart.id}
    assert found(store, Where(months=(6, 7))) == {other.id, photo.id}
    assert found(store, Where(weekdays=(5,))) == {receipt.id, other.id, photo.id}  # all Saturdays
    assert found(store, Where(hours=(21, 22), months=(7,))) == {photo.id}
    assert found(store, Where(hours=(13,))) == set()
    store.set_text([other.id], ["no date any more"], [np.zeros((0, TEXT_DIM), np.float32)])
    assert found(store, Where(after=may, before=july)) == {receipt.id}


def test_amounts_are_totals_and_bounds_are_inclusive(store: VectorStore) -> None:
    receipt = record("receipt", text="Beer 10.00\nTotal RM 67.85\nCash 100.00")
    offer = record("offer", text="from $20 to 1.250,00 €")
    add(store, receipt, offer, record("none", text="67"))
    assert found(store, Where(amount_min=50)) == {receipt.id, offer.id}
    assert found(store, Where(amount_min=67.85, amount_max=67.85)) == {receipt.id}
    assert found(store, Where(amount_max=20)) == {offer.id}
    assert found(store, Where(amount_min=100.0, amount_max=1000)) == set()
    assert found(store, Where(amount_min=0)) == {receipt.id, offer.id}


def test_a_country_is_that_of_the_nearest_city(store: VectorStore) -> None:
    lisbon, vienna = record("lisbon", lat=38.71, lon=-9.14), record("vienna", lat=48.2, lon=16.37)
    add(
        store,
        lisbon,
        vienna,
        record("sea", lat=0.1, lon=-30.0),
        record("nowhere"),
        record("odd", lat=99.0, lon=0.0),
    )
    assert found(store, Where(country="PT")) == {lisbon.id}
    assert found(store, Where(country="AT")) == {vienna.id}
    assert found(store, Where(country="XX")) == set()


def test_a_state_of_the_usa_is_that_of_the_nearest_city(store: VectorStore) -> None:
    austin, portland = record("austin", lat=30.27, lon=-97.74), record("portland", lat=45.52, lon=-122.68)
    add(store, austin, portland, record("vienna", lat=48.2, lon=16.37))
    assert found(store, Where(country="US-TX")) == {austin.id}
    assert found(store, Where(country="US-OR")) == {portland.id}
    assert found(store, Where(country="US")) == {austin.id, portland.id}
    assert found(store, Where(country="US-XX")) == set()


def test_any_of_several_spans_will_do(store: VectorStore) -> None:
    years = [record(f"of {year}", taken_at=datetime(year, 6, 1)) for year in (2014, 2015, 2016, 2018)]
    receipt = record("receipt", text="Date 12/05/2018 Total 5.00")
    chart = record("chart", text="Sales of 2015")
    add(store, *years, receipt, chart, record("undated"))
    spans = tuple((datetime(year, 1, 1), datetime(year + 1, 1, 1)) for year in (2015, 2018))
    assert found(store, Where(spans=spans)) == {years[1].id, years[3].id, receipt.id, chart.id}
    assert found(store, Where(spans=spans, after=datetime(2016, 1, 1))) == {years[3].id, receipt.id}
    assert found(store, Where(spans=(spans[0], spans[0]))) == {years[1].id, chart.id}


def test_facets_count_every_value_the_most_frequent_first(store: VectorStore) -> None:
    trip = {"camera": "Canon EOS 5D", "lat": 38.71, "lon": -9.14, "tags": ("trip", "sea")}
    add(
        store,
        *(record(number, taken_at=datetime(2019, 7, 1 + number), **trip) for number in range(3)),
        record("page", kind="page", text="12 May 2018\n30 June 2019", tags=("bill",)),
        record("bare"),
    )
    facets = store.facets(Where())
    assert facets == {
        "kinds": (("photo", 4), ("page", 1)),
        "years": ((2019, 4), (2018, 1)),
        "months": ((7, 3), (5, 1), (6, 1)),
        "countries": (("PT", 3),),
        "cities": (("Lisbon, PT", 3),),
        "cameras": (("Canon EOS 5D", 3),),
        "tags": (("sea", 3), ("trip", 3), ("bill", 1)),
    }
    assert store.facets(Where(), limit=1)["tags"] == (("sea", 3),)
    assert store.facets(Where(kind="page"))["years"] == ((2018, 1), (2019, 1))
    assert store.facets(Where(path="*/page.jpg"))["tags"] == (("bill", 1),)
    assert set(store.facets(Where(tags=("none",))).values()) == {()}


PATHS = {
    "a": "/home/ann/Holiday/a.jpg",
    "b": "/home/ann/Holiday/Rome/B.JPG",
    "c": "/home/ann/work/holiday.png",
    "d": "C:\\Users\\Ann\\Holiday\\d.jpeg",
    "e": "/data/[2019] trip/e1.jpg",
    "f": "https://example.org/x/ÉTÉ.webp",
    "g": "/strange/\udcff.jpg",
}


GLOBS = [
    ("holiday/*", "abd"),
    ("Holiday/*.jpg", "ab"),
    ("*/holiday/*", "abd"),
    ("/home/*", "abc"),
    ("home/*", "abc"),
    ("*.jpg", "abeg"),
    ("*.JP*G", "abdeg"),
    ("holiday.png", "c"),
    ("holiday", ""),
    ("oliday/*", ""),
    ("holi*", "abcd"),
    ("?.jpg", "abg"),
    ("[ab].jpg", "ab"),
    ("[!a].jpg", "bg"),
    ("[[]2019[]] trip/*", "e"),
    ("e[0-9].jpg", "e"),
    ("*[2019*", "e"),
    ("[]]*", ""),
    ("été.*", "f"),
    ("./holiday/*", "abd"),
    ("holiday\\*", "abd"),
    ("\udcff.jpg", "g"),
    ("*", "abcdefg"),
    ("/", ""),
    ("rome", ""),
    ("*rome*", "b"),
]


def test_globs_match_from_the_right(store: VectorStore) -> None:
    records = {name: record(name, uri=uri) for name, uri in PATHS.items()}
    add(store, *records.values())
    names = {each.id: name for name, each in records.items()}
    got = {
        glob: "".join(sorted(names[point] for point in found(store, Where(path=glob)))) for glob, _ in GLOBS
    }
    assert got == dict(GLOBS)


def test_globs_look_at_copies_too(store: VectorStore) -> None:
    add(store, FULL, record(1))
    assert found(store, Where(path="backup/*")) == {FULL.id}


TEXTS = {
    "receipt": "ACME SDN BHD\nGRAND TOTAL: RM67.85\n12/05/2018",
    "squeezed": "GRANDTOTAL67.85",
    "party": "a party for cartoonists",
    "art": "Art, and more",
    "tower": "本日は東京\nタワーへ",
    "none": "",
}


PHRASES = [
    (Where(phrases=("grand total",)), "receipt squeezed"),
    (Where(phrases=("Grand total 67.85",)), "squeezed"),
    (Where(phrases=("67.85",)), "receipt squeezed"),
    (Where(phrases=("7.85",)), ""),
    (Where(phrases=("art",)), "art"),
    (Where(phrases=("東京タワー",)), "tower"),
    (Where(phrases=("acme", "12/05/2018")), "receipt"),
    (Where(phrases=("acme", "art")), ""),
    (Where(without=("art",)), "receipt squeezed party tower none"),
    (Where(without=("grand total", "art")), "party tower none"),
    (Where(phrases=("grand total",), without=("acme",)), "squeezed"),
    (Where(phrases=("grand total",), path="*/receipt.jpg"), "receipt"),
]


def test_phrases_must_occur_and_others_must_not(store: VectorStore) -> None:
    records = {name: record(name) for name in TEXTS}
    add(store, *records.values())
    empty = np.zeros((0, TEXT_DIM), np.float32)
    store.set_text([records[name].id for name in TEXTS], list(TEXTS.values()), [empty] * len(TEXTS))
    for where, expected in PHRASES:
        assert found(store, where) == {records[name].id for name in expected.split()}, where


def test_text_as_long_as_a_book_is_searched_to_its_end(store: VectorStore) -> None:
    book = record("book", text="lorem ipsum dolor " * 20_000 + "the butler did it")
    add(store, book, record(2))
    assert found(store, Where(phrases=("butler did it",))) == {book.id}
    assert [hit.id for hit in store.search("words", "butler", where=Where(), limit=3)] == [book.id]


# --- order ------------------------------------------------------------------------------------------------


def test_pages_of_equal_scores_neither_repeat_nor_skip(store: VectorStore) -> None:
    same = [record(number, tags=("even",) if number % 2 == 0 else ()) for number in range(150)]
    add(store, *same)
    best = record("best")
    add(store, best, vectors=axis(0) + 0.001 * axis(1))
    query = unit(axis(0) + 0.001 * axis(1))[0]
    pages = [store.search("image", query, where=Where(), limit=7, offset=at) for at in range(0, 160, 7)]
    listed = [hit.id for page in pages for hit in page]
    assert listed == [best.id, *sorted(each.id for each in same)]
    even = [hit.id for hit in store.search("image", query, where=Where(tags=("even",)), limit=5, offset=3)]
    assert even == sorted(each.id for each in same if each.tags)[3:8]


def test_scroll_pages_are_stable_too(store: VectorStore) -> None:
    day = datetime(2020, 1, 1)
    dated = [record(number, taken_at=day + timedelta(days=number // 40)) for number in range(100)]
    undated = [record(f"u{number}") for number in range(30)]
    add(store, *undated, *dated)
    pages = [store.scroll(Where(), limit=9, offset=at) for at in range(0, 140, 9)]
    expected = sorted(each.id for each in dated[80:])
    expected += sorted(each.id for each in dated[40:80]) + sorted(each.id for each in dated[:40])
    assert [point for page in pages for point in page] == expected + sorted(each.id for each in undated)


def test_bm25_prefers_rare_words_and_short_texts(store: VectorStore) -> None:
    texts = ["total total", "total due 12/05/2018", "total " + "filler " * 80, "nothing"]
    records = [record(number, text=text) for number, text in enumerate(texts)]
    add(store, *records)
    ranked = [hit.id for hit in store.search("words", "the totals", where=Where(), limit=9)]
    assert ranked == [records[0].id, records[1].id, records[2].id]
    assert store.search("words", "12/05/2018 total", where=Where(), limit=1)[0].id == records[1].id


# --- against the reference --------------------------------------------------------------------------------

VOCABULARY = [f"word{letter}" for letter in "abcdefghijklmnopqrst"] + ["67.85", "12/05/2018", "東京タワー"]


def many(count: int, seed: int = 5) -> tuple[list[ImageRecord], Vectors, list[Vectors]]:
    """Random records, image vectors and passages. Some vectors are the same on purpose."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(count, DIM)))
    vectors[1::17] = vectors[0]
    records = []
    for number in range(count):
        words = " ".join(rng.choice(VOCABULARY, rng.integers(0, 9)))
        records.append(
            record(
                f"{seed}-{number}",
                uri=f"/photos/{number % 7}/{'Holiday' if number % 3 else 'work'}/{number}.jpg",
                kind=("photo", "page", "frame")[number % 3],
                taken_at=datetime(2015, 1, 1) + timedelta(days=number // 5) if number % 4 else None,
                camera=("Canon", "Nikon", None)[number % 3],
                lat=float(rng.uniform(-60, 60)) if number % 2 else None,
                lon=float(rng.uniform(-180, 180)) if number % 2 else None,
                tags=tuple(str(tag) for tag in rng.choice(["a", "b", "c"], number % 3, replace=False)),
                text=words,
            )
        )
    passages = [
        unit(rng.normal(size=(n, TEXT_DIM))) if (n := number % 4) else empty_rows() for number in range(count)
    ]
    return records, vectors, passages


def empty_rows() -> Vectors:
    return np.zeros((0, TEXT_DIM), np.float32)


WHERES = [
    Where(),
    Where(kind="page"),
    Where(tags=("a", "b")),
    Where(camera="nikon", after=datetime(2015, 2, 1), before=datetime(2015, 4, 1)),
    Where(near=Near(10, 20, 4000)),
    Where(path="3/holiday/*"),
    Where(path="*7.jpg", kind="photo"),
    Where(phrases=("worda",)),
    Where(phrases=("67.85",), without=("wordb",)),
    Where(without=("wordc", "word d")),
    Where(phrases=("no such words",)),
    Where(months=(1, 3), weekdays=(0, 1, 2)),
    Where(hours=(0,)),
    Where(amount_min=60, amount_max=70),
    Where(after=datetime(2018, 1, 1)),
    Where(country="CD"),
    Where(country="US-TX"),
    Where(
        spans=(
            (datetime(2018, 1, 1), datetime(2018, 1, 20)),
            (datetime(2018, 3, 1), datetime(2018, 3, 9)),
        )
    ),
]


def fill(store: VectorStore, data: tuple[list[ImageRecord], Vectors, list[Vectors]]) -> None:
    records, vectors, passages = data
    for at in range(0, len(records), 100):
        part = slice(at, at + 100)
        store.upsert(records[part], vectors[part])
        store.set_text(
            [each.id for each in records[part]], [each.text for each in records[part]], passages[part]
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """What the store in memory says of one filter."""

    where: Where
    count: int
    page: list[str]
    facets: Facets
    searches: list[tuple[SubQuery, Any, int, int, list[Scored]]]
    """Sub-query, query, limit, offset and hits."""


Data = tuple[list[ImageRecord], Vectors, list[Vectors]]


@cache
def reference(count: int, *, every: int = 1) -> tuple[Data, list[Expected]]:
    """The pictures of ``many`` and what is true of them, worked out once; of every so many filters."""
    data = many(count)
    store = MemoryStore(dim=DIM, text_dim=TEXT_DIM)
    fill(store, data)
    rng = np.random.default_rng(9)
    expected: list[Expected] = []
    for where in WHERES[::every]:
        asked: list[tuple[SubQuery, Any]] = [
            ("image", unit(rng.normal(size=DIM))[0]),
            ("image", store.sample_vectors(1)[0]),
            ("text", unit(rng.normal(size=TEXT_DIM))[0]),
            ("words", "the worda wordb 67.85"),
            ("words", "東京タワー 12/05/2018"),
        ]
        searches = [
            (
                sub_query,
                query,
                limit,
                offset,
                store.search(sub_query, query, where=where, limit=limit, offset=offset),
            )
            for sub_query, query in asked
            for limit, offset in ((10, 0), (25, 15))
        ]
        page = store.scroll(where, limit=20, offset=3)
        expected.append(Expected(where, store.count(where), page, store.facets(where), searches))
    return data, expected


def assert_congruent(store: VectorStore, data: Data, expected: list[Expected]) -> None:
    assert sorted(store.ids()) == sorted(each.id for each in data[0])
    for one in expected:
        assert store.count(one.where) == one.count, one.where
        assert store.scroll(one.where, limit=20, offset=3) == one.page, one.where
        assert store.facets(one.where) == one.facets, one.where
        for sub_query, query, limit, offset, hits in one.searches:
            got = store.search(sub_query, query, where=one.where, limit=limit, offset=offset)
            assert_same(got, hits, 2e-4 if sub_query == "words" else 2e-5, f"{sub_query} {one.where}")


def assert_same(got: list[Scored], expected: list[Scored], close: float, what: str) -> None:
    """The same ids in the same order but for scores closer than rounding; the same scores."""
    np.testing.assert_allclose(
        [hit.score for hit in got], [hit.score for hit in expected], atol=close, err_msg=what
    )
    if [hit.id for hit in got] != [hit.id for hit in expected]:
        theirs = {hit.id: hit.score for hit in expected}
        for mine, other in zip(got, expected, strict=True):
            near = abs(mine.score - theirs.get(mine.id, expected[-1].score))
            assert mine.id == other.id or near < close, what


def test_a_lasting_store_answers_as_the_reference_does(opener: Callable[[], Any]) -> None:
    data, expected = reference(600)
    with opener() as store:
        fill(store, data)
        assert_congruent(store, data, expected)
        store.optimize()
        assert_congruent(store, data, expected)
    with opener() as store:
        assert_congruent(store, data, expected)


@pytest.mark.parametrize(
    "opener",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("plugin", "qdrant_edge") else name
        for name in LASTING
        if name != "qdrant_local"
    ],
    indirect=True,
)
def test_so_it_does_when_large_enough_to_be_quantised(opener: Callable[[], Any]) -> None:
    """At this size the engine really builds codes."""
    data, expected = reference(12_000, every=4)
    with opener() as store:
        fill(store, data)
        store.optimize()
        assert_congruent(store, data, expected)


# --- lasting, and threads ---------------------------------------------------------------------------------


def test_what_was_written_is_there_after_reopening(opener: Callable[[], Any]) -> None:
    with opener() as store:
        add(store, FULL, record(1), record(2), vectors=[axis(0), axis(1), axis(2)])
        store.set_text([record(1).id], ["Grand total"], [unit(axis(3, TEXT_DIM))])
        store.delete([record(2).id])
    store.close()
    for _ in range(2):
        with opener() as store:
            assert store.count() == 2
            assert store.get([FULL.id]) == [FULL]
            assert store.search("image", axis(1), where=Where(), limit=1)[0].id == record(1).id
            assert store.search("text", axis(3, TEXT_DIM), where=Where(), limit=3)[0].score > 0.99
            assert store.search("words", "grand", where=Where(kind="photo"), limit=3)[0].id == record(1).id


def test_threads_search_while_one_writes(store: VectorStore) -> None:
    records, vectors, passages = many(300)
    fill(store, (records[:100], vectors[:100], passages[:100]))
    done, errors = threading.Event(), []

    def read() -> None:
        try:
            while not done.is_set():
                hits = store.search("image", vectors[0], where=Where(without=("wordz",)), limit=10)
                assert len(hits) == 10
                assert len({hit.id for hit in hits}) == 10
                assert hits[0].score == pytest.approx(1, abs=1e-5)
                assert len(store.get([hit.id for hit in hits])) == 10
        except BaseException as error:  # noqa: BLE001 (asserted on below)
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for at in range(100, 300, 10):
        part = slice(at, at + 10)
        fill(store, (records[part], vectors[part], passages[part]))
    store.optimize()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert store.count() == 300


def test_two_threads_may_write_the_same_image(store: VectorStore) -> None:
    records, vectors, _ = many(120)
    store.upsert(records, vectors)
    ids = [each.id for each in records]
    moved = [record(f"5-{number}", uri=f"/moved/{number}.jpg") for number in range(120)]

    def texts() -> None:
        for at in range(0, 120, 5):
            store.set_text(ids[at : at + 5], ["fresh words"] * 5, [unit(axis(0, TEXT_DIM))] * 5)

    def copies() -> None:
        for each in moved:
            store.set_copies(each)

    threads = [threading.Thread(target=work) for work in (texts, copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = store.get(ids)
    assert [each.text for each in after] == ["fresh words"] * 120
    assert [each.uri for each in after] == [each.uri for each in moved]
