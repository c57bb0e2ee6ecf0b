"""Buckets on a real S3 server, lists on a real web server: the same limits, and what a refusal says."""

import hashlib
import http.server
import io
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.ingest.pipeline.metadata_stage import describe
from askpix.ingest.sources import buckets
from askpix.ingest.sources.remote import Remote, name_of, read_source, remote_uri
from askpix.ingest.sources.walk import Skipped, Source, check_paths
from tests.support.fakes import WordEmbedder
from tests.support.indexing import World


def png(colour: str) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (48, 36), colour).save(held, "PNG")
    return held.getvalue()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.catalog.close()


# --- S3 ---------------------------------------------------------------------------------------------------


class Bucket:
    """A bucket of a server in this process, written with Amazon's own client."""

    def __init__(self, port: int) -> None:
        import boto3

        self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        # The server's memory is this process's.
        urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/reset", data=b"").close()
        self.client.create_bucket(Bucket="photos")

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket="photos", Key=key, Body=data, ACL="public-read")

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket="photos", Key=key)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    port = server.get_host_and_port()[1]
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    buckets._open.cache_clear()
    yield Bucket(port)
    server.stop()
    buckets._open.cache_clear()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bucket_is_indexed_and_unchanged_objects_are_not_fetched(world: World, bucket: Bucket) -> None:
    bucket.put("in/red.png", png("red"))
    bucket.put("in/deep/er/blue ü+&%.png", png("blue"))
    bucket.put("in/.hidden/x.png", png("green"))
    bucket.put("in/notes.txt", b"nothing")
    bucket.put("in/broken.jpg", b"\xff\xd8\xffno")
    bucket.put("in/large.png", png("white") + b"\0" * 50_000)
    bucket.put("inside-out.png", png("black"))
    world.limits = replace(DEFAULT_LIMITS, max_bytes=40_000)
    root = Path("s3://photos/in")  # which Path makes s3:/photos/in
    check_paths([root])
    report = world.run(root)
    assert (report.added, report.images) == (2, 2)
    assert {Path(f.path).name: f.error.split(":")[0] for f in report.failed} == {
        "broken.jpg": "damaged JPEG",
        "large.png": "'s3",
    }
    assert set(world.uris()) == {"red.png", "blue ü+&%.png"}
    red = next(r for r in world.store.get(list(world.store.ids())) if r.uri.endswith("red.png"))
    assert red.uri == "s3://photos/in/red.png"
    assert read_source(red.uri, DEFAULT_LIMITS) == png("red")

    embedded = world.embedder.embedded
    again = world.run(root)
    assert (again.unchanged, again.added, world.embedder.embedded) == (2, 0, embedded)

    bucket.put("in/red.png", png("yellow"))
    bucket.put("in/copy.png", png("blue"))
    bucket.delete("in/deep/er/blue ü+&%.png")
    third = world.run(root, prune=True)
    assert (third.updated, third.images, world.find("yellow")) == (2, 2, "red.png")
    assert set(world.uris()) == {"red.png", "copy.png"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bucket_that_is_away_loses_nothing(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("red.png", png("red"))
    world.run(Path("s3://photos"))
    gone = world.run(Path("s3://nowhere"), prune=True)
    assert gone.skipped[0].reason == "cannot read: no such bucket or object" and gone.images == 1
    bucket.delete("red.png")
    empty = world.run(Path("s3://photos"), prune=True)
    assert empty.images == 1 and any("empty" in s.reason for s in empty.skipped)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    buckets._open.cache_clear()
    away = world.run(Path("s3://photos"), prune=True)
    assert away.images == 1 and away.skipped[0].reason.startswith("cannot read")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_google_speaks_the_same(world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its XML interface, which the same server speaks: another store of obstore's, with keys of its own."""
    key = {
        "gcs_base_url": bucket.client.meta.endpoint_url,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    bucket.put("in/red.png", png("red"))
    bucket.put("in/deep/er/blue ü+&%.png", png("blue"))
    assert world.run(Path("gs://photos/in")).added == 2
    assert set(world.uris()) == {"red.png", "blue ü+&%.png"}
    embedded = world.embedder.embedded
    assert world.run(Path("gs://photos/in")).unchanged == 2 and world.embedder.embedded == embedded
    assert read_source("gs://photos/in/red.png", DEFAULT_LIMITS) == png("red")
    gone = world.run(Path("gs://nowhere/in"), prune=True)
    assert gone.skipped[0].reason == "cannot read: no such bucket or object" and gone.images == 2


class Blobs(BaseHTTPRequestHandler):
    """Azure's List Blobs, Get Blob and its HEAD, as Azurite answers them; two blobs a page."""

    blobs: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.asked.append(f"{self.command} {path}")
        _, account, container, *rest = path.split("/", 3)
        key = unquote("/".join(rest))
        if (account, container) != ("devstoreaccount1", "photos"):
            self.say(404, {"x-ms-error-code": "ContainerNotFound"})
        elif query.get("comp") == ["list"]:
            self.say(200, {"content-type": "application/xml"}, self.listed(query).encode())
        elif key in self.blobs:
            self.say(200, self.about(key), self.blobs[key])
        else:
            self.say(404, {"x-ms-error-code": "BlobNotFound"})

    do_HEAD = do_GET

    def listed(self, query: dict[str, list[str]]) -> str:
        [prefix], [marker] = query.get("prefix", [""]), query.get("marker", [""])
        names = [name for name in sorted(self.blobs) if name.startswith(prefix) and name > marker]
        entries = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{self.about(name)['last-modified']}"
            f"</Last-Modified><Etag>{self.about(name)['etag']}</Etag><Content-Length>{len(self.blobs[name])}"
            "</Content-Length><Content-Type>image/png</Content-Type><BlobType>BlockBlob</BlobType></Properties>"
            "</Blob>"
            for name in names[:2]
        )
        following = escape(names[1]) if len(names) > 2 else ""
        return (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="photos"><Blobs>'
            f"{entries}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>"
        )

    def about(self, name: str) -> dict[str, str]:
        digest = hashlib.sha256(self.blobs[name]).hexdigest()[:15]
        return {"etag": f'"0x{digest}"', "last-modified": "Tue, 24 Nov 2026 03:00:00 GMT"}

    def say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers | {"content-length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_azure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Blobs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
        "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{server.server_port}",
    }.items():
        monkeypatch.setenv(name, value)
    colours = {"in/a/red.png": "red", "in/blue ü+&%.png": "blue", "in/green.png": "green", "out.png": "white"}
    monkeypatch.setattr(Blobs, "blobs", {name: png(colour) for name, colour in colours.items()})
    buckets._open.cache_clear()
    try:
        assert world.run(Path("az://photos/in")).added == 3
        assert set(world.uris()) == {"red.png", "blue ü+&%.png", "green.png"}
        embedded, fetched = world.embedder.embedded, len(Blobs.asked)
        assert world.run(Path("az://photos/in")).unchanged == 3
        assert world.embedder.embedded == embedded
        assert all(asked.endswith("/photos") for asked in Blobs.asked[fetched:]), (
            "listed, and nothing fetched"
        )
        del Blobs.blobs["in/green.png"]
        Blobs.blobs["in/a/red.png"] = png("yellow")
        third = world.run(Path("az://photos/in"), prune=True)
        assert (third.updated, third.removed, world.find("yellow")) == (1, 1, "red.png")
        gone = world.run(Path("az://nowhere"), prune=True)
        assert gone.skipped[0].reason == "cannot read: no such bucket or object" and gone.images == 2
    finally:
        server.shutdown()
        server.server_close()
        buckets._open.cache_clear()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_written_in_an_object_and_rules_of_ignoring(world: World, bucket: Bucket) -> None:
    held, exif = io.BytesIO(), Image.Exif()
    exif[306] = "2019:05:03 14:00:00"
    Image.new("RGB", (48, 36), "red").save(held, "JPEG", exif=exif)
    bucket.put("a/b/red.jpg", held.getvalue())
    bucket.put("a/drafts/blue.png", png("blue"))
    found = Remote().find("s3://photos/a", ignore=["drafts/"])
    assert [s.uri for s in found if isinstance(s, Source)] == ["s3://photos/a/b/red.jpg"]
    world.run(Path("s3://photos/a/b/red.jpg"))
    describe(
        collection=world.collection,
        catalog=world.catalog,
        open_store=world.open_store,
        text_embedder=WordEmbedder,
    )
    (image_id,) = world.store.ids()
    assert world.catalog.notes.abouts([image_id])[image_id].taken_from == "exif"
    assert world.catalog.notes.undescribed(world.collection) == []


# --- the web ----------------------------------------------------------------------------------------------


class Web:
    """Files by path; what was asked for is noted."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str | None]] = {}
        self.asked: list[str] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def _answer(self, *, body: bool) -> None:
                web.asked.append(f"{self.command} {self.path}")
                if self.path == "/away.png":
                    self.send_response(302)
                    self.send_header("Location", "http://169.254.169.254/latest/meta-data")
                    self.end_headers()
                    return
                found = web.files.get(self.path)
                self.send_response(200 if found else 404)
                if found:
                    self.send_header("Content-Length", str(len(found[0])))
                    if found[1]:
                        self.send_header("ETag", found[1])
                self.end_headers()
                if found and body:
                    self.wfile.write(found[0])

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.server.shutdown()
    made.server.server_close()


def near(web: Web) -> Remote:
    """May ask this machine, at the port that the test has; all other rules hold."""
    port = web.server.server_address[1]
    return Remote(allowed=lambda address: address == "127.0.0.1", ports=(80, port))


def test_a_list_on_the_web(world: World, web: Web) -> None:
    base = f"http://127.0.0.1:{web.server.server_address[1]}"
    web.files = {
        "/red.png": (png("red"), '"1"'),
        "/blue": (png("blue"), '"1"'),
        "/silent.png": (png("lime"), None),
    }
    lines = [
        "# mine", f"{base}/red.png", f"{base}/red.png", f"{base}/blue", f"{base}/silent.png",
        f"{base}/no.png", f"{base}/away.png", "file:///etc/passwd", "s3://bucket/key.png", "/etc/passwd", "ftp://x/y.png",
    ]  # fmt: skip
    web.files["/list.txt"] = ("\n".join(lines).encode(), None)
    root = Path(f"{base}/list.txt")
    report = world.run(root, remote=near(web))
    assert (report.added, report.images, report.failed) == (3, 3, ())
    reasons = {skip.path.removeprefix(base): skip.reason for skip in report.skipped}
    assert "404" in reasons["/no.png"] and "not public" in reasons["/away.png"]
    for line in ("file:///etc/passwd", "s3://bucket/key.png", "/etc/passwd", "ftp://x/y.png"):
        assert reasons[line] == "not an http or https address"
    web.asked.clear()
    again = world.run(root, remote=near(web))
    # What has a mark is not fetched again; what has none is looked at each time.
    assert again.unchanged == 3 and sorted(a for a in web.asked if a.startswith("GET")) == [
        "GET /list.txt",
        "GET /silent.png",
    ]
    web.files["/red.png"] = (png("yellow"), '"2"')
    assert world.run(root, remote=near(web)).updated == 1


def test_without_leave_this_machine_is_not_asked(world: World, web: Web) -> None:
    base = f"http://127.0.0.1:{web.server.server_address[1]}"
    report = world.run(
        Path(f"{base}/a.png"), Path("http://169.254.169.254/list"), Path("http://[::1]:80/x.png")
    )
    assert web.asked == [] and len(report.skipped) == 3 and report.images == 0
    with pytest.raises(BadImageError, match=r"not fetched from|not public"):
        read_source(f"{base}/a.png", DEFAULT_LIMITS)


def test_which_paths_are_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remote_uri(Path("s3://bucket/a b")) == "s3://bucket/a b"
    assert remote_uri(Path("HTTPS://host/a?b=1#c")) == "https://host/a?b=1#c"
    for local in ("/photos", "s3", "s3:", "photos/s3://x", "file:///etc/passwd", "C:/photos"):
        assert remote_uri(Path(local)) is None, local
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert remote_uri(Path("s3:/bucket")) is None  # a folder of that name is one
    assert name_of("https://host/a%20b.jpg?x=/c.png") == "a b.jpg"
    assert [type(s) for s in Remote().find("s3:///x")] == [Skipped]
