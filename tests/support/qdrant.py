"""A small Qdrant cluster over HTTP: the client's local mode behind as many addresses as there are nodes."""

import json
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic_core import to_jsonable_python
from qdrant_client import QdrantClient, models


@dataclass(frozen=True)
class Request:
    """What a node was asked."""

    node: int
    method: str
    path: str
    body: Any
    key: str | None


Fault = Callable[[Request], tuple[int, str] | None]
"""Status and message of the refusal of a request; None: it is answered."""


def answer_all(_: Request) -> None:
    """The ``Fault`` of a healthy cluster."""


@dataclass(eq=False)
class FakeQdrant:
    """Nodes that share their collections. Version 1.19.0 takes a full-text condition for a substring, and
    older than 1.20 knows no other."""

    version: str
    holds: dict[int, list[int]]
    """Ids of the shards that each node holds."""
    urls: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    fault: Fault = field(default_factory=lambda: answer_all)
    _client: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    _fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    _servers: list[ThreadingHTTPServer] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _turn: Any = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        """Every address, as ``ASKPIX_QDRANT_URL`` takes them."""
        return ",".join(self.urls)

    def asked(self, method: str, path: str) -> list[Request]:
        """Requests with this method whose whole path the pattern fits."""
        return [each for each in self.requests if each.method == method and re.fullmatch(path, each.path)]

    def collections(self) -> list[str]:
        """Names of the physical collections there are."""
        return sorted(each.name for each in self._client.get_collections().collections)

    def points(self) -> int:
        """Points in all collections together."""
        return sum(self._client.count(name).count for name in self.collections())

    def start(self, node: int) -> None:
        """Listen at an address of its own."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or "null")
                path = self.path.partition("?")[0]
                request = Request(node, self.command, path, body, self.headers.get("api-key"))
                status, answer = fake.answer(request)
                sent = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                with suppress(ConnectionError):  # it may not have waited
                    self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self._servers.append(server)
        self._threads.append(thread)
        self.urls.append(f"http://127.0.0.1:{server.server_port}")

    def kill(self, node: int) -> None:
        """Stop listening: connections are refused from now on."""
        self._servers[node].shutdown()
        self._threads[node].join()
        self._servers[node].server_close()

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status and JSON for one request."""
        with self._turn, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what only a server does
            self.requests.append(request)
            if refused := self.fault(request):
                return refused[0], {"status": {"error": refused[1]}}
            if request.path == "/":
                return 200, {"title": "qdrant", "version": self.version}
            try:
                result = self._result(request)
            except ValueError as error:
                status = 404 if "not found" in str(error) else 400
                return status, {"status": {"error": str(error)}}
            return 200, {"result": to_jsonable_python(result), "status": "ok", "time": 0.0}

    def _result(self, request: Request) -> Any:
        client, body = self._client, self._as_this_version(request.body)
        _, _, name, *rest = [*request.path.split("/"), ""]
        match request.method, "/".join(part for part in rest if part):
            case "GET", "" if not name:
                return client.get_collections()
            case "GET", "exists":
                return {"exists": client.collection_exists(name)}
            case "GET", "":
                found: Any = to_jsonable_python(client.get_collection(name))
                return found | {"payload_schema": self._fields.get(name, {})}
            case "PUT", "":
                made = models.CreateCollection.model_validate(body)
                if client.collection_exists(name):
                    raise ValueError(f"collection {name} exists already")
                return client.create_collection(
                    name,
                    vectors_config=made.vectors,
                    sparse_vectors_config=made.sparse_vectors,
                    metadata=made.metadata,
                )
            case "DELETE", "":
                self._fields.pop(name, None)
                return client.delete_collection(name)
            case "PUT", "index":
                schema = self._fields.setdefault(name, {})
                schema[body["field_name"]] = {"data_type": body["field_schema"]["type"], "points": 0}
                return DONE
            case "PUT", "points":
                return client.upsert(name, models.PointsList.model_validate(body).points)
            case "POST", "points/payload":
                change = models.SetPayload.model_validate(body)
                assert change.filter
                return client.set_payload(name, change.payload, points=change.filter)
            case "POST", "points/delete":
                return client.delete(name, points_selector=models.FilterSelector.model_validate(body))
            case "POST", "points":
                wanted = models.PointRequest.model_validate(body)
                vectors = wanted.with_vector or False
                return client.retrieve(
                    name, wanted.ids, with_payload=wanted.with_payload or False, with_vectors=vectors
                )
            case "POST", "points/query":
                return self._query(name, models.QueryRequest.model_validate(body))
            case "POST", "points/scroll":
                return self._scroll(name, models.ScrollRequest.model_validate(body))
            case "POST", "points/count":
                return client.count(name, models.CountRequest.model_validate(body).filter)
            case "POST", "facet":
                facet = models.FacetRequest.model_validate(body)
                return client.facet(name, facet.key, facet.filter, limit=facet.limit or 10)
            case "POST", "snapshots":
                client.get_collection(name)
                number = len(self.asked("POST", "/collections/.*/snapshots"))
                return {"name": f"{name}-{request.node}-{number}.snapshot", "size": 4096}
            case "GET", "cluster":
                return self._shards(request.node)
        raise ValueError(f"{request.method} {request.path} is not found")

    def _query(self, name: str, asked: models.QueryRequest) -> Any:
        return self._client.query_points(
            name,
            query=asked.query,
            using=asked.using,
            prefetch=asked.prefetch,
            query_filter=asked.filter,
            search_params=asked.params,
            limit=asked.limit or 10,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
        )

    def _scroll(self, name: str, asked: models.ScrollRequest) -> Any:
        points, following = self._client.scroll(
            name,
            scroll_filter=asked.filter,
            limit=asked.limit or 10,
            order_by=asked.order_by,
            offset=asked.offset,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
        )
        return {"points": points, "next_page_offset": following}

    def _shards(self, node: int) -> Any:
        remote = [
            {"shard_id": shard, "peer_id": peer, "state": "Active"}
            for peer, shards in self.holds.items()
            if peer != node
            for shard in shards
        ]
        local = [{"shard_id": shard, "points_count": 1, "state": "Active"} for shard in self.holds[node]]
        return {
            "peer_id": node,
            "shard_count": len({shard for shards in self.holds.values() for shard in shards}),
            "local_shards": local,
            "remote_shards": remote,
            "shard_transfers": [],
        }

    def _as_this_version(self, body: Any) -> Any:
        numbers = tuple(int(part) for part in self.version.split("."))
        if isinstance(body, list):
            return [self._as_this_version(each) for each in body]
        if not isinstance(body, dict):
            return body
        condition = body.get("match")
        if isinstance(condition, dict) and numbers < (1, 20):
            if "substring" in condition:
                raise ValueError("unknown variant `substring`")
            if "text" in condition and numbers == (1, 19, 0):
                return body | {"match": {"substring": condition["text"]}}
        return {key: self._as_this_version(value) for key, value in body.items()}


DONE = {"operation_id": 1, "status": "completed"}


@contextmanager
def fake_qdrant(
    *, version: str = "1.20.0", nodes: int = 1, holds: dict[int, list[int]] | None = None
) -> Iterator[FakeQdrant]:
    """A cluster for as long as the block lasts. ``holds``: nodes by number, also those without an address."""
    fake = FakeQdrant(version, holds or {node: [0] for node in range(nodes)})
    for node in range(nodes):
        fake.start(node)
    try:
        yield fake
    finally:
        for node in range(nodes):
            fake.kill(node)
        fake._client.close()
