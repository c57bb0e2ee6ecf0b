"""Stage two with a reader that knows what is written in each colour."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from askpix.core.db.engine import open_database
from askpix.core.errors import BadImageError, StoreUnavailableError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import Box, TextLine, Where
from askpix.ingest.catalog.catalog import Catalog, Collection
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.pipeline.ocr_stage import read_texts
from askpix.ingest.pipeline.report import Progress, ReadReport
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder
from tests.support.hostile import pdf

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 0, 0)


class ColourReader:
    """Reads what is "written" in a colour, in a box that spans the middle half of the picture."""

    engine_id = "colour-reader/1"

    def __init__(self, words: dict[tuple[int, int, int], str], *, workers: int = 2) -> None:
        self.workers = workers
        self._words = words
        self.sizes: list[tuple[int, int]] = []
        self.before: Callable[[], None] = lambda: None

    def read(self, image: Image.Image, /) -> list[TextLine]:
        self.before()
        self.sizes.append(image.size)
        colour = image.getpixel((image.width // 2, image.height // 2))
        assert isinstance(colour, tuple)
        near = next(
            (c for c in self._words if max(abs(a - b) for a, b in zip(c, colour, strict=True)) < 30), None
        )
        if near == BLACK:
            raise BadImageError("too dark to read")
        if near is None:
            return []
        w, h = image.size
        return [
            TextLine(text, Box(w / 4, h / 4, w * 3 / 4, h * 3 / 4), 0.9)
            for text in self._words[near].split("|")
        ]


class World:
    """An indexed folder and what reading it needs. Notes when the store is open."""

    def __init__(self, home: Path) -> None:
        self.photos = home / "photos"
        self.photos.mkdir()
        self.catalog = Catalog(open_database(home / "catalog.sqlite", METADATA, version=VERSION))
        self.store = MemoryStore(dim=5, text_dim=64)
        self.words = WordEmbedder()
        self.reader = ColourReader(
            {RED: "red wine|12.50", GREEN: "green tea", BLUE: "blue cheese", BLACK: ""}
        )
        self.collection: Collection = self.catalog.create_collection(
            "default", embedder="colour", dim=5, text_embedder="word-bag", text_dim=64
        )
        self.openings = 0
        self.opened = threading.Event()
        self.busy = False
        self.now: Callable[[], float] = time.perf_counter
        self.progress: list[Progress] = []

    @contextmanager
    def open_store(self) -> Iterator[MemoryStore]:
        if self.busy:
            raise StoreUnavailableError("in use by process 4711")
        self.openings += 1
        self.opened.set()
        try:
            yield self.store
        finally:
            self.opened.clear()

    def index(self) -> None:
        index(
            [self.photos],
            collection=self.collection,
            catalog=self.catalog,
            open_store=self.open_store,
            embedder=ColourEmbedder,
            limits=DEFAULT_LIMITS,
        )
        self.openings = 0

    def read(self) -> ReadReport:
        return read_texts(
            collection=self.collection,
            catalog=self.catalog,
            open_store=self.open_store,
            reader=self.reader,
            text_embedder=self.words,
            limits=DEFAULT_LIMITS,
            on_progress=self.progress.append,
            clock=self.now,
        )

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = self.catalog.counts(self.collection)["text"]
        return counts

    def found(self, text: str) -> list[str]:
        hits = self.store.search("words", text, where=Where(), limit=10)
        return sorted(Path(r.uri).name for r in self.store.get([hit.id for hit in hits]))

    def lines_of(self, name: str) -> tuple[TextLine, ...]:
        ids = [r.id for r in self.store.get(list(self.store.ids())) if Path(r.uri).name == name]
        return self.catalog.lines(ids)[ids[0]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.catalog.close()


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def paint_many(world: World, count: int) -> None:
    """Different files, all of them red enough to be read as red."""
    for number in range(count):
        paint(world.photos / f"{number:03}.png", (255 - number % 20, number // 20, 0))


def test_words_become_searchable_and_lines_are_kept(world: World) -> None:
    paint(world.photos / "r.png", RED)
    paint(world.photos / "g.png", GREEN)
    paint(world.photos / "none.png", (200, 200, 200))
    world.index()
    assert world.states() == {"pending": 3, "done": 0, "failed": 0}
    report = world.read()
    assert (report.read, report.with_text, report.failed) == (3, 2, ())
    assert report.seconds > 0
    assert world.states() == {"pending": 0, "done": 3, "failed": 0}
    assert world.found("wine") == ["r.png"]
    (near,) = world.store.search("text", world.words.embed_texts(["green tea"])[0], where=Where(), limit=1)
    assert Path(world.store.get([near.id])[0].uri).name == "g.png"
    assert [line.text for line in world.lines_of("r.png")] == ["red wine", "12.50"]
    assert world.lines_of("none.png") == ()
    assert world.store.get([near.id])[0].text == "green tea"
    assert (world.progress[-1].stage, world.progress[-1].done, world.progress[-1].total) == ("reading", 3, 3)


def test_a_pdf_that_has_its_text_is_not_read_as_a_image(world: World) -> None:
    font = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    drawing = b"1 0 0 rg 0 0 300 400 re f 0 g "
    written = pdf(drawing + b"BT /F 12 Tf 1 0 0 1 30 300 Tm (green grapes) Tj ET", page=font)
    (world.photos / "written.pdf").write_bytes(written)
    (world.photos / "drawn.pdf").write_bytes(pdf(drawing))
    world.index()
    assert world.read().with_text == 2
    assert world.found("grapes") == ["written.pdf"]
    assert world.found("wine") == ["drawn.pdf"]
    assert len(world.reader.sizes) == 1, "only what has no text of its own"
    (line,) = world.lines_of("written.pdf")
    assert line.box.x0 == pytest.approx(30 * 150 / 72, abs=4)


def test_nothing_to_read_opens_nothing(world: World) -> None:
    paint(world.photos / "r.png", RED)
    world.index()
    world.read()
    world.openings = 0
    again = world.read()
    assert (again.read, again.with_text, again.failed) == (0, 0, ())
    assert (world.openings, len(world.reader.sizes)) == (0, 1)


def test_boxes_are_in_pixels_of_the_upright_original(world: World) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    photo = Image.new("RGB", (6001, 4001), RED)
    for x in range(0, 6001, 100):  # all shades, as in a photo
        photo.paste((x // 25, x // 25, x // 25), (x, 0, x + 100, 1500))
        photo.paste((255 - x // 25, x // 40, x // 30), (x, 2500, x + 100, 4001))
    photo.save(world.photos / "large.jpg", exif=exif)
    world.index()
    world.read()
    ((width, height),) = world.reader.sizes
    assert 1280 <= width < 4001  # decoded smaller: it costs a fraction
    assert width < height
    box = world.lines_of("large.jpg")[0].box
    assert box == pytest.approx((4001 / 4, 6001 / 4, 4001 * 3 / 4, 6001 * 3 / 4), abs=0.1)


def test_a_large_page_is_decoded_in_full_for_its_small_print(world: World) -> None:
    Image.new("RGB", (6000, 4000), RED).save(world.photos / "sheet.jpg")
    Image.new("RGB", (9000, 6000), RED).save(world.photos / "wall.jpg")
    world.index()
    world.read()
    assert sorted(world.reader.sizes) == [(6000, 4000), (9000, 6000)]
    assert world.lines_of("sheet.jpg")[0].box == pytest.approx((1500, 1000, 4500, 3000), abs=0.1)


def test_a_small_image_is_read_as_it_is(world: World) -> None:
    paint(world.photos / "r.png", RED, (333, 222))
    world.index()
    world.read()
    assert world.reader.sizes == [(333, 222)]
    assert world.lines_of("r.png")[0].box == pytest.approx((83.25, 55.5, 249.75, 166.5), abs=0.1)


def test_a_image_that_fails_is_marked_and_the_run_goes_on(world: World) -> None:
    paint(world.photos / "dark.png", BLACK)
    paint(world.photos / "r.png", RED)
    world.index()
    report = world.read()
    assert (report.read, report.with_text) == (2, 1)
    assert [(Path(f.path).name, f.error) for f in report.failed] == [("dark.png", "too dark to read")]
    assert world.states() == {"pending": 0, "done": 1, "failed": 1}
    assert world.progress[-1].failed == 1
    again = world.read()
    assert (again.read, again.failed) == (0, ())


def test_pages_are_read_each_and_named_in_failures(world: World) -> None:
    pages = [Image.new("RGB", (60, 40), colour) for colour in (RED, BLACK, BLUE, GREEN, RED, BLUE)]
    pages[0].save(world.photos / "a.tiff", save_all=True, append_images=pages[1:])
    world.index()
    report = world.read()
    assert (report.read, report.with_text) == (6, 5)
    assert [Path(f.path).name for f in report.failed] == ["a.tiff#page=2"]
    by_page = {r.page: r.text for r in world.store.get(list(world.store.ids()))}
    assert by_page == {
        1: "red wine\n12.50",
        2: "",
        3: "blue cheese",
        4: "green tea",
        5: by_page[1],
        6: by_page[3],
    }


def test_a_file_that_is_gone_waits_for_the_next_run(world: World) -> None:
    path = paint(world.photos / "r.png", RED)
    paint(world.photos / "b.png", BLUE)
    world.index()
    away = path.rename(path.parent.parent / "away.png")
    report = world.read()
    assert (report.read, report.failed) == (1, ())
    assert world.states() == {"pending": 1, "done": 1, "failed": 0}
    away.rename(path)
    assert world.read().read == 1
    assert world.found("wine") == ["r.png"]


def test_a_file_that_was_edited_meanwhile_is_not_read_for_its_former_self(world: World) -> None:
    paint(world.photos / "r.png", RED)
    world.index()
    paint(world.photos / "r.png", BLUE)
    os.utime(world.photos / "r.png", (1, 1))
    assert world.read().read == 0
    world.index()
    assert world.read().read == 1
    assert world.found("cheese") == ["r.png"]
    assert world.found("wine") == []


def test_any_copy_of_the_file_will_do(world: World) -> None:
    path = paint(world.photos / "a.png", RED)
    shutil.copy(path, world.photos / "b.png")
    world.index()
    path.unlink()
    assert world.read().read == 1
    assert world.found("wine") == ["a.png"]


def test_the_store_is_free_while_images_are_read(world: World) -> None:
    paint_many(world, 30)
    world.index()
    held: list[bool] = []
    world.reader.before = lambda: held.append(world.opened.is_set())
    world.read()
    assert len(held) == 30
    assert not any(held)
    assert world.openings == 1


def let_time_pass(world: World, *, reading: float, opening: float) -> None:
    """A clock of its own, moved on by what is done."""
    seconds, plain = [0.0], world.open_store

    def read() -> None:
        time.sleep(0.002)  # so that the run looks at the clock in between
        seconds[0] += reading

    @contextmanager
    def open_store() -> Iterator[MemoryStore]:
        seconds[0] += opening
        with plain() as store:
            yield store

    world.reader.workers = 1
    world.reader.before = read
    world.now = lambda: seconds[0]
    world.open_store = open_store  # type: ignore[method-assign]


def test_words_are_handed_over_now_and_then(world: World) -> None:
    paint_many(world, 60)
    world.index()
    let_time_pass(world, reading=2, opening=0)
    world.read()
    assert 3 <= world.openings <= 5  # 120 s of reading, every 30 s and at the end
    assert world.states()["done"] == 60


def test_a_slow_store_is_opened_seldom(world: World) -> None:
    paint_many(world, 60)
    world.index()
    let_time_pass(world, reading=2, opening=20)
    world.read()
    assert world.openings <= 2  # 20 s of opening allow the next one after 400 s, or at the end
    assert world.states()["done"] == 60


def test_a_store_in_use_is_asked_again_and_in_the_end_it_is_said(world: World) -> None:
    paint_many(world, 20)
    world.index()
    world.busy = True
    with pytest.raises(StoreUnavailableError, match="4711"):
        world.read()
    assert len(world.reader.sizes) == 20
    assert world.states() == {"pending": 20, "done": 0, "failed": 0}
    world.busy = False
    report = world.read()
    assert (report.read, len(world.reader.sizes)) == (0, 20)
    assert world.states()["done"] == 20
    assert len(world.found("wine")) == 10


def test_ctrl_c_keeps_every_line_and_hands_it_over(world: World) -> None:
    paint_many(world, 100)
    world.index()
    main, count = threading.get_ident(), iter(range(10**6))

    def press() -> None:
        if next(count) == 30:
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.1)

    world.reader.before = press
    with pytest.raises(KeyboardInterrupt):
        world.read()
    done = world.states()["done"]
    assert 28 <= done < 60
    assert len(world.reader.sizes) == done
    world.reader.before = lambda: None
    assert world.read().read == 100 - done
    assert len(world.reader.sizes) == 100


def test_ctrl_c_with_a_store_in_use_is_still_ctrl_c(world: World) -> None:
    paint_many(world, 20)
    world.index()
    main = threading.get_ident()

    def press() -> None:
        world.busy = True
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.1)

    world.reader.before = press
    with pytest.raises(KeyboardInterrupt):
        world.read()
    world.busy, world.reader.before = False, lambda: None
    world.read()
    assert world.states()["done"] == 20


def test_a_bug_in_the_reader_is_not_hidden_and_costs_no_finished_work(world: World) -> None:
    paint_many(world, 40)
    world.index()
    count = iter(range(10**6))

    def break_down() -> None:
        if next(count) == 20:
            raise ZeroDivisionError

    world.reader.before = break_down
    with pytest.raises(ZeroDivisionError):
        world.read()
    assert world.states()["done"] >= 19


def test_a_image_removed_meanwhile_is_ignored(world: World) -> None:
    path = paint(world.photos / "r.png", RED)
    world.index()
    (image_id,) = world.catalog.embedded_ids(world.collection)

    def remove() -> None:
        world.catalog.record(world.collection, states={}, added={}, gone=[str(path)])
        world.store.delete([image_id])
        world.catalog.forget_images([image_id])

    world.reader.before = remove
    world.read()
    assert world.store.count() == 0
    assert world.catalog.lines([image_id]) == {}
