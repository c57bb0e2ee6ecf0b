"""Limits on connections, by a real server with short ones."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from askpix.api.server.connections import Connections, _network

pytestmark = pytest.mark.timeout(60)
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Say hello."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def serve(
    connections: Connections, talk: Callable[[Callable[..., Awaitable[Streams]]], Awaitable[None]], app: Any
) -> None:
    """Run a server; ``talk`` is given a function that connects to it, from an address of this machine."""

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=connections.protocol,  # type: ignore[arg-type]
            log_config=None,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        opened: list[asyncio.StreamWriter] = []

        async def connect(address: str = "127.0.0.1") -> Streams:
            at = listener.getsockname()
            reader, writer = await asyncio.open_connection(*at, local_addr=(address, 0))
            opened.append(writer)
            return reader, writer

        try:
            await talk(connect)
        finally:
            for writer in opened:
                writer.close()
            server.should_exit = True
            await task

    asyncio.run(main())


async def ended(reader: asyncio.StreamReader) -> bool:
    with suppress(ConnectionError):
        assert await reader.read() == b""
    return True


async def hello(streams: Streams) -> bool:
    reader, writer = streams
    writer.write(HEAD + b"\r\n")
    await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(5) == b"hello"


@pytest.mark.parametrize("first", [b"", HEAD, HEAD + b"\r\n"], ids=["nothing", "half a head", "a second one"])
def test_a_head_that_does_not_come_whole_ends_the_connection(first: bytes) -> None:
    async def talk(connect: Any) -> None:
        reader, writer = await connect()
        writer.write(first)
        if first.endswith(b"\r\n\r\n"):
            await reader.readuntil(b"hello")

        async def trickle() -> None:
            with suppress(ConnectionError):
                while True:
                    writer.write(b"G")
                    await writer.drain()
                    await asyncio.sleep(0.02)

        if first:
            trickling = asyncio.create_task(trickle())
            assert await ended(reader)
            trickling.cancel()
        else:
            assert await ended(reader)

    serve(Connections(100, head_timeout_s=0.3), talk, answer)


def test_a_request_at_work_is_not_timed_and_a_kept_connection_serves_the_next() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.5)
        await answer(scope, receive, send)

    async def talk(connect: Any) -> None:
        streams = await connect()
        assert await hello(streams) and await hello(streams)

    serve(Connections(100, head_timeout_s=0.2), talk, slow)


def test_an_answer_that_nobody_reads_ends() -> None:
    gone = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(2**20), "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    async def talk(connect: Any) -> None:
        _, writer = await connect()
        writer.write(HEAD + b"\r\n")
        await gone.wait()

    serve(Connections(100, read_timeout_s=0.2), talk, large)


def test_above_the_limit_the_crowd_loses_its_oldest_and_who_is_at_work_stays() -> None:
    go, inside = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/work":
            scope["state"]["principal"] = "somebody"
            inside.set()
            await go.wait()
        await answer(scope, receive, send)

    async def talk(connect: Any) -> None:
        working, writer = await connect()
        writer.write(HEAD.replace(b"GET /", b"GET /work") + b"\r\n")
        await inside.wait()
        waiting = []
        for _ in range(12):
            waiting.append(await connect())
            waiting[-1][1].write(HEAD)
        assert await hello(await connect()), "another of the same address"
        for reader, _ in waiting[:7]:  # 6 of 8 for one address: one at work, four that wait, and the last
            assert await ended(reader)
        assert await hello(await connect("127.0.0.2"))
        for number in range(3, 9):  # many addresses: all are above the limit together
            assert await hello(await connect(f"127.0.0.{number}"))
        go.set()
        assert b"200 OK" in await working.readuntil(b"\r\n")

    serve(Connections(8), talk, app)


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_the_network_of_a_client(client: str, network: str) -> None:
    assert _network((client, 1)) == network
