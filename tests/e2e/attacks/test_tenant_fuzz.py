"""Whatever A asks, it learns nothing of B: two worlds that differ in B alone answer alike.

Requests are made of the service's own OpenAPI, so a new route is asked too: names, ids and words in them are
A's, B's, or nobody's. In one world B has pictures, words, jobs and keys and is busy; in the other B never
was. The homes are copies of each other up to there, so that A's own ids are the same in both.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.services.index import run_index
from askpix.api.settings import Settings
from tests.support.fakes import picture
from tests.support.service import jpeg

THEIRS = "zqxtheirs"
SECRETS = ("zqx", "XYZZY", "PLUGH")
"""Begin every name of B; the words in B's picture."""
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_MOVING = re.compile(
    r'"(?:\w*(?:_ms|_s|_at|seconds|created|usd|disk_bytes)|ms)": ?(?:"[^"]*"|[\d.e+-]+|null)'
)
"""What the clock puts into answers, and the lengths of a store's own logs."""
_SKIPPED = {
    ("POST", "/session"),  # what it answers is a cookie; tests/test_browser_*.py log in
    (
        "POST",
        "/v1/collections/{name}/images",
    ),  # jobs that run on: tests/e2e/attacks/test_tenants.py, test_uploads.py
}


@dataclass
class World:
    """A service with A in it, and perhaps B."""

    service: Service
    client: TestClient
    busy: list[tuple[str, str, Any]]
    """What B does meanwhile."""
    key_of_b: str


@dataclass
class Worlds:
    """``with_b`` and ``without``: alike for who has A's key."""

    with_b: World
    without: World
    key: str
    pool: list[str]
    """Names, ids and words that a request may hold."""
    likely: dict[str, list[str]]
    """Those that fit a parameter, by a part of its name."""
    secrets: list[str]
    mine: list[str]
    """A's pictures."""


def indexed(service: Service, name: str, folder: Path) -> Any:
    collection = service.workspace.create_collection(name)
    run_index(service.workspace, collection, [folder], ocr="on", prune=False, on_progress=lambda _: None)
    return collection


def opened(home: Path) -> Service:
    service = Service(Settings(home=home, requests_per_minute=0, openvino=False, generator="extractive"))
    service.start()
    return service


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    top = tmp_path_factory.mktemp("worlds")
    (top / "pictures").mkdir()
    (top / "pictures" / "ours.jpg").write_bytes(jpeg("red", "RECEIPT 12.50"))
    (top / "pictures" / "other.jpg").write_bytes(jpeg("green"))
    first = opened(top / "one")
    ours = indexed(first, "ours", top / "pictures")
    _, key = first.keys.create("a", scope="admin", collections=["ours"])
    mine = first.catalog.lookup.page(ours, limit=9, offset=0)
    first.stop()
    shutil.copytree(top / "one", top / "two")
    there, never = opened(top / "one"), opened(top / "two")
    secret = top / "zqxfolder"
    secret.mkdir()
    picture("blue", "XYZZY PLUGH 99.99", (640, 200)).save(secret / "zqxpicture.png")
    (secret / "zqxtwin.jpg").write_bytes(jpeg("red", "RECEIPT 12.50"))  # the very file that A has
    theirs = indexed(there, THEIRS, secret)
    held, key_of_b = there.keys.create("zqxkey", scope="admin", collections=[THEIRS])
    job = there.enqueue(theirs, "files", {"files": []}).id
    images = there.catalog.lookup.page(theirs, limit=9, offset=0)
    busy: list[tuple[str, str, Any]] = [
        ("POST", f"/v1/collections/{THEIRS}/search", {"text": "XYZZY", "all": True}),
        ("POST", f"/v1/collections/{THEIRS}/ask", {"question": "what is XYZZY?"}),
        ("GET", f"/v1/images/{images[0]}/thumbnail", None),
        ("POST", "/v1/embeddings", {"model": f"askpix/{THEIRS}", "input": "zqxsecret"}),
        ("GET", f"/v1/collections/{THEIRS}/facets", None),
        ("GET", f"/v1/jobs/{job}", None),
    ]
    hidden = [THEIRS, theirs.id, job, held.id, *images]
    pool = [
        *("ours", *mine, ours.id, "red", "RECEIPT", "ours.jpg", "askpix/ours", "12.50", "absent"),
        *("00000000-0000-4000-8000-000000000000", "", "*", "\u0130", "../../etc/passwd", "%00", "a" * 300),
        *(*hidden, "zqxpicture.png", str(secret), "XYZZY PLUGH", "99.99", f"askpix/{THEIRS}", "blue"),
    ]
    likely = {
        "model": ["askpix/ours", f"askpix/{THEIRS}"],
        "job": [job],
        "key_id": [held.id],
        "image": [*mine, *images],
        "name": ["ours", THEIRS],
        "collection": ["ours", THEIRS],
        "generator": ["extractive"],
        "role": ["user"],
    }
    secrets = [theirs.id, job, held.id, *(image for image in images if image not in mine), *SECRETS]
    with (
        TestClient(create_app(there), base_url="http://localhost") as one,
        TestClient(create_app(never), base_url="http://localhost") as two,
    ):
        worlds = World(there, one, busy, key_of_b), World(never, two, [], "")
        yield Worlds(*worlds, key, pool, likely, secrets, mine)
    there.stop()
    never.stop()


@pytest.fixture(scope="module")
def routes(worlds: Worlds) -> list[tuple[str, str, dict[str, Any]]]:
    app: Any = worlds.with_b.client.app
    return [
        (method.upper(), path, operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if (method.upper(), path) not in _SKIPPED
    ]


class Requests:
    """Draws requests of an operation out of its schema."""

    def __init__(self, data: st.DataObject, spec: dict[str, Any], worlds: Worlds) -> None:
        self._data, self._spec, self._pool, self._likely = data, spec, worlds.pool, worlds.likely

    def word(self, name: str, pool: list[str]) -> str:
        """Mostly what belongs there, else anything."""
        fit = next((words for part, words in self._likely.items() if part in name), pool)
        return self._data.draw(st.sampled_from(fit if self._data.draw(st.integers(0, 3)) else pool))

    def value(self, schema: dict[str, Any], name: str = "", depth: int = 0) -> Any:
        if "$ref" in schema:
            schema = self._spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if either := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(self._data.draw(st.sampled_from(either)), name, depth)
        if "enum" in schema:
            return self._data.draw(st.sampled_from(schema["enum"]))
        kind = schema.get("type")
        if kind == "object" and "properties" in schema and depth < 4:
            wanted = schema.get("required", [])
            return {
                inside: self.value(inner, inside, depth + 1)
                for inside, inner in schema["properties"].items()
                if inside in wanted or self._data.draw(st.integers(0, 3)) == 0
            }
        if kind == "array":
            many = self._data.draw(st.integers(1, 2))
            return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(many)]
        simple: dict[str, Any] = {
            "integer": st.integers(0, 9),
            "number": st.sampled_from([0.0, 0.5, 12.5]),
            "boolean": st.booleans(),
            "null": st.none(),
            "object": st.just({"type": "object", "properties": {"total": {"type": "string"}}}),
        }
        return self._data.draw(simple[kind]) if kind in simple else self.word(name, self._pool)

    def asked(self, path: str, operation: dict[str, Any]) -> tuple[str, dict[str, Any], Any]:
        query = {}
        for each in operation.get("parameters", []):
            if each["in"] == "path":
                # Not a way out of the path: that would be another route.
                drawn = self.word(each["name"], [word for word in self._pool if word and "/" not in word])
                path = path.replace(f"{{{each['name']}}}", drawn.replace("%", "%25"))
            elif each["in"] == "query" and self._data.draw(st.booleans()):
                query[each["name"]] = self.value(each["schema"], each["name"])
        content = operation.get("requestBody", {}).get("content", {})
        body = self.value(content["application/json"]["schema"]) if "application/json" in content else None
        return path, query, body


def told(answer: Any, known: list[str]) -> str:
    """Status, telling headers and text, without what the clock says and what is made anew."""
    heads = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("date", "x-request-id", "content-length", "last-modified", "etag")
    }
    text = answer.text if "image/" not in answer.headers.get("content-type", "") else str(answer.content)
    text = text.replace(answer.headers.get("x-request-id", "\0"), "")
    text = _UUID.sub(lambda match: match[0] if match[0] in known else "new", _MOVING.sub("", text))
    return f"{answer.status_code} {json.dumps(heads, sort_keys=True)} {text}"


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_world_with_b_answers_as_one_without(
    worlds: Worlds, routes: list[tuple[str, str, dict[str, Any]]], data: st.DataObject
) -> None:
    app: Any = worlds.with_b.client.app
    meanwhile, where, what = data.draw(st.sampled_from(worlds.with_b.busy))
    method, path, operation = data.draw(st.sampled_from(routes))
    asked, query, body = Requests(data, app.openapi(), worlds).asked(path, operation)
    if method == "DELETE" and asked.rpartition("/")[2] in ("ours", *worlds.mine):
        return  # A would have nothing left to ask for
    by_b = {"Authorization": f"Bearer {worlds.with_b.key_of_b}"}
    done = worlds.with_b.client.request(meanwhile, where, json=what, headers=by_b)
    assert done.status_code == 200, done.text
    answers = [
        world.client.request(
            method, asked, params=query, json=body, headers={"Authorization": f"Bearer {worlds.key}"}
        )
        for world in (worlds.with_b, worlds.without)
    ]
    sent = json.dumps([asked, query, body], ensure_ascii=False)
    there, never = (told(answer, worlds.pool) for answer in answers)
    assert there == never, (there, never, method, asked, query, body)
    for secret in worlds.secrets:
        assert secret in sent or secret not in there, (method, asked, query, body, secret)
