"""Nothing acknowledged is lost, and nobody writes over what others left: jobs, deletions, trail, sources."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

import askpix.api.jobs.queue
import askpix.ingest.catalog.catalog
import askpix.retrieval.qdrant.edge_shard
import askpix.retrieval.qdrant.edge_store
from askpix.api.cli.main import run
from askpix.api.client.client import Client
from askpix.api.demo import PICTURES
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.services.index import run_index
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.db.engine import transaction
from askpix.core.errors import StoreUnavailableError
from askpix.core.types import Where
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
    deadline = time.monotonic() + 180
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


def test_a_deletion_that_is_answered_with_503_deleted_nothing(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails before anything, the catalog after the store."""
    service, client, _ = place
    ended(client, upload(client, jpeg("red")).json()["job"], "done")
    (image,) = client.get("/v1/collections/album/images").json()["images"]
    album = service.workspace.collection("album")
    waiting = service.jobs.add(kind="files", collection="album", collection_id=album.id, spec={})

    def unchanged() -> bool:
        listed = client.get("/v1/collections/album/images").json()["images"]
        found = client.post("/v1/collections/album/search", json={"text": "red", "all": True}).json()["hits"]
        there = client.get(f"/v1/images/{image['id']}/file").status_code == 200
        return listed == [image] and [hit["id"] for hit in found] == [image["id"]] and there

    def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("the disk is full")

    path = f"/v1/images/{image['id']}"
    with monkeypatch.context() as full:
        full.setattr(askpix.retrieval.qdrant.edge_store.QdrantEdgeStore, "delete", refuse)
        assert client.delete(path).status_code == 503 and unchanged()
    with monkeypatch.context() as full:
        fail_commits(full, service)
        assert client.delete(path).status_code == 503
        assert client.delete("/v1/collections/album").status_code == 503
    assert unchanged()
    assert service.jobs.get(waiting.id).state != "cancelled", "what was sent is not lost either"
    fill_disk(monkeypatch)
    assert client.delete(path).status_code == 200, "a disk that is full for uploads has room to delete"
    assert client.get("/v1/collections/album/images").json()["total"] == 0
    assert not list((service.settings.home / "uploads" / album.id).iterdir())
    assert client.delete("/v1/collections/album").status_code == 200
    assert client.get("/v1/collections/album").status_code == 404
    assert not list((service.settings.home / "collections").iterdir())


def fail_commits(patch: pytest.MonkeyPatch, service: Service) -> None:
    """Transactions of the catalog that write fail at their end."""

    @contextmanager
    def failing(engine: Any, *, write: bool = True) -> Iterator[Any]:
        with transaction(engine, write=write) as connection:
            yield connection
            if write and engine is service.catalog.engine:
                raise StoreUnavailableError("the catalog cannot grow, the disk is full")

    patch.setattr(askpix.ingest.catalog.catalog, "transaction", failing)


def test_an_upload_into_a_collection_that_goes_meanwhile_leaves_nothing(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client, _ = place
    album = service.workspace.collection("album")
    real = service.catalog.lookup.ids_of

    def ids_of(*wanted: Any) -> Any:
        found = real(*wanted)
        service.delete_collection(album)
        return found

    monkeypatch.setattr(service.catalog.lookup, "ids_of", ids_of)
    answer = upload(client, jpeg("red"))
    assert answer.status_code == 404 and "deleted meanwhile" in answer.json()["detail"]
    assert not service.uploads.folder(album.id).exists()


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


def test_a_catalog_that_is_gone_is_rebuilt_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, folder = tmp_path / "home", tmp_path / "pictures"
    folder.mkdir()
    for name in ("photos/cat.jpg", "photos/coffee-cup.jpg", "receipts/hotel-alpenblick.jpg"):
        shutil.copy(PICTURES / name, folder)
    shutil.copy(folder / "cat.jpg", folder / "copy of cat.jpg")
    settings = Settings(home=home, local_servers="", generator="extractive", workers=1)
    indexed = Workspace(settings)
    run_index(indexed, indexed.create_collection("album", "mini"), [folder], ocr="on", prune=False)
    words = found(indexed, "alpenblick")
    assert words[0][1].endswith("alpenblick.jpg")
    indexed.catalog.close()
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        (home / name).unlink(missing_ok=True)
    (folder / "coffee-cup.jpg").write_bytes(jpeg("green"))

    monkeypatch.setattr("askpix.api.services.doctor.list_models", lambda workspace: [])
    for name in ("ASKPIX_LOCAL_SERVERS", "ASKPIX_EMBEDDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASKPIX_HOME", str(home))
    lost = doctor(monkeypatch, capsys)["folder album"]
    assert not lost["ok"] and "MB of vectors" in lost["detail"] and "--mend" in lost["detail"]
    mended = doctor(monkeypatch, capsys, "--mend")
    assert "rebuilt with 3 images, 1 of them" in mended["folder album"]["detail"]
    assert "3 images, each with one" in mended["collection album"]["detail"]

    workspace = Workspace(settings)
    album = workspace.collection("album")
    assert found(workspace, "alpenblick") == words
    report = run_index(workspace, album, [folder], ocr="on", prune=False)
    assert (report.added, report.updated, report.unchanged, report.images) == (0, 1, 3, 3)
    assert found(workspace, "alpenblick") == words
    lines = workspace.catalog.lines([words[0][0]])[words[0][0]]
    assert all(line.box[2] > 0 for line in lines), "places of words came back"
    assert all(check["ok"] for check in doctor(monkeypatch, capsys).values())
    assert is_of(workspace, words[0][0], folder / "hotel-alpenblick.jpg")


def found(workspace: Workspace, text: str) -> list[tuple[str, str]]:
    album = workspace.collection("album")
    with workspace.open_store(album) as store:
        ids = [hit.id for hit in store.search("words", text, where=Where(), limit=5)]
        return [(record.id, record.uri) for record in store.get(ids)]


def is_of(workspace: Workspace, image_id: str, path: Path) -> bool:
    """Whether the picture is still known by the bytes of its file."""
    album = workspace.collection("album")
    sha256 = workspace.catalog.known_sources(album)[str(path)].sha256
    return sha256 is not None and album.image_id(sha256, None) == image_id


def doctor(
    patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> dict[str, dict[str, Any]]:
    """The checks of the command, by their names less the ids of folders."""
    patch.setattr("sys.argv", ["askpix", "doctor", *options, "--json"])
    with pytest.raises(SystemExit):
        run()
    checks = json.loads(capsys.readouterr().out)["checks"]
    return {check["name"].rpartition("-")[0] or check["name"]: check for check in checks}
