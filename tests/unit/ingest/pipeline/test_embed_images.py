"""Stage one on real files, with an embedder of mean colours and a store in memory."""

import errno
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from askpix.core.errors import NotFoundError, StoreUnavailableError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import Box, ImageRecord, TextLine, Vectors
from askpix.ingest.pipeline import worker
from askpix.ingest.pipeline.embed_images import collection_run, index
from askpix.ingest.pipeline.report import IngestReport, Progress
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, unit
from tests.support.indexing import Counting, World, paint


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.catalog.close()


def paint_many(folder: Path, count: int) -> list[Path]:
    return [paint(folder / f"{i:04}.png", (i % 250, i // 250 * 10, 99)) for i in range(count)]


def touch(path: Path, seconds: int = 5) -> None:
    at = path.stat().st_mtime_ns + seconds * 10**9
    os.utime(path, ns=(at, at))


def summary(report: IngestReport) -> tuple[int, int, int, int, int, int]:
    r = report
    return (r.added, r.updated, r.unchanged, r.removed, r.duplicates, len(r.failed))


# --- adding ------------------------------------------------------------------------------------------


def test_images_are_found_by_what_they_show(world: World) -> None:
    for colour in ("red", "lime", "blue"):
        paint(world.photos / "deep" / f"{colour}.png", colour)
    report = world.run()
    assert summary(report) == (3, 0, 0, 0, 0, 0)
    assert (report.collection, report.embedder, report.images) == ("default", "colour", 3)
    assert report.seconds > 0
    assert report.images_per_second == pytest.approx(3 / report.seconds, rel=0.05)
    assert world.find("red") == "red.png"
    assert world.find("blue") == "blue.png"


def test_an_empty_folder_is_fine(world: World) -> None:
    report = world.run()
    assert summary(report) == (0, 0, 0, 0, 0, 0)
    assert (report.images, report.images_per_second) == (0, 0)


def test_records_carry_what_the_file_says(world: World) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F], exif[0x0110] = "Nikon", "D90"
    exif[0x0132] = "2019:05:04 10:20:30"
    Image.new("RGB", (60, 40), "red").save(world.photos / "a.jpg", exif=exif)
    world.run()
    (record,) = world.store.get(list(world.store.ids()))
    assert (record.width, record.height, record.kind, record.page) == (40, 60, "photo", None)
    assert record.camera == "Nikon D90"
    assert record.taken_at is not None
    assert record.taken_at.isoformat() == "2019-05-04T10:20:30"
    assert record.uri == str(world.photos / "a.jpg")


def test_every_image_of_many_has_its_own_vector(world: World) -> None:
    paths = paint_many(world.photos, 300)
    world.embedder = Counting(workers=3)
    report = world.run(batch_size=7)
    assert summary(report) == (300, 0, 0, 0, 0, 0)
    for record in world.store.get(list(world.store.ids())):
        with Image.open(record.uri) as image:
            expected = ColourEmbedder().embed_images([image.convert("RGB")])
        np.testing.assert_allclose(world.store.image_vectors([record.id]), expected, atol=1e-6)
    assert len(paths) == world.embedder.embedded == 300


def test_no_more_threads_embed_than_the_embedder_wants(world: World) -> None:
    paint_many(world.photos, 60)
    world.embedder = Counting(workers=2)
    world.run(batch_size=3, threads=6)
    assert world.embedder.most <= 2


def test_where_nothing_changed_the_model_is_not_loaded(world: World) -> None:
    def load() -> Counting:
        loaded.append(1)
        return Counting()

    loaded: list[int] = []
    paint_many(world.photos, 3)
    world.load = load  # type: ignore[method-assign]
    world.run()
    assert loaded
    loaded.clear()
    assert world.run().unchanged == 3 and not loaded
    paint_many(world.photos, 4)
    assert world.run().added == 1 and loaded


def test_progress_ends_at_the_total(world: World) -> None:
    paint_many(world.photos, 40)
    world.run(batch_size=8)
    last = world.progress[-1]
    assert (last.stage, last.done, last.total, last.failed) == ("looking", 40, 40, 0)
    assert last.rate > 0
    assert [p.done for p in world.progress] == sorted(p.done for p in world.progress)


def test_named_files_are_taken_and_a_missing_path_is_an_error_before_any_work(world: World) -> None:
    one = paint(world.photos / "one.png", "red")
    paint(world.photos / "two.png", "blue")
    assert world.run(one).added == 1
    with pytest.raises(NotFoundError, match="nowhere"):
        world.run(world.photos, world.photos / "nowhere")
    assert world.store.count() == 1


# --- running again -----------------------------------------------------------------------------------


def test_an_unchanged_file_is_not_even_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(world.photos / "a.png", "red")
    world.run()

    def opened(content: object) -> str:
        raise AssertionError("a file was read")

    monkeypatch.setattr(worker, "sha256_of", opened)
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)


def test_a_change_that_keeps_size_and_time_is_seen(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    other = paint(world.photos / "b.png", "blue").read_bytes()
    (world.photos / "b.png").unlink()
    size = max(path.stat().st_size, len(other))
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    world.run()
    times = path.stat()
    path.write_bytes(other.ljust(size, b"\0"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert summary(world.run())[:3] == (0, 1, 0)


def test_sources_of_an_earlier_version_are_not_read_again_for_it(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    world.run()
    known = world.catalog.known_sources(world.collection)
    world.catalog.record(
        world.collection, states={uri: replace(each, ctime_ns=None) for uri, each in known.items()}, added={}
    )
    path.chmod(0o600)
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)
    assert world.catalog.known_sources(world.collection)[str(path)].ctime_ns == path.stat().st_ctime_ns


def test_a_touched_file_costs_a_hash_once(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    world.run()
    touch(path)
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)
    assert world.embedder.embedded == 1
    world.progress.clear()
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)
    assert world.progress == []  # nothing to look into


def test_an_edited_file_replaces_its_image(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    paint(world.photos / "b.png", "lime")
    world.run()
    paint(path, "blue")
    touch(path)
    assert summary(world.run()) == (0, 1, 1, 0, 0, 0)
    assert world.store.count() == 2
    assert world.find("blue") == "a.png"


def test_an_edited_file_leaves_its_old_image_to_the_copy(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    shutil.copy(path, world.photos / "b.png")
    world.run()
    assert world.uris() == {"a.png": ("b.png",)}
    paint(path, "blue")
    touch(path)
    assert summary(world.run()) == (0, 1, 1, 0, 0, 0)
    assert world.uris() == {"a.png": (), "b.png": ()}


def test_files_that_exchange_their_content_lose_nothing(world: World) -> None:
    """Photos that were numbered anew: what leaves one name comes up under another."""
    paths = paint_many(world.photos, 40)
    world.run()
    blobs = [path.read_bytes() for path in paths]
    for number, path in enumerate(paths):
        path.write_bytes(blobs[(number + 17) % 40])
        touch(path)
    report = world.run(batch_size=1)
    assert summary(report) == (0, 40, 0, 0, 0, 0)
    assert world.embedder.embedded == 40
    assert world.store.count() == 40


# --- duplicates and renames --------------------------------------------------------------------------


def test_the_same_bytes_are_one_image_with_several_sources(world: World) -> None:
    path = paint(world.photos / "b.png", "red")
    for name in ("c.png", "a.png", "d.png"):
        shutil.copy(path, world.photos / name)
    report = world.run(batch_size=1, threads=4)
    assert summary(report) == (1, 0, 0, 0, 3, 0)
    assert world.embedder.embedded == 1
    assert world.uris() == {"a.png": ("b.png", "c.png", "d.png")}
    assert report.images == 1


def test_a_later_copy_costs_no_embedding(world: World) -> None:
    path = paint(world.photos / "b.png", "red")
    world.run()
    shutil.copy(path, world.photos / "a.png")
    assert summary(world.run()) == (0, 0, 1, 0, 1, 0)
    assert world.embedder.embedded == 1
    assert world.uris() == {"a.png": ("b.png",)}


@pytest.mark.parametrize("how", ["file", "option", "folder"])
def test_what_is_newly_ignored_is_pruned(world: World, how: str) -> None:
    paint(world.photos / "drafts" / "a.png", "red")
    paint(world.photos / "b.png", "blue")
    assert world.run().added == 2
    more: dict[str, object] = {"ignore": ["drafts/"]} if how == "option" else {}
    if how == "file":
        (world.photos / ".askpixignore").write_text("drafts/\n")
    if how == "folder":
        (world.photos / "drafts" / ".askpixignore").write_text("*.png\n")
    assert world.run(**more).removed == 0 and world.store.count() == 2
    assert world.run(prune=True, **more).removed == 1
    assert list(world.uris()) == ["b.png"]
    named = world.photos / "drafts" / "a.png"
    world.run(named)
    world.run(named, prune=True)
    assert set(world.uris()) == {"a.png", "b.png"}, "a file that is named is always taken"


def test_a_renamed_file_is_the_same_image_under_its_new_name(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    paint(world.photos / "stays.png", "blue")
    world.run()
    path.rename(world.photos / "z.png")
    for prune in (False, True):
        report = world.run(prune=prune)
        assert summary(report) == ((0, 0, 2, 0, 0, 0) if prune else (0, 1, 1, 0, 0, 0))
    assert world.embedder.embedded == 2
    assert world.uris() == {"z.png": (), "stays.png": ()}


def test_a_renamed_folder_keeps_all_its_images(world: World) -> None:
    paint_many(world.photos / "old", 30)
    world.run()
    (world.photos / "old").rename(world.photos / "new")
    assert summary(world.run(prune=True)) == (0, 30, 0, 0, 0, 0)
    assert world.embedder.embedded == 30
    assert all("/new/" in record.uri for record in world.store.get(list(world.store.ids())))


def test_a_bad_file_fails_with_all_its_copies(world: World) -> None:
    for number in range(4):
        (world.photos / f"{number}.jpg").write_bytes(b"\xff\xd8\xff no picture")
    report = world.run(batch_size=1, threads=4)
    assert summary(report) == (0, 0, 0, 0, 0, 4)
    assert len({failure.error for failure in report.failed}) == 1


# --- failures ----------------------------------------------------------------------------------------


def test_a_bad_file_is_listed_and_the_run_goes_on(world: World) -> None:
    paint_many(world.photos, 20)
    (world.photos / "0007.png").write_bytes(b"nonsense")
    (world.photos / "0008.png").write_bytes(b"")
    report = world.run(batch_size=4)
    assert summary(report) == (18, 0, 0, 0, 0, 2)
    assert [Path(failure.path).name for failure in report.failed] == ["0007.png", "0008.png"]
    assert all(failure.error for failure in report.failed)


def test_an_unchanged_bad_file_fails_again_unopened_until_it_changes(world: World) -> None:
    path = world.photos / "a.png"
    path.write_bytes(b"nonsense")
    first = world.run()
    world.progress.clear()
    again = world.run()
    assert again.failed == first.failed
    assert world.progress == []
    paint(path, "red")
    assert summary(world.run()) == (1, 0, 0, 0, 0, 0)


def test_other_limits_give_a_bad_file_another_try(world: World) -> None:
    paint(world.photos / "a.png", "red", (100, 100))
    world.limits = replace(DEFAULT_LIMITS, max_pixels=9_999)
    assert "over the limit" in world.run().failed[0].error
    world.limits = DEFAULT_LIMITS
    assert summary(world.run()) == (1, 0, 0, 0, 0, 0)
    world.limits = replace(DEFAULT_LIMITS, max_bytes=10)
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)


def test_a_file_over_the_byte_limit_is_remembered_without_being_read(world: World) -> None:
    paint(world.photos / "a.png", "red")
    world.limits = replace(DEFAULT_LIMITS, max_bytes=10)
    first = world.run()
    assert "limit of 10 bytes" in first.failed[0].error
    world.progress.clear()
    assert world.run().failed == first.failed
    assert world.progress == []


def test_an_edit_that_spoils_a_file_takes_its_image_away(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    world.run()
    path.write_bytes(b"nonsense")
    assert summary(world.run()) == (0, 0, 0, 0, 0, 1)
    assert world.store.count() == 0


class Meddling(Counting):
    """Does something to the files after they were listed and before they are read."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle = meddle

    @property
    def workers(self) -> int:
        self._meddle()
        return 1

    @workers.setter
    def workers(self, _: int) -> None:
        self._meddle = getattr(self, "_meddle", lambda: None)


def test_a_file_that_cannot_be_read_now_keeps_its_image(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    world.run()
    touch(path)
    away = world.photos.parent / "away.png"

    def replace_by_folder() -> None:
        if path.is_file():
            path.rename(away)
            path.mkdir()

    world.embedder = Meddling(replace_by_folder)
    report = world.run(prune=True)
    assert summary(report) == (0, 0, 0, 0, 0, 1)
    assert "cannot read" in report.failed[0].error
    assert world.store.count() == 1
    path.rmdir()
    away.rename(path)
    world.embedder = Counting()
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)


def test_a_file_that_is_gone_before_it_is_read_is_no_failure(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    paint(world.photos / "b.png", "blue")
    world.embedder = Meddling(lambda: path.unlink(missing_ok=True))
    report = world.run()
    assert summary(report) == (1, 0, 0, 0, 0, 0)
    assert [(item.path, item.reason) for item in report.skipped] == [(str(path), "gone before it was read")]


# --- documents ---------------------------------------------------------------------------------------


def save_tiff(path: Path, colours: Sequence[str]) -> None:
    first, *rest = (Image.new("RGB", (40, 30), colour) for colour in colours)
    first.save(path, save_all=True, append_images=rest)


def test_pages_are_images_of_one_source(world: World) -> None:
    save_tiff(world.photos / "a.tiff", ["red", "lime", "blue"])
    report = world.run(batch_size=2)
    assert summary(report) == (1, 0, 0, 0, 0, 0)
    assert report.images == 3
    pages = {record.page: record for record in world.store.get(list(world.store.ids()))}
    assert sorted(pages, key=lambda page: page or 0) == [1, 2, 3]
    assert {record.kind for record in pages.values()} == {"page"}
    assert summary(world.run()) == (0, 0, 1, 0, 0, 0)
    save_tiff(world.photos / "a.tiff", ["red"])
    touch(world.photos / "a.tiff")
    assert summary(world.run()) == (0, 1, 0, 0, 0, 0)
    assert world.store.count() == 1


def test_one_broken_page_fails_alone_and_is_said_of_every_copy(world: World) -> None:
    save_tiff(world.photos / "a.tiff", ["red", "lime", "blue"])
    data = bytearray((world.photos / "a.tiff").read_bytes())

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    # The second page's directory is told of a picture too wide to be taken (TIFF 6.0, section 2).
    first = number(4, 4)
    second = number(first + 2 + 12 * number(first, 2), 4)
    for entry in range(second + 2, second + 2 + 12 * number(second, 2), 12):
        if number(entry, 2) == 256:  # ImageWidth
            data[entry + 2 : entry + 4] = (4).to_bytes(2, "little")  # LONG
            data[entry + 8 : entry + 12] = (10_000_000).to_bytes(4, "little")
    (world.photos / "a.tiff").write_bytes(data)
    shutil.copy(world.photos / "a.tiff", world.photos / "b.tiff")
    report = world.run()
    assert world.store.count() == 2
    assert summary(report) == (1, 0, 0, 0, 1, 2)
    assert report.failed[0].error.startswith("page 2: ")
    shutil.copy(world.photos / "a.tiff", world.photos / "c.tiff")
    assert len(world.run().failed) == 3
    touch(world.photos / "a.tiff")
    assert len(world.run().failed) == 3
    assert world.store.count() == 2


# --- pruning -----------------------------------------------------------------------------------------


def test_gone_files_stay_until_pruned(world: World) -> None:
    paint_many(world.photos, 4)
    (world.photos / "bad.png").write_bytes(b"nonsense")
    world.run()
    for name in ("0001.png", "0002.png", "bad.png"):
        (world.photos / name).unlink()
    assert summary(world.run()) == (0, 0, 2, 0, 0, 0)
    assert world.store.count() == 4
    report = world.run(prune=True)
    assert summary(report) == (0, 0, 2, 3, 0, 0)
    assert report.images == world.store.count() == 2


def test_pruning_one_copy_keeps_the_image(world: World) -> None:
    path = paint(world.photos / "a.png", "red")
    shutil.copy(path, world.photos / "b.png")
    world.run()
    path.unlink()
    assert summary(world.run(prune=True)) == (0, 0, 1, 1, 0, 0)
    assert world.uris() == {"b.png": ()}


def test_pruning_looks_only_under_the_given_paths(world: World) -> None:
    here, there = paint(world.photos / "x" / "a.png", "red"), paint(world.photos / "xy" / "b.png", "blue")
    paint(world.photos / "x" / "stays.png", "lime")
    world.run()
    here.unlink()
    there.unlink()
    assert world.run(world.photos / "x", prune=True).removed == 1
    assert world.store.count() == 2


def test_a_missing_root_prunes_nothing(world: World) -> None:
    paint_many(world.photos, 3)
    world.run()
    world.photos.rename(world.photos.parent / "unplugged")
    with pytest.raises(NotFoundError):
        world.run(prune=True)
    assert world.store.count() == 3


def test_an_empty_root_is_a_share_that_is_not_there(world: World) -> None:
    paint_many(world.photos / "share", 3)
    paint(world.photos / "other.png", "red")
    world.run()
    shutil.rmtree(world.photos / "share")
    (world.photos / "share").mkdir()
    report = world.run(world.photos / "share", prune=True)
    assert (report.removed, world.store.count()) == (0, 4)
    assert [item.reason for item in report.skipped] == ["empty, so nothing was pruned"]
    # From above it is a folder like any other.
    assert world.run(prune=True).removed == 3


def test_an_unreadable_folder_prunes_nothing_in_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(world.photos / "away" / "a.png", "red")
    gone = paint(world.photos / "b.png", "blue")
    paint(world.photos / "c.png", "lime")
    world.run()
    gone.unlink()
    shutil.rmtree(world.photos / "away")
    scandir = os.scandir

    def failing(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("away"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    (world.photos / "away").mkdir()
    monkeypatch.setattr(os, "scandir", failing)
    assert world.run(prune=True).removed == 1
    assert world.store.count() == 2


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT])
def test_a_share_that_goes_away_in_the_middle_is_taken_up_where_it_went(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    paint_many(world.photos / "share", 40)
    seen: list[Path] = []
    opening = Path.open

    def failing(path: Path, *words: Any, **more: Any) -> Any:
        if path.parent.name == "share":
            seen.append(path)
            if len(seen) > 15:
                raise OSError(number, os.strerror(number))
        return opening(path, *words, **more)

    monkeypatch.setattr(Path, "open", failing)
    report = world.run(prune=True)
    assert report.added >= 15 - 1 and report.removed == 0
    assert report.added + len(report.failed) == 40
    assert {each.error.rpartition(": ")[2] for each in report.failed} == {os.strerror(number)}
    monkeypatch.undo()
    # The files are as they were: that they could not be read was not their fault.
    again = world.run(prune=True)
    assert (again.added, again.removed, len(again.failed)) == (40 - report.added, 0, 0)
    assert world.store.count() == 40 and world.embedder.embedded == 40


# --- crashes and trouble -----------------------------------------------------------------------------


def test_images_the_catalog_does_not_know_leave_the_store(world: World) -> None:
    paint_many(world.photos, 3)
    world.run()
    stray = ImageRecord(id=world.collection.image_id("x", None), uri="/x", kind="photo", width=1, height=1)
    world.store.upsert([stray], unit([[1, 0, 0, 0, 0]]))
    assert summary(world.run()) == (0, 0, 3, 0, 0, 0)
    assert world.embedder.embedded == 3


def test_a_lost_store_is_filled_again_and_words_are_kept(world: World) -> None:
    paint_many(world.photos, 20)
    world.run()
    ids = world.catalog.embedded_ids(world.collection)
    world.catalog.texts.save({ids[0]: [TextLine("hi", Box(0, 0, 1, 1))]}, {}, engine="e")
    world.catalog.texts.mark_stored(ids[:1])
    world.store = MemoryStore(dim=5, text_dim=64)
    assert summary(world.run()) == (20, 0, 0, 0, 0, 0)
    assert world.store.count() == 20
    assert world.catalog.texts.unstored(world.collection.id, limit=9) == ids[:1]


def test_a_image_embedded_again_keeps_the_sources_elsewhere(world: World) -> None:
    path = paint(world.photos / "x" / "b.png", "red")
    (world.photos / "y").mkdir()
    shutil.copy(path, world.photos / "y" / "a.png")
    world.run()
    world.store = MemoryStore(dim=5, text_dim=64)
    assert world.run(world.photos / "y").added == 1
    assert world.uris() == {"b.png": ("a.png",)}


class Dying(MemoryStore):
    """Fails, or is interrupted, at the nth call of a method."""

    def __init__(self, method: str, call: int, error: BaseException, *, after: bool) -> None:
        super().__init__(dim=5, text_dim=64)
        self._left, self._method, self._error, self._after = call, method, error, after

    def _maybe(self, method: str, work: Callable[[], None]) -> None:
        self._left -= method == self._method
        dies = self._left <= 0 and method == self._method
        if dies and not self._after:
            raise self._error
        work()
        if dies:
            raise self._error

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        self._maybe("upsert", lambda: super(Dying, self).upsert(records, image_vectors))

    def delete(self, ids: Sequence[str], /) -> None:
        self._maybe("delete", lambda: super(Dying, self).delete(ids))

    def set_copies(self, record: ImageRecord, /) -> None:
        self._maybe("set_copies", lambda: super(Dying, self).set_copies(record))

    def heal(self) -> None:
        self._left = 10**9


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("method", "call"), [("upsert", 1), ("upsert", 2), ("delete", 1), ("set_copies", 2)])
def test_a_store_that_fails_at_any_moment_costs_nothing(
    world: World, method: str, call: int, after: bool
) -> None:
    paths = paint_many(world.photos, 300)
    dying = Dying(method, call, StoreUnavailableError("disk full"), after=after)
    world.store = dying
    if method != "upsert":
        dying._left = 10**9
        world.run()
        for path in paths[:20]:
            paint(path, (255, paths.index(path), 7))
            touch(path)
        for number in range(5):
            shutil.copy(paths[100 + number], world.photos / f"copy{number}.png")
        dying._left = call
    with pytest.raises(StoreUnavailableError, match="disk full"):
        world.run()
    dying.heal()
    world.run()
    assert world.store.count() == 300
    assert world.run().unchanged == (300 if method == "upsert" else 305)


def test_a_random_history_with_failures_ends_right(world: World) -> None:
    """Files come, go, change and move; runs fail in between; the last run makes it all agree."""
    rng = random.Random(20260131)
    for step in range(25):
        for _ in range(rng.randrange(6)):
            names = sorted(world.photos.iterdir())
            kind = rng.choice(["new", "new", "copy", "move", "edit", "delete", "bad"])
            target = world.photos / f"{rng.randrange(40):02}.png"
            if kind == "new" or not names:
                paint(target, (rng.randrange(6) * 40, 0, 0))
                touch(target, step + 1)
            elif kind == "copy":
                shutil.copy(rng.choice(names), target) if target not in names else None
            elif kind == "move":
                rng.choice(names).rename(target)
            elif kind == "edit":
                touch(paint(rng.choice(names), (0, rng.randrange(6) * 40, 0)), step + 1)
            elif kind == "delete":
                rng.choice(names).unlink()
            else:
                target.write_bytes(f"bad {rng.randrange(3)}".encode())
                touch(target, step + 1)
        fail = rng.choice(["upsert", "delete", "set_copies", None, None])
        if fail:
            old = world.store
            dying = Dying(fail, 1, StoreUnavailableError("gone"), after=rng.random() < 0.5)
            dying._records, dying._images = old._records, old._images
            world.store = dying
            with suppress(StoreUnavailableError):
                world.run(prune=rng.random() < 0.5)
            dying.heal()
        else:
            world.run(prune=rng.random() < 0.5, batch_size=rng.choice([1, 2, 16]))
    paint(world.photos / "last.png", "white")
    report = world.run(prune=True)
    files = {path: path.read_bytes() for path in world.photos.iterdir()}
    bad = {str(path) for path, data in files.items() if data.startswith(b"bad")}
    assert {failure.path for failure in report.failed} == bad
    good = {data for data in files.values() if not data.startswith(b"bad")}
    assert world.store.count() == len(good)
    held = sorted(uri for r in world.store.get(list(world.store.ids())) for uri in (r.uri, *r.copies))
    assert held == sorted(str(path) for path in files if str(path) not in bad)


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(world: World) -> None:
    paint_many(world.photos, 200)

    def interrupt(progress: Progress) -> None:
        if progress.done >= 60:
            raise KeyboardInterrupt

    arguments = {
        "collection": world.collection,
        "catalog": world.catalog,
        "open_store": world.open_store,
        "embedder": lambda: world.embedder,
        "limits": world.limits,
    }
    with pytest.raises(KeyboardInterrupt):
        index([world.photos], batch_size=5, on_progress=interrupt, **arguments)  # type: ignore[arg-type]
    world.check()
    kept = world.store.count()
    assert 60 <= kept < 200
    assert world.embedder.embedded == kept
    report = world.run()
    assert (report.added, report.unchanged) == (200 - kept, kept)
    assert world.embedder.embedded == 200


def test_ctrl_c_in_a_long_document_does_not_wait_for_its_end(world: World) -> None:
    save_tiff(world.photos / "a.tiff", ["red"] * 120)
    main = threading.get_ident()

    class Interrupted(Counting):
        """Someone presses Ctrl-C while the tenth pages are embedded."""

        def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
            if self.embedded == 20:
                signal.pthread_kill(main, signal.SIGINT)
                time.sleep(0.2)
            return super().embed_images(images)

    world.embedder = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        world.run(batch_size=2)
    assert world.embedder.embedded < 40
    assert world.store.count() == 0
    world.embedder = Counting()
    assert world.run().images == 120


def test_a_bug_in_the_embedder_is_not_hidden_and_costs_no_finished_work(world: World) -> None:
    paint_many(world.photos, 100)

    class Buggy(Counting):
        def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
            if self.embedded > 50:
                raise ZeroDivisionError
            return super().embed_images(images)

    world.embedder = Buggy()
    with pytest.raises(ZeroDivisionError):
        world.run(batch_size=4)
    world.check()
    assert world.store.count() > 40
    world.embedder = Counting()
    assert world.run().images == 100


def test_a_second_run_on_the_same_collection_is_told(tmp_path: Path) -> None:
    with (
        collection_run(tmp_path / "default-1234"),
        pytest.raises(StoreUnavailableError, match="'default-1234' is being indexed"),
        collection_run(tmp_path / "default-1234"),
    ):
        pass
    with collection_run(tmp_path / "default-1234"):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreUnavailableError, match="cannot write to"),
        collection_run(tmp_path / "file" / "x"),
    ):
        pass


def test_the_words_of_other_images_survive_a_run(world: World) -> None:
    paint_many(world.photos, 5)
    world.run()
    ids = world.catalog.embedded_ids(world.collection)
    words = WordEmbedder()
    world.store.set_text(ids, ["total 12"] * 5, [words.embed_texts(["total 12"])] * 5)
    paint(world.photos / "new.png", "red")
    touch(world.photos / "0001.png")
    shutil.copy(world.photos / "0002.png", world.photos / "copy.png")
    world.run()
    assert all(record.text == "total 12" for record in world.store.get(ids))
