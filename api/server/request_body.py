"""The body of a request as it comes in, with limits on its size and on the time it may take."""

import time
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from askpix.api.security.problems import ProblemError

PREFIX = 64 * 1024
"""Bytes awaited before a request takes a place. The server has them in its buffer anyway."""
_GRACE_S = 20.0
_CONFIRM_AFTER_S = 0.05
_MIN_BYTES_PER_S = 1024
"""A body may take 20 s, and a second more for each KiB that came: big files over slow lines do get in."""


class RequestBody:
    """ASGI's ``receive`` of one request. ``limit``: bytes; None = none.

    ``confirm`` is called before the end of a body that had to be waited for: it raises when whoever began to
    send it may not come in any more. ``error`` is what was raised while the body was read; the application
    may answer with an error of another shape.
    """

    def __init__(
        self,
        receive: Receive,
        headers: Headers,
        *,
        limit: int | None,
        confirm: Callable[[], Awaitable[None]] | None = None,
        grace_s: float = _GRACE_S,
        min_bytes_per_s: float = _MIN_BYTES_PER_S,
    ) -> None:
        self.error: ProblemError | None = None
        self._receive = receive
        self._limit = limit
        self._confirm = confirm
        self._grace_s = grace_s
        self._min_bytes_per_s = min_bytes_per_s
        self._prefix: deque[Message] = deque()
        self._received = 0
        self._waited_s = 0.0
        self._complete = False
        declared = headers.get("content-length", "0")
        if limit is not None and declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)

    async def read_prefix(self) -> None:
        """Wait for the end of the body, or its first ``PREFIX`` bytes. Raises a 408 or 413."""
        while not self._complete and self._received < PREFIX:
            self._prefix.append(await self._next())

    async def __call__(self) -> Message:
        """Return the next message. Raises a 408 or 413."""
        if self._prefix:
            return self._prefix.popleft()
        return await (self._receive() if self._complete else self._next())

    async def _next(self) -> Message:
        try:
            return await self._checked()
        except ProblemError as error:
            self.error = error
            raise

    async def _checked(self) -> Message:
        # Only the wait for the client counts: the application may take its time between two pieces.
        began = time.monotonic()
        left_s = self._grace_s + self._received / self._min_bytes_per_s - self._waited_s
        with anyio.move_on_after(left_s) as waiting:
            message = await self._receive()
        self._waited_s += time.monotonic() - began
        if waiting.cancelled_caught:
            raise ProblemError(
                408,
                f"the body of the request did not come in time ({self._received} bytes did); send it again",
                headers={"Connection": "close"},
            )
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._limit is not None and self._received > self._limit:
            raise _too_large(self._limit)
        if self._complete and self._confirm and self._waited_s > _CONFIRM_AFTER_S:
            await self._confirm()
        return message


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the request is over the limit of {limit} bytes")
