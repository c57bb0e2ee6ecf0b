import os
from pathlib import Path

import pytest

from askpix.ingest.sources.read_ahead import POSSIBLE, read_ahead


def test_what_cannot_be_opened_is_passed_over_and_nothing_stays_open(tmp_path: Path) -> None:
    there = tmp_path / "there.jpg"
    there.write_bytes(b"x" * 100)
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else None
    read_ahead([str(there), str(tmp_path / "gone.jpg"), str(tmp_path), "s3://bucket/a.jpg", "a\0b"])
    if before is not None:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.timeout(10)
def test_a_pipe_in_a_images_place_does_not_hold_it_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    read_ahead([str(tmp_path / "pipe.jpg")])


@pytest.mark.skipif(not POSSIBLE or not Path("/proc/self/io").exists(), reason="counts what Linux has read")
def test_the_file_is_fetched_before_it_is_read(tmp_path: Path) -> None:
    """By the system's count of bytes fetched from the disk."""
    read, ahead = (_on_disk_only(tmp_path / name) for name in ("read.jpg", "ahead.jpg"))
    before = _fetched()
    read.read_bytes()
    if _fetched() - before < _SIZE:
        pytest.skip("a file system in memory: nothing is ever fetched")
    before = _fetched()
    read_ahead([str(ahead)])
    assert _fetched() - before >= _SIZE // 2  # the rest may be on its way
    ahead.read_bytes()
    assert _fetched() - before < 1.5 * _SIZE  # and nothing twice


_SIZE = 4 * 2**20


def _on_disk_only(path: Path) -> Path:
    path.write_bytes(os.urandom(_SIZE))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def _fetched() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["read_bytes"])
