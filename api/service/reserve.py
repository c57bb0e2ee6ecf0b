"""A file that keeps room on the disk for deleting: what makes room must not need any."""

import logging
import os
import shutil
from pathlib import Path

from askpix.core.log import tolerated

_LEAST = 16 << 20
_log = logging.getLogger("askpix.service")


class Reserve:
    """Reserved disk space of a home: ``keep`` it while there is plenty, ``release`` it to delete on a full
    disk.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / "reserve"

    def keep(self) -> None:
        """Take the room, if it is a small part of what is free: a deletion writes each row of a collection to
        the database's log before they go."""
        with tolerated(_log, "no room is kept for deleting", OSError):
            catalog = self._home / "catalog.sqlite"
            size = _LEAST + (catalog.stat().st_size if catalog.exists() else 0)
            held = self._path.stat().st_size if self._path.exists() else 0
            if held >= size or shutil.disk_usage(self._home).free < 8 * size:
                return
            with self._path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size))

    def release(self) -> None:
        """Give the room back when there is little else."""
        with tolerated(_log, "the room kept for deleting is not given back", OSError):
            if self._path.exists() and shutil.disk_usage(self._home).free < self._path.stat().st_size:
                self._path.unlink()
                _log.warning("the disk of %s is full: deleting uses the room kept for it", self._home)
