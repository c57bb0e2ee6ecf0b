"""Places for requests at work. No key takes more than half of them, so that none shuts out the others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from askpix.api.security.problems import OverloadedError


class Places:
    """``number`` places. Not thread-safe: for the event loop alone."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._share = max(1, number // 2)
        self._taken: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """True if the next request would be refused, whoever sends it."""
        return self._taken.total() >= self._number

    @contextmanager
    def take(self, who: str) -> Iterator[None]:
        """Hold a place. Raises a 503 when none is left, a 429 when ``who`` has a full share."""
        if self.full:
            raise OverloadedError("the service is busy; try again in a moment")
        if self._taken[who] >= self._share:
            detail = f"{self._share} requests of this key are at work, as many as one may have; wait for one"
            raise OverloadedError(detail, status=429)
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
