"""Animated images: the first frame is the picture, each later scene a frame at its moment."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from askpix.api.services.index import run_index
from askpix.api.services.search import open_searcher
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DEFAULT_LIMITS, ImageLimits
from askpix.ingest.formats import animation
from askpix.ingest.formats.animation import frame_at, later_scenes
from askpix.ingest.formats.content import place_at
from askpix.ingest.formats.image import may_move
from askpix.ingest.formats.pages import open_page, open_pages
from askpix.retrieval.query.parser import parse
from tests.support.fakes import ColourEmbedder, picture
from tests.support.films import SAVED, moving


def colour_of(image: Image.Image) -> str:
    names = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    mean = np.median(np.asarray(image).reshape(-1, 3), axis=0)
    return min(names, key=lambda name: float(np.abs(mean - names[name]).sum()))


@pytest.mark.parametrize("form", SAVED)
def test_each_scene_is_a_frame_at_its_moment(form: str) -> None:
    data = moving(form, ("red", 8), ("green", 8), ("blue", 4))
    assert may_move(data)
    first, *later = open_pages(data, limits=DEFAULT_LIMITS)
    assert (first.kind, first.place, first.time_s) == ("photo", None, None)
    assert first.picture and colour_of(first.picture.image) == "red"
    assert [(page.kind, page.time_s, page.page, page.error) for page in later] == [
        ("frame", 0.8, None, None),
        ("frame", 1.6, None, None),
    ]
    for page, colour in zip(later, ("green", "blue"), strict=True):
        assert page.picture and colour_of(page.picture.image) == colour
        assert (page.picture.width, page.picture.height) == (96, 72)
        again = open_page(data, page.place, limits=DEFAULT_LIMITS)
        assert again.image.tobytes() == page.picture.image.tobytes()
    small = open_page(data, later[0].place, limits=DEFAULT_LIMITS, min_side=36)
    assert small.image.size == (48, 36) and (small.width, small.height) == (96, 72)


def test_a_image_that_stands_still_stays_one() -> None:
    for form, data in {
        "GIF": moving("GIF", ("red", 1)),
        "one scene": moving("GIF", ("red", 12)),
        "WEBP": moving("WEBP", ("red", 1)),
        "PNG": moving("PNG", ("red", 1)),
    }.items():
        assert [page.kind for page in open_pages(data, limits=DEFAULT_LIMITS)] == ["photo"], form


def test_black_before_the_first_scene_is_none_of_them() -> None:
    frames = [Image.new("RGB", (96, 72)), *(picture("red").resize((96, 72)) for _ in range(2))]
    frames[2].paste("white", (0, 0, 3, 72))
    buffer = BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=500, lossless=True)
    pages = list(open_pages(buffer.getvalue(), limits=DEFAULT_LIMITS))
    assert [(page.kind, page.time_s) for page in pages] == [("photo", None), ("frame", 0.5)]


@pytest.mark.parametrize("said", [0, 5, 10])
def test_frames_of_no_time_last_as_long_as_browsers_show_them(said: int) -> None:
    data = moving("GIF", ("red", 3), ("blue", 3), duration=said)
    assert [page.time_s for page in open_pages(data, limits=DEFAULT_LIMITS)] == [None, 0.3]


def test_one_that_is_cut_off_keeps_what_came_before_and_says_so() -> None:
    data = moving("GIF", ("red", 6), ("green", 6), ("blue", 6))
    pages = list(open_pages(data[: len(data) * 3 // 4], limits=DEFAULT_LIMITS))
    assert [page.kind for page in pages][:2] == ["photo", "frame"]
    assert pages[1].picture
    assert all(page.picture or "damaged GIF" in (page.error or "") for page in pages)


def test_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    data = moving("GIF", *(("red" if n % 2 else "blue", 2) for n in range(20)))
    assert len(list(later_scenes(data, limits=DEFAULT_LIMITS))) == 19
    with pytest.raises(BadImageError, match="over the limit"):
        list(later_scenes(data, limits=ImageLimits(max_pixels=96 * 72 - 1)))
    monkeypatch.setattr(animation, "_MAX_SCENES", 5)
    assert len(list(later_scenes(data, limits=DEFAULT_LIMITS))) == 5
    monkeypatch.setattr(animation, "_MAX_PIXELS", 96 * 72 * 7)
    assert len(list(later_scenes(data, limits=DEFAULT_LIMITS))) == 3
    with pytest.raises(BadImageError, match=r"no frame at 9\.000 s"):
        frame_at(data, place_at(9.0), limits=DEFAULT_LIMITS)


def test_other_bytes_do_not_move() -> None:
    for data in (b"", b"GIF89a", b"RIFF", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"%PDF-1.7"):
        assert not may_move(data)


class Fakes(Workspace):
    def embedder(self, embedder_id: str) -> ColourEmbedder:
        return ColourEmbedder()


def test_indexed_searched_and_shown_at_its_moment(tmp_path: Path) -> None:
    """Through the real stages: ids, kinds, and the picture of each record."""

    class Fakes(Workspace):
        def embedder(self, embedder_id: str) -> ColourEmbedder:
            return ColourEmbedder()

    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "walk.gif").write_bytes(moving("GIF", ("red", 5), ("blue", 5)))
    workspace = Fakes(Settings(home=tmp_path / "home", embedder="colour"))
    report = run_index(
        workspace, workspace.open_or_create("default"), [tmp_path / "pictures"], ocr="off", prune=False
    )
    assert (report.added, report.images, report.failed) == (1, 2, ())
    with open_searcher(workspace, workspace.collection("default")) as searcher:
        hit = searcher.retriever.retrieve(parse("blue"), show_all=True).hits[0]
    assert (hit.record.kind, hit.record.time_s) == ("frame", 0.5)
    assert colour_of(workspace.image_of(hit.record, None)) == "blue"
