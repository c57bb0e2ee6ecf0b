"""Rules of the owner: what is left out, brought back, and seen by --watch."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from askpix.core.errors import AskpixError
from askpix.ingest.sources.walk import Source, walk
from askpix.ingest.sources.watch import to_index


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(root: Path, ignore: Sequence[str] = ()) -> list[str]:
    items = walk([root], ignore=ignore)
    return [str(item.path.relative_to(root)) for item in items if isinstance(item, Source)]


def test_rules_of_folders_and_of_the_command_line(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "b.png", "drafts/c.jpg", "old/drafts/d.jpg", "old/keep.png", "old/e.png")
    (tmp_path / ".askpixignore").write_text("# mine\n\n*.png\n/drafts/\n")
    (tmp_path / "old" / ".askpixignore").write_text("!keep.png\n")
    assert found(tmp_path) == ["a.jpg", "old/drafts/d.jpg", "old/keep.png"]
    assert found(tmp_path, ["keep*", "a.*"]) == ["old/drafts/d.jpg"]
    assert found(tmp_path, ["drafts/"]) == ["a.jpg", "old/keep.png"]
    # A folder further down, named alone, is under the same rules.
    assert found(tmp_path / "old") == ["drafts/d.jpg", "keep.png"]


def test_nothing_comes_back_from_a_folder_that_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "out/a.jpg", "in/a.jpg")
    (tmp_path / ".askpixignore").write_text("out/\n!out/a.jpg\n")
    assert found(tmp_path) == ["in/a.jpg"]


def test_a_named_file_is_always_taken(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    (tmp_path / ".askpixignore").write_text("*\n")
    assert found(tmp_path) == []
    assert [item.path for item in walk([tmp_path / "a.jpg"], ignore=["*"]) if isinstance(item, Source)] == [
        tmp_path / "a.jpg"
    ]


@pytest.mark.parametrize("folder", ["@eaDir", ".thumbnails", ".Trash", ".git", "@__thumb", "#recycle"])
def test_folders_of_systems_are_left_out_without_a_rule(tmp_path: Path, folder: str) -> None:
    tree(tmp_path, f"{folder}/a.jpg", "b.jpg")
    assert found(tmp_path) == ["b.jpg"]


def test_rules_that_cannot_be_used_are_said_at_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    with pytest.raises(AskpixError, match="--ignore"):
        walk([tmp_path], ignore=["!"])
    (tmp_path / ".askpixignore").write_text("!\n")
    with pytest.raises(AskpixError, match="askpixignore"):
        list(walk([tmp_path]))
    (tmp_path / ".askpixignore").write_bytes(b"*.jpg\n" * 400_000)
    with pytest.raises(AskpixError, match="1 MB"):
        list(walk([tmp_path]))
    (tmp_path / ".askpixignore").unlink()
    (tmp_path / ".askpixignore").mkdir()
    with pytest.raises(AskpixError, match="cannot read"):
        list(walk([tmp_path]))


def test_rules_in_any_bytes_do_no_harm(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "ü.jpg")
    (tmp_path / ".askpixignore").write_bytes(b"\xff\xfe\0\n\xef\xbb\xbf\n[[\nu\xcc\x88.jpg\n")
    assert "a.jpg" in found(tmp_path)


def test_watch_keeps_to_the_rules(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "drafts/b.jpg", "c.png", "new/d.jpg")
    (tmp_path / ".askpixignore").write_text("drafts/\n*.png\n")
    changed = [tmp_path / name for name in ("a.jpg", "drafts/b.jpg", "drafts", "c.png", "new/d.jpg")]
    assert to_index(changed, [tmp_path], prune=False) == [tmp_path / "a.jpg", tmp_path / "new/d.jpg"]
    assert to_index(changed, [tmp_path], prune=False, ignore=["new"]) == [tmp_path / "a.jpg"]


def test_watch_sees_what_lies_beside_and_the_rules_themselves(tmp_path: Path) -> None:
    tree(tmp_path, "in/a.jpg", "in/a.jpg.json", "in/.askpixignore", ".hidden/a.xmp")
    assert to_index([tmp_path / "in/a.jpg.json"], [tmp_path], prune=False) == [tmp_path / "in"]
    assert to_index([tmp_path / "in/.askpixignore"], [tmp_path], prune=False) == [tmp_path / "in"]
    assert to_index([tmp_path / ".hidden/a.xmp"], [tmp_path], prune=False) == []
