"""``collections reembed`` on a real store: two models of colours, the real words, real files."""

from pathlib import Path

import pytest

from askpix.api.models.proofs import Proofs
from askpix.api.services.index import run_index
from askpix.api.services.reembed import drop_replaced, kept_report, reembed, roll_back
from askpix.api.services.search import open_searcher
from askpix.api.settings import Settings
from askpix.api.workspace.query_log import RecentQueries
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, NotFoundError
from askpix.ingest.catalog.catalog import Collection
from askpix.retrieval.query.parser import parse
from tests.support.fakes import picture
from tests.support.workspaces import Fakes

COLOURS = ("red", "green", "blue", "orange", "purple", "gray")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, colour in enumerate(COLOURS):
        picture(colour, size=(64, 48 + number)).save(photos / f"{colour}.png")
    made = Fakes(Settings(home=tmp_path / "home", embedder="narrow"))
    fill(made, photos)
    return made


def fill(workspace: Workspace, photos: Path, *, prune: bool = False) -> Collection:
    collection = workspace.open_or_create("default")
    run_index(workspace, collection, [photos], ocr="off", prune=prune)
    return workspace.collection("default")


def first(workspace: Workspace, text: str) -> str:
    with open_searcher(workspace, workspace.collection("default")) as searcher:
        return Path(searcher.retriever.retrieve(parse(text), show_all=True).hits[0].record.uri).stem


def test_the_new_model_takes_over_and_the_report_says_what_changed(workspace: Workspace) -> None:
    recent = workspace.recent(workspace.collection("default"))
    for text in ("red", "something purple", '"no such words"', "red"):
        recent.add(text)
    report = reembed(workspace, "default", "wide")
    kept = kept_report(workspace, workspace.collection("default"))
    assert kept and kept["embedder"] == report.embedder and kept["changed_over"] is report.changed_over
    assert (report.was, report.embedder, report.images, report.expected) == ("narrow", "wide", 6, 6)
    assert report.changed_over and not report.missing
    # The axes are the same ones, so both models agree; what finds nothing is not counted.
    assert (report.comparison.queries, report.comparison.overlap, report.comparison.best_kept) == (2, 1, 1)
    assert workspace.collection("default").embedder == "wide"
    assert first(workspace, "purple") == "purple"
    with pytest.raises(AskpixError, match="has the embedder 'wide' already"):
        reembed(workspace, "default", "wide")


def test_a_model_that_fails_its_proof_replaces_none(workspace: Workspace) -> None:
    Proofs(workspace.settings.home).forget("wide")
    with pytest.raises(AskpixError, match=r"'wide' does not work \(found \d+ of 12 .*'narrow' stays in use"):
        reembed(workspace, "default", "wide")
    assert workspace.collection("default").embedder == "narrow" and first(workspace, "red") == "red"
    assert reembed(workspace, "default", "wide", unproven=True).changed_over


def test_without_searches_there_is_nothing_to_judge_by(workspace: Workspace) -> None:
    compared = reembed(workspace, "default", "wide").comparison
    assert (compared.queries, compared.overlap, compared.best_kept) == (0, None, None)


def test_a_missing_file_keeps_the_old_model_in_use(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "photos" / "red.png").unlink()
    report = reembed(workspace, "default", "wide")
    assert not report.changed_over
    assert [Path(failure.path).name for failure in report.missing] == ["red.png"]
    assert workspace.collection("default").embedder == "narrow"
    assert first(workspace, "red") == "red"

    again = reembed(workspace, "default", "wide", without_missing=True)
    assert again.changed_over and again.embedded == 0
    with workspace.open_store(workspace.collection("default")) as store:
        assert store.count() == workspace.catalog.count_images(workspace.collection("default")) == 5
    # The next run with the file back brings it in.
    picture("red", size=(64, 48)).save(tmp_path / "photos" / "red.png")
    fill(workspace, tmp_path / "photos")
    assert first(workspace, "red") == "red"


def test_there_is_a_way_back(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no earlier vectors"):
        roll_back(workspace, "default")
    reembed(workspace, "default", "wide")
    picture("pink", size=(40, 40)).save(tmp_path / "photos" / "pink.png")
    (tmp_path / "photos" / "gray.png").unlink()
    fill(workspace, tmp_path / "photos", prune=True)

    collection, left = roll_back(workspace, "default")
    assert (collection.embedder, left) == ("narrow", 1)
    assert first(workspace, "purple") == "purple"
    fill(workspace, tmp_path / "photos")
    assert first(workspace, "pink") == "pink"
    with workspace.open_store(workspace.collection("default")) as store:
        assert store.count() == 6

    # And forth again: the one rolled back from is the one kept.
    assert roll_back(workspace, "default")[0].embedder == "wide"


def test_old_vectors_free_their_disk(workspace: Workspace) -> None:
    reembed(workspace, "default", "wide")
    folder = workspace.folder(workspace.collection("default"))
    assert sorted(p.name for p in folder.glob("vectors*")) == ["vectors", "vectors-1"]
    assert drop_replaced(workspace, "default") == 1
    assert [p.name for p in folder.glob("vectors*")] == ["vectors-1"]
    assert first(workspace, "blue") == "blue"
    reembed(workspace, "default", "narrow")
    assert first(workspace, "blue") == "blue"
    reembed(workspace, "default", "wide")
    assert len(list(folder.glob("vectors*"))) == 2, "one to go back to is enough"


def test_latest_searches_are_kept_short_and_survive_damage(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    recent = RecentQueries(path, keep=5)
    assert recent.latest(3) == []
    for number in range(1000):
        recent.add(f"query {number} \n über\x1b[2J")
    assert path.stat().st_size < 5 * 4 * 60 + 100
    assert recent.latest(2) == ["query 999 über\x1b[2J", "query 998 über\x1b[2J"]
    with path.open("ab") as file:
        file.write(b'\xff\xfe broken\n{"not": "text"}\n"fine"\n')
    assert recent.latest(2) == ["fine", "query 999 über\x1b[2J"]
    recent.add("   ")
    assert recent.latest(1) == ["fine"]
    assert path.stat().st_mode & 0o077 == 0

    RecentQueries(tmp_path / "none.jsonl", keep=0).add("secret")
    assert not (tmp_path / "none.jsonl").exists()
    RecentQueries(tmp_path / "gone" / "queries.jsonl", keep=5).add("no folder is no error")
