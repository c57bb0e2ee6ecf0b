"""The client against a server that answers, breaks off and hangs as told: retries, streams, errors."""

import asyncio
import email
import inspect
import io
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from askpix.api.client import client as client_module
from askpix.api.client import content
from askpix.api.client.client import AsyncClient, Client, Methods
from askpix.api.client.connection import AsyncIO, BlockingIO
from askpix.api.client.content import batches, image_reference
from askpix.api.schemas.results import Answer, SearchResult, to_json
from askpix.core.errors import (
    AskpixError,
    AuthError,
    BadQueryError,
    GenerationError,
    LimitError,
    NotFoundError,
    StoreUnavailableError,
)
from askpix.core.types import Near, Where
from askpix.ingest.pipeline.report import Failure, IngestReport, ReadReport

ID = "0b4c5b4e-93f4-5f0e-9d6f-4f6f4c1a0d11"
JOB = {
    "id": "j1",
    "kind": "files",
    "collection": "a",
    "state": "running",
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
}
COLLECTION = {
    "name": "a",
    "id": "c1",
    "embedder": "mini",
    "dim": 2,
    "text_embedder": "minilm",
    "store": "edge",
    "created_at": "2026-01-01T00:00:00+00:00",
    "images": 7,
    "sources": 7,
    "failed": 0,
    "text": {"pending": 0, "done": 7, "failed": 0},
}
FOUND = {"query": {"text": "a cat"}, "matched": False, "reason": "nothing fits", "hits": [], "took_ms": 1.0}
ANSWER = {"question": "?", "answer": "42", "answered": True, "generator": "extractive"}


@dataclass
class Reply:
    """What the server does with a request. ``events`` make it a stream; ``cut`` breaks the connection."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, Any]] | None = None
    cut: bool = False
    hang: bool = False


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def files(self) -> list[tuple[str, bytes]]:
        """Name and content of each part of a form."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        parts: Any = email.message_from_bytes(head + self.body).get_payload()
        return [(str(part.get_filename()), part.get_payload(decode=True)) for part in parts]


class Server(ThreadingHTTPServer):
    """Answers with ``replies``, one after the other, or with what ``answer`` makes of a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = []
        self.answer: Callable[[Request], Reply] = lambda _: self.replies.pop(0)
        self.requests: list[Request] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        self.server.requests.append(request)
        reply = self.server.answer(request)
        if reply.hang and reply.events is None:
            self.server.over.wait(60)
        if reply.events is not None:
            self._stream(reply)
        elif not reply.cut:
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            headers = {"content-type": "application/json", "content-length": str(len(data)), **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        self.close_connection |= reply.cut

    def _stream(self, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for name, data in reply.events or ():
            event = f": heartbeat\n\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()
        if reply.hang:
            self.server.over.wait(60)
        if not reply.cut:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = _do


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients wait; none of them passes."""
    seconds: list[float] = []

    async def sleep(_: object, duration: float) -> None:
        seconds.append(duration)

    monkeypatch.setattr(BlockingIO, "sleep", sleep)
    monkeypatch.setattr(AsyncIO, "sleep", sleep)
    return seconds


Call = Callable[..., Any]


def _blocking(url: str, name: str, *args: Any, **options: Any) -> Any:
    with Client(url, "k", **options.pop("client", {})) as client:
        found = getattr(client, name)(*args, **options)
        return list(found) if inspect.isgenerator(found) else found


def _asynchronous(url: str, name: str, *args: Any, **options: Any) -> Any:
    async def use() -> Any:
        async with AsyncClient(url, "k", **options.pop("client", {})) as client:
            found = getattr(client, name)(*args, **options)
            return [each async for each in found] if inspect.isasyncgen(found) else await found

    return asyncio.run(use())


@pytest.fixture(params=[_blocking, _asynchronous], ids=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest) -> Call:
    """``call(url, method, ...)`` of either client: both are to do the very same."""
    made: Call = request.param
    return made


def test_both_clients_have_the_same_methods_and_signatures() -> None:
    methods = {name for name in vars(Methods) if not name.startswith("_")}
    assert methods == {name for name in vars(Client) if not name.startswith("_")}
    for name in methods:
        blocking, written = getattr(Client, name), getattr(AsyncClient, name)
        shown, meant = inspect.signature(blocking), inspect.signature(written)
        assert shown.parameters == meant.parameters and blocking.__doc__
        streams = inspect.isasyncgenfunction(written)
        assert (shown == meant) is not streams
        assert ("Iterator" in str(shown.return_annotation)) is streams
        assert not inspect.iscoroutinefunction(blocking)


def test_a_busy_server_is_asked_again_when_it_says(server: Server, waits: list[float], call: Call) -> None:
    busy = [Reply(status, {"detail": "busy"}, {"Retry-After": "2"}) for status in (503, 429)]
    server.replies = [*busy, Reply(body=FOUND)]
    assert not call(server.url, "search", "a", "a cat").matched
    assert [request.json["text"] for request in server.requests] == ["a cat"] * 3
    assert len(waits) == 2 and all(2 <= seconds <= 2.4 for seconds in waits)


def test_tries_and_waits_are_bounded(server: Server, waits: list[float], call: Call) -> None:
    server.answer = lambda _: Reply(503, {"detail": "busy", "request_id": "r7"})
    with pytest.raises(StoreUnavailableError, match=r"^busy \(request r7\)$"):
        call(server.url, "collection", "a")
    assert len(server.requests) == 4
    assert [low <= wait <= 2 * low for low, wait in zip((0.25, 0.5, 1.0), waits, strict=True)] == [True] * 3
    waits.clear()
    server.answer = lambda _: Reply(429, {"detail": "too often"}, {"Retry-After": "3600"})
    with pytest.raises(LimitError, match="too often"):
        call(server.url, "collection", "a")
    assert waits == [], "nobody waits for an hour"


def test_what_changes_something_is_not_repeated(server: Server, waits: list[float], call: Call) -> None:
    for name, args in (
        ("create_collection", "a"),
        ("delete_collection", "a"),
        ("delete_image", ID),
        ("retry", "j"),
    ):
        for reply in (Reply(cut=True), Reply(503, {"detail": "busy"})):
            server.requests.clear()
            server.replies = [reply]
            with pytest.raises(StoreUnavailableError):
                call(server.url, name, args)
            assert len(server.requests) == 1 and waits == []
    server.replies = [Reply(429, {"detail": "too often"}), Reply(body=JOB)]
    assert call(server.url, "retry", "j1").id == "j1", "it was turned away before anything was done"


def test_a_connection_that_breaks_is_made_anew(server: Server, waits: list[float], call: Call) -> None:
    server.replies = [Reply(cut=True), Reply(headers={"content-length": "999"}, cut=True), Reply(body=ANSWER)]
    assert call(server.url, "ask", "a", "?").answer == "42"
    assert len(server.requests) == 3 and len(waits) == 2


def test_nobody_there_is_one_line(waits: list[float], call: Call) -> None:
    with Server() as gone:
        pass
    with pytest.raises(StoreUnavailableError, match=rf"^the server at '{gone.url}' does not answer: .*$"):
        call(gone.url, "create_collection", "a")
    assert len(waits) == 3, "nothing was sent: it is safe to try again"


def test_a_server_that_is_still_at_it_is_not_asked_again(
    server: Server, waits: list[float], call: Call
) -> None:
    server.replies = [Reply(hang=True)]
    with pytest.raises(StoreUnavailableError, match=r"has not answered for 0\.2 s"):
        call(server.url, "search", "a", "x", client={"timeout_s": 0.2})
    assert len(server.requests) == 1 and waits == []


def test_a_stream_tells_what_it_had_before_it_broke(server: Server, waits: list[float], call: Call) -> None:
    events = [("hits", FOUND), ("news", {"a": 1}), ("delta", {"text": "4"}), ("delta", {"text": "2"})]
    server.replies = [Reply(503, {"detail": "busy"}), Reply(events=[*events, ("answer", ANSWER)])]
    found, *deltas, answer = call(server.url, "ask_stream", "a", "?")
    assert isinstance(found, SearchResult) and isinstance(answer, Answer) and len(waits) == 1
    assert deltas == ["4", "2"]
    server.requests.clear()
    for cut in (True, False):
        server.replies = [Reply(events=events, cut=cut)]
        with Client(server.url) as client:
            stream = client.ask_stream("a", "?")
            assert isinstance(next(stream), SearchResult)
            with pytest.raises(StoreUnavailableError, match=r"broke off|before the answer"):
                list(stream)
    assert len(server.requests) == 2 and len(waits) == 1, "nothing of it is repeated"
    server.replies = [Reply(events=[("hits", FOUND), ("error", {"status": 502, "detail": "no words"})])]
    with pytest.raises(GenerationError, match="no words"):
        call(server.url, "ask_stream", "a", "?")


def test_a_stream_that_is_left_closes_its_connection(server: Server) -> None:
    server.replies = [Reply(events=[("hits", FOUND)], hang=True), Reply(body=FOUND)]
    with Client(server.url) as client:
        for each in client.ask_stream("a", "?"):
            assert isinstance(each, SearchResult)
            break
        assert client.search("a", "x").reason == "nothing fits"


def test_a_wait_goes_on_where_its_stream_broke(
    server: Server, waits: list[float], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_SILENCE_S", 0.2)
    running, done = ("progress", JOB), ("done", {**JOB, "state": "done", "result": {"added": 1}})
    server.replies = [
        Reply(events=[running], cut=True),
        Reply(events=[running], hang=True),  # silent, without a heartbeat
        Reply(events=[running]),  # the server was stopped
        Reply(events=[running, done]),
    ]
    seen: list[str] = []
    job = call(
        server.url, "wait", "j1", on_progress=lambda each: seen.append(each.state), client={"retries": 1}
    )
    assert job.state == "done" and job.result == {"added": 1} and seen == ["running"] * 4
    assert [request.path for request in server.requests] == ["/v1/jobs/j1/events"] * 4
    server.answer = lambda _: Reply(events=[])
    with pytest.raises(StoreUnavailableError, match="it goes on when it is back"):
        call(server.url, "wait", "j1")


def test_uploads_are_streamed_in_batches_and_sent_anew(
    server: Server, waits: list[float], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_MAX_BATCH_FILES", 3)
    monkeypatch.setattr(content, "_MAX_BATCH_BYTES", 1000)
    names = ["a.jpg", 'b"quoted".jpg', "größe.jpg", "d.jpg", "large.jpg"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([number]) * (2000 if name == "large.jpg" else 300))
    fails = [Reply(cut=True), Reply(503, {"detail": "busy"})]

    def answer(request: Request) -> Reply:
        return fails.pop() if fails else Reply(202, {"job": f"j{len(server.requests)}", "url": "/"})

    server.answer = answer
    uploads = call(server.url, "upload", "a", [tmp_path / name for name in names])
    assert [each.job for each in uploads] == ["j3", "j4", "j5"] and len(waits) == 2
    sent = [file for request in server.requests[2:] for file in request.files]
    assert [len(request.files) for request in server.requests] == [3, 3, 3, 1, 1]
    assert [data for _, data in sent] == [(tmp_path / name).read_bytes() for name in names]
    assert [sent[number][0] for number in (0, 4)] == ["a.jpg", "large.jpg"]


def test_a_server_with_lower_limits_gets_smaller_uploads(server: Server, call: Call, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(7)]
    for path in paths:
        path.write_bytes(b"x")

    def answer(request: Request) -> Reply:
        if len(request.files) > 2:
            return Reply(413, {"detail": "more than 2 files in one upload"})
        return Reply(202, {"job": "j", "url": "/"})

    server.answer = answer
    assert len(call(server.url, "upload", "a", paths)) == 4
    kept = [name for request in server.requests if len(request.files) <= 2 for name, _ in request.files]
    assert kept == [path.name for path in paths]
    server.answer = lambda _: Reply(413, {"detail": "a file is over the limit"})
    with pytest.raises(LimitError, match="a file is over the limit"):
        call(server.url, "upload", "a", paths[:1])


def test_files_that_are_not_there_are_named(
    server: Server, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x" * 10)
    with pytest.raises(NotFoundError, match=r"no such file or folder: .*b\.jpg"):
        call(server.url, "upload", "a", [tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert server.requests == [] and call(server.url, "upload", "a", []) == []
    monkeypatch.setattr(content, "_files", lambda _: iter([(tmp_path / "a.jpg", 20)]))
    with pytest.raises(AskpixError, match=r"a\.jpg' became shorter while it was sent"):
        call(server.url, "upload", "a", tmp_path / "a.jpg")
    monkeypatch.setattr(content, "_files", lambda _: iter([(tmp_path / "gone.jpg", 20)]))
    with pytest.raises(NotFoundError, match=r"cannot read .*gone\.jpg"):
        call(server.url, "upload", "a", tmp_path / "a.jpg")


def test_folders_are_looked_through_for_images(tmp_path: Path) -> None:
    picture = PillowImage.new("RGB", (8, 8))
    for name in ("b.jpg", "sub/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "letter.docx").write_bytes(b"PK")  # the server may open what this machine cannot
    [batch] = batches(tmp_path)
    assert sorted(path.name for path, _ in batch) == ["a.png", "b.jpg", "letter.docx"]


def test_images_go_as_ids_files_bytes_and_pixels(tmp_path: Path) -> None:
    assert image_reference(ID) == ID
    assert image_reference("data:image/png;base64,AAAA") == "data:image/png;base64,AAAA"
    (tmp_path / ID).write_bytes(b"abc")
    for image in (tmp_path / ID, str(tmp_path / ID), b"abc"):
        assert image_reference(image) == "data:image/*;base64,YWJj"
    for mode, size, kind in (
        ("RGBA", (4, 4), "PNG"),
        ("CMYK", (4, 4), "PNG"),
        ("RGBA", (2001, 2000), "JPEG"),
    ):
        reference = image_reference(PillowImage.new(mode, size))
        sent = PillowImage.open(io.BytesIO(_decoded(reference)))
        assert (sent.format, sent.size) == (kind, size)
    wrong: list[tuple[Any, type[AskpixError]]] = [
        ("nowhere.jpg", NotFoundError),
        (tmp_path, NotFoundError),
        (5, BadQueryError),
    ]
    for thing, error in wrong:
        with pytest.raises(error):
            image_reference(thing)


def _decoded(reference: str) -> bytes:
    import base64

    return base64.b64decode(reference.partition(",")[2])


def test_many_images_take_several_requests(server: Server, call: Call) -> None:
    def answer(request: Request) -> Reply:
        images = request.json.get("images", request.json.get("input"))
        rows = [{"index": number, "caption": f"of {image[-4:]}"} for number, image in enumerate(images)]
        return Reply(body={"results": rows, "data": [{"embedding": [1.0, 0.0]}] * len(images)})

    server.answer = answer
    captions = call(server.url, "caption", [bytes([number]) * 3 for number in range(20)])
    assert [each.index for each in captions] == list(range(20)) and len(
        {each.caption for each in captions}
    ) == 20
    assert [len(request.json["images"]) for request in server.requests] == [16, 4]
    vectors = call(server.url, "embeddings", ["a cat", b"abc"] * 40, model="mini")
    assert vectors.shape == (80, 2) and vectors.dtype == "float32"
    assert call(server.url, "embeddings", [], model="mini").shape == (0, 0)


def test_pages_are_followed_to_the_end(server: Server, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    image = {"id": ID, "collection": "a", "uri": "x", "kind": "photo", "width": 1, "height": 1, "sha256": "0"}
    server.replies = [Reply(body={"images": [image] * count}) for count in (2, 2, 1)]
    assert len(call(server.url, "images", "a", order="newest")) == 5
    assert [request.path.partition("?")[2] for request in server.requests] == [
        f"order=newest&limit=2&offset={offset}" for offset in (0, 2, 4)
    ]


def test_a_newer_server_may_tell_more_but_not_less(server: Server, call: Call) -> None:
    server.replies = [Reply(body={**FOUND, "mood": "fine", "query": {"text": "x", "tone": 1}})]
    assert call(server.url, "search", "a", "x").query.text == "x"
    for body in ({}, [], {**FOUND, "matched": "perhaps"}, b"<html>"):
        server.replies = [Reply(body=body)]
        with pytest.raises(AskpixError, match=r"not understood|answers no JSON") as raised:
            call(server.url, "search", "a", "x")
        assert "\n" not in str(raised.value)


def test_filters_go_as_the_server_takes_them(server: Server, call: Call) -> None:
    server.answer = lambda _: Reply(body=FOUND)
    where = Where(after=datetime(2020, 1, 2), near=Near(1.0, 2.0, 3.0), tags=("cat",))
    call(server.url, "search", "a", where=where, image=ID, off=["year"])
    call(server.url, "search", "a", where={"after": datetime(2020, 1, 2)})
    near = {"near": (1, 2, 3), "tags": ["cat"], "kind": "page", "after": "2018-05"}
    call(server.url, "search", "a", like=ID, **near)
    first, second, third = (request.json for request in server.requests)
    expected = {"near": {"lat": 1, "lon": 2, "km": 3}, "tags": ["cat"], "kind": "page", "after": "2018-05"}
    assert third["where"] == expected and third["image"] == ID
    for both in ({"where": where, "kind": "page"}, {"image": b"abc", "like": ID}):
        with pytest.raises(BadQueryError, match="not both"):
            call(server.url, "search", "a", **both)
    assert first["where"]["after"] == second["where"]["after"] == "2020-01-02T00:00:00"
    assert first["where"]["near"] == {"lat": 1.0, "lon": 2.0, "km": 3.0} and first["where"]["tags"] == ["cat"]
    assert first["image"] == ID and first["off"] == ["year"]


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (Reply(404, {"detail": "no image", "request_id": "r1"}), NotFoundError, r"^no image \(request r1\)$"),
        (Reply(401, {"detail": "who?"}, {"x-request-id": "r2"}), AuthError, r"^who\? \(request r2\)$"),
        (Reply(502, b"<html>bad gateway</html>"), StoreUnavailableError, "answers 502 Bad Gateway; is it an"),
        (Reply(404, b"nothing here"), NotFoundError, "answers 404 Not Found; is it an Askpix server"),
        (Reply(307, b"", {"location": "/elsewhere"}), AskpixError, "redirects to '/elsewhere'"),
        (Reply(500, {"detail": "internal error"}), AskpixError, "^internal error$"),
    ],
)
def test_problems_are_our_errors(
    server: Server, call: Call, reply: Reply, error: type[AskpixError], says: str
) -> None:
    server.replies = [reply]
    with pytest.raises(error, match=says) as raised:
        call(server.url, "image", ID)
    assert "\n" not in str(raised.value)
    [request] = server.requests
    assert request.headers["authorization"] == "Bearer k", "and no second address got it"


def test_names_stay_one_part_of_the_path(server: Server, call: Call) -> None:
    server.replies = [Reply(404, {"detail": "no"})]
    with pytest.raises(NotFoundError):
        call(server.url, "collection", "a/../b?c#d é")
    assert server.requests[0].path == "/v1/collections/a%2F..%2Fb%3Fc%23d%20%C3%A9"
    for name in ("", ".", ".."):
        with pytest.raises(NotFoundError, match="no collection"):
            call(server.url, "delete_collection", name)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://nowhere",
        "nowhere",
        "http://",
        "http://h:99999",
        "http://[::1",
        "http://u:p@h",
        "http://h?x=1",
        None,
    ],
)
def test_a_bad_address_is_one_line(url: Any) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(AskpixError, match="is not a server URL; expected http://HOST:PORT"):
            kind(url)


def test_a_path_in_front_is_kept(server: Server, call: Call) -> None:
    server.replies = [Reply(body={"status": "ok"})]
    assert call(f"{server.url}/askpix/", "health") == "ok"
    assert server.requests[0].path == "/askpix/healthz"


def test_a_key_on_an_open_line_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"the key goes to 'http://photos\.test' unencrypted") as caught:
        Client("http://photos.test", "k")
    assert caught[0].filename == __file__
    for url, key in (("http://photos.test", None), ("https://photos.test", "k"), ("http://127.0.0.2:1", "k")):
        Client(url, key)  # warnings are errors here
    with pytest.raises(AuthError, match="copy it again"):
        Client("http://localhost", "ключ\n")


def test_no_proxy_stands_before_this_machine(
    server: Server, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.replies = [Reply(body={"status": "ok"})]
    assert call(server.url, "health") == "ok"


def test_the_blocking_client_works_inside_a_running_loop(server: Server) -> None:
    server.answer = lambda _: Reply(body={"images": []})

    async def notebook() -> list[Any]:
        with Client(server.url) as client:
            return list(client.images("a"))

    assert asyncio.run(notebook()) == []


def test_a_coroutine_that_would_suspend_is_a_bug_that_is_told() -> None:
    from askpix.api.client.connection import iterate, run

    with pytest.raises(RuntimeError, match="suspended"):
        run(asyncio.sleep(0))

    async def items() -> AsyncGenerator[int]:
        yield 1

    assert list(iterate(items())) == [1]


def test_the_reports_of_many_uploads_are_added_up(
    server: Server, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_MAX_BATCH_FILES", 2)
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    report = IngestReport("a", "mini", 2, 0, 1, 0, 0, (Failure("x", "no"),), (), 5, 2.0, 10.0)
    later = replace(report, added=1, images=6, seconds=1.0, images_per_second=1.0, text=ReadReport(read=4))
    results = {"j1": {**to_json(report), "files": []}, "j2": to_json(later)}
    uploaded: list[str] = []

    def answer(request: Request) -> Reply:
        if request.method == "POST":
            uploaded.append(f"j{len(uploaded) + 1}")
            return Reply(202, {"job": uploaded[-1], "url": "/"})
        if "/jobs/" in request.path:
            job_id = request.path.split("/")[3]
            return Reply(events=[("done", {**JOB, "state": "done", "result": results[job_id]})])
        return Reply(body=COLLECTION)

    server.answer = answer
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    whole = call(server.url, "index", "a", paths)
    assert (whole.added, whole.unchanged, whole.images, whole.seconds) == (3, 2, 6, 3.0)
    assert len(whole.failed) == 2 and whole.text.read == 4 and whole.images_per_second == 7.0
    assert call(server.url, "index", "a", []).images == 7
    uploaded.clear()
    failed = {**JOB, "state": "failed", "error": "the disk is full"}
    server.answer = lambda request: (
        Reply(events=[("failed", failed)]) if "jobs" in request.path else answer(request)
    )
    with pytest.raises(AskpixError, match="job 'j1' failed: the disk is full"):
        call(server.url, "index", "a", paths)


@pytest.mark.parametrize(
    ("name", "given", "options"),
    [
        ("search", ("a", "a cat"), {"near": (1, 2)}),
        ("search", ("a", "a cat"), {"near": "Berlin"}),
        ("search", ("a", "a cat"), {"where": {"path": object()}}),
        ("ask", ("a", "?"), {"history": "hello"}),
        ("ask", ("a", "?"), {"history": [("user",)]}),
        ("ask", ("a", "?"), {"history": [5]}),
        ("caption", ("cat.jpg",), {}),
        ("classify", (b"JPEG", ["cat"]), {}),
        ("embeddings", ("cat",), {"model": "mini"}),
        ("collection", (None,), {}),
        ("image", (5,), {}),
        ("upload", ("a", ""), {}),
        ("upload", ("a", ["cat.jpg", ""]), {}),
        ("upload", ("a", None), {}),
        ("call", ("GET", "http://127.0.0.1:9/elsewhere"), {}),
        ("call", ("GET", "//127.0.0.1:9/elsewhere"), {}),
    ],
)
def test_what_cannot_be_sent_is_one_line_and_not_sent(
    server: Server, call: Call, name: str, given: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises((BadQueryError, NotFoundError)) as raised:
        call(server.url, name, *given, **options)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 200
    assert not server.requests


def test_one_string_where_a_list_is_meant_is_left_to_the_server(server: Server, call: Call) -> None:
    server.replies.append(Reply(422, {"detail": "body.where.tags: Input should be a valid tuple"}))
    with pytest.raises(BadQueryError, match="valid tuple"):
        call(server.url, "search", "a", "a cat", tags="holiday")
    assert server.requests[0].json["where"]["tags"] == "holiday"


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1:9")
    client.close()
    with pytest.raises(StoreUnavailableError, match="is closed"):
        client.health()
