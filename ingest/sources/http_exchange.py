"""A request over HTTP: httpcore2 speaks the protocol, the connection below it is charged to a budget."""

import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from socket import socket
from typing import Any

import httpcore2

from askpix.ingest.sources.fetch_budget import Budget

PROTOCOL_ERRORS = (httpcore2.ProtocolError, httpcore2.NetworkError, httpcore2.TimeoutException)


class Line(httpcore2.NetworkStream):
    """A connection whose every operation is paid from a budget; httpcore2's own timeouts are not used."""

    def __init__(self, sock: socket, budget: Budget) -> None:
        self._socket = sock
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        def receive(seconds: float) -> bytes:
            self._socket.settimeout(seconds)
            return self._socket.recv(max_bytes)

        data = self._budget.attempt(receive)
        self._budget.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)

        def send(seconds: float) -> int:
            self._socket.settimeout(seconds)
            return self._socket.send(view)

        while view:
            view = view[self._budget.attempt(send) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Line":
        wrapped = ssl_context.wrap_socket(
            self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
        )
        self._socket = wrapped

        def shake_hands(seconds: float) -> None:
            wrapped.settimeout(seconds)
            wrapped.do_handshake()

        self._budget.attempt(shake_hands)
        return self

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return None


def send_request(
    method: str,
    url: httpcore2.URL,
    headers: Sequence[tuple[str, str]],
    *,
    addresses: Sequence[str],
    budget: Budget,
    stack: ExitStack,
) -> httpcore2.Response:
    """Send a request to one of ``addresses``, whatever the host of ``url`` resolves to by now.

    The certificate is checked for the host. ``stack`` closes the connection. Raises ``OSError`` and
    ``PROTOCOL_ERRORS``.
    """
    host = url.host.decode("ascii")
    origin = url.origin
    line = Line(budget.connect(addresses, origin.port), budget)
    stack.callback(line.close)
    if origin.scheme == b"https":
        line.start_tls(ssl.create_default_context(), host)
    connection = httpcore2.HTTP11Connection(origin, line)
    return stack.enter_context(connection.stream(method, url, headers=headers))
