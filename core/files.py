"""Files read whole, within a limit; files that others see whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def disk_usage(status: os.stat_result) -> int:
    """Return the bytes that a file takes on the disk: of a sparse file only what it holds."""
    blocks: int | None = getattr(status, "st_blocks", None)  # Windows has none
    return status.st_size if blocks is None else blocks * 512


def read_whole(file: BinaryIO, limit: int) -> bytes:
    """Read all bytes of a file just opened unbuffered; ``limit + 1`` bytes where it has more.

    The size is asked first: a buffer for ``limit`` would be memory that the system hands over page by page
    and takes back for each file, which costs four times as long as the copy. Raises ``OSError``.
    """
    data = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    # It may have grown since, and what is no plain file has no size.
    while len(data) <= limit and (more := file.read(min(len(data) + 2**16, limit + 1 - len(data)))):
        data += more
    return data


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A draft beside ``path`` that takes its place at the end of the block, and is gone where that fails.

    Each has a name of its own: several threads and processes may write one file at once; the last one stays.
    Raises ``OSError``.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
