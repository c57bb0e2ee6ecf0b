"""Files that are needed soon are asked for now, so that no core waits for the disk.

The kernel reads them meanwhile (``posix_fadvise``), which costs no thread: one more than there are cores,
there to wait for files, moves the others from core to core and cost 0 to 6 % of the images a second.
"""

import os
from collections.abc import Iterable

_BYTES = 16 * 2**20
"""Most bytes read ahead of one file: images are smaller, and of films the rest is not needed yet."""

POSSIBLE = hasattr(os, "posix_fadvise")
"""Linux and most Unixes have it; elsewhere a thread more has to wait."""


def read_ahead(paths: Iterable[str]) -> None:
    """Returns at once. What cannot be opened is passed over: who reads it will say why."""
    if not POSSIBLE:
        return
    for path in paths:
        try:
            # Never waits: of a pipe that took an image's place since the walk neither.
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            continue
        try:
            os.posix_fadvise(file, 0, _BYTES, os.POSIX_FADV_WILLNEED)
        except OSError:
            pass
        finally:
            os.close(file)
