"""``askpix.core.registry``: built-in implementations, and those of installed packages."""

from pathlib import Path

import pytest

from askpix.core.errors import AskpixError
from askpix.core.registry import Registry


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that adds ``toy`` and a ``broken`` one, and claims the name ``path``."""
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[askpix.things]\ntoy = toy_things:Toy\nbroken = toy_things:Missing\npath = toy_things:Toy\n"
    )
    (tmp_path / "toy_things.py").write_text("class Toy: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_builtin_names_come_first_and_win(plugin: Path) -> None:
    registry: Registry[type] = Registry("askpix.things", {"path": "pathlib:Path"})
    assert registry.names() == ("path", "broken", "toy")
    assert registry.get("path") is Path


def test_a_plugin_is_found_by_its_entry_point(plugin: Path) -> None:
    found = Registry[type]("askpix.things", {}).get("toy")
    assert found is not None
    assert found.__name__ == "Toy"


def test_a_plugin_that_fails_to_import_is_named(plugin: Path) -> None:
    with pytest.raises(AskpixError, match=r"'broken' of 'toy' .askpix.things. cannot be loaded"):
        Registry[type]("askpix.things", {}).get("broken")


def test_an_unknown_name_is_none() -> None:
    assert Registry[type]("askpix.things", {}).get("nothing") is None
