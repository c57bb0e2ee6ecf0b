"""Fetching from outside: what may be asked, which addresses are refused, and that the checked one is used."""

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from askpix.core.errors import AskpixError, LimitError
from askpix.ingest.sources.fetch_budget import FetchError, FetchLimits
from askpix.ingest.sources.http_fetch import check_url, fetch, fetch_headers, is_public
from askpix.ingest.sources.remote import _moment_ns
from tests.support.hostile_server import ENDLESS, FLOODS, MALFORMED, HostileServer, hostile_server
from tests.support.service import jpeg

PRIVATE = """127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1
169.254.169.254 169.254.0.1 100.64.0.1 100.100.100.200 100.127.255.254 192.0.0.192
192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
168.63.129.16 192.88.99.1
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:7f00:1 64:ff9b::7f00:1
64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: 2001:0:53aa:64c:0:0:80ff:fffe fe80::1 fe80::1%eth0
fec0::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1 100::1 5f00::1""".split()
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
]
REFUSED = [
    "file:///etc/passwd",
    "ftp://example.org/a.jpg",
    "gopher://example.org/",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "//example.org/a.jpg",
    "http://",
    "http:///a.jpg",
    "http://user@example.org/",
    "http://user:secret@example.org/",
    "http://example.org:22/",
    "http://example.org:6379/",
    "http://example.org:99999/",
    "http://example.org\\@127.0.0.1/",
    "http://example.org/\r\nHost: evil",
    "http://example.org/ a",
    "http://[::1",
    "http://" + "a" * 5000,
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_no_open_internet_are_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_open_internet_are_taken(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("url", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_plain_web_address_is_refused_before_anybody_is_asked(url: str) -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    with pytest.raises(FetchError):
        list(fetch(url, limits=FetchLimits(), resolve=nobody))
    with pytest.raises(FetchError):
        check_url(url, FetchLimits())


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:7f00:1]",
    ],
)
def test_no_spelling_of_this_machine_is_asked(host: str) -> None:
    with pytest.raises(FetchError, match=r"not public|no such host"):
        list(fetch(f"http://{host}:8000/a.jpg", limits=FetchLimits()))


def test_one_private_address_among_public_ones_spoils_all() -> None:
    with pytest.raises(FetchError, match="not public"):
        list(fetch("http://both.test/a", limits=FetchLimits(), resolve=lambda *_: ["8.8.8.8", "10.0.0.1"]))


class _Site(http.server.BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Host"]))
        name, _, rest = self.path.removeprefix("/").partition("?")
        body = jpeg("red")
        if name == "to":
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
        elif name == "missing":
            self.send_error(404)
        elif name == "endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(bytes(65536))
        elif name == "slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        elif name == "liar":
            self.send_response(200)
            self.send_header("Content-Length", str(10**12))
            self.end_headers()
        elif name == "half":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
        elif name == "zip":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass  # clients that hang up are the point here


@pytest.fixture
def site() -> Iterator[tuple[str, FetchLimits]]:
    """A site that resolves to this machine, which these tests alone allow."""
    server = _Quiet(("127.0.0.1", 0), _Site)
    _Site.seen.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    yield f"http://site.test:{port}", FetchLimits(ports=(80, port), max_bytes=100_000, total_s=1.0)
    server.shutdown()
    server.server_close()


def get(url: str, limits: FetchLimits, names: dict[str, list[str]] | None = None) -> bytes:
    known = {"site.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"], **(names or {})}

    def resolve(host: str, port: int) -> list[str]:
        return known.get(host, [host])

    return b"".join(fetch(url, limits=limits, resolve=resolve, allowed=lambda ip: ip == "127.0.0.1"))


def test_the_bytes_come_from_the_address_that_was_checked(site: tuple[str, FetchLimits]) -> None:
    url, limits = site
    asked: list[str] = []

    def turns(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    data = b"".join(fetch(f"{url}/a.jpg", limits=limits, resolve=turns, allowed=lambda ip: ip == "127.0.0.1"))
    assert data == jpeg("red") and asked == ["site.test"]
    assert _Site.seen == [("/a.jpg", url.removeprefix("http://"))]


def test_every_hop_is_judged(site: tuple[str, FetchLimits]) -> None:
    url, limits = site
    assert get(f"{url}/to?/a.jpg", limits) == jpeg("red")
    for target in (
        "http://inside.test/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "http://10.0.0.1/",
    ):
        with pytest.raises(FetchError):
            get(f"{url}/to?{target}", limits)
    with pytest.raises(FetchError, match="more than"):
        get(f"{url}/to?{url}/to", FetchLimits(ports=limits.ports, max_redirects=0))
    with pytest.raises(FetchError, match="answers 404"):
        get(f"{url}/missing", limits)


def test_size_and_time_have_an_end(site: tuple[str, FetchLimits]) -> None:
    url, limits = site
    for name in ("endless", "liar"):
        with pytest.raises(LimitError):
            get(f"{url}/{name}", limits)
    with pytest.raises(FetchError, match="longer than"):
        get(f"{url}/slow", limits)
    for name in ("half", "zip"):
        with pytest.raises(AskpixError):
            get(f"{url}/{name}", limits)
    with pytest.raises(FetchError, match="cannot be fetched"):
        get("http://site.test:80/", FetchLimits())


# --- servers that break the rules -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with hostile_server() as server:
        yield server


def take(server: HostileServer, name: str, **limits: Any) -> bytes:
    some: dict[str, Any] = {"ports": (server.port,), "max_bytes": 100_000, "total_s": 0.4} | limits
    return get(f"{server.url}/{name}", FetchLimits(**some))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ENDLESS)
def test_one_deadline_holds_for_the_whole_exchange(hostile: HostileServer, name: str) -> None:
    with pytest.raises(FetchError, match=r"takes longer than 0\.4 s"):
        take(hostile, name)
    address = f"{hostile.url}/{name}"
    if name in ("chunk-extension", "chunks", "trailers", "body"):
        return  # a HEAD has none
    with pytest.raises(FetchError, match=r"takes longer than 0\.4 s"):
        fetch_headers(
            address,
            limits=FetchLimits(ports=(hostile.port,), total_s=0.4),
            resolve=lambda *_: ["127.0.0.1"],
            allowed=lambda _: True,
        )


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", FLOODS)
def test_bytes_are_bounded_wherever_they_stand(hostile: HostileServer, name: str) -> None:
    with pytest.raises(AskpixError, match=r"over the limit|of headers|too long|cannot be fetched|broke off"):
        take(hostile, name, total_s=60)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_answer_is_one_clear_line(hostile: HostileServer, name: str) -> None:
    with pytest.raises(AskpixError) as caught:
        take(hostile, name, total_s=5)
    said = str(caught.value)
    assert said.startswith("'http://") and len(said.splitlines()) == 1 and len(said) < 600


@pytest.mark.timeout(10)
def test_silence_ends_before_the_deadline(hostile: HostileServer) -> None:
    with pytest.raises(FetchError, match="no answer in time"):
        take(hostile, "silence", total_s=60, read_s=0.3)


@pytest.mark.timeout(10)
def test_a_name_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    over = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        over.wait(60)
        return []

    for limits, words in (
        (FetchLimits(total_s=0.3), "longer than"),
        (FetchLimits(read_s=0.3), "looking up the host 'site.test' takes too long"),
    ):
        with pytest.raises(FetchError, match=words):
            list(fetch("http://site.test/", limits=limits, resolve=hang))
    over.set()


@pytest.mark.timeout(10)
def test_a_handshake_that_hangs_costs_no_more_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(FetchError, match="longer than"):
            get(f"https://site.test:{port}/", FetchLimits(ports=(port,), total_s=0.3))


class _GoneError(Exception):
    pass


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["silence", "continue", "chunk-extension"])
def test_a_fetch_ends_when_it_is_no_longer_wanted(hostile: HostileServer, name: str) -> None:
    hostile.asked.clear()

    def check() -> None:
        if hostile.asked:
            raise _GoneError

    with pytest.raises(_GoneError):
        list(
            fetch(
                f"{hostile.url}/{name}",
                limits=FetchLimits(ports=(hostile.port,)),
                resolve=lambda *_: ["127.0.0.1"],
                allowed=lambda _: True,
                check=check,
            )
        )


def test_a_date_beyond_64_bits_is_no_date() -> None:
    assert _moment_ns("Fri, 31 Dec 9999 23:59:59 GMT") == 0
    assert _moment_ns("Thu, 01 Jan 1970 00:00:01 GMT") == 10**9


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side with a certificate that only this test trusts, when SSL_CERT_FILE names it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@pytest.mark.timeout(20)
def test_a_certificate_is_checked_for_the_name_not_for_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _certificate(tmp_path, "site.test")
    named: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: named.append(name)
    server = _Quiet(("127.0.0.1", 0), _Site)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    limits = FetchLimits(ports=(port,), total_s=5)
    with pytest.raises(FetchError, match="certificate verify failed"):
        get(f"https://site.test:{port}/a.jpg", limits)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    _Site.seen.clear()
    assert get(f"https://site.test:{port}/a.jpg", limits) == jpeg("red")
    assert named[-1] == "site.test" and _Site.seen == [("/a.jpg", f"site.test:{port}")]
    with pytest.raises(FetchError, match="certificate verify failed"):
        get(f"https://other.test:{port}/a.jpg", limits, {"other.test": ["127.0.0.1"]})
    with pytest.raises(FetchError, match="from https to http"):
        get(f"https://site.test:{port}/to?http://site.test/", limits)
    server.shutdown()
    server.server_close()


def test_proxies_of_the_environment_are_not_asked(
    site: tuple[str, FetchLimits], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, limits = site
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(f"{url}/a.jpg", limits) == jpeg("red")
