"""``bench --memory``: what a whole run takes, and what of it is its own."""

import sys
from pathlib import Path

import pytest

from api.bench import peak_memory
from tests.fakes import picture

pytestmark = pytest.mark.slow


def test_mapped_files_are_told_apart(tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        picture(colour).save(tmp_path / f"{colour}.png")
    peak = peak_memory(sorted(tmp_path.iterdir()))
    assert 50 < peak.resident < 2_000, "a model and a store were loaded"
    if sys.platform == "linux":
        assert peak.own is not None and 30 < peak.own < peak.resident
