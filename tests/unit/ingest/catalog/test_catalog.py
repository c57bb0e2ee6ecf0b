"""The ledger, the same in a SQLite file and on a PostgreSQL server; what is said when a file is not well."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, text

from askpix.core.db.engine import open_database, transaction
from askpix.core.errors import AskpixError, IndexMismatchError, NotFoundError, StoreUnavailableError
from askpix.core.types import Box, ImageRecord, TextLine
from askpix.ingest.catalog.catalog import Catalog, Collection, SourceState
from askpix.ingest.catalog.tables import METADATA, VERSION


@pytest.fixture
def catalog(database: Path | str) -> Iterator[Catalog]:
    opened = Catalog(open_database(database, METADATA, version=VERSION))
    yield opened
    opened.close()


def create(catalog: Catalog, name: str = "default") -> Collection:
    return catalog.create_collection(name, embedder="colour", dim=5, text_embedder="bag", text_dim=64)


def image(collection: Collection, sha: str, page: int | None = None) -> ImageRecord:
    return ImageRecord(
        id=collection.image_id(sha, page),
        uri="/a.jpg",
        kind="page" if page else "photo",
        width=3,
        height=2,
        page=page,
        lat=1.5,
    )


def enter(catalog: Catalog, collection: Collection, **shas: str) -> None:
    """Sources by name (``a`` is ``/a.jpg``) with their content, each with one image."""
    states = {f"/{name}.jpg": SourceState(10, 20, sha) for name, sha in shas.items()}
    catalog.record(collection, states=states, added={sha: [image(collection, sha)] for sha in shas.values()})


def test_collections_are_made_found_listed_and_deleted(catalog: Catalog) -> None:
    made = create(catalog, "Holiday.2024")
    assert catalog.get_collection("holiday.2024") == made
    assert catalog.get_collection("other") is None
    create(catalog, "a")
    assert [c.name for c in catalog.list_collections()] == ["a", "Holiday.2024"]
    catalog.delete_collection("HOLIDAY.2024")
    assert [c.name for c in catalog.list_collections()] == ["a"]
    with pytest.raises(NotFoundError, match=r"'Holiday\.2024'"):
        catalog.delete_collection("Holiday.2024")


@pytest.mark.parametrize(
    "name", ["", "..", ".a", "-a", "a/b", "a b", "ä", "a\n", "x" * 64, "a'b", "\udcff", "ſ", "\u212a"]
)
def test_an_unusable_name_is_refused_and_never_found(catalog: Catalog, name: str) -> None:
    with pytest.raises(AskpixError, match="cannot name a collection"):
        create(catalog, name)
    assert catalog.get_collection(name) is None


def test_a_name_is_taken_in_any_case(catalog: Catalog) -> None:
    create(catalog, "Photos")
    with pytest.raises(AskpixError, match="'Photos' already"):
        create(catalog, "photos")


def test_of_many_who_create_the_same_name_one_does(database: Path | str) -> None:
    results: list[str] = []
    barrier = threading.Barrier(6)

    def run() -> None:
        barrier.wait()
        opened = Catalog(open_database(database, METADATA, version=VERSION))
        try:
            create(opened)
            results.append("made")
        except AskpixError as error:
            results.append(str(error))
        opened.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("made") == 1
    assert results.count("there is a collection 'default' already") == 5


def test_ids_follow_from_collection_content_and_page(catalog: Catalog) -> None:
    one, other = create(catalog, "one"), create(catalog, "other")
    ids = {c.image_id(sha, page) for c in (one, other) for sha in ("s", "t") for page in (None, 1, 2)}
    assert len(ids) == 12
    assert one.image_id("s", 1) == one.image_id("s", 1)


def test_sources_and_images_are_entered_once(catalog: Catalog) -> None:
    collection = create(catalog)
    for _ in range(2):
        enter(catalog, collection, a="s", b="s", c="t")
    assert catalog.known_sources(collection)["/b.jpg"] == SourceState(10, 20, "s")
    assert catalog.contents(collection) == {"s", "t"}
    assert catalog.count_images(collection) == 2
    counts = catalog.counts(collection)
    assert counts == {
        "images": 2,
        "sources": 3,
        "failed": 0,
        "text": {"pending": 2, "done": 0, "failed": 0},
    }
    by_id = {record.id: record for record in catalog.records(collection, ["s", "t"])}
    shared = by_id[collection.image_id("s", None)]
    assert (shared.uri, shared.copies, shared.lat) == ("/a.jpg", ("/b.jpg",), 1.5)
    assert catalog.sources_of(collection, ["s", "u"]) == {"s": ["/a.jpg", "/b.jpg"]}


def test_orphans_are_images_without_a_source(catalog: Catalog) -> None:
    collection, other = create(catalog), create(catalog, "other")
    enter(catalog, collection, a="s", b="s", c="t")
    enter(catalog, other, a="s")
    catalog.record(collection, states={}, added={}, gone=["/a.jpg", "/c.jpg"])
    assert catalog.orphans(collection) == [collection.image_id("t", None)]
    assert catalog.orphans(collection, ["s"]) == []
    catalog.forget_images(catalog.orphans(collection, ["t"]))
    assert catalog.embedded_ids(collection) == [collection.image_id("s", None)]
    assert catalog.count_images(other) == 1


def test_more_ids_than_a_statement_takes(catalog: Catalog) -> None:
    collection = create(catalog)
    enter(catalog, collection, **{f"n{i}": f"s{i}" for i in range(1234)})
    assert len(list(catalog.records(collection, [f"s{i}" for i in range(1234)]))) == 1234
    catalog.record(collection, states={}, added={}, gone=[f"/n{i}.jpg" for i in range(1230)])
    assert len(catalog.orphans(collection, [f"s{i}" for i in range(1234)])) == 1230


def test_lost_images_do_not_count_and_keep_their_words(catalog: Catalog) -> None:
    collection = create(catalog)
    enter(catalog, collection, a="s", b="t")
    lost = collection.image_id("s", None)
    catalog.texts.save({lost: [TextLine("hello", Box(0, 0, 1, 1))]}, {}, engine="e")
    catalog.texts.mark_stored([lost])
    catalog.mark_lost([lost])
    assert (catalog.contents(collection), catalog.count_images(collection)) == ({"t"}, 1)
    enter(catalog, collection, a="s")
    assert catalog.texts.unstored(collection.id, limit=9) == [lost]
    assert catalog.lines([lost])[lost][0].text == "hello"


def test_a_content_is_known_only_when_all_its_pages_are(catalog: Catalog) -> None:
    collection = create(catalog)
    pages = [image(collection, "s", page) for page in (1, 2)]
    catalog.record(collection, states={"/a.pdf": SourceState(1, 1, "s")}, added={"s": pages})
    assert catalog.contents(collection) == {"s"}
    catalog.mark_lost([pages[1].id])
    assert catalog.contents(collection) == set()


def test_words_go_from_pending_to_read_to_done(catalog: Catalog) -> None:
    collection = create(catalog)
    enter(catalog, collection, a="s", b="t", c="u", d="s")
    pending = list(catalog.texts.pending(collection.id, page_size=2))
    assert [(p.sha256, p.uris) for p in pending] == [
        ("s", ("/a.jpg", "/d.jpg")),
        ("t", ("/b.jpg",)),
        ("u", ("/c.jpg",)),
    ]
    first, second, third = (item.image_id for item in pending)
    line = TextLine("Grand total £67.85 \u2028 合計", Box(1.04, 2.0, 30.06, 40.0), 0.98765)
    catalog.texts.save({first: [line], second: [], "unknown": [line]}, {third: "blurred"}, engine="e")
    assert catalog.texts.count_pending(collection.id) == 0
    kept = catalog.lines([first, second, third, "unknown"])
    assert kept == {first: (TextLine(line.text, Box(1.0, 2.0, 30.1, 40.0), 0.988),), second: ()}
    assert sorted(catalog.texts.unstored(collection.id, limit=9)) == sorted([first, second])
    assert len(catalog.texts.unstored(collection.id, limit=1)) == 1
    catalog.texts.mark_stored([first])
    assert catalog.counts(collection)["text"] == {"pending": 1, "done": 1, "failed": 1}
    catalog.forget_images([first])
    assert catalog.lines([first]) == {}


def test_pending_pages_come_in_order_over_any_page_size(catalog: Catalog) -> None:
    collection = create(catalog)
    states = {f"/{sha}.pdf": SourceState(1, 1, sha) for sha in "st"}
    added = {sha: [image(collection, sha, page) for page in range(1, 6)] for sha in "st"}
    catalog.record(collection, states=states, added=added)
    for size in (1, 3, 5, 10, 100):
        found = [(p.sha256, p.place) for p in catalog.texts.pending(collection.id, page_size=size)]
        assert found == [(sha, page) for sha in "st" for page in range(1, 6)]


def test_a_run_that_did_not_end_is_known(catalog: Catalog) -> None:
    collection = create(catalog)
    assert catalog.begin_run(collection) is False
    assert catalog.begin_run(collection) is True
    catalog.end_run(collection)
    assert catalog.begin_run(collection) is False


def test_a_collection_deleted_meanwhile_is_said(catalog: Catalog) -> None:
    collection = create(catalog)
    catalog.delete_collection("default")
    with pytest.raises(NotFoundError, match="deleted meanwhile"):
        enter(catalog, collection, a="s")
    with pytest.raises(NotFoundError, match="deleted meanwhile"):
        catalog.begin_run(collection)


def test_deleting_a_collection_takes_everything_with_it(catalog: Catalog) -> None:
    collection = create(catalog)
    enter(catalog, collection, a="s")
    catalog.texts.save({collection.image_id("s", None): []}, {}, engine="e")
    catalog.delete_collection("default")
    with transaction(catalog.engine, write=False) as raw:
        tables = ("collections", "sources", "images", "texts")
        assert [raw.execute(text(f"select count(*) from {table}")).scalar() for table in tables] == [0] * 4


# --- the file ----------------------------------------------------------------------------------------


def test_readers_go_on_while_another_connection_writes(catalog: Catalog, database: Path | str) -> None:
    create(catalog)
    other = open_database(database, METADATA, version=VERSION)
    with transaction(other) as connection:
        connection.execute(text("delete from collections"))
        assert len(catalog.list_collections()) == 1
    other.dispose()
    assert catalog.list_collections() == []


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "c.sqlite", METADATA, version=VERSION)
    with transaction(engine, write=False) as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    engine.dispose()
    assert found == ["wal", 2, 1]  # 2 = FULL


def test_a_newer_catalog_is_refused(database: Path | str) -> None:
    open_database(database, METADATA, version=VERSION + 1).dispose()
    with pytest.raises(IndexMismatchError, match="newer version"):
        open_database(database, METADATA, version=VERSION)


def test_a_damaged_file_is_one_line_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreUnavailableError, match=r"c\.sqlite' is not a catalog, or damaged") as caught:
        open_database(path, METADATA, version=VERSION)
    assert "\n" not in str(caught.value)


def test_damage_found_later_is_said_too(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    catalog = Catalog(open_database(path, METADATA, version=VERSION))
    collection = create(catalog)
    enter(catalog, collection, **{f"n{i}": f"s{i}" for i in range(2000)})
    catalog.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(200_000)  # what is read to open it stands before
        file.write(os.urandom(size - 200_000))
    broken = Catalog(open_database(path, METADATA, version=VERSION))
    with pytest.raises(StoreUnavailableError, match="damaged"):
        broken.known_sources(collection)
    broken.close()


def test_a_folder_where_the_file_belongs_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").mkdir()
    with pytest.raises(StoreUnavailableError, match="cannot be opened; check the permissions"):
        open_database(tmp_path / "c.sqlite", METADATA, version=VERSION)


def test_a_full_disk_is_said_and_nothing_half_written(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "c.sqlite", METADATA, version=VERSION)
    catalog = Catalog(engine)
    collection = create(catalog)
    enter(catalog, collection, a="s")
    # SQLite's own limit gives the very error of a full disk.
    with transaction(engine, write=False) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        enter(catalog, collection, **{f"n{i}": f"s{i}" for i in range(5000)})
    assert catalog.count_images(collection) == 1
    catalog.close()


def test_a_lock_held_by_another_program_is_said(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    engine = open_database(path, METADATA, version=VERSION)
    with transaction(engine, write=False) as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="another process"):
        create(Catalog(engine))
    holder.execute("ROLLBACK")
    holder.close()
    create(Catalog(engine))
    engine.dispose()


def test_a_mistake_of_ours_stays_a_mistake(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "c.sqlite", MetaData(), version=1)
    with pytest.raises(RuntimeError, match="bug"), transaction(engine):
        raise RuntimeError("bug")
    engine.dispose()
