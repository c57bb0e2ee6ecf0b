"""``python -m benchmarks memory``: what a whole run takes, and what of it is its own."""

import sys
from pathlib import Path

import pytest

from benchmarks.speed import memory
from benchmarks.speed.memory import peak_memory
from tests.support.fakes import picture


def test_mapped_files_are_told_apart(tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        picture(colour).save(tmp_path / f"{colour}.png")
    peak = peak_memory([tmp_path])
    assert 50 < peak.resident < 2_000, "a model and a store were loaded"
    if sys.platform == "linux":
        assert peak.own is not None and 30 < peak.own < peak.resident


def test_what_is_named_is_indexed_and_not_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in the command's place says what it was asked for."""
    folder, told = tmp_path / "photos", tmp_path / "told"
    folder.mkdir()
    script = f"import sys, pathlib; pathlib.Path({str(told)!r}).write_text(' '.join(sys.argv[1:]))"
    monkeypatch.setattr(memory, "python_command", lambda _, *words: [sys.executable, "-c", script, *words])
    peak_memory([folder])
    assert told.read_text() == f"index {folder} --ocr off"
