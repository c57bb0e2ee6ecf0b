"""The service under load: what is measured is what clients saw, and what was acknowledged is looked for."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from askpix.api.server.run import _listen
from benchmarks.load.serve import _load, measure_serving
from benchmarks.load.soak import texts
from tests.support.service import served, until_ready


@pytest.mark.slow
def test_a_server_is_loaded_and_soaked(tmp_path: Path) -> None:
    told: list[str] = []
    report = measure_serving(tmp_path, points=400, clients=(1, 4), seconds=1.5, soak_s=4, tell=told.append)
    assert [load.clients for load in report.loads] == [1, 4] and report.bare_ms > 0
    for load in report.loads:
        assert load.requests_per_s > 1 and load.errors == load.refused == 0
        assert 0 < load.p50_ms <= load.p99_ms
        assert load.ratio == pytest.approx(load.requests_per_s * report.bare_ms / 1000, abs=0.05)
    soak = report.soak
    assert soak and soak.lost == soak.errors == 0
    assert min(soak.searches, soak.questions, soak.uploads) >= 1
    assert 50 < soak.late_mb < 4_000 and "soaking for 4 s" in told
    assert len(set(texts(1, 100))) > 90


@contextmanager
def answering(statuses: list[int]) -> Iterator[str]:
    """A server that answers with one status after another."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        turn = 0

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            Handler.turn += 1
            self.send_response(statuses[Handler.turn % len(statuses)])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_refusals_and_errors_are_told_apart() -> None:
    with answering([200, 503, 429, 500]) as url:
        load = _load(url, 2, 0.5, 10.0)
    assert load.refused > 0 and load.errors > 0 and load.requests_per_s > 0
    assert abs(load.refused - 2 * load.errors) <= 4


def test_an_answer_on_a_connection_that_is_kept_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    """Forty milliseconds each, unless the listener says that it is TCP: asyncio looks at that."""
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
    with served(tmp_path / "home") as (url, _):
        until_ready(url)
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.connect()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        connection.close()
