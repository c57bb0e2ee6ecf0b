"""Requests to a server: sending, retries, server-sent events, and errors made of problem details.

Everything is written once, as coroutines over ``BlockingIO`` or ``AsyncIO``. Those over ``BlockingIO`` never
suspend, so ``run`` and ``iterate`` drive the same code to its end without an event loop.
"""

import functools
import json
import random
import ssl
import time
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from typing import Any, ParamSpec, TypeVar

import httpx2

from askpix.core.errors import (
    AskpixError,
    AuthError,
    BadImageError,
    BadQueryError,
    GenerationError,
    IndexMismatchError,
    LimitError,
    ModelUnavailableError,
    NotFoundError,
    StoreUnavailableError,
)
from askpix.core.machine import is_loopback

T = TypeVar("T")
P = ParamSpec("P")
Event = tuple[str, Any]
"""Name and JSON of a server-sent event."""

_JITTER = random.SystemRandom()
_CONNECT_S = 5.0
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_WAIT_IN_ALL_S = 60.0
"""Between two tries, without ``Retry-After``: doubled each time; and all waits of one request together."""


class TooLargeError(LimitError):
    """The request is over a limit of the server (413): fewer or smaller files may pass."""


class BrokenStreamError(StoreUnavailableError):
    """A stream ended before its last event."""


_ERRORS: dict[int, type[AskpixError]] = {
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    409: IndexMismatchError,
    413: TooLargeError,
    422: BadQueryError,
    429: LimitError,
    502: GenerationError,
    503: StoreUnavailableError,
    507: StoreUnavailableError,
}
_KINDS: dict[str, type[AskpixError]] = {
    each.__name__: each for each in (*_ERRORS.values(), BadImageError, ModelUnavailableError)
}
"""Exceptions by the ``kind`` of a problem, which says more than its status."""


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A request's body that is read as it is sent, anew at each try; ``headers`` give its type and length."""

    headers: Mapping[str, str]


class BlockingIO:
    """Coroutines that never suspend, on ``httpx2.Client``."""

    def __init__(self, **options: Any) -> None:
        self.http = httpx2.Client(**options)
        weakref.finalize(self, self.http.close)  # a client that nobody closed leaves no sockets open

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the body of the response is not read yet."""
        return self.http.send(request, stream=True)

    async def read(self, response: httpx2.Response) -> bytes:
        """Read and close a response."""
        return response.read()

    async def events(self, response: httpx2.Response) -> AsyncGenerator[httpx2.ServerSentEvent]:
        """Yield server-sent events, and close the response."""
        try:
            for event in httpx2.EventSource(response, None):
                yield event
        finally:
            response.close()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def run(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Call what may block, without holding up others."""
        return function(*args, **options)

    async def close(self) -> None:
        """Close all connections."""
        self.http.close()


class AsyncIO:
    """The same on ``httpx2.AsyncClient``, under asyncio or trio."""

    def __init__(self, **options: Any) -> None:
        self.http = httpx2.AsyncClient(**options)

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        return await self.http.send(request, stream=True)

    async def read(self, response: httpx2.Response) -> bytes:
        return await response.aread()

    async def events(self, response: httpx2.Response) -> AsyncGenerator[httpx2.ServerSentEvent]:
        try:
            async for event in httpx2.EventSource(response, None):
                yield event
        finally:
            await response.aclose()

    async def sleep(self, seconds: float) -> None:
        import anyio  # noqa: PLC0415 - for those who are asynchronous

        await anyio.sleep(seconds)

    async def run(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        from anyio import to_thread  # noqa: PLC0415

        return await to_thread.run_sync(functools.partial(function, *args, **options))

    async def close(self) -> None:
        await self.http.aclose()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine over ``BlockingIO``."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine over blocking input and output was suspended")


def iterate(items: AsyncGenerator[T]) -> Iterator[T]:
    """Yield what an asynchronous generator over ``BlockingIO`` yields, and close it."""
    try:
        while True:
            try:
                item = run(items.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose())


class Connection:
    """Connection to one server, with the key for it. Errors are those of ``askpix.core.errors``, one line
    each.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        io: type[BlockingIO] | type[AsyncIO],
        *,
        timeout_s: float,
        retries: int,
    ) -> None:
        base = _base(url)
        self.url = str(base).rstrip("/")
        self.retries = max(0, retries)
        self._timeout_s = timeout_s
        local = is_loopback(base.host)
        if key and not (key.isascii() and key.isprintable()):
            raise AuthError("the key has characters that no key has; copy it again")
        if key and base.scheme == "http" and not local:
            warnings.warn(
                f"the key goes to {self.url!r} unencrypted, for everybody on the way to read; use https://",
                stacklevel=3,
            )
        options: dict[str, Any] = {}
        if local:
            # No proxy of the environment reaches this machine; and no certificates are loaded for nothing.
            options["trust_env"] = False
            if base.scheme == "http":
                options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.io: BlockingIO | AsyncIO = io(
            base_url=base,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(timeout_s, connect=_CONNECT_S),
            follow_redirects=False,  # the key is for this address alone
            **options,
        )

    async def call(self, method: str, path: str, body: Any = None, *, repeat: bool = False) -> Any:
        """Return the JSON of one request. ``repeat``: doing it twice is doing it once (see ``_open``)."""
        response = await self._open(method, path, body, repeat=repeat)
        try:
            return response.json()
        except ValueError as error:
            raise AskpixError(f"{self.url!r} answers no JSON; is it an Askpix server?") from error

    async def read(self, path: str, *, accept: str = "*/*") -> bytes:
        """Return a file."""
        return (await self._open("GET", path, repeat=True, headers={"Accept": accept})).content

    async def events(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeat: bool = False,
        silence_s: float | None = None,
    ) -> AsyncGenerator[Event]:
        """Yield server-sent events; an ``error`` among them is raised. Nothing is repeated once it streams.

        Raises ``BrokenStreamError`` when the connection breaks, or nothing at all comes for ``silence_s``.
        """
        silence_s = silence_s or self._timeout_s
        headers = {"Accept": "text/event-stream"}
        response = await self._open(
            method, path, body, repeat=repeat, headers=headers, stream=True, read_s=silence_s
        )
        try:
            async with aclosing(self.io.events(response)) as events:
                async for event in events:
                    content = json.loads(event.data)
                    if event.event == "error":
                        raise _error(int(content.get("status", 500)), content, response)
                    yield event.event, content
        except httpx2.ReadTimeout as error:
            text = f"nothing came from the server at {self.url!r} for {silence_s:g} s: the connection is dead"
            raise BrokenStreamError(text) from error
        except (httpx2.TransportError, ValueError) as error:
            raise BrokenStreamError(f"the server at {self.url!r} broke off: {_reason(error)}") from error

    async def _open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeat: bool,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        read_s: float | None = None,
    ) -> httpx2.Response:
        """Return the response of one request, read unless ``stream``. Raises what its problem stands for.

        Tried again: where no connection was made, and at 429; with ``repeat`` also at 503, and where the
        connection broke before the answer had come. Never after a timeout: the server is still at it.
        """
        if self.io.http.is_closed:
            raise StoreUnavailableError("this client is closed; make another")
        waited_s = 0.0
        for attempt in range(self.retries + 1):
            request = self._request(method, path, body, headers, read_s)
            cause: Exception | None = None
            after_s = 0.0
            try:
                response = await self.io.send(request)
                if not (stream and response.is_success):
                    await self.io.read(response)
                if response.is_success:
                    return response
                error = self._refusal(response)
                again = response.status_code == 429 or (repeat and response.status_code == 503)
                after_s = _retry_after_s(response)
            except (httpx2.HTTPError, httpx2.InvalidURL) as raised:
                error = self._failure(raised)
                cause = raised
                unsent = isinstance(raised, httpx2.ConnectError | httpx2.ConnectTimeout)
                broken = isinstance(raised, httpx2.NetworkError | httpx2.RemoteProtocolError)
                again = unsent or (repeat and broken)
            wait_s = max(
                min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * _JITTER.uniform(0.5, 1.0), after_s
            )
            waited_s += wait_s
            if not again or attempt == self.retries or waited_s > _WAIT_IN_ALL_S:
                raise error from cause
            await self.io.sleep(wait_s)
        raise AssertionError("unreachable")

    def _request(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None, read_s: float | None
    ) -> httpx2.Request:
        sent = dict(headers or {})
        content = None
        if isinstance(body, Body):
            sent |= body.headers
        elif body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body, default=_jsonable).encode()
        timeout = httpx2.Timeout(read_s or self._timeout_s, connect=_CONNECT_S)
        request = self.io.http.build_request(method, path, content=content, headers=sent, timeout=timeout)
        if isinstance(body, Body):
            request.stream = body
        return request

    def _refusal(self, response: httpx2.Response) -> AskpixError:
        if response.is_redirect:
            target = response.headers.get("location")
            return AskpixError(f"{self.url!r} redirects to {target!r}; give the address that it ends at")
        try:
            content = response.json()
        except ValueError:
            content = None
        if isinstance(content, dict) and content.get("detail"):
            return _error(response.status_code, content, response)
        # Not our server's: a proxy before it, or another program.
        text = (
            f"{self.url!r} answers {response.status_code} {response.reason_phrase}; is it an Askpix server?"
        )
        if response.status_code >= 500:
            return StoreUnavailableError(text)
        return _ERRORS.get(response.status_code, AskpixError)(text)

    def _failure(self, error: Exception) -> AskpixError:
        if isinstance(error, httpx2.ReadTimeout):
            text = f"the server at {self.url!r} has not answered for {self._timeout_s:g} s"
            return StoreUnavailableError(f"{text}; give it more with timeout_s")
        if isinstance(error, httpx2.LocalProtocolError | httpx2.InvalidURL):
            return AskpixError(f"the request cannot be sent: {_reason(error)}")
        return StoreUnavailableError(f"the server at {self.url!r} does not answer: {_reason(error)}")


def _base(url: str) -> httpx2.URL:
    try:
        base = httpx2.URL(url)
        extra = base.userinfo or base.query or base.fragment
        if base.scheme in ("http", "https") and base.host and (base.port or 80) < 2**16 and not extra:
            return base
    except (httpx2.InvalidURL, TypeError):
        pass
    raise AskpixError(f"{url!r} is not a server URL; expected http://HOST:PORT")


def _error(status: int, content: Mapping[str, Any], response: httpx2.Response) -> AskpixError:
    """Return the error that a problem (RFC 9457) stands for, with the request's id for the server's log."""
    request_id = content.get("request_id") or response.headers.get("x-request-id")
    text = str(content.get("detail") or f"the server answers {status}")
    kind = _ERRORS.get(status, AskpixError)
    if kind is not TooLargeError:
        kind = _KINDS.get(str(content.get("kind")), kind)
    return kind(text + (f" (request {request_id})" if request_id else ""))


def _retry_after_s(response: httpx2.Response) -> float:
    seconds = response.headers.get("retry-after", "")
    return float(seconds) * _JITTER.uniform(1.0, 1.2) if seconds.isdecimal() else 0.0


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _jsonable(value: Any) -> Any:
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - dates, filters; most requests have neither

    try:
        return to_jsonable_python(value)
    except ValueError as error:
        raise BadQueryError(f"{value!r:.100} cannot be sent: it has no form in JSON") from error
