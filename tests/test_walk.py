import os
import tarfile
from pathlib import Path

import pytest

from core.errors import NotFoundError
from ingest.walk import Skipped, Source, walk

PNG = b"\x89PNG\r\n\x1a\n"


def look(*paths: Path) -> tuple[list[str], dict[str, str]]:
    """Names found in order, and what was skipped by name."""
    items = list(walk(paths))
    found = [Path(item.uri).name for item in items if isinstance(item, Source)]
    return found, {Path(item.path).name: item.reason for item in items if isinstance(item, Skipped)}


def test_pictures_are_found_in_order_and_the_rest_is_ignored(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "clip.mov", "c.pdf", "sub/d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "no_extension").write_bytes(PNG)
    (tmp_path / "README").write_bytes(b"words")
    found, skipped = look(tmp_path)
    assert found == ["a.png", "b.JPG", "c.pdf", "no_extension", "d.webp"]
    assert skipped == {}


def test_a_source_says_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    os.utime(tmp_path / "a.png", ns=(5, 7_000_000_000))
    (source,) = walk([tmp_path])
    assert source == Source(str(tmp_path / "a.png"), 5, 7_000_000_000)


def test_hidden_and_junk_is_skipped_with_a_reason(tmp_path: Path) -> None:
    for name in (".hidden.jpg", ".thumbnails/a.jpg", "@eaDir/b.jpg", ".bashrc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found, skipped = look(tmp_path)
    assert found == []
    assert skipped == {".hidden.jpg": "hidden", ".thumbnails": "hidden", "@eaDir": "hidden"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (inside / "loop").symlink_to(inside)
    (inside / "self.jpg").symlink_to(inside / "self.jpg")
    (inside / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (inside / "outside.jpg").symlink_to(tmp_path / "secret.png")
    found, skipped = look(inside)
    assert found == ["a.png"]
    assert set(skipped) == {"loop", "self.jpg", "broken.jpg", "outside.jpg"}


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    found, skipped = look(tmp_path)
    assert found == [] and skipped == {"pipe.jpg": "not a regular file"}


def test_named_files_are_taken_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "scan.dat").write_bytes(b"x")
    assert look(tmp_path)[0] == []
    assert look(tmp_path / "scan.dat")[0] == ["scan.dat"]


def test_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(b"x")
    found, _ = look(tmp_path / "sub", tmp_path, tmp_path / "sub" / "a.png", tmp_path)
    assert found == ["a.png"]


def test_a_missing_path_is_an_error_before_anything_is_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        walk([tmp_path, tmp_path / "nowhere"])


def test_very_deep_folders(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(150):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(b"x")
    assert look(tmp_path)[0] == ["a.png"]


def test_names_that_are_not_utf8_are_skipped_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"x")
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    found, skipped = look(tmp_path)
    assert found == ["good.png"]
    ((name, reason),) = skipped.items()
    assert "not valid UTF-8" in reason
    name.encode("utf-8")


def test_a_folder_that_vanishes_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.png").write_bytes(b"x")
    items = walk([tmp_path])
    (tmp_path / "a").rmdir()
    found = list(items)
    # Entered or not before it went, nothing else is lost.
    assert any(isinstance(item, Source) and item.uri.endswith("b.png") for item in found)


def test_the_awkward_names(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "nasty_files.tar") as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    files = tmp_path / "nasty_files" / "files"
    items = list(walk([files]))
    found = {os.path.relpath(item.uri, files) for item in items if isinstance(item, Source)}
    skipped = {os.path.relpath(item.path, files) for item in items if isinstance(item, Skipped)}
    on_disk = {
        os.path.relpath(Path(folder) / name, files) for folder, _, names in os.walk(files) for name in names
    }
    assert found | skipped == on_disk | {"loop/a/back"}
    assert skipped == {
        ".hidden.jpg", "self_link.jpg", "broken_link.jpg", "outside_link.jpg", "loop/a/back"
    }  # fmt: skip
    assert "directory.jpg/inside.png" in found
