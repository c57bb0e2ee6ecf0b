"""Schemas that reach for what is outside, and schemas that never end, through HTTP, MCP and the command."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image, ImageDraw, ImageFont

from askpix.api.cli.describe import read_schema
from askpix.core.errors import BadQueryError
from tests.support.schemas import nested_defs, odd_schemas, of, reaching_schemas
from tests.support.service import served, until_ready

SECRET = "a-secret-of-the-server"
ODD = odd_schemas()


@dataclass
class Inside:
    """An address and a file that only the server should reach; ``seen`` holds who came to the address."""

    url: str
    file: str
    seen: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    secret = {"x": {"enum": [SECRET]}, "enum": [SECRET]}
    path = tmp_path_factory.mktemp("inside") / "secret.json"
    path.write_text(json.dumps(secret))
    listener = socket.create_server(("127.0.0.1", 0))
    found = Inside(f"http://127.0.0.1:{listener.getsockname()[1]}/secret.json", path.as_uri() + "#/x")
    body = json.dumps(secret).encode()

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                found.seen.append(connection.recv(1000).decode("latin-1"))
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield found
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture(scope="module")
def picture() -> str:
    image, buffer = Image.new("RGB", (500, 120), "white"), BytesIO()
    ImageDraw.Draw(image).text((20, 40), "TOTAL 18.90", fill="black", font=ImageFont.load_default(32))
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """With a key that may read."""
    home = tmp_path_factory.mktemp("schemas") / "home"
    home.mkdir()
    with served(home) as (url, _):
        key = until_ready(url).call("POST", "/v1/keys", {"name": "r", "scope": "read"})["key"]
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json, text/event-stream"}
        with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
            yield client


def through_mcp(client: httpx2.Client, image: str, schema: Any) -> httpx2.Response:
    arguments = {"image_id": image, "schema": schema}
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "extract", "arguments": arguments},
    }
    return client.post("/mcp", json=body)


def test_nothing_outside_is_fetched(
    reader: httpx2.Client, inside: Inside, picture: str, tmp_path: Path
) -> None:
    reaching = reaching_schemas(inside.url, inside.file)
    for name, schema in reaching.items():
        # A field that the rules find, so that the schema is really applied to something.
        schema["properties"] = {"total": schema["properties"]["a"], **schema["properties"]}
        for answer in (
            reader.post("/v1/extract", json={"image": picture, "schema": schema}),
            through_mcp(reader, picture, schema),
        ):
            assert SECRET not in answer.text, name
        assert answer.json()["result"]["isError"], name
    file = tmp_path / "schema.json"
    for schema in reaching.values():  # of `askpix extract --schema FILE`
        file.write_text(json.dumps(schema))
        with pytest.raises(BadQueryError):
            read_schema(file)
    assert not inside.seen


def test_odd_schemas_are_one_clear_line(reader: httpx2.Client, picture: str) -> None:
    for name, schema in ODD.items():
        if name == "100,000 levels":
            continue
        answer = reader.post("/v1/extract", json={"image": picture, "schema": schema})
        assert answer.status_code == 422, (name, answer.text)
        assert len(answer.json()["detail"]) < 500 and "\n" not in answer.json()["detail"], name
        told = through_mcp(reader, picture, schema).json()
        assert "error" in told or told["result"]["isError"], (name, told)


@pytest.mark.parametrize("levels", [200, 2_000, 100_000])
def test_deep_nesting_is_one_clear_line(reader: httpx2.Client, levels: int) -> None:
    nested = '{"not": ' * levels + "true" + "}" * levels
    body = f'{{"image": "x", "schema": {{"type": "object", "properties": {{"a": {nested}}}}}}}'
    answer = reader.post("/v1/extract", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert "\n" not in answer.json()["detail"] and "nested" in answer.json()["detail"]
    call = (
        f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"extract","arguments":{body}}}}}'
    )
    told = reader.post(
        "/mcp", content=call.replace('"image"', '"image_id"'), headers={"Content-Type": "application/json"}
    )
    assert told.status_code < 500
    assert reader.get("/v1/collections").status_code == 200


def test_a_good_schema_is_still_filled_in(reader: httpx2.Client, picture: str) -> None:
    schema = {**of({"$ref": "#/$defs/note"}), "$defs": {"note": {"type": "string"}}}
    schema["properties"]["total"] = {"type": "number"}
    answer = reader.post("/v1/extract", json={"image": picture, "schema": schema})
    assert answer.status_code == 200 and answer.json()["total"] == 18.9


def test_exponential_schemas_leave_the_workers_free(reader: httpx2.Client, picture: str) -> None:
    """As many at once as there are workers, each of which would take minutes."""
    schema = nested_defs(10, 6)
    schema["properties"]["total"] = schema["properties"].pop("a")
    body = {"image": picture, "schema": schema}
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(reader.post("/v1/extract", json=body).status_code))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [422] * len(threads)
