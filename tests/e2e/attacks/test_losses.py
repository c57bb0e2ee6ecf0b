"""Nothing acknowledged is lost, and nobody writes over what others left: jobs, deletions, trail, sources."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

import askpix.api.jobs.queue
import askpix.retrieval.qdrant.edge_shard
from askpix.api.client.client import Client
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from tests.support.service import jpeg, served, until_ready


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Service, TestClient, str]]:
    """A service in this process with a collection ``album`` and a key that may write into it."""
    service = Service(Settings(home=tmp_path / "home", local_servers="", ocr="off", requests_per_minute=0))
    service.start()
    service.workspace.create_collection("album", "mini")
    _, text = service.keys.create("phone", scope="write", collections=["album"])
    with TestClient(create_app(service), base_url="http://localhost") as client:
        client.headers.update(bearer(text))
        yield service, client, text
    service.stop()


def upload(client: TestClient, data: bytes, name: str = "a.jpg") -> Any:
    return client.post("/v1/collections/album/images", files=[("files", (name, data))])


def ended(client: TestClient, job: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := client.get(f"/v1/jobs/{job}").json())["state"] not in states:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return dict(found)


def fill_disk(patch: pytest.MonkeyPatch) -> None:
    """The store finds less room than it wants."""
    patch.setattr(askpix.retrieval.qdrant.edge_shard, "_SPARE_BYTES", 1 << 62)


def test_a_job_that_failed_on_a_full_disk_is_done_when_there_is_room(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client, _ = place
    monkeypatch.setattr(askpix.api.jobs.queue, "_RETRY_AFTER_S", ())
    monkeypatch.setattr(askpix.api.jobs.queue, "_FIRST_PAUSE", timedelta(hours=1))
    with monkeypatch.context() as full:
        fill_disk(full)
        by_hand = upload(client, jpeg("red")).json()["job"]
        failed = ended(client, by_hand, "failed", "done")
        assert failed["state"] == "failed" and "full" in failed["error"] and failed["retry_at"]
        full.setattr(askpix.api.jobs.queue, "_FIRST_PAUSE", timedelta(0))
        full.setattr(askpix.api.jobs.queue, "_LONGEST_PAUSE", timedelta(0))
        by_itself = upload(client, jpeg("blue"), "b.jpg").json()["job"]
        while service.jobs.get(by_itself).retries < 2:
            time.sleep(0.01)
    assert ended(client, by_itself, "done")["error"] is None
    guest = bearer(service.keys.create("guest", scope="read", collections=["album"])[1])
    other = bearer(service.keys.create("other", scope="write", collections=["theirs"])[1])
    assert client.post(f"/v1/jobs/{by_hand}/retry", headers=guest).status_code == 403
    assert client.post(f"/v1/jobs/{by_hand}/retry", headers=other).status_code == 404
    again = client.post(f"/v1/jobs/{by_hand}/retry")
    assert again.status_code == 200 and again.json()["state"] in ("queued", "running", "done")
    assert ended(client, by_hand, "done")["result"]["added"] == 1
    assert client.post(f"/v1/jobs/{by_hand}/retry").status_code == 409, "it is done"
    assert client.get("/v1/collections/album/images").json()["total"] == 2


def test_strangers_do_not_push_entries_off_the_trail(tmp_path: Path) -> None:
    """Made-up keys and cookies, from the page and from elsewhere."""
    with served(tmp_path / "home", ASKPIX_OCR="off") as (url, _):
        local = until_ready(url)
        key = local.call("POST", "/v1/keys", {"name": "me", "scope": "admin"})["key"]
        admin = Client(url, key=key)
        admin.create_collection("album")
        before = admin.call("GET", "/v1/trail")["entries"]
        with httpx2.Client(base_url=url) as stranger:
            while stranger.get("/v1/collections").status_code != 401:
                time.sleep(0.05)  # the first key closes the door within a second
            for number in range(60):
                stranger.post("/v1/collections", headers={"Cookie": f"askpix_key=made-up-{number}"}, json={})
                stranger.post("/v1/collections", headers={"Origin": f"http://{number}.test"}, json={})
                stranger.post("/v1/collections", headers=bearer(f"made-up-{number}"), json={})
                stranger.request(
                    "DELETE",
                    "/session",
                    headers={"Cookie": f"askpix_key={number}", "X-Askpix-Page": "1"},
                )
        after = admin.call("GET", "/v1/trail")
        assert after["entries"] == before, "they are not among those of keys"
        assert [entry["did"] for entry in before] == ["POST /v1/collections", "POST /v1/keys"]
        assert 1 <= len(after["refused"]) <= 3, "one row for each minute"
        assert {row["address"] for row in after["refused"]} == {"127.0.0.1"}
        assert sum(row["count"] for row in after["refused"]) >= 180


def test_the_source_of_an_upload_cannot_be_forged(place: Any) -> None:
    """The same bytes as a picture and as the file that once told where it was fetched."""
    _, client, _ = place
    svg = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60"><rect width="40" height="40"/></svg>'
    )
    for name in ("x.svg", "x.svg.url", ".x.svg.url", "..x.svg.url", "x.svg.URL"):
        job = upload(client, svg, name).json()["job"]
        ended(client, job, "done")
    shown = client.get("/v1/collections/album/images").json()["images"]
    said = {uri for image in shown for uri in (image["uri"], *image["copies"])}
    assert said and all(uri.startswith("upload:") and "<" not in uri for uri in said), said
    image = client.get(f"/v1/images/{shown[0]['id']}/file")
    assert image.content == svg, "and what was fetched writes over no upload"
