import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from askpix.api.security.problems import ProblemError
from askpix.api.server import middleware, request_body
from askpix.api.server.app import create_app
from askpix.api.server.request_body import PREFIX, RequestBody
from askpix.api.service.service import Service
from askpix.api.settings import Settings

pytestmark = pytest.mark.timeout(60)


async def silence() -> Any:
    await asyncio.Event().wait()


async def read_all(body: RequestBody) -> int:
    total, more = 0, True
    while more:
        message = await body()
        total, more = total + len(message["body"]), message["more_body"]
    return total


def piece(size: int, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": bytes(size), "more_body": more}


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    body = RequestBody(silence, Headers(), limit=None, grace_s=0.05)
    with pytest.raises(ProblemError, match="did not come in time") as caught:
        asyncio.run(body.read_prefix())
    assert caught.value.status == 408 and body.error is caught.value


def test_a_trickle_ends_and_a_slow_line_does_not() -> None:
    async def trickle() -> Any:
        await asyncio.sleep(0.01)
        return piece(1)

    with pytest.raises(ProblemError, match="did not come in time"):
        asyncio.run(read_all(RequestBody(trickle, Headers(), limit=None, grace_s=0.1)))

    pieces = iter([*[piece(1024)] * 30, piece(0, more=False)])

    async def slow() -> Any:
        await asyncio.sleep(0.05)
        return next(pieces)

    assert asyncio.run(read_all(RequestBody(slow, Headers(), limit=None, grace_s=1.0))) == 30 * 1024


def test_the_time_of_the_application_does_not_count() -> None:
    pieces = iter([piece(PREFIX), piece(5, more=False)])

    async def at_once() -> Any:
        return next(pieces)

    async def main() -> int:
        body = RequestBody(at_once, Headers(), limit=None, grace_s=0.05, min_bytes_per_s=10**9)
        await body.read_prefix()
        await asyncio.sleep(0.1)
        return await read_all(body)

    assert asyncio.run(main()) == PREFIX + 5


def test_the_wait_for_the_end_of_the_connection_has_no_limit() -> None:
    async def main() -> None:
        messages = iter([piece(3, more=False)])

        async def receive() -> Any:
            for message in messages:
                return message
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}

        body = RequestBody(receive, Headers(), limit=None, grace_s=0.05)
        await body.read_prefix()
        assert (await body())["body"] == bytes(3)
        assert (await body())["type"] == "http.disconnect"

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/v1/caption", "/mcp", "/v1/collections"])
def test_what_the_application_makes_of_it_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """An error while a body is read is a 400 for FastAPI and a 500 for MCP."""
    monkeypatch.setattr(middleware, "_MAX_BODY", PREFIX + 1000)
    service = Service(Settings(home=tmp_path, local_servers=""))
    service.start()

    def pieces(last: int) -> Iterator[bytes]:
        yield b'{"x": "' + b" " * PREFIX
        yield b" " * last

    try:
        with TestClient(create_app(service), base_url="http://localhost") as client:
            headers = {"Content-Type": "application/json"}
            answer = client.post(path, content=pieces(2000), headers=headers)
            assert answer.status_code == 413 and "over the limit" in answer.json()["detail"]
            assert answer.headers["content-type"] == "application/problem+json"
    finally:
        service.stop()


def test_who_sends_slowly_is_asked_for_again_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        raise ProblemError(401, "no more")

    async def main() -> int:
        pieces = iter([piece(5), piece(5, more=False)])

        async def receive() -> Any:
            await asyncio.sleep(0.01)
            return next(pieces)

        return await read_all(RequestBody(receive, Headers(), limit=None, confirm=refuse))

    monkeypatch.setattr(request_body, "_CONFIRM_AFTER_S", 60)
    assert asyncio.run(main()) == 10
    monkeypatch.setattr(request_body, "_CONFIRM_AFTER_S", 0.005)
    with pytest.raises(ProblemError, match="no more"):
        asyncio.run(main())
