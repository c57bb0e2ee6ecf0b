"""A bound on the pixels that are decoded at one time."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LARGE_PIXELS = 16_000_000


class PixelBudget:
    """Pixels shared by all threads. An image over the whole budget is decoded alone."""

    def __init__(self, pixels: int) -> None:
        self._all = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        """Wait for so many pixels and hold them. Not reentrant: whoever holds some must not ask for more."""
        pixels = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            if pixels > LARGE_PIXELS and sys.platform == "linux":
                # glibc keeps what a thread has freed; other C libraries neither do so nor have the function.
                with suppress(AttributeError):
                    ctypes.CDLL(None).malloc_trim(0)
            with self._changed:
                self._free += pixels
                self._changed.notify_all()
