"""Who changed what, and limits of one key: through the real app."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import askpix.api.security.audit_log
from askpix.api.cli.main import run
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from tests.support.service import jpeg


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Service, TestClient, dict[str, dict[str, str]]]]:
    """A served home with three keys: of an admin, of a writer with limits, of a reader."""
    service = Service(Settings(home=tmp_path, local_servers="", generator="extractive"))
    service.start()
    made = {
        "admin": service.keys.create("me", scope="admin"),
        "writer": service.keys.create(
            "phone", scope="write", collections=["album"], requests_per_minute=8, max_upload_bytes=3_000
        ),
        "reader": service.keys.create("guest", scope="read"),
    }
    headers = {name: {"Authorization": f"Bearer {text}"} for name, (_, text) in made.items()}
    try:
        with TestClient(create_app(service), base_url="http://localhost:8000") as client:
            yield service, client, headers
    finally:
        service.stop()


def test_what_changed_is_on_the_trail_and_what_was_read_is_not(
    place: tuple[Service, TestClient, dict[str, dict[str, str]]],
) -> None:
    service, client, keys = place
    assert client.post("/v1/collections", json={"name": "album"}, headers=keys["admin"]).status_code == 201
    sent = client.post(
        "/v1/collections/album/images", files=[("files", ("a.jpg", jpeg("red")))], headers=keys["writer"]
    )
    assert sent.status_code == 202, sent.text
    client.get("/v1/collections", headers=keys["reader"])
    client.post("/v1/collections/album/search", json={"text": "red"}, headers=keys["reader"])
    assert client.delete("/v1/collections/album", headers=keys["reader"]).status_code == 403
    assert client.post("/v1/collections", json={"name": "b"}).status_code == 401
    listed = client.get("/v1/trail", headers=keys["admin"]).json()["entries"]
    who = {key.name: key.id for key in service.keys.list()}
    assert [(e["who"], e["did"], e["path"], e["status"]) for e in listed] == [
        (who["guest"], "DELETE /v1/collections/{name}", "/v1/collections/album", 403),
        (who["phone"], "POST /v1/collections/{name}/images", "/v1/collections/album/images", 202),
        (who["me"], "POST /v1/collections", "/v1/collections", 201),
    ]
    assert listed[1]["request"] == sent.headers["x-request-id"]
    older = client.get(f"/v1/trail?limit=1&before={listed[1]['number']}", headers=keys["admin"]).json()
    assert older["entries"] == listed[2:]
    assert client.get("/v1/trail", headers=keys["writer"]).status_code == 403


def test_the_trail_has_an_end_and_outlives_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(askpix.api.security.audit_log, "KEPT", 5)
    monkeypatch.setattr(askpix.api.security.audit_log, "_TIDY_EVERY", 10)
    service = Service(Settings(home=tmp_path, local_servers="", generator="extractive"))
    for number in range(23):
        service.trail.add(who="local", did="POST /x", path=f"/{number}", status=200, request="r")
    numbers = [entry.number for entry in service.trail.latest()]
    assert numbers == list(range(23, 15, -1)), "tidied at 20: five were kept, and three came since"
    service.engine.dispose()
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["askpix", "keys", "trail", "--limit", "2", "--json"])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code in (0, None)
    said: Any = __import__("json").loads(capsys.readouterr().out)
    assert [entry["path"] for entry in said] == ["/22", "/21"]


def test_a_key_has_limits_of_its_own(place: tuple[Service, TestClient, dict[str, dict[str, str]]]) -> None:
    _, client, keys = place
    client.post("/v1/collections", json={"name": "album"}, headers=keys["admin"])
    large = [("files", ("a.jpg", jpeg("red", size=(900, 700)) + bytes(4_000)))]
    refused = client.post("/v1/collections/album/images", files=large, headers=keys["writer"])
    assert refused.status_code == 413 and "3000 bytes" in refused.json()["detail"]
    assert client.post("/v1/collections/album/images", files=large, headers=keys["admin"]).status_code == 202
    statuses = [client.get("/v1/collections", headers=keys["writer"]).status_code for _ in range(12)]
    assert statuses[0] == 200 and statuses[-1] == 429, "eight a minute, a few of them at once"
    assert client.get("/v1/collections", headers=keys["reader"]).status_code == 200, "others are not held up"
    new = client.post(
        "/v1/keys", json={"name": "n", "requests_per_minute": 7, "max_upload_bytes": 9}, headers=keys["admin"]
    ).json()
    assert (new["requests_per_minute"], new["max_upload_bytes"]) == (7, 9)
    again = client.post(f"/v1/keys/{new['id']}/rotate", json={"overlap_s": 0}, headers=keys["admin"]).json()
    assert (again["requests_per_minute"], again["max_upload_bytes"]) == (7, 9)
