"""Attacks on the door of a real server: places and connections held for nothing, and revoked keys."""

import base64
import http.client
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from mcp import Client as Agent
from mcp import MCPError
from PIL import Image

from askpix.api.security.keys import KeyRing
from askpix.api.security.tables import database_of
from tests.support.cli import runner
from tests.support.service import served, until_ready

LIST_TOOLS = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()


@contextmanager
def held(url: str, request: str, *, number: int, body: bytes = b"") -> Iterator[list[socket.socket]]:
    """``number`` connections on which ``request`` was sent, and nothing more."""
    at = urlsplit(url)
    with ExitStack() as stack:
        sockets = []
        for _ in range(number):
            line = stack.enter_context(
                socket.create_connection((at.hostname or "", at.port or 0), timeout=20)
            )
            line.sendall(request.replace("HOST", at.netloc).encode() + body)
            sockets.append(line)
        yield sockets


def ask(
    url: str, path: str, *, key: str = "", method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, str]:
    """Status and text of an honest client's request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        bearer = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request(method, path, body or None, {**bearer, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline


@contextmanager
def ring_of(home: Path) -> Iterator[KeyRing]:
    engine = database_of(home)
    try:
        yield KeyRing(engine)
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def open_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without a key."""
    with served(tmp_path_factory.mktemp("open") / "home") as (url, _):
        until_ready(url)
        yield url


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A server with four places, a collection ``album``, and the texts of three keys."""
    home = tmp_path_factory.mktemp("keyed") / "home"
    with served(home, ASKPIX_MAX_WAITING="4", ASKPIX_REQUESTS_PER_MINUTE="0") as (url, _):
        until_ready(url).create_collection("album")
        with ring_of(home) as ring:
            yield url, {name: ring.create(name, scope="admin")[1] for name in "abc"}


@pytest.mark.parametrize("path", ["/session", "/v1/collections/default/search", "/mcp"])
def test_unfinished_bodies_without_a_key_take_no_place(
    open_url: str, keyed: tuple[str, dict[str, str]], path: str
) -> None:
    url, keys = keyed
    request = (
        f"POST {path} HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    )
    for server, key, number in ((open_url, "", 300), (url, keys["a"], 20)):
        with held(server, f"{request}\r\n", number=number, body=b"{"):
            assert ask(server, "/v1/collections", key=key)[0] == 200
            assert ask(server, "/readyz")[0] == 200
            page = ask(server, "/session", method="POST", body=b'{"key": "x"}', **{"X-Askpix-Page": "1"})
            assert page[0] in (401, 422), "the way in is open"


def test_connections_above_the_limit_close_those_that_wait_longest(open_url: str) -> None:
    with held(open_url, "GET /v1/collections HTTP/1.1\r\nHost: HOST\r\nX-Slow: ", number=600) as sockets:
        assert ask(open_url, "/v1/collections")[0] == 200
        assert sum(map(readable, sockets)) >= 600 - 384
        assert not readable(sockets[-1]), "the newest still waits"


def readable(line: socket.socket) -> bool:
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return bool(poll.poll(0))


def test_mcp_holds_no_listener(open_url: str) -> None:
    listen = "GET /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: text/event-stream\r\n\r\n"
    with held(open_url, listen, number=140) as sockets:
        for line in sockets:
            head = line.recv(4096)
            assert head.startswith(b"HTTP/1.1 405") and b"allow: POST" in head
        assert ask(open_url, "/v1/collections")[0] == 200
        assert ask(open_url, "/readyz")[0] == 200
    assert ask(open_url, "/mcp/", method="DELETE")[0] == 405

    async def subscribe() -> None:
        async with Agent(f"{open_url}/mcp") as agent:
            assert (await agent.list_tools()).tools
            with pytest.raises(MCPError, match="not found"):
                async with agent.listen(tools_list_changed=True):
                    pass

    anyio.run(subscribe)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
def test_mcp_answers_at_both_paths_whatever_is_accepted(
    open_url: str, path: str, accept: dict[str, str]
) -> None:
    headers = {"Content-Type": "application/json", **accept}
    status, text = ask(open_url, path, method="POST", body=LIST_TOOLS, **headers)
    assert status == 200 and json.loads(text)["result"]["tools"]


def test_odd_headers_of_strangers_are_refused_and_those_of_browsers_read(
    keyed: tuple[str, dict[str, str]],
) -> None:
    url, keys = keyed
    for origin in ("http://[abc", "null", "http://", "https://evil.example"):
        assert ask(url, "/v1/collections", key=keys["a"], Origin=origin)[0] == 403
    assert ask(url, "/v1/collections", key=keys["a"], Origin=url)[0] == 200
    long = {"Content-Type": f"multipart/form-data; boundary={'b' * 5_000}"}
    status, reason = ask(url, "/v1/collections/album/images", key=keys["a"], method="POST", body=b"x", **long)
    assert status == 400 and "malformed" in reason
    session = f"askpix_key={keys['a']}"
    for other in ('a={"x":1}', "a b", "=", "x=1"):  # of other programs at the same address
        assert ask(url, "/v1/collections", Cookie=f"{other}; {session}; {other}")[0] == 200


def test_what_one_key_asks_holds_no_threads_of_others(tmp_path: Path) -> None:
    """More requests at once than a server has threads by default, two of which are worked on at a time."""
    buffer = BytesIO()
    Image.linear_gradient("L").resize((1600, 1600)).save(buffer, "PNG")
    body = json.dumps({"image": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()})
    with served(tmp_path / "home", ASKPIX_REQUESTS_PER_MINUTE="0") as (url, _):
        until_ready(url)
        with ring_of(tmp_path / "home") as ring:
            greedy, other = (ring.create(name, scope="read")[1] for name in "ab")
        head = f"POST /v1/audit HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {greedy}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with held(url, head, number=100, body=body.encode()) as sockets:
            for path, key in (("/healthz", ""), ("/", ""), ("/v1/collections", other)):
                assert ask(url, path, key=key)[0] == 200
            assert sum(map(readable, sockets)) < 50, "they are still at work"


def test_a_key_has_half_of_the_places_and_a_full_door_says_so(keyed: tuple[str, dict[str, str]]) -> None:
    """Each upload sends its first 128 KiB and then nothing."""
    url, keys = keyed

    def uploads(key: str) -> Any:
        head = "POST /v1/collections/album/images HTTP/1.1\r\nHost: HOST\r\n"
        head += f"Authorization: Bearer {keys[key]}\r\n"
        head += "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n"
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        return held(url, head, number=2, body=part + bytes(2**17))

    def status(key: str) -> int:
        return ask(url, "/v1/collections", key=keys[key])[0]

    def at_work(number: int) -> bool:
        return f"askpix_requests_running {number + 1}.0" in ask(url, "/metrics", key=keys["c"])[1]

    with uploads("a"):
        until(lambda: at_work(2))
        code, reason = ask(url, "/v1/collections", key=keys["a"])
        assert code == 429 and "at work" in reason
        assert status("b") == status("c") == 200 and ask(url, "/readyz")[0] == 200
        with uploads("b"):
            until(lambda: ask(url, "/readyz")[0] == 503)
            assert "ASKPIX_MAX_WAITING" in ask(url, "/readyz")[1]
            assert status("c") == 503
            assert ask(url, "/healthz")[0] == 200 and ask(url, "/")[0] == 200
        until(lambda: ask(url, "/readyz")[0] == 200)
        assert status("c") == 200
    until(lambda: at_work(0))
    assert status("a") == 200


def test_the_first_key_closes_the_door_for_good(tmp_path: Path) -> None:
    home = tmp_path / "home"
    askpix = runner(home, tmp_path)
    with served(home) as (url, _):
        until_ready(url)
        assert ask(url, "/v1/collections")[0] == 200
        late = b'{"name": "mine", "scope": "admin"}'
        head = "POST /v1/keys HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(late)}\r\n\r\n"
        with held(url, head, number=1, body=late[:-1]) as (line,), ring_of(home) as ring:
            assert ask(url, "/v1/collections")[0] == 200
            made, key = ring.create("first", scope="admin")
            assert ask(url, "/v1/collections")[0] == 401, "at once"
            time.sleep(0.1)  # what comes as fast as this may have come before
            line.sendall(late[-1:])
            assert line.recv(4096).startswith(b"HTTP/1.1 401"), "also for what began before"
            assert len(ring.list()) == 1
        assert ask(url, f"/v1/keys/{made.id}", method="DELETE", key=key)[0] == 200
        for text in ("", key):
            status, detail = ask(url, "/v1/collections", key=text)
            assert status == 401 and "askpix keys create" in detail
        assert json.loads(ask(url, "/session")[1])["open"] is False
        refused = askpix("serve", "--host", "0.0.0.0", "--port", "0", code=1).stderr
        assert "make a key first" in refused, "a revoked key is none"
        new = json.loads(askpix("keys", "create", "again", "--json").stdout)
        assert ask(url, "/v1/collections", key=new["key"])[0] == 200, "the way back"
        assert "keys create" in askpix("keys", "revoke", new["id"]).stderr
