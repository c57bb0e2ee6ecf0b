"""URLs from outside into bytes, so that nobody can make this machine ask its own network (SSRF).

Each host is resolved once, every one of its addresses must be public, and the connection goes to the address
that was checked, so a name that changes between the look and the call gains nothing (DNS rebinding). Every
hop of a redirect is judged anew. No proxy of the environment is used, no cookie or credential is sent.
All of it, redirects included, has one deadline and one bound on bytes (``ingest.sources.fetch_budget``).
"""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from askpix.core.errors import LimitError
from askpix.ingest.sources.fetch_budget import Budget, FetchError, FetchLimits, Resolve

if TYPE_CHECKING:
    from httpcore2 import Response

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
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


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, from the system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet, as written and as embedded in it."""
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
    check: Callable[[], object] = lambda: None,
) -> Iterator[bytes]:
    """Yield the bytes at ``url``, piece by piece; redirects are followed.

    ``check`` is called several times a second and ends the fetch by raising. Raises ``FetchError`` (not http
    or https, an address that is not public, too slow, malformed, not found) and ``LimitError`` (too large).
    ``resolve`` and ``allowed`` are for tests.
    """
    budget = Budget(url, limits, check)
    with _final_response(url, "GET", limits, resolve, allowed, budget) as response:
        if response.status != 200:
            raise FetchError(f"{url!r} answers {response.status}")
        yield from _body(url, response, limits, budget)


def fetch_headers(
    url: str,
    *,
    limits: FetchLimits,
    resolve: Resolve = resolve,
    allowed: Callable[[str], bool] = is_public,
) -> dict[str, str]:
    """Return the headers of ``url`` without its body (HEAD), names in small letters; see ``fetch``.

    Empty where the server does not support HEAD. Raises ``FetchError``.
    """
    budget = Budget(url, limits, lambda: None)
    with _final_response(url, "HEAD", limits, resolve, allowed, budget) as response:
        if response.status in (405, 501):
            return {}
        if response.status != 200:
            raise FetchError(f"{url!r} answers {response.status}")
        return _headers(response)


@contextlib.contextmanager
def _final_response(  # noqa: PLR0917
    url: str,
    method: str,
    limits: FetchLimits,
    resolve: Resolve,
    allowed: Callable[[str], bool],
    budget: Budget,
) -> "Iterator[Response]":
    at = url
    for _ in range(limits.max_redirects + 1):
        parts = _checked(at, limits)
        with contextlib.ExitStack() as stack:
            response = _request(at, parts, method, resolve, allowed, budget, stack)
            if response.status not in _REDIRECTS:
                yield response
                return
            at = _target(url, at, parts, response)
    raise FetchError(f"{url!r} redirects more than {limits.max_redirects} times")


def _headers(response: "Response") -> dict[str, str]:
    return {
        name.decode("ascii").lower(): value.decode("utf-8", "backslashreplace")
        for name, value in response.headers
    }


def _target(url: str, at: str, parts: SplitResult, response: "Response") -> str:
    target = _headers(response).get("location")
    if not target:
        raise FetchError(f"{url!r} redirects to nowhere")
    try:
        following = urljoin(at, target)
        scheme = urlsplit(following).scheme
    except ValueError as error:
        raise FetchError(f"{url!r} redirects to {target[:200]!r}, which is not a URL: {error}") from error
    if parts.scheme == "https" and scheme == "http":
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
    url: str,
    parts: SplitResult,
    method: str,
    resolve: Resolve,
    allowed: Callable[[str], bool],
    budget: Budget,
    stack: contextlib.ExitStack,
) -> "Response":
    # It takes 0.1 s to import, which a run without URLs need not wait for.
    import httpcore2  # noqa: PLC0415

    from askpix.ingest.sources.http_exchange import PROTOCOL_ERRORS, send_request  # noqa: PLC0415

    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS[parts.scheme]
    try:
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
        addresses = list(budget.resolve(resolve, ascii_host, port))
    except TimeoutError as error:
        raise FetchError(f"{url!r}: looking up the host {host!r} takes too long") from error
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{url!r}: no such host {host!r}") from error
    # One address that is not public spoils them all: which one is taken must not be a matter of luck.
    if not addresses or not all(allowed(address) for address in addresses):
        raise FetchError(f"{url!r} points at an address that is not public; such are not fetched")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    name = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    headers = [
        ("Host", name if parts.port is None else f"{name}:{port}"),
        ("User-Agent", "askpix"),
        ("Accept", "image/*, application/pdf;q=0.9"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    try:
        target = httpcore2.URL(scheme=parts.scheme, host=ascii_host, port=port, target=path + query)
        return send_request(method, target, headers, addresses=addresses, budget=budget, stack=stack)
    except (OSError, ValueError, *PROTOCOL_ERRORS) as error:
        raise FetchError(f"{url!r} cannot be fetched: {_why(error)}") from error


def _body(url: str, response: "Response", limits: FetchLimits, budget: Budget) -> Iterator[bytes]:
    from askpix.ingest.sources.http_exchange import PROTOCOL_ERRORS  # noqa: PLC0415 - as above

    too_large = f"{url!r} is over the limit of {limits.max_bytes} bytes"
    headers = _headers(response)
    declared = headers.get("content-length", "")
    if re.fullmatch(r"[0-9]{1,20}", declared) and int(declared) > limits.max_bytes:
        raise LimitError(too_large)
    if headers.get("content-encoding", "identity") != "identity":
        # What inflates is not asked for: it would need a limit of its own.
        raise FetchError(f"{url!r} is sent compressed, which was not asked for")
    budget.allow_body()
    pieces = response.iter_stream()
    received = 0
    while True:
        try:
            piece = next(pieces, None)
        except (OSError, ValueError, *PROTOCOL_ERRORS) as error:
            raise FetchError(f"{url!r} broke off: {_why(error)}") from error
        if piece is None:
            return
        received += len(piece)
        if received > limits.max_bytes:
            raise LimitError(too_large)
        yield piece


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split())[:200] or type(error).__name__
