"""Limits on connections: how many there are, and how long each may wait for its client.

Above the limit the one that has waited longest for its client is closed, of the network that has the most:
what some leave open never shuts out others. A connection at work for a signed-in client stays.
"""

import asyncio
import ipaddress
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_TIMEOUT_S = 20.0
"""Timeout for the whole head of a request, as in Apache's mod_reqtimeout."""
_READ_TIMEOUT_S = 300.0
"""Timeout for a client that reads nothing of its answer. Megabytes lie in the buffers of a slow line."""


class Connections:
    """The open connections of a server; ``protocol`` makes one, for uvicorn.

    ``limit`` is for all of them; three quarters of it for the clients of one network.
    """

    def __init__(
        self, limit: int, *, head_timeout_s: float = _HEAD_TIMEOUT_S, read_timeout_s: float = _READ_TIMEOUT_S
    ) -> None:
        self.head_timeout_s = head_timeout_s
        self.read_timeout_s = read_timeout_s
        self._limit = limit
        self._by_network: dict[str, dict[_Connection, None]] = {}
        """Waiting connections by network, in the order in which they began to wait."""

    def protocol(self, *args: Any, **options: Any) -> "_Connection":
        """Make the protocol of a new connection. Arguments are those of uvicorn's own."""
        return _Connection(self, *args, **options)

    def add(self, connection: "_Connection") -> None:
        """Count a connection, as the last to wait. Closes another, or this one, above the limit."""
        self.remove(connection)
        own = self._by_network.setdefault(connection.network, {})
        own[connection] = None
        if len(own) > self._limit * 3 // 4:
            crowd = own
        elif sum(map(len, self._by_network.values())) > self._limit:
            crowd = max(self._by_network.values(), key=len)
        else:
            return
        longest = next((each for each in crowd if each.expendable), connection)
        self.remove(longest)
        longest.transport.abort()

    def remove(self, connection: "_Connection") -> None:
        """Count it no more."""
        own = self._by_network.get(connection.network, {})
        own.pop(connection, None)
        if not own:
            self._by_network.pop(connection.network, None)


class _Connection(H11Protocol):
    """Closes itself when a head does not come, or an answer is not read, in time."""

    def __init__(self, connections: Connections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.network = ""
        self._connections = connections
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """True if no request is being answered: the head of the next one is awaited."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def expendable(self) -> bool:
        """True if no authenticated client waits for an answer here."""
        return self.idle or self.scope["state"].get("principal") is None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and wait for the first head."""
        super().connection_made(transport)
        self.network = _network(self.client)
        self._connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._connections.remove(self)
        _cancel(self._head_timer)
        _cancel(self._read_timer)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop waiting once a head is there."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._connections.add(self)
            self._watch()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._read_timer = self.loop.call_later(self._connections.read_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        _cancel(self._read_timer)

    def _watch(self) -> None:
        if not self.idle:
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._connections.head_timeout_s, self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _network(client: tuple[str, int] | None) -> str:
    """An IPv4 address, or the 64 bits of an IPv6 address that one customer is given."""
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address), 64), strict=False))
