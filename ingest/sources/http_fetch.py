"""URLs from outside into bytes, so that nobody can make this machine ask its own network (SSRF).

Each host is resolved once, every one of its addresses must be public, and the connection goes to the address
that was checked, so a name that changes between the look and the call gains nothing (DNS rebinding). Every
hop of a redirect is judged anew. No proxy of the environment is used, no cookie or credential is sent.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from askpix.core.errors import AskpixError, LimitError

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_PIECE = 64 * 1024
_REFUSED = tuple(
    ipaddress.ip_network(net)
    for net in (
        "100.64.0.0/10",  # carriers' own networks (RFC 6598)
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is Oracle's metadata service
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarks
        "168.63.129.16/32",  # Azure's platform address, public by number
        "64:ff9b::/96",  # NAT64: an IPv4 address inside (RFC 6052)
        "64:ff9b:1::/48",  # local NAT64 (RFC 8215)
        "2002::/16",  # 6to4: an IPv4 address inside
        "2001::/32",  # Teredo: an IPv4 address inside
        "fec0::/10",  # site-local, deprecated
        "::/96",  # IPv4-compatible, deprecated
        "5f00::/16",  # segment routing
    )
)

Resolve = Callable[[str, int], Sequence[str]]


class FetchError(AskpixError):
    """The URL cannot or may not be fetched; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may take."""

    max_bytes: int = 256 * 2**20
    max_redirects: int = 5
    connect_s: float = 5.0
    read_s: float = 10.0
    """Of silence."""
    total_s: float = 60.0
    ports: tuple[int, ...] = (80, 443, 8000, 8080, 8443)


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, from the system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, as it is written and as what is inside it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    return not any(ip in net for net in _REFUSED if net.version == ip.version)


def fetch(
    url: str,
    *,
    limits: FetchLimits,
    resolve: Resolve = resolve,
    allowed: Callable[[str], bool] = is_public,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """The bytes at ``url``, piece by piece; redirects are followed.

    Raises ``FetchError`` (not http or https, an address that is not public, too slow, not found) and
    ``LimitError`` (too large). ``resolve`` and ``allowed`` are for tests.
    """
    deadline = clock() + limits.total_s
    at = url
    for _ in range(limits.max_redirects + 1):
        parts = _checked(at, limits)
        with contextlib.ExitStack() as stack:
            response = _request(parts, limits, resolve, allowed, deadline, clock, stack, at)
            if response.status in _REDIRECTS:
                at = _target(url, at, parts, response)
                continue
            if response.status != 200:
                raise FetchError(f"{url!r} answers {response.status}")
            yield from _body(url, response, limits, deadline, clock)
            return
    raise FetchError(f"{url!r} redirects more than {limits.max_redirects} times")


def fetch_headers(
    url: str,
    *,
    limits: FetchLimits,
    resolve: Resolve = resolve,
    allowed: Callable[[str], bool] = is_public,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """What the server says of ``url`` without sending it (HEAD), names in small letters; see ``fetch``.

    Nothing where the server does not answer that. Raises ``FetchError``.
    """
    deadline = clock() + limits.total_s
    at = url
    for _ in range(limits.max_redirects + 1):
        parts = _checked(at, limits)
        with contextlib.ExitStack() as stack:
            response = _request(parts, limits, resolve, allowed, deadline, clock, stack, at, "HEAD")
            if response.status in _REDIRECTS:
                at = _target(url, at, parts, response)
                continue
            if response.status in (405, 501):
                return {}
            if response.status != 200:
                raise FetchError(f"{url!r} answers {response.status}")
            return {name.lower(): value for name, value in response.getheaders()}
    raise FetchError(f"{url!r} redirects more than {limits.max_redirects} times")


def _target(url: str, at: str, parts: SplitResult, response: http.client.HTTPResponse) -> str:
    target = response.getheader("Location")
    if not target:
        raise FetchError(f"{url!r} redirects to nowhere")
    following = urljoin(at, target)
    if parts.scheme == "https" and urlsplit(following).scheme == "http":
        raise FetchError(f"{url!r} redirects from https to http: {following!r}")
    return following


def check_url(url: str, limits: FetchLimits) -> None:
    """Raise ``FetchError`` for a URL that is never fetched, without asking anybody."""
    parts = _checked(url, limits)
    host = parts.hostname or ""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        if not is_public(host):
            raise FetchError(f"{url!r} points at {host}, which is not a public address")


def _checked(url: str, limits: FetchLimits) -> SplitResult:
    if len(url) > 4096 or any(c.isspace() or not c.isprintable() for c in url) or "\\" in url:
        raise FetchError(f"{url[:200]!r} is not a URL: it holds spaces or other forbidden characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise FetchError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise FetchError(f"{url!r}: only http and https are fetched")
    if parts.username is not None or parts.password is not None:
        raise FetchError(f"{url!r}: a URL with a user name or password is not fetched")
    if not parts.hostname:
        raise FetchError(f"{url!r} names no host")
    if (port or _PORTS[parts.scheme]) not in limits.ports:
        raise FetchError(f"{url!r}: port {port} is not fetched from")
    return parts


def _request(  # noqa: PLR0917
    parts: SplitResult,
    limits: FetchLimits,
    resolve: Resolve,
    allowed: Callable[[str], bool],
    deadline: float,
    clock: Callable[[], float],
    stack: contextlib.ExitStack,
    url: str,
    method: str = "GET",
) -> http.client.HTTPResponse:
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS[parts.scheme]
    try:
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
        addresses = list(resolve(ascii_host, port))
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{url!r}: no such host {host!r}") from error
    # One address that is not public spoils them all: which one is taken must not be a matter of luck.
    if not addresses or not all(allowed(address) for address in addresses):
        raise FetchError(f"{url!r} points at an address that is not public; such are not fetched")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    connection = http.client.HTTPConnection(ascii_host, port, timeout=limits.read_s)
    stack.callback(connection.close)
    try:
        connection.sock = _connect(addresses, port, min(limits.connect_s, max(0.1, deadline - clock())))
        connection.sock.settimeout(limits.read_s)
        if parts.scheme == "https":
            # The certificate is checked for the name, the connection goes to the address.
            tls = ssl.create_default_context()
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=ascii_host)
        name = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
        headers = {
            "Host": name if parts.port is None else f"{name}:{port}",
            "User-Agent": "askpix",
            "Accept": "image/*, application/pdf;q=0.9",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        connection.request(method, path + query, headers=headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(f"{url!r} cannot be fetched: {_why(error)}") from error


def _connect(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    last: OSError | None = None
    for address in addresses[:4]:
        try:
            return socket.create_connection((address, port), timeout=timeout_s)
        except OSError as error:
            last = error
    raise last or OSError("no address")


def _body(
    url: str,
    response: http.client.HTTPResponse,
    limits: FetchLimits,
    deadline: float,
    clock: Callable[[], float],
) -> Iterator[bytes]:
    declared = response.getheader("Content-Length")
    too_large = f"{url!r} is over the limit of {limits.max_bytes} bytes"
    if declared and declared.isdigit() and int(declared) > limits.max_bytes:
        raise LimitError(too_large)
    if response.getheader("Content-Encoding", "identity") != "identity":
        # What inflates is not asked for: it would need a limit of its own.
        raise FetchError(f"{url!r} is sent compressed, which was not asked for")
    got = 0
    while True:
        if clock() > deadline:
            raise FetchError(f"{url!r} takes longer than {limits.total_s:.0f} s")
        try:
            piece = response.read1(_PIECE)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(f"{url!r} broke off: {_why(error)}") from error
        if not piece:
            break
        got += len(piece)
        if got > limits.max_bytes:
            raise LimitError(too_large)
        yield piece
    if declared and declared.isdigit() and got != int(declared):
        raise FetchError(f"{url!r} broke off after {got} of {declared} bytes")


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split())[:200] or type(error).__name__
