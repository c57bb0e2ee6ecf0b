"""The act of indexing: what a run leaves, what it reports, and what a search says of text not read yet."""

from pathlib import Path

import pytest
from PIL import Image

from askpix.api.services.index import index_paths
from askpix.api.services.search import search
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from tests.support.workspaces import Fakes


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Fakes(Settings(home=tmp_path / "home", embedder="narrow"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (40, 30), name).save(folder / f"{name}.png")
    return folder


def test_folder_without_images_makes_no_collection(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    report = index_paths(workspace, [folder], "new", ocr="off")
    assert [failure.path for failure in report.failed] == [str(folder / "broken.jpg")]
    assert workspace.catalog.get_collection("new") is None
    index_paths(workspace, [folder], "watched", ocr="off", keep_empty=True)
    assert workspace.catalog.get_collection("watched") is not None


def test_empty_collection_that_was_there_stays(workspace: Workspace, tmp_path: Path) -> None:
    workspace.open_or_create("mine")
    (tmp_path / "empty").mkdir()
    assert index_paths(workspace, [tmp_path / "empty"], "mine", ocr="off").images == 0
    assert workspace.catalog.get_collection("mine") is not None


def test_report_has_the_time_of_the_whole_run(workspace: Workspace, photos: Path) -> None:
    report = index_paths(workspace, [photos], "mine", ocr="off")
    assert report.seconds >= report.embedding_seconds > 0
    assert report.images_per_second == pytest.approx(2 / report.seconds, rel=0.05)


def test_search_says_that_text_is_still_being_read(workspace: Workspace, photos: Path) -> None:
    index_paths(workspace, [photos], "mine", ocr="off")
    mine = workspace.collection("mine")
    assert search(workspace, mine, "red", show_all=True).notes == (), "a collection whose text is never read"
    first = next(iter(workspace.catalog.texts.pending(mine.id)))
    workspace.catalog.texts.save({first.image_id: ()}, {}, engine="fake")
    workspace.catalog.texts.mark_stored([first.image_id])
    note = "the text of 1 image is not read yet, so matches by text may be missing"
    assert search(workspace, mine, "red", show_all=True).notes == (note,)
