"""Selection of the frames that become images of their own: the first of each scene."""

import numpy as np
from numpy.typing import NDArray

SMALL = (32, 18)
"""Pixels that frames are compared at."""
_CUT = 22.0
_DRIFT = 9.0
_DRIFT_AFTER = 30.0
_ALWAYS_AFTER = 120.0
"""Mean difference of two frames, of 255, that makes a scene; the smaller one that does after so many seconds;
and seconds after which a frame is taken in any case."""
_FLAT = 5.0
"""Standard deviation of a frame that shows nothing: black between scenes."""


class Scenes:
    """Frames in order of time, each compared with the last one that was taken."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._taken = 0.0

    @property
    def any(self) -> bool:
        """True if a frame was selected."""
        return self._last is not None

    @staticmethod
    def shows_nothing(small: NDArray[np.float32]) -> bool:
        """Return whether a frame ``(18, 32, 3)`` is of one colour."""
        return float(small.std()) < _FLAT

    def takes(self, small: NDArray[np.float32], at: float) -> bool:
        """Return whether a scene begins with this frame, ``at`` seconds from the beginning; if so it is
        selected.
        """
        if self.shows_nothing(small):
            return False
        differs = 255.0 if self._last is None else float(np.abs(small - self._last).mean())
        past = at - self._taken
        if differs > _CUT or (differs > _DRIFT and past >= _DRIFT_AFTER) or past >= _ALWAYS_AFTER:
            self._last = small
            self._taken = at
            return True
        return False
