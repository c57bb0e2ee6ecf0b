import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest

from askpix.core.errors import NotFoundError
from askpix.ingest.sources.walk import Skipped, Source, walk

PNG = b"\x89PNG\r\n\x1a\n"


def look(*paths: Path) -> tuple[list[str], dict[str, str]]:
    """Names found in order, and what was skipped by name."""
    items = list(walk(paths))
    found = [Path(item.uri).name for item in items if isinstance(item, Source)]
    return found, {Path(item.path).name: item.reason for item in items if isinstance(item, Skipped)}


def test_images_are_found_in_order_and_the_rest_is_ignored(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "clip.mov", "c.pdf", "sub/d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "no_extension").write_bytes(PNG)
    (tmp_path / "README").write_bytes(b"words")
    found, skipped = look(tmp_path)
    assert found == ["a.png", "b.JPG", "c.pdf", "clip.mov", "no_extension", "d.webp"]
    assert skipped == {}


def test_a_source_says_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    os.utime(tmp_path / "a.png", ns=(5, 7_000_000_000))
    (source,) = walk([tmp_path])
    changed = (tmp_path / "a.png").stat().st_ctime_ns
    assert source == Source(str(tmp_path / "a.png"), 5, 7_000_000_000, None, changed)


def test_hidden_and_junk_is_skipped_with_a_reason(tmp_path: Path) -> None:
    for name in (".hidden.jpg", ".thumbnails/a.jpg", "@eaDir/b.jpg", ".bashrc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found, skipped = look(tmp_path)
    assert found == []
    assert skipped == {".hidden.jpg": "hidden", ".thumbnails": "hidden", "@eaDir": "a system's own folder"}


def test_links_are_not_followed_and_the_reason_is_said(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "inside-not").mkdir()
    (tmp_path / "inside-not" / "b.png").write_bytes(b"x")
    (inside / "loop").symlink_to(inside)
    (inside / "self.jpg").symlink_to(inside / "self.jpg")
    (inside / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (inside / "outside.jpg").symlink_to(tmp_path / "secret.png")
    (inside / "neighbour.jpg").symlink_to(tmp_path / "inside-not" / "b.png")
    (inside / "again.jpg").symlink_to("a.png")
    (inside / "notes").symlink_to(tmp_path / "nowhere")
    found, skipped = look(inside)
    assert found == ["a.png"]
    assert skipped == {
        "loop": "a link to a folder; name it to index what is there",
        "self.jpg": "a link that leads back to itself",
        "broken.jpg": "a link to nothing",
        "outside.jpg": "a link to a file elsewhere; name it to index it",
        "neighbour.jpg": "a link to a file elsewhere; name it to index it",
        "again.jpg": "a link to a file in this same folder",
    }


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"x")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "file.png").symlink_to("real/a.png")
    assert [item.uri for item in walk([tmp_path / "folder"]) if isinstance(item, Source)] == [
        str(tmp_path / "folder" / "a.png")
    ]
    assert look(tmp_path / "file.png") == (["file.png"], {})


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    found, skipped = look(tmp_path)
    assert found == [] and skipped == {"pipe.jpg": "not a regular file"}


def test_named_files_are_taken_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "scan.dat").write_bytes(b"x")
    assert look(tmp_path)[0] == []
    assert look(tmp_path / "scan.dat")[0] == ["scan.dat"]


@pytest.mark.parametrize(
    "names",
    [
        ["", ""],
        ["sub", ""],
        ["", "sub"],
        ["sub/a.png", ""],
        ["", "sub/a.png"],
        ["sub", "", "sub/a.png", "sub/../sub"],
    ],
)
def test_each_file_once(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(b"x")
    (tmp_path / "sub" / "b.png").write_bytes(b"x")
    found, _ = look(*(tmp_path / name for name in names))
    assert sorted(found) == ["a.png", "b.png"]


def test_a_hidden_folder_that_is_named_is_walked_beside_the_folder_around_it(tmp_path: Path) -> None:
    for name in (".hidden/deep/a.png", "b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found, skipped = look(tmp_path, tmp_path / ".hidden", tmp_path / ".hidden" / "deep")
    assert sorted(found) == ["a.png", "b.png"]
    assert skipped == {".hidden": "hidden"}


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


def test_a_folder_that_cannot_be_read_is_reported_and_the_walk_goes_on(tmp_path: Path) -> None:
    """Deeper than a path may be long: refused by the system to every user, root too."""
    (tmp_path / "z.png").write_bytes(b"x")
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(25):
            os.mkdir("n" * 200, dir_fd=here)
            below = os.open("n" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    items = list(walk([tmp_path]))
    assert [Path(item.uri).name for item in items if isinstance(item, Source)] == ["z.png"]
    (skipped,) = (item for item in items if isinstance(item, Skipped))
    assert skipped.reason == "cannot read: File name too long"
    assert isinstance(next(walk([Path("/" + "n/" * 3000)])), Skipped)
    shutil.rmtree(tmp_path / ("n" * 200))


def test_what_may_not_be_read_is_reported() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in ("a.png", "locked/b.png", "no_extension"):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(PNG)
            (folder / path).chmod(0)
        (folder / "locked").chmod(0)
        folder.chmod(0o755)
        is_root = os.geteuid() == 0  # whom nothing is denied
        if is_root:
            os.seteuid(65534)
        try:
            found, skipped = look(folder)
            named = list(walk([folder / "locked" / "b.png"]))
        finally:
            if is_root:
                os.seteuid(0)
            (folder / "locked").chmod(0o755)
    assert found == ["a.png"], "its bytes are asked for later"
    assert skipped == dict.fromkeys(["locked", "no_extension"], "cannot read: Permission denied")
    assert named == [Skipped(str(folder / "locked" / "b.png"), "cannot read: Permission denied")]


def test_files_without_extension_are_told_apart_by_their_first_bytes(tmp_path: Path) -> None:
    heads = {
        "jpeg": b"\xff\xd8\xff\xe0",
        "webp": b"RIFF\0\0\0\0WEBP",
        "heic": b"\0\0\0\x18ftypheic",
        "pdf": b"%PDF-1.7",
        "sound": b"RIFF\0\0\0\0WAVE",
        "film": b"\0\0\0\x18ftypmp42",
        "words": b"BMW drivers are",
        "empty": b"",
    }
    for name, head in heads.items():
        (tmp_path / name).write_bytes(head)
    assert look(tmp_path) == (["film", "heic", "jpeg", "pdf", "webp"], {})


def test_names_come_back_as_they_are(tmp_path: Path) -> None:
    names = ["cafe\u0301.png", "caf\u00e9.png", "a\nb.png", " x.png", "-rf.png", "%2e%2e.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert look(tmp_path)[0] == sorted(names)


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
