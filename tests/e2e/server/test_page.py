"""The page: its files and nothing else, a policy that lets nothing in from outside, and its session."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from askpix.api.routes.web import FILES
from askpix.api.security.session import COOKIE
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from tests.conftest import ROOT

WEB = ROOT / "api" / "web"
PAGE = {"X-Askpix-Page": "1"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Service, TestClient]]:
    service = Service(Settings(home=tmp_path, local_servers=""))
    service.start()
    try:
        with TestClient(create_app(service), base_url="http://localhost:8000") as client:
            yield service, client
    finally:
        service.stop()


def test_its_files_are_served_with_a_strict_policy(place: tuple[Service, TestClient]) -> None:
    _, client = place
    first = client.get("/")
    assert first.status_code == 200 and "text/html" in first.headers["content-type"]
    for name in FILES:
        path = "/" if name == "index.html" else f"/web/{name}"
        reply = client.get(path)
        assert reply.content == (WEB / name).read_bytes(), name
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        again = client.get(path, headers={"If-None-Match": reply.headers["etag"]})
        assert again.status_code == 304
    for path in ("/web/../routes/page.py", "/web/%2e%2e/door.py", "/web/js/none.js", "/web/"):
        assert client.get(path).status_code == 404, path


def test_every_file_is_listed_and_nothing_comes_from_elsewhere() -> None:
    there = {str(path.relative_to(WEB)) for path in WEB.rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith("vendor/swagger/")} == set(FILES), "but for /docs"
    for name in FILES:
        text = (WEB / name).read_text("utf-8")
        found = [url for url in re.findall(r"https?://[^\s\"'`)]+", text) if "www.w3.org" not in url]
        assert not found, f"{name} names {found}"
        assert "innerHTML" not in text and "eval(" not in text, name
    html = (WEB / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", html), "the policy forbids what is inline"
    for asset in re.findall(r'(?:src|href)="/web/([^"]+)"', html):
        assert asset in FILES
    for name in FILES:
        if name.endswith(".js"):
            for module in re.findall(r'from "\./([^"]+)"', (WEB / name).read_text("utf-8")):
                assert f"js/{module}" in FILES


def test_every_word_is_in_one_place() -> None:
    strings = (WEB / "js" / "strings.js").read_text("utf-8")
    keys = set(re.findall(r"(?:^|[{,]\s*)(\w+):", strings, re.M))
    for name in FILES:
        if name.endswith(".js"):
            used = set(re.findall(r"\bS\.(\w+)", (WEB / name).read_text("utf-8")))
            assert used <= keys, f"{name} says {used - keys}"


def test_a_key_becomes_a_session_that_other_sites_cannot_use(place: tuple[Service, TestClient]) -> None:
    service, client = place
    _, text = service.keys.create("me", scope="admin")
    assert client.get("/").status_code == 200, "the page itself asks for the key"
    assert client.get("/web/js/app.js").status_code == 200
    assert client.get("/v1/collections").status_code == 401
    assert client.post("/session", json={"key": text}).status_code == 403, "not without the page's header"
    assert client.post("/session", json={"key": "askpix_wrong"}, headers=PAGE).status_code == 401

    done = client.post("/session", json={"key": text}, headers=PAGE)
    assert done.status_code == 200
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and cookie.startswith(COOKIE)
    assert client.get("/v1/collections").status_code == 200
    new: Any = {"json": {"name": "holiday"}}
    assert client.post("/v1/collections", **new).status_code == 403, "a form of another site has no header"
    assert client.post("/v1/collections", **new, headers=PAGE).status_code == 201
    facets = client.get("/v1/collections/holiday/facets")
    assert facets.status_code == 200 and set(json.loads(facets.text)) >= {"years", "kinds", "countries"}

    assert client.delete("/session", headers=PAGE).status_code == 200
    assert client.get("/v1/collections").status_code == 401


def test_a_session_whose_key_was_revoked_finds_the_way_back_in(place: tuple[Service, TestClient]) -> None:
    service, client = place
    assert client.get("/session").json() == {"open": True, "scope": "admin", "keyed": False}
    made, text = service.keys.create("me", scope="write")
    _, other = service.keys.create("you", scope="admin")
    assert client.get("/session").json()["open"] is False
    client.post("/session", json={"key": text}, headers=PAGE)
    assert client.get("/session").json() == {"open": True, "scope": "write", "keyed": True}
    service.keys.revoke(made.id)
    assert client.get("/").status_code == 200 and client.get("/web/js/app.js").status_code == 200
    assert client.get("/session").json()["open"] is False
    assert client.get("/v1/collections").status_code == 401
    assert client.post("/session", json={"key": other}, headers=PAGE).status_code == 200
    assert client.get("/v1/collections").status_code == 200
