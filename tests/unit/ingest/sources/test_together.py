"""Sidecars of an export that lies in several parts; names that differ by case; films of a photo's name."""

import json
from pathlib import Path

import pytest

from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.catalog.models import SourceState
from askpix.ingest.catalog.notes import Undescribed
from askpix.ingest.formats.pages import by_extension
from askpix.ingest.metadata.sidecars import Beside, unpack
from askpix.ingest.pipeline.metadata_stage import look_at_file
from askpix.ingest.pipeline.plan import make_plan
from askpix.ingest.sources.remote import Remote
from askpix.ingest.sources.walk import Skipped, Source
from tests.support.archives import archive
from tests.support.film_headers import film_header
from tests.support.service import jpeg

LIMITS = ImageLimits()
PHOTOS = "Takeout/Google Photos/Photos from 2015"


def google(description: str) -> bytes:
    return json.dumps({"photoTakenTime": {"timestamp": "1433160000"}, "description": description}).encode()


def unpacked(folder: Path, entries: dict[str, bytes]) -> Path:
    for name, data in entries.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def descriptions(*paths: Path) -> dict[str, str | None]:
    found = {}
    for each in Remote().find_all(paths):
        if isinstance(each, Source):
            about = look_at_file(Undescribed(each.uri, each.size, each.mtime_ns, each.beside))
            assert about
            found[each.uri.rpartition("/")[2]] = about.description
    return found


FIRST = {f"{PHOTOS}/IMG_3397.JPG": jpeg("red"), f"{PHOTOS}/other.jpg": jpeg("blue")}
SECOND = {
    f"{PHOTOS}/IMG_3397.JPG.supplemental-metadata.json": google("grandma"),
    "Takeout/Google Photos/Elsewhere/other.jpg.json": google("of another folder"),
}


def test_parts_of_an_export_tell_about_each_other(tmp_path: Path) -> None:
    wanted = {"IMG_3397.JPG": "grandma", "other.jpg": None}
    one, two = archive(tmp_path / "1.zip", FIRST), archive(tmp_path / "2.zip", SECOND)
    assert descriptions(one, two) == descriptions(two, one) == wanted
    assert descriptions(one) == dict.fromkeys(wanted)
    left, right = unpacked(tmp_path / "x" / "t-001", FIRST), unpacked(tmp_path / "x" / "t-002", SECOND)
    assert descriptions(left, right) == wanted
    assert descriptions(left / "Takeout", two) == wanted
    assert descriptions(one, right) == wanted
    assert descriptions(tmp_path / "x") == wanted
    assert descriptions(left / "Takeout" / "Google Photos", right / "Takeout") == wanted


def test_unlike_folders_keep_their_sidecars(tmp_path: Path) -> None:
    one = unpacked(tmp_path / "a", {"IMG_1.jpg": jpeg("red")})
    two = unpacked(tmp_path / "b", {"IMG_1.png": jpeg("blue"), "IMG_1.png.json": google("of the other")})
    assert descriptions(one, two) == {"IMG_1.jpg": None, "IMG_1.png": "of the other"}
    (two / "IMG_1.png").rename(two / "IMG_1.jpg")
    (two / "IMG_1.png.json").rename(two / "IMG_1.jpg.json")
    assert [each.beside is None for each in Remote().find_all([one, two]) if isinstance(each, Source)] == [
        True,
        False,
    ]
    orphan = unpacked(tmp_path / "c", {"IMG_1.jpg.json": google("alone")})
    assert descriptions(one, orphan) == {"IMG_1.jpg": "alone"}


def test_the_other_part_counts_when_it_is_not_named_again(tmp_path: Path) -> None:
    one, two = archive(tmp_path / "1.zip", FIRST), archive(tmp_path / "2.zip", SECOND)

    def known(*paths: Path) -> dict[str, SourceState]:
        found = [each for each in Remote().find_all(paths) if isinstance(each, Source)]
        return {e.uri: SourceState(e.size, e.mtime_ns, "sha", None, beside=e.beside) for e in found}

    def beside(before: dict[str, SourceState], *paths: Path) -> dict[str, str | None]:
        found = Remote().find_all(paths)
        return make_plan(paths, found, known=dict(before), contents={"sha"}, limits=LIMITS).beside

    before = known(one, two)
    assert beside(before, one) == {} and beside(before, one, two) == {}
    archive(two, {f"{PHOTOS}/nothing.txt": b""})
    [(uri, stamp)] = beside(before, one, two).items()
    assert uri.endswith("IMG_3397.JPG") and stamp is None


class Listed:
    def __init__(self, name: str) -> None:
        self.name = name

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return True

    def stat(self, *, follow_symlinks: bool = True) -> "Listed":
        return self

    st_size = st_mtime_ns = 1


@pytest.mark.parametrize(
    ("names", "image", "sidecars"),
    [
        (["A.JPG", "a.jpg", "A.JPG.json", "a.jpg.json"], "A.JPG", ["A.JPG.json"]),
        (["A.JPG", "a.jpg", "A.JPG.json", "a.jpg.json"], "a.jpg", ["a.jpg.json"]),
        (["A.JPG", "a.jpg", "A.JPG.json"], "a.jpg", []),
        (["a.JPG", "a.jpg", "a.jpg.json"], "a.JPG", []),
        (["A.jpg", "a.png", "a.xmp"], "A.jpg", []),
        (["A.jpg", "A.JPG.xmp"], "A.jpg", ["A.JPG.xmp"]),
        (["A.CR2", "A.JPG", "A.xmp"], "A.JPG", ["A.xmp"]),
        (["a.heic", "a.mp4", "a.heic.json"], "a.mp4", ["a.heic.json"]),
        (["a.heic", "a-edited.jpg", "a.heic.json"], "a-edited.jpg", ["a.heic.json"]),
        (["a(1).heic", "a(1).mp4", "a.heic.supplemental-metadata(1).json"], "a(1).mp4",
         ["a.heic.supplemental-metadata(1).json"]),
        (["a b.jpg", "a b.supplemental-metadata.json"], "a b.jpg", ["a b.supplemental-metadata.json"]),
        (["a b-edited.jpg", "a b.supplemental-metadata.json"], "a b-edited.jpg",
         ["a b.supplemental-metadata.json"]),
        (["a" * 45 + "-e.jpg", "a" * 45 + ".json"], "a" * 45 + "-e.jpg", ["a" * 45 + ".json"]),
        (["a-e.jpg", "a.jpg.json"], "a-e.jpg", []),
        (["a b.jpg", "a b.png", "a b.json"], "a b.jpg", []),
        (["a.jpg", "a.jpg.supplement.json"], "a.jpg", ["a.jpg.supplement.json"]),
        (["a.jpg", "a.jpg.s.json"], "a.jpg", ["a.jpg.s.json"]),
        (["e\u0301.jpg", "\xe9.jpg.json"], "e\u0301.jpg", ["\xe9.jpg.json"]),
        (["\U0001f600" * 24 + ".jpg", "\U0001f600" * 23 + ".json"], "\U0001f600" * 24 + ".jpg",
         ["\U0001f600" * 23 + ".json"]),
        (["13039_327707840323_537645323_9470255_27214_n(1).jpg",
          "13039_327707840323_537645323_9470255_27214_n.j(1).json"],
         "13039_327707840323_537645323_9470255_27214_n(1).jpg",
         ["13039_327707840323_537645323_9470255_27214_n.j(1).json"]),
    ],
)  # fmt: skip
def test_names_are_joined_by_every_spelling_and_never_crosswise(
    names: list[str], image: str, sidecars: list[str]
) -> None:
    beside = Beside.of([Listed(name) for name in names])
    assert beside
    assert [each.name for each in unpack(beside.stamp(image))] == sidecars


def test_a_film_of_a_photos_name_is_its_motion_part_if_it_is_as_short_as_one(tmp_path: Path) -> None:
    assert "mov" in by_extension()
    entries = {
        "IMG_1.HEIC": jpeg("red"), "IMG_1.MOV": film_header(seconds=2.8),
        "IMG_2.HEIC": jpeg("red"), "IMG_2_HEVC.MOV": film_header(seconds=2.8),
        "PXL_3.MP.jpg": jpeg("red"), "PXL_3.mp4": film_header(seconds=1.5),
        "P4.jpg": jpeg("red"), "P4.MP4": film_header(seconds=20),
        "P5.jpg": jpeg("red"), "p5.mp4": film_header(seconds=2),
        "P6.mp4": film_header(seconds=2),
    }  # fmt: skip
    wanted = {"IMG_1.MOV", "IMG_2_HEVC.MOV", "PXL_3.mp4"}
    for path in (unpacked(tmp_path / "folder", entries), archive(tmp_path / "a.zip", entries)):
        skipped = [each for each in Remote().find_all([path]) if isinstance(each, Skipped)]
        assert {each.path.rpartition("/")[2] for each in skipped} == wanted
        assert all("live photo" in each.reason for each in skipped)
