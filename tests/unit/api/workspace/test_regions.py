"""Pictures on album pages: where they lie, that each is found as one of its own, and that nothing is lost."""

import json
import os
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from askpix.api.demo import PICTURES
from askpix.api.services.doctor import examine_collection
from askpix.api.services.index import run_index
from askpix.api.services.reembed import drop_replaced, reembed, roll_back
from askpix.api.services.search import open_searcher
from askpix.api.services.transfer import export_to, import_from
from askpix.api.settings import Settings
from askpix.api.workspace.region_index import open_sheets
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.core.types import Box, SearchResult
from askpix.ingest.catalog.catalog import Collection
from askpix.ingest.pipeline import region_stage as stage
from askpix.ingest.pipeline.report import IngestReport
from askpix.ingest.vision.regions import MOST, images_on
from askpix.retrieval.query.parser import parse
from tests.support.browser import browser, ready, tab
from tests.support.fakes import grain
from tests.support.service import served, until_ready
from tests.support.workspaces import Fakes

SIZE = (620, 877)
PLACES = ((40, 60, 290, 240), (330, 60, 580, 240), (40, 300, 290, 560), (330, 300, 580, 560))


def album(*colours: str, paper: str = "white", seed: int = 0) -> Image.Image:
    sheet = Image.new("RGB", SIZE, paper)
    for number, (colour, (x0, y0, x1, y1)) in enumerate(zip(colours, PLACES, strict=False)):
        sheet.paste(grain(colour, (x1 - x0, y1 - y0), seed + number), (x0, y0))
    return sheet


def near(found: Box, wanted: tuple[int, int, int, int], within: float = 6) -> bool:
    return all(abs(a - b) <= within for a, b in zip(found, wanted, strict=True))


def doubled(place: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return place[0] * 2, place[1] * 2, place[2] * 2, place[3] * 2


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, colour in enumerate(("green", "gray", "yellow", "purple", "orange", "black")):
        grain(colour, (64, 48 + number)).save(photos / f"{colour}.png")
    album("red", "blue", "white", "blue").save(photos / "album.png")
    return Fakes(Settings(home=tmp_path / "home", embedder="narrow"))


def fill(workspace: Workspace, *, prune: bool = False) -> tuple[Collection, IngestReport]:
    collection = workspace.open_or_create("default")
    photos = workspace.settings.home.parent / "photos"
    report = run_index(workspace, collection, [photos], ocr="off", prune=prune)
    return workspace.collection("default"), report


def found(workspace: Workspace, text: str, name: str = "default") -> SearchResult:
    with open_searcher(workspace, workspace.collection(name)) as searcher:
        return searcher.retriever.retrieve(parse(text), show_all=True)


# --- where they lie ------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", ["white", "black", "wheat"])
def test_each_image_on_a_sheet_is_found_where_it_lies(paper: str) -> None:
    boxes = images_on(album("red", "blue", "green", "purple", paper=paper))
    assert len(boxes) == 4
    for place in PLACES:
        assert any(near(box, place) for box in boxes), (place, boxes)
    sizes = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in boxes]
    assert sizes == sorted(sizes, reverse=True)


def test_images_that_lie_askew_are_found_too() -> None:
    sheet = Image.new("RGB", SIZE, "white")
    tilted = grain("red", (200, 150)).convert("RGBA").rotate(6, expand=True)
    sheet.paste(tilted, (100, 100), tilted)
    sheet.paste(grain("blue", (220, 160), 1), (310, 500))
    assert len(images_on(sheet)) == 2


def test_what_is_no_sheet_has_none() -> None:
    page = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(page)
    for row in range(40, 840, 14):
        draw.text((40, row), "The quick brown fox jumps over the lazy dog, again and again, " * 2, "black")
    assert images_on(page) == [], "print"
    chart = Image.new("RGB", SIZE, "white")
    for at in range(4):
        ImageDraw.Draw(chart).rectangle((80 + 120 * at, 300 - 50 * at, 170 + 120 * at, 700), fill="steelblue")
    assert images_on(chart) == [], "bars are flat"
    assert images_on(grain("teal", SIZE)) == [], "a photo to the edge"
    framed = Image.new("RGB", SIZE, "white")
    framed.paste(grain("teal", (600, 857)), (10, 10))
    assert images_on(framed) == [], "one photo with a thin frame is the picture itself"
    stamps = Image.new("RGB", SIZE, "white")
    stamps.paste(grain("red", (40, 40)), (100, 100))
    assert images_on(stamps) == [], "too small"


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (65_535, 1), (1, 65_535), (3, 3), (5_000, 7)])
def test_odd_shapes_break_nothing(size: tuple[int, int]) -> None:
    assert images_on(Image.new("RGB", size, "white")) == []
    assert images_on(Image.new("RGB", size, "red")) == []


def test_of_a_contact_sheet_the_largest_count() -> None:
    sheet = Image.new("RGB", (1000, 1000), "white")
    for number in range(36):
        x, y = number % 6 * 160 + 20, number // 6 * 160 + 20
        sheet.paste(grain("red" if number % 2 else "navy", (130, 110 + number % 3), number), (x, y))
    assert len(images_on(sheet)) == MOST


# --- found as pictures of their own --------------------------------------------------------------------


def test_a_image_on_a_sheet_is_found_with_its_place(workspace: Workspace) -> None:
    _, report = fill(workspace)
    assert (report.sheets.embedded, report.sheets.pictures, report.sheets.failed) == (1, 3, ())
    for colour, places in (("red", PLACES[:1]), ("blue", (PLACES[1], PLACES[3]))):
        hit = found(workspace, colour).hits[0]
        assert Path(hit.record.uri).name == "album.png"
        assert hit.region and any(near(hit.region, place) for place in places)
        assert hit.why.image is not None and hit.why.image > 0.9
    assert found(workspace, "purple").hits[0].region is None
    again = fill(workspace)[1]
    assert again.sheets.embedded == 0 and again.unchanged == 7


def test_a_filter_a_page_of_hits_and_a_verdict_hold(workspace: Workspace) -> None:
    fill(workspace)
    assert not found(workspace, "red path:green.png").hits[0].region
    with open_searcher(workspace, workspace.collection("default")) as searcher:
        whole = searcher.retriever.retrieve(parse("red"), top_k=7, show_all=True).hits
        parts = [
            hit
            for offset in range(7)
            for hit in searcher.retriever.retrieve(parse("red"), top_k=1, offset=offset, show_all=True).hits
        ]
        assert [hit.record.id for hit in parts] == [hit.record.id for hit in whole]
        assert searcher.retriever.retrieve(parse("red")).matched
        without = searcher.retriever.without([whole[0].record.id]).retrieve(parse("red"), show_all=True)
        assert whole[0].record.id not in {hit.record.id for hit in without.hits}


def test_a_photo_finds_the_sheet_that_it_lies_on(workspace: Workspace) -> None:
    fill(workspace)
    with open_searcher(workspace, workspace.collection("default")) as searcher:
        hit = searcher.retriever.retrieve(parse(""), image=grain("red", (90, 60), 5)).hits[0]
    assert Path(hit.record.uri).name == "album.png" and hit.region and near(hit.region, PLACES[0])


def test_sheets_come_and_go_with_their_files(workspace: Workspace) -> None:
    collection, _ = fill(workspace)
    photos = workspace.settings.home.parent / "photos"
    (photos / "album.png").rename(photos / "moved.png")
    assert fill(workspace)[1].sheets.embedded == 0
    assert Path(found(workspace, "red").hits[0].record.uri).name == "moved.png"
    (photos / "moved.png").unlink()
    album("purple", "red", seed=9).save(photos / "other.png")
    _, report = fill(workspace, prune=True)
    assert (report.sheets.embedded, report.sheets.pictures) == (1, 2)
    with open_sheets(workspace, collection) as sheets:
        assert sheets.count() == 1
    workspace.delete_collection("default")
    assert not list((workspace.settings.home / "collections").glob("*"))


def test_a_stop_between_the_stages_is_made_up_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_cut_out", stop)
        with pytest.raises(KeyboardInterrupt):
            fill(workspace)
    assert found(workspace, "red").hits, "found by the whole pictures meanwhile"
    report = fill(workspace)[1]
    assert report.unchanged == 7 and report.sheets.embedded == 1
    assert found(workspace, "red").hits[0].region


def test_another_model_looks_at_them_anew_and_the_old_ones_stay(workspace: Workspace) -> None:
    collection, _ = fill(workspace)
    assert reembed(workspace, "default", "wide").changed_over
    assert found(workspace, "red").hits[0].region
    roll_back(workspace, "default")
    assert found(workspace, "red").hits[0].region
    assert drop_replaced(workspace, "default") == 1
    folders = {path.name for path in workspace.folder(collection).iterdir() if path.name.startswith("sheets")}
    assert folders == {"sheets-0"}, "those of the other model go with its vectors"


def test_exported_and_imported_they_go_along(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    archive = tmp_path / "out.zip"
    export_to(workspace, "default", archive)
    import_from(workspace, archive, "copy")
    photos = workspace.settings.home.parent / "photos"
    (photos / "album.png").unlink()  # where it was imported nobody needs to have the files
    for colour in ("red", "blue"):
        old, new = found(workspace, colour).hits[0], found(workspace, colour, "copy").hits[0]
        assert new.region == old.region is not None and new.score == pytest.approx(old.score, abs=1e-4)
    check = examine_collection(workspace, "copy")
    assert check.ok and check.detail.endswith("1 sheets, each with the vectors of its images")


def test_an_archive_with_spoiled_ones_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    export_to(workspace, "default", tmp_path / "out.zip")
    with (
        zipfile.ZipFile(tmp_path / "out.zip") as archive,
        zipfile.ZipFile(tmp_path / "bad.zip", "w") as spoiled,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(".sheets.f16"):
                content = (np.frombuffer(content, "<f2") / np.float16(2)).tobytes()
            spoiled.writestr(name, content)
    with pytest.raises(AskpixError, match="wrong length"):
        import_from(workspace, tmp_path / "bad.zip", "copy")
    assert [each.name for each in workspace.catalog.list_collections()] == ["default"]


def test_those_that_an_export_does_not_have_are_made_by_the_next_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    collection, _ = fill(workspace)
    with open_sheets(workspace, collection) as sheets:
        (album_id,) = sheets.ids()
        sheets.delete([album_id])
    archive = tmp_path / "out.zip"
    export_to(workspace, "default", archive)
    import_from(workspace, archive, "copy")
    photos = workspace.settings.home.parent / "photos"
    report = run_index(workspace, workspace.collection("copy"), [photos], ocr="off", prune=False)
    assert report.added == report.updated == 0 and report.sheets.embedded == 1
    assert found(workspace, "red", "copy").hits[0].region


def test_an_archive_with_too_few_vectors_of_a_sheet_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    archive, forged = tmp_path / "out.zip", tmp_path / "forged.zip"
    export_to(workspace, "default", archive)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(forged, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "parts/00000.jsonl":
                assert data.count(b'"embedded_regions": 3') == 1
                data = data.replace(b'"embedded_regions": 3', b'"embedded_regions": 2')
            new.writestr(name, data)
    with pytest.raises(AskpixError, match="a vector for each image on a sheet"):
        import_from(workspace, forged, "copy")
    assert workspace.catalog.get_collection("copy") is None


def test_doctor_finds_and_mends_what_is_wrong_with_sheets(workspace: Workspace) -> None:
    collection, _ = fill(workspace)
    doctor = partial(examine_collection, workspace, "default")
    assert doctor().ok and "1 sheets, each with the vectors of its images" in doctor().detail
    with open_sheets(workspace, collection) as sheets:
        (album_id,) = sheets.ids()
        right = sheets.matrices([album_id])[album_id]
    other = collection.image_id("0" * 64, None)
    for matrix, harm in (
        (right[:2], "1 sheets with damaged vectors"),
        (right / 2, "1 sheets with damaged vectors"),
        (None, "1 sheets without the vectors of their images"),
        (right, "1 sheets' vectors without a sheet"),
    ):
        with open_sheets(workspace, collection) as sheets:
            if matrix is None:
                sheets.delete([album_id])
            else:
                sheets.set_pages([other if matrix is right else album_id], [matrix])
        told = doctor()
        assert not told.ok and harm in told.detail and "askpix doctor --mend" in told.detail, told
        mended = doctor(mend=True)
        assert mended.ok and f"mended: {harm}" in mended.detail, mended
        assert doctor().ok and found(workspace, "red").hits[0].region
    (workspace.settings.home.parent / "photos" / "album.png").unlink()
    with open_sheets(workspace, collection) as sheets:
        sheets.delete([album_id])
    left = doctor(mend=True)
    assert not left.ok and "run `askpix index`" in left.detail, "its file is away"


def test_the_service_finds_and_tells_the_place(tmp_path: Path) -> None:
    """The real model and a real server, and a command that works through it."""
    photos = sorted((PICTURES / "photos").glob("*.jpg"))[:4]
    sheet = Image.new("RGB", (1240, 1754), "white")
    for path, (x0, y0, x1, y1) in zip(photos, PLACES, strict=True):
        with Image.open(path) as photo:
            sheet.paste(photo.convert("RGB").resize((2 * (x1 - x0), 2 * (y1 - y0))), (2 * x0, 2 * y0))
    folder = tmp_path / "pictures"
    folder.mkdir()
    sheet.save(folder / "sheet.jpg", quality=90)
    (folder / "photo.jpg").write_bytes(photos[0].read_bytes())
    with served(tmp_path / "home") as (url, _):
        client = until_ready(url)
        environment = os.environ | {"ASKPIX_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "askpix.api.cli.main"]
        done = subprocess.run(
            [*command, "index", str(folder), "--ocr", "off", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["sheets"]["pictures"] == 4
        found = client.search("default", image=photos[2], all=True)
        hit = next(hit for hit in found.hits if hit.uri.endswith("sheet.jpg"))
        assert hit.region and near(Box(*hit.region), doubled(PLACES[2]), 14)
        told = subprocess.run(
            [*command, "search", "--image", str(photos[2]), "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        through = next(hit for hit in json.loads(told.stdout)["hits"] if hit["uri"].endswith("sheet.jpg"))
        assert through["region"] == list(hit.region)
        with browser() as chromium, tab(chromium, url) as made:
            page = ready(made).page
            page.fill("#query", "a cat")
            page.locator(".tile", has_text="on it").click()
            page.wait_for_selector("#viewer .cited mark")
            marked = page.locator("#viewer .cited mark").get_attribute("data-box")
            assert marked and near(Box(*map(float, marked.split(","))), doubled(PLACES[2]), 14)
