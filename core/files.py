"""Files that others see whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
