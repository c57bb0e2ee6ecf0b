"""Copies of folders that leave holes where zeros are: a store's files are mostly zeros nobody wrote."""

import shutil
from pathlib import Path

_BLOCK = 2**16
_ZEROS = bytes(_BLOCK)


def copy_tree(source: Path, target: Path) -> Path:
    """As ``shutil.copytree``; many times as fast for stores."""
    return Path(shutil.copytree(source, target, copy_function=_copy))


def _copy(source: str, target: str) -> None:
    with Path(source).open("rb") as old, Path(target).open("wb") as new:
        while block := old.read(_BLOCK):
            if block == _ZEROS[: len(block)]:
                new.seek(len(block), 1)
            else:
                new.write(block)
        new.truncate()
    shutil.copystat(source, target)
