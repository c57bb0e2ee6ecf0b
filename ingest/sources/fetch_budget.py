"""Budget of one fetch: a deadline and a number of bytes, redirects included.

Time limits of an HTTP client hold for a single operation: a server that sends a byte each second passes every
one of them. Here each wait, also for the name and the connection, gets no more than is left of the whole.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

from askpix.core.errors import AskpixError, LimitError

MAX_HEAD_BYTES = 512 * 1024
"""Most bytes of status lines and headers, with those of redirects and of every ``100 Continue``."""
_POLL_S = 0.25
"""A wait of any length notices after so long that nobody wants the result any more."""
_MAX_ADDRESSES = 4

_T = TypeVar("_T")
Resolve = Callable[[str, int], Sequence[str]]


class FetchError(AskpixError):
    """The URL cannot or may not be fetched; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of a fetch."""

    max_bytes: int = 256 * 2**20
    max_redirects: int = 5
    connect_s: float = 5.0
    read_s: float = 10.0
    """Most seconds of silence."""
    total_s: float = 60.0
    ports: tuple[int, ...] = (80, 443, 8000, 8080, 8443)


class Budget:
    """Time and bytes that are left for a fetch, with all its redirects.

    ``check`` is called at least every ``_POLL_S`` during waits and ends the fetch by raising.
    """

    def __init__(self, url: str, limits: FetchLimits, check: Callable[[], object]) -> None:
        self._url = url
        self._limits = limits
        self._check = check
        self._deadline = time.monotonic() + limits.total_s
        self._bytes_left = MAX_HEAD_BYTES
        self._over: AskpixError = FetchError(f"{url!r} sends more than {MAX_HEAD_BYTES} bytes of headers")

    def left_s(self) -> float:
        """Return the seconds left. Raises ``FetchError`` when there are none."""
        self._check()
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise FetchError(f"{self._url!r} takes longer than {self._limits.total_s:g} s")
        return left

    def allow_body(self) -> None:
        """Let a body follow. Chunks add to its bytes, so twice the limit may come over the line."""
        self._bytes_left = 2 * self._limits.max_bytes + MAX_HEAD_BYTES
        self._over = LimitError(f"{self._url!r} is over the limit of {self._limits.max_bytes} bytes")

    def count(self, size: int) -> None:
        """Take received bytes off. Raises ``FetchError`` in the headers, ``LimitError`` in the body."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise self._over

    def attempt(self, operation: Callable[[float], _T]) -> _T:
        """Call ``operation(seconds)`` until it ends without ``TimeoutError``.

        Raises ``TimeoutError`` after ``read_s`` of silence, ``FetchError`` after the deadline.
        """
        silent_until = time.monotonic() + self._limits.read_s
        while True:
            seconds = min(self.left_s(), silent_until - time.monotonic(), _POLL_S)
            if seconds <= 0:
                raise TimeoutError
            try:
                return operation(seconds)
            except TimeoutError:
                continue

    def resolve(self, resolve: Resolve, host: str, port: int) -> Sequence[str]:
        """Look up a host in a thread: the system's resolver cannot be interrupted, only left behind."""
        answer: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(resolve(host, port))
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits
                answer.set_exception(error)

        def wait_for(seconds: float) -> None:
            if not wait([answer], seconds).done:
                raise TimeoutError

        threading.Thread(target=ask, name="resolving", daemon=True).start()
        self.attempt(wait_for)
        return answer.result()

    def connect(self, addresses: Sequence[str], port: int) -> socket.socket:
        """Connect to the first address that answers. Raises ``OSError``."""
        last: OSError | None = None
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                seconds = min(self.left_s(), self._limits.connect_s)
                return socket.create_connection((address, port), timeout=seconds)
            except OSError as error:
                last = error
        raise last or OSError("no address")
