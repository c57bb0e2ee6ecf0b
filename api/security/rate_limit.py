"""Rate limit: a token bucket for each client."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 10_000


class RateLimit:
    """``per_minute`` in the long run, a quarter of that at once. 0 = no limit. Thread-safe."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._clock = clock
        self._burst = max(5.0, per_minute / 4)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, who: str, *, cost: float = 1.0) -> float:
        """0 when they may come now, which is counted; else the seconds after which they may."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            left, seen = self._buckets.pop(who, (self._burst, now))
            left = min(self._burst, left + (now - seen) * self._rate)
            wait = 0.0 if left >= cost else (cost - left) / self._rate
            self._buckets[who] = (left if wait else left - cost, now)
            if len(self._buckets) > _MOST:
                self._buckets.popitem(last=False)
            return wait
