"""What a file is: by its first bytes, never by its name; and where in it a picture is."""

import hashlib
import os
import sys
import threading
from pathlib import Path

import pytest

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits, read_bytes
from askpix.core.types import ImageRecord
from askpix.ingest.formats.content import (
    OnDisk,
    label_of,
    place_at,
    place_of,
    sha256_of,
    time_at,
)
from askpix.ingest.formats.pages import read_content
from askpix.ingest.formats.video import container_of
from askpix.ingest.sources.walk import Skipped, walk
from tests.support.films import film
from tests.support.service import jpeg

LIMITS = ImageLimits()


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x20ftypisom\0\0\2\0", "mov"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0", "mov"),
        (b"\0\0\0\x08wide\0\0\x10\0mdat", "mov"),
        (b"\x1aE\xdf\xa3\x93\x42\x82\x88matroska", "matroska"),
        (b"RIFF\0\0\1\0AVI LIST", "avi"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "asf"),
        (b"\0\0\1\xba\x44\0", "mpeg"),
        (b"FLV\1\5\0\0\0\x09", "flv"),
        ((b"G" + b"\0" * 187) * 4, "mpegts"),
        ((b"\0\0\0\0G" + b"\0" * 187) * 4, "mpegts"),
        # Pictures, sound, lists of other files, and words.
        (b"\0\0\0\x1cftypheic\0\0\0\0", None),
        (b"\0\0\0\x1cftypavif\0\0\0\0", None),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", None),
        (b"\0\0\0\x18ftypM4A \0\0\0\1", None),
        (b"RIFF\0\0\1\0WEBPVP8 ", None),
        (b"RIFF\0\0\1\0WAVEfmt ", None),
        (b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd", None),
        (b"ffconcat version 1.0\nfile /etc/passwd", None),
        (b"%PDF-1.7", None),
        (b"GIF89a", None),
        (b"Good morning", None),
        (b"", None),
    ],
)
def test_films_are_known_by_how_they_begin(head: bytes, container: str | None) -> None:
    assert container_of(head) == container


def test_films_stay_on_the_disk_and_images_come_as_bytes(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.jpg.mp4", [("cat", 1)]).rename(tmp_path / "wrongly-named.jpg")
    assert read_content(clip, limits=LIMITS) == OnDisk(clip, clip.read_bytes()[:1024])
    (tmp_path / "a.mp4").write_bytes(jpeg("red"))
    assert read_content(tmp_path / "a.mp4", limits=LIMITS) == jpeg("red")
    with pytest.raises(BadImageError, match="over the limit"):
        read_content(tmp_path / "a.mp4", limits=ImageLimits(max_bytes=100))
    assert read_content(clip, limits=ImageLimits(max_bytes=100)), "no film fits in there; it need not"
    with pytest.raises(BadImageError, match="cannot read"):
        read_content(tmp_path / "none.mp4", limits=LIMITS)


def test_the_hash_of_a_short_film_is_that_of_its_bytes(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", [("cat", 1)])
    assert sha256_of(OnDisk(clip, clip.read_bytes()[:1024])) == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert sha256_of(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_a_long_film_is_told_from_its_changed_copy_without_reading_it_all(tmp_path: Path) -> None:
    path, size = tmp_path / "long.mp4", 40 * 2**30
    with path.open("wb") as file:
        file.write(b"\0\0\0\x20ftypisom")
        file.truncate(size)  # its zeros take no disk
    seen = {sha256_of(OnDisk(path, b""))}
    # More of a film is changed than lies between two blocks.
    for at, data in ((20, b"x"), (size - 5, b"x"), (size // 2, b"y" * 2**30)):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)
        seen.add(sha256_of(OnDisk(path, b"")))
    os.truncate(path, size + 1)
    seen.add(sha256_of(OnDisk(path, b"")))
    assert len(seen) == 5
    assert sha256_of(OnDisk(path, b"")) in seen


def test_places_go_to_seconds_and_back() -> None:
    for milliseconds in (0, 1, 999, 12_345, 10_800_000):
        assert place_at(time_at(milliseconds + 1)) == milliseconds + 1
    frame = ImageRecord(id="a", uri="/clip.mp4", kind="frame", width=8, height=8, time_s=12.5)
    assert (place_of(frame), label_of(frame)) == (12_501, "#t=12.5")
    page = ImageRecord(id="a", uri="/a.pdf", kind="page", width=8, height=8, page=3)
    assert (place_of(page), label_of(page)) == (3, "#page=3")
    photo = ImageRecord(id="a", uri="/a.jpg", kind="photo", width=8, height=8)
    assert (place_of(photo), label_of(photo)) == (None, "")


def test_folders_are_searched_for_films_and_code_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film(tmp_path / "holiday.MP4", [("cat", 1)])
    film(tmp_path / "camcorder.mts", [("cat", 1)])
    (tmp_path / "module.ts").write_text("export const a: number = 1\n")
    (tmp_path / "module.mts").write_text("export const b: number = 1\n")
    film(tmp_path / "noname.mkv", [("cat", 1)]).rename(tmp_path / "noname")
    found = list(walk([tmp_path]))
    assert [Path(each.uri).name for each in found if not isinstance(each, Skipped)] == [
        "camcorder.mts",
        "holiday.MP4",
        "noname",
    ]
    assert not any(isinstance(each, Skipped) for each in found)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"")
    live = film(tmp_path / "IMG_1.MOV", [("cat", 1)])
    [told] = [each for each in walk([tmp_path]) if isinstance(each, Skipped)]
    assert told.path == str(live) and "live photo" in told.reason
    assert [each for each in walk([live]) if not isinstance(each, Skipped)], (
        "a file that is named is always taken"
    )
    live.unlink()
    monkeypatch.setitem(sys.modules, "av", None)
    missing = [each for each in walk([tmp_path]) if isinstance(each, Skipped)]
    assert {Path(each.path).name for each in missing} == {"camcorder.mts", "holiday.MP4"}
    assert all("askpix[video]" in each.reason for each in missing)


def test_a_file_is_read_whole_to_the_last_byte_and_no_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for size in (0, 1, 1023, 1024, 1025, 70_000):
        path.write_bytes(os.urandom(size))
        assert read_content(path, limits=ImageLimits(max_bytes=70_000)) == path.read_bytes()
    with pytest.raises(BadImageError, match="over the limit of 69999 bytes"):
        read_content(path, limits=ImageLimits(max_bytes=69_999))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_has_no_size_beforehand_is_read_to_its_end(tmp_path: Path) -> None:
    pipe, said = tmp_path / "pipe", os.urandom(300_000)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(said))
    writer.start()
    assert read_bytes(pipe) == said
    writer.join()
