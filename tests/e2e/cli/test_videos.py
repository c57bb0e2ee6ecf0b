"""A folder with films through the real command: indexed, searched, asked, moved, embedded anew, served."""

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from askpix.api.client.client import Client
from tests.support.cli import PICTURES, Askpix, runner
from tests.support.films import film
from tests.support.service import jpeg, served, until_ready

RECEIPT = PICTURES / "receipts" / "hotel-alpenblick.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a cat, a rocket and a hotel's bill, one that is damaged, and a photo."""
    made = tmp_path_factory.mktemp("archive") / "clips"
    made.mkdir()
    scenes = [("cat", 3.0), ("rocket-launch", 3.0), (Image.open(RECEIPT), 4.0)]
    film(made / "VID_20240309_150000.mp4", scenes, size=(720, 960))
    (made / "broken.mp4").write_bytes((made / "VID_20240309_150000.mp4").read_bytes()[:20_000])
    (made / "red.jpg").write_bytes(jpeg("red"))
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films") / "home"


@pytest.fixture(scope="module")
def askpix(home: Path, folder: Path) -> Askpix:
    """The command on a home in which the folder is indexed."""
    run = runner(home, folder)
    done = run("index", ".", "--json", code=3)  # the broken one
    report = json.loads(done.stdout)
    assert report["added"] == 2 and len(report["failed"]) == 1, report
    assert "damaged video" in report["failed"][0]["error"]
    return run


def hits(askpix: Askpix, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(askpix("search", *words, "--json").stdout)["hits"]
    return found


def test_moments_are_found_by_meaning_and_by_words(askpix: Askpix) -> None:
    cat = hits(askpix, "a cat", "--top-k", "1")[0]
    assert (cat["kind"], cat["page"], cat["time_s"]) == ("frame", None, 0.0)
    rocket = hits(askpix, "a rocket launch", "--top-k", "1")[0]
    assert rocket["time_s"] == pytest.approx(3.0, abs=0.3)
    bill = hits(askpix, "Hotel Alpenblick", "--top-k", "1")[0]
    assert bill["time_s"] == pytest.approx(6.0, abs=0.3)
    assert len(hits(askpix, "an image", "--kind", "frame")) == 3
    shown = askpix("search", "a rocket launch", "--top-k", "1").stdout
    assert "VID_20240309_150000.mp4#t=3" in shown, shown


def test_the_date_in_a_films_name_is_that_of_its_first_frame(askpix: Askpix) -> None:
    found = {str(hit["time_s"]): str(hit["taken_at"]) for hit in hits(askpix, "an image", "--kind", "frame")}
    assert sorted(found.values()) == ["2024-03-09T15:00:00", "2024-03-09T15:00:03", "2024-03-09T15:00:06"], (
        found
    )
    assert len(hits(askpix, "a cat", "--after", "2024-03-09", "--before", "2024-03-10")) == 3


def test_an_answer_cites_the_moment(askpix: Askpix) -> None:
    said = json.loads(askpix("ask", "What is the total on the Hotel Alpenblick receipt?", "--json").stdout)
    assert said["answered"], said
    [citation] = said["citations"][:1]
    assert citation["time_s"] == pytest.approx(6.0, abs=0.3) and citation["box"], citation
    assert "at 0:06" in askpix("ask", "What is the total on the Hotel Alpenblick receipt?").stdout


def test_a_second_run_does_nothing_and_the_health_is_good(askpix: Askpix) -> None:
    again = json.loads(askpix("index", ".", "--json", code=3).stdout)
    assert (again["added"], again["unchanged"]) == (0, 2), again
    askpix("doctor", "--json")


def test_films_move_to_another_home_and_back(askpix: Askpix, tmp_path: Path) -> None:
    before = {str(hit["id"]): hit["time_s"] for hit in hits(askpix, "an image")}
    askpix("collections", "export", "default", tmp_path / "archive.askpix")
    other = runner(tmp_path / "other", tmp_path)
    other("collections", "import", tmp_path / "archive.askpix")
    moved = hits(other, "an image")
    assert sorted(str(hit["time_s"]) for hit in moved) == sorted(str(at) for at in before.values())
    again = json.loads(other("index", Path(str(moved[0]["uri"])).parent, "--json", code=3).stdout)
    assert again["added"] == 0, "the catalog knows them"


def test_images_of_films_can_be_looked_at_by_themselves(askpix: Askpix, folder: Path) -> None:
    rows = json.loads(
        askpix(
            "classify", folder / "VID_20240309_150000.mp4", "--labels", "cat,rocket,receipt", "--json"
        ).stdout
    )
    assert [row["time_s"] for row in rows] == pytest.approx([0.0, 3.0, 6.0], abs=0.3)
    assert [row["labels"][0]["label"] for row in rows][:2] == ["cat", "rocket"]


@pytest.fixture(scope="module")
def url(askpix: Askpix, home: Path) -> Iterator[str]:
    with served(home) as (address, _):
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return until_ready(url)


def test_the_service_shows_frames_and_plays_the_film(client: Client, url: str, folder: Path) -> None:
    [hit] = client.search("default", "a rocket launch", top_k=1).hits
    assert hit.time_s == pytest.approx(3.0, abs=0.3)
    about = client.image(hit.id)
    moments = client.call("GET", f"/v1/images/{hit.id}/siblings")["images"]
    assert about.kind == "frame"
    assert [each["time_s"] for each in moments] == pytest.approx([0.0, 3.0, 6.0], abs=0.3)
    small = Image.open(io.BytesIO(client.thumbnail(hit.id))).convert("RGB")
    assert small.size == (192, 256)
    rocket = Image.open(PICTURES / "photos/rocket-launch.jpg").convert("RGB").resize(small.size)
    assert np.abs(np.asarray(small, int) - np.asarray(rocket, int)).mean() < 12
    with urllib.request.urlopen(f"{url}/v1/images/{hit.id}/file") as answer:
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.read() == (folder / "VID_20240309_150000.mp4").read_bytes()
    # A player asks for the part that it shows.
    part = urllib.request.Request(f"{url}/v1/images/{hit.id}/file", headers={"range": "bytes=4-7"})
    with urllib.request.urlopen(part) as answer:
        assert (answer.status, answer.read()) == (206, b"ftyp")


def test_films_are_uploaded_too(client: Client, folder: Path) -> None:
    client.create_collection("sent")
    report = client.index("sent", [folder / "VID_20240309_150000.mp4"])
    assert report.added == 1, report
    [again] = client.upload("sent", [folder / "VID_20240309_150000.mp4"])
    assert [file.duplicate for file in again.files] == [True]
    found = client.search("sent", "a cat", top_k=1).hits[0]
    assert found.uri == "upload:VID_20240309_150000.mp4" and found.time_s == 0.0
    looked = client.search("sent", image=found.id, top_k=1).hits[0]
    assert looked.time_s == 0.0
