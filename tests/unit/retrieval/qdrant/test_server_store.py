"""The wire to a Qdrant server: what is asked again, what is given up, and how that is said."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.core.types import Where
from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer, Quantization
from askpix.retrieval.qdrant.filters import INDEXES
from askpix.retrieval.qdrant.server_models import server_indexes, to_server_filter
from askpix.retrieval.qdrant.server_store import QdrantServerStore
from tests.support.fakes import record, unit
from tests.support.stores import SerialClient

Answers = Callable[[str, str, Any], tuple[int, Any]]
MADE_WITH = {"model_id": "colour", "dim": 4, "text_model_id": "word-bag", "text_dim": 4}


@contextmanager
def qdrant(answers: Answers) -> Iterator[tuple[str, list[tuple[str, str, Any, Any]]]]:
    """A server on this machine that answers as told; its address and what it was asked."""
    asked: list[tuple[str, str, Any, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            asked.append((self.command, self.path.partition("?")[0], body, dict(self.headers)))
            status, answer = answers(self.command, self.path.partition("?")[0], body)
            if answer is CUT:
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
                return
            sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


CUT = object()


def healthy(method: str, path: str, body: Any) -> tuple[int, Any]:
    """As much of Qdrant as opening a store and writing to it needs."""
    if path == "/":
        return 200, {"title": "qdrant", "version": "1.20.3"}
    result: Any = True
    if path == "/collections":
        result = {"collections": []}
    elif path.endswith("/exists"):
        result = {"exists": False}
    elif method == "GET" and path.startswith("/collections/"):
        result = COLLECTION
    elif "/points" in path or "/index" in path:
        result = {"operation_id": 1, "status": "completed"}
    return 200, {"result": result, "status": "ok", "time": 0.0}


COLLECTION = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "config": {
        "params": {},
        "hnsw_config": {"m": 0, "ef_construct": 128, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
        "metadata": {"model": "colour", "dim": 4, "text_model": "word-bag", "text_dim": 4},
    },
    "payload_schema": {},
}


def open_store(
    url: str, *, timeout_s: float = 5, api_key: str | None = None, **more: Any
) -> QdrantServerStore:
    server = QdrantServer.connect(url, api_key=api_key, timeout_s=timeout_s)
    return QdrantServerStore.open(server, physical="p", tenant="ann", **MADE_WITH, **more)


def test_a_collection_is_made_for_scale() -> None:
    with qdrant(healthy) as (url, asked):
        shape = ClusterShape(shards=6, replicas=2, write_replicas=2, quantization="scalar")
        with open_store(url, api_key="s3cret", shape=shape) as store:
            store.upsert([record(1, text="Total 9")], np.eye(4, dtype=np.float32)[:1])
    (made,) = [body for method, path, body, _ in asked if (method, path) == ("PUT", "/collections/p")]
    assert (made["shard_number"], made["replication_factor"], made["write_consistency_factor"]) == (6, 2, 2)
    assert made["hnsw_config"] == {"m": 0, "payload_m": 16, "ef_construct": 128}
    assert made["quantization_config"]["scalar"]["memory"] == "pinned"
    assert made["vectors"]["image"] == {"size": 4, "distance": "Cosine", "memory": "cold"}
    assert made["sparse_vectors"]["words"]["modifier"] == "idf"
    assert made["payload"] == {"memory": "cold"}
    indexes = {
        body["field_name"]: body["field_schema"] for _, path, body, _ in asked if path.endswith("/index")
    }
    assert indexes.keys() == {"tenant", *INDEXES}
    assert indexes["tenant"]["is_tenant"] is True
    (sent,) = [body for method, path, body, _ in asked if path == "/collections/p/points"]
    assert sent["points"][0]["payload"]["tenant"] == "ann"
    assert all(headers["api-key"] == "s3cret" for *_, headers in asked)


@pytest.mark.parametrize("kind", ["turbo", "scalar", "binary", "product", "none"])
def test_every_quantisation_is_sent(kind: Quantization) -> None:
    with qdrant(healthy) as (url, asked):
        open_store(url, shape=ClusterShape(quantization=kind)).close()
    (made,) = [body for method, path, body, _ in asked if (method, path) == ("PUT", "/collections/p")]
    assert (list(made.get("quantization_config") or ["none"])) == [kind]


def test_a_wrong_key_is_one_line_at_once() -> None:
    def refuse(method: str, path: str, body: Any) -> tuple[int, Any]:
        return healthy(method, path, body) if path == "/" else (401, b"Must provide an API key")

    with qdrant(refuse) as (url, asked):
        with pytest.raises(
            StoreUnavailableError, match=r"refused the key \(401\); set ASKPIX_QDRANT_API_KEY"
        ):
            open_store(url)
        assert len(asked) == 2


def test_an_old_server_is_refused() -> None:
    with qdrant(lambda *_: (200, {"title": "qdrant", "version": "1.13.4"})) as (url, _):
        message = r"version 1\.13\.4; 1\.20 or newer"
        with pytest.raises(StoreUnavailableError, match=message):
            open_store(url)


def test_something_else_at_the_address_is_said() -> None:
    with qdrant(lambda *_: (200, b"<html>hello</html>")) as (url, asked):
        assert asked == []
        with pytest.raises(StoreUnavailableError, match="not Qdrant's; check the address"):
            open_store(url)


def test_nobody_there_and_no_address() -> None:
    with qdrant(healthy) as (url, _):
        pass
    with pytest.raises(StoreUnavailableError, match=r"cannot reach Qdrant.*is it running"):
        open_store(url)
    for wrong in ("localhost:6333", "ftp://x", "http://", "", "http://h:99999999"):
        with pytest.raises(StoreUnavailableError, match="no address of a Qdrant server"):
            QdrantServer.connect(wrong)
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(url.replace("http://", "http://ann:pass@"))
    assert "pass" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "failure", [(503, {"status": {"error": "busy"}}), (429, {"status": {"error": "slow"}}), (200, CUT)]
)
def test_what_may_pass_is_tried_again(failure: tuple[int, Any]) -> None:
    """Each write fails once and then succeeds."""
    failed: set[str] = set()

    def flaky(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/collections/p/points" and path not in failed:
            failed.add(path)
            return failure
        return healthy(method, path, body)

    with qdrant(flaky) as (url, asked):
        with open_store(url) as store:
            store.upsert([record(1)], np.eye(4, dtype=np.float32)[:1])
        assert [path for _, path, *_ in asked].count("/collections/p/points") == 2


def test_what_does_not_pass_is_given_up_in_one_line() -> None:
    def broken(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/collections/p/points":
            return 503, {"status": {"error": "no\nleader"}}
        if path.endswith("/points/query"):
            return 400, {"status": {"error": "bad vector"}}
        return healthy(method, path, body)

    with qdrant(broken) as (url, asked), open_store(url) as store:
        with pytest.raises(StoreUnavailableError, match=r"refused \(503\): no leader$"):
            store.upsert([record(1)], np.eye(4, dtype=np.float32)[:1])
        assert [path for _, path, *_ in asked].count("/collections/p/points") == 4
        with pytest.raises(StoreUnavailableError, match=r"refused \(400\): bad vector$"):
            store.search("image", unit([1, 0, 0, 0])[0], where=Where(), limit=3)
        assert [path for _, path, *_ in asked].count("/collections/p/points/query") == 1


def test_a_server_that_does_not_answer_is_waited_for_only_so_long() -> None:
    def slow(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.endswith("/points/count"):
            time.sleep(1.3)
        return healthy(method, path, body)

    with (
        qdrant(slow) as (url, _),
        open_store(url, timeout_s=1) as store,
        pytest.raises(StoreUnavailableError, match="did not answer in time"),
    ):
        store.count()


# --- tenants, on Qdrant's local mode ----------------------------------------------------------------------


@pytest.fixture
def client(tmp_path: Any) -> Iterator[QdrantClient]:
    ready = SerialClient(tmp_path / "q")
    yield ready
    ready.close()


def tenant(client: QdrantClient, name: str, **others: Any) -> QdrantServerStore:
    made_with: dict[str, Any] = MADE_WITH | others
    return QdrantServerStore.open(QdrantServer(client, "local"), physical="p", tenant=name, **made_with)


def test_tenants_share_a_collection_and_see_nothing_of_each_other(client: QdrantClient) -> None:
    ann, bob = tenant(client, "ann"), tenant(client, "bob")
    rows = np.eye(4, dtype=np.float32)
    ann.upsert([record(f"a{n}", text="total sushi", tags=("x",)) for n in range(3)], rows[:3])
    bob.upsert([record("b", text="total", tags=("y",))], rows[3:])
    ann.set_text([record("a0").id], ["total"], [rows[:1]])
    secret = record("a0").id
    assert (ann.count(), bob.count(), len(list(bob.ids()))) == (3, 1, 1)
    assert bob.get([secret]) == []
    assert bob.passages([secret])[0].shape == (0, 4)
    assert [hit.id for hit in bob.search("image", rows[0], where=Where(), limit=9)] == [record("b").id]
    assert bob.search("text", rows[0], where=Where(), limit=9) == []
    assert bob.facets(Where())["tags"] == (("y", 1),)
    assert bob.scroll(Where(), limit=9) == [record("b").id]
    assert bob.sample_vectors(9).shape == (1, 4)
    # Words weigh by the tenant's own texts: one text of one, as if nobody else were there.
    alone = bob.search("words", "total", where=Where(), limit=9)
    ann.delete_all()
    assert bob.search("words", "total", where=Where(), limit=9) == alone
    assert (ann.count(), bob.count()) == (0, 1)
    ann.upsert([record("a0")], rows[:1])
    bob.delete([secret])
    bob.set_tags({secret: ("stolen",)})
    bob.set_copies(record("a0", uri="/stolen.jpg"))
    bob.set_text([secret], ["stolen"], [rows[:1]])
    assert ann.get([secret]) == [record("a0")]


def test_other_models_are_refused(client: QdrantClient) -> None:
    tenant(client, "ann")
    with pytest.raises(IndexMismatchError, match="other models"):
        tenant(client, "ann", model_id="other")


# --- translation ------------------------------------------------------------------------------------------


def test_every_index_has_a_counterpart_on_the_server() -> None:
    made = server_indexes()
    assert made.keys() == {"tenant", *INDEXES}
    assert made["paths"].prefix is True
    assert made["tenant"].is_tenant is True


def test_a_filter_names_its_tenant() -> None:
    assert to_server_filter("ann").must == [
        models.FieldCondition(key="tenant", match=models.MatchValue(value="ann"))
    ]
