"""Keys and tenants, in one process: what A asks never tells of B."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.services.index import run_index
from askpix.api.settings import Settings
from tests.support.service import jpeg


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, TestClient, dict[str, str]]]:
    """Collections ``ours`` (red) and ``theirs`` (blue), and a key of each scope for either."""
    home = tmp_path_factory.mktemp("tenants")
    service = Service(Settings(home=home, ocr="off", requests_per_minute=0))
    service.start()
    for name, colour in (("ours", "red"), ("theirs", "blue")):
        folder = home / f"images of {name}"
        folder.mkdir()
        (folder / f"{name}.jpg").write_bytes(jpeg(colour))
        made = service.workspace.create_collection(name)
        run_index(service.workspace, made, [folder], ocr="off", prune=False, on_progress=lambda _: None)
    texts = {
        f"{name} {scope}": service.keys.create(f"{name} {scope}", scope=scope, collections=[name])[1]
        for name, scope in itertools.product(("ours", "theirs"), ("read", "write", "admin"))
    }
    with TestClient(create_app(service), base_url="http://localhost") as client:
        yield service, client, texts
    service.stop()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_without_a_key_nobody_comes_in_once_there_is_one(place: Any) -> None:
    _, client, texts = place
    for headers in (
        {},
        bearer("askpix_000000000000_" + "a" * 43),
        bearer("x"),
        {"Authorization": "Basic eDp5"},
    ):
        answer = client.get("/v1/collections", headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/healthz").status_code == 200
    changed = texts["ours read"][:-1] + ("A" if texts["ours read"][-1] != "A" else "B")
    assert client.get("/v1/collections", headers=bearer(changed)).status_code == 401


def test_scopes(place: Any) -> None:
    service, client, texts = place
    read, write, admin = (bearer(texts[f"ours {scope}"]) for scope in ("read", "write", "admin"))
    assert client.post("/v1/collections", headers=read, json={"name": "ours"}).status_code == 403
    assert client.post("/v1/collections", headers=write, json={"name": "ours"}).status_code == 409
    assert client.delete("/v1/collections/ours", headers=read).status_code == 403
    assert (
        client.post(
            "/v1/collections/ours/images", headers=read, json={"urls": ["http://a.test/"]}
        ).status_code
        == 403
    )
    body = {"question": "x", "generator": "openai-compatible:m@http://169.254.169.254/v1"}
    assert client.post("/v1/collections/ours/ask", headers=write, json=body).status_code == 403
    assert client.get("/metrics", headers=admin).status_code == 403  # of one collection only
    key, everything = service.keys.create("all", scope="admin")
    metrics = client.get("/metrics", headers=bearer(everything))
    assert metrics.status_code == 200 and "theirs" not in metrics.text and "ours" not in metrics.text
    service.keys.revoke(key.id)
    assert client.get("/metrics", headers=bearer(everything)).status_code == 401


def test_a_never_learns_of_b(place: Any) -> None:
    """Every route with B's names and ids answers as with names and ids that are not there."""
    service, client, texts = place
    ours, theirs = service.workspace.collection("ours"), service.workspace.collection("theirs")
    picture = service.catalog.lookup.page(theirs, limit=1, offset=0)[0]
    mine = service.catalog.lookup.page(ours, limit=1, offset=0)[0]
    job = service.enqueue(theirs, "files", {"files": []}).id
    nothing = "00000000-0000-4000-8000-000000000000"
    secrets = [theirs.id, picture, "theirs.jpg", str(service.settings.home / "images of theirs")]

    def ask(method: str, path: str, body: Any = None) -> Any:
        return client.request(method, path, headers=bearer(texts["ours admin"]), json=body)

    routes = [
        ("GET", "/v1/collections/{c}", None),
        ("DELETE", "/v1/collections/{c}", None),
        ("GET", "/v1/collections/{c}/images", None),
        ("POST", "/v1/collections/{c}/images", {"urls": ["http://example.org/"]}),
        ("POST", "/v1/collections/{c}/search", {"text": "blue", "all": True}),
        ("POST", "/v1/collections/{c}/ask", {"question": "blue?"}),
        ("GET", "/v1/collections/{c}/upgrade", None),
        ("POST", "/v1/collections/{c}/upgrade", {"model": "siglip2-base"}),
        ("DELETE", "/v1/collections/{c}/upgrade?model=siglip2-base", None),
        (
            "POST",
            "/v1/chat/completions",
            {"model": "askpix/{c}", "messages": [{"role": "user", "content": "x"}]},
        ),
        ("POST", "/v1/embeddings", {"model": "askpix/{c}", "input": "x"}),
        ("GET", "/v1/models/askpix/{c}", None),
        ("GET", "/v1/images/{i}", None),
        ("GET", "/v1/images/{i}/file", None),
        ("GET", "/v1/images/{i}/thumbnail", None),
        ("DELETE", "/v1/images/{i}", None),
        ("POST", "/v1/collections/ours/search", {"image": "{i}"}),
        ("POST", "/v1/classify", {"images": ["{i}"], "labels": ["red", "blue"]}),
        ("POST", "/v1/caption", {"images": ["{i}"]}),
        ("POST", "/v1/extract", {"image": "{i}", "schema": {"type": "object", "properties": {}}}),
        ("POST", "/v1/audit", {"image": "{i}", "checks": ["red"]}),
        ("GET", "/v1/jobs/{j}", None),
        ("GET", "/v1/jobs/{j}/events", None),
        ("POST", "/v1/jobs/{j}/cancel", None),
        ("POST", "/v1/jobs/{j}/retry", None),
        ("POST", f"/v1/local/stores/{theirs.id}/0/ids", {"args": [], "options": {}}),
        ("POST", f"/v1/local/let-go/{theirs.id}/all", {}),
    ]

    def fill(value: Any, real: bool) -> Any:
        names = {
            "{c}": "theirs" if real else "absent",
            "{i}": picture if real else nothing,
            "{j}": job if real else nothing,
        }
        if isinstance(value, dict):
            return {k: fill(v, real) for k, v in value.items()}
        if isinstance(value, list):
            return [fill(v, real) for v in value]
        for name, filled in names.items():
            value = value.replace(name, filled) if isinstance(value, str) else value
        return value

    def blurred(answer: Any, real: bool) -> str:
        text = answer.text
        for name in (picture, job, "theirs") if real else (nothing, "absent"):
            text = text.replace(name, "?")
        return text.replace(answer.headers["x-request-id"], "")

    for method, path, body in routes:
        there, absent = (ask(method, fill(path, real), fill(body, real)) for real in (True, False))
        assert there.status_code == absent.status_code in (403, 404), (
            method,
            path,
            there.status_code,
            there.text,
        )
        assert blurred(there, True) == blurred(absent, False), (method, path)
    for path in ("/v1/collections", "/v1/jobs", "/v1/models"):
        text = ask("GET", path).text
        assert not [secret for secret in (*secrets, "theirs", job) if secret in text], path
    found = ask("POST", "/v1/collections/ours/search", {"text": "blue", "all": True})
    assert [hit["id"] for hit in found.json()["hits"]] == [mine]
    assert (
        client.get(f"/v1/images/{picture}/thumbnail", headers=bearer(texts["theirs read"])).status_code == 200
    )
    assert ask("GET", f"/v1/images/{picture}/thumbnail").status_code == 404  # also once it is in the cache
    taken = ask("POST", "/v1/collections", {"name": "theirs"})
    free = ask("POST", "/v1/collections", {"name": "absent"})
    assert taken.status_code == free.status_code == 403


def test_browsers_of_other_sites_stay_outside(place: Any) -> None:
    _, client, texts = place
    key = bearer(texts["ours read"])
    assert client.get("/v1/collections", headers=key | {"Host": "evil.test"}).status_code == 421
    assert client.get("/v1/collections", headers=key | {"Origin": "http://evil.test"}).status_code == 403
    assert client.get("/v1/collections", headers=key | {"Origin": "null"}).status_code == 403
    own = client.get("/v1/collections", headers=key | {"Origin": "http://localhost"})
    assert own.status_code == 200 and "access-control-allow-origin" not in own.headers


def test_uploaded_names_can_do_no_harm(place: Any) -> None:
    service, client, texts = place
    names = [
        "../../../etc/passwd.jpg",
        "C:\\windows\\a.jpg",
        "..",
        "",
        "con.jpg",
        "a\x00b.jpg",
        "x" * 400 + ".jpg",
        "\u202egpj.exe",
    ]
    files = [
        ("files", (name or "empty", jpeg("green", size=(40 + i, 40)), "image/jpeg"))
        for i, name in enumerate(names)
    ]
    sent = client.post("/v1/collections/ours/images", headers=bearer(texts["ours write"]), files=files)
    assert sent.status_code == 202, sent.text
    for file in sent.json()["files"]:
        assert "/" not in file["name"] and "\\" not in file["name"] and file["name"].isprintable()
        assert 0 < len(file["name"].encode()) <= 120 and not file["name"].startswith(".")
    home = service.settings.home
    spec = service.jobs.get(sent.json()["job"]).spec
    assert all(Path(file["path"]).is_relative_to(home / "uploads") for file in spec["files"])
    assert all(Path(file["path"]).resolve() == Path(file["path"]) for file in spec["files"])


def test_rates_and_crowds_are_turned_away_with_a_time(tmp_path: Path) -> None:
    service = Service(Settings(home=tmp_path, requests_per_minute=60))
    service.start()
    _, text = service.keys.create("one", scope="read")
    with TestClient(create_app(service), base_url="http://localhost") as client:
        codes = [client.get("/v1/collections", headers=bearer(text)) for _ in range(25)]
    service.stop()
    assert codes[0].status_code == 200 and codes[-1].status_code == 429
    assert int(codes[-1].headers["retry-after"]) >= 1
