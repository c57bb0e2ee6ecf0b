"""Spans of the service at a collector: routes and statuses, and nothing of what was asked."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import askpix.api.server.telemetry
from askpix.api.server.telemetry import telemetry_of
from askpix.core.errors import AskpixError
from tests.support.service import served, until_ready


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Takes what an OTLP exporter sends."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", got
        server.shutdown()


def test_spans_say_the_route_and_not_the_question(
    tmp_path: Path, collector: tuple[str, list[tuple[str, bytes]]]
) -> None:
    endpoint, got = collector
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    with served(tmp_path / "home", **settings) as (url, _):
        client = until_ready(url)
        client.create_collection("album")
        client.search("album", "a very secret question")
        with pytest.raises(AskpixError):
            client.search("nowhere", "x")
        until = time.monotonic() + 20
        while time.monotonic() < until and len({path for path, _ in got}) < 2:
            time.sleep(0.1)
        time.sleep(1)
    assert {path for path, _ in got} == {"/v1/traces", "/v1/metrics"}
    assert not any(b"secret question" in body for _, body in got)
    spans = []
    for path, body in got:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans += [span for scope in resource.scope_spans for span in scope.spans]
    names = [span.name for span in spans]
    assert "POST /v1/collections/{name}/search" in names and "POST /v1/collections" in names
    assert not any("healthz" in name or "readyz" in name for name in names)
    said = {
        str(attribute.value.int_value)
        for span in spans
        if "search" in span.name
        for attribute in span.attributes
        if attribute.key == "http.response.status_code"
    }
    assert said == {"200", "404"}


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert telemetry_of({})["auto_configure"] is False
    assert telemetry_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})["auto_configure"] is True
    monkeypatch.setattr(askpix.api.server.telemetry, "find_spec", lambda name: None)
    with pytest.raises(AskpixError, match=r"askpix\[telemetry\]"):
        telemetry_of({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"})
