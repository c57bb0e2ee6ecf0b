"""Room on the disk that is kept for deleting."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import askpix.api.service.reserve
from askpix.api.service.reserve import Reserve


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the disk says is free."""
    found = SimpleNamespace(free=1 << 30)
    monkeypatch.setattr(askpix.api.service.reserve, "_LEAST", 4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: found)
    return found


def test_it_is_kept_while_there_is_plenty_and_released_when_there_is_not(
    tmp_path: Path, free: SimpleNamespace
) -> None:
    reserve, file = Reserve(tmp_path), tmp_path / "reserve"
    reserve.keep()
    assert file.stat().st_blocks * 512 >= 4096, "real blocks, no hole"
    reserve.release()
    assert file.exists(), "there is room without it"
    free.free = 100
    reserve.release()
    assert not file.exists()
    reserve.keep()
    assert not file.exists(), "now it would be most of what is left"


def test_it_grows_with_the_catalog(tmp_path: Path, free: SimpleNamespace) -> None:
    reserve = Reserve(tmp_path)
    reserve.keep()
    (tmp_path / "catalog.sqlite").write_bytes(bytes(50_000))
    reserve.keep()
    assert (tmp_path / "reserve").stat().st_size == 54_096
