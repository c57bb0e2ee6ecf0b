"""Zip archives for tests."""

import zipfile
from pathlib import Path


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    """An archive of these entries, by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path
