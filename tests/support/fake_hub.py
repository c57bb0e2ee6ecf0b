"""A model hub on this machine: its addresses, headers, ranges and errors, and connections that break off."""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
_LFS = 10_000
"""Bytes from which a file is known by its SHA-256, as on the real hub."""


@dataclass
class Repository:
    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False


@dataclass
class Hub:
    """``cuts`` are bytes of a file after which the connection breaks, one for each time it is asked for;
    ``asked`` are the ranges and files that were sent, in order."""

    repositories: dict[str, Repository]
    url: str = ""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    reset: bool = False
    corrupt: set[str] = field(default_factory=set)
    ignore_ranges: bool = False
    pause: threading.Event | None = None
    """Set by a request that stops in the middle and waits for ever: a download that is killed."""
    asked: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at ``hub.url`` while inside."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            _answer(hub, self, body=False)

        def do_GET(self) -> None:
            _answer(hub, self, body=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _answer(hub: Hub, to: Any, *, body: bool) -> None:
    path = unquote(urlsplit(to.path).path)
    if path.startswith("/api/models/"):
        owner, name, kind, revision = (*path.removeprefix("/api/models/").split("/", 3), "", "")[:4]
        repository = _checked(hub, to, f"{owner}/{name}", revision)
        if repository is not None:
            _send_json(to, _described(f"{owner}/{name}", repository, kind))
        return
    owner, name, _, rest = (*path.strip("/").split("/", 3), "", "", "")[:4]
    revision, _, filename = rest.partition("/")
    repository = _checked(hub, to, f"{owner}/{name}", revision)
    if repository is None:
        return
    if filename not in repository.files:
        _refuse(to, 404, "EntryNotFound", commit=repository.commit)
        return
    _send_file(hub, to, repository, filename, body=body)


def _checked(hub: Hub, to: Any, name: str, revision: str) -> Repository | None:
    repository = hub.repositories.get(name)
    if repository is None:
        _refuse(to, 401, "RepoNotFound")
    elif repository.gated:
        _refuse(to, 403, "GatedRepo")
    elif revision.partition("?")[0] not in ("", "main", repository.commit):
        _refuse(to, 404, "RevisionNotFound")
    else:
        return repository
    return None


def _described(name: str, repository: Repository, kind: str) -> Any:
    if kind == "tree":
        return [
            {"type": "file", "path": path, "size": len(data), "oid": _etag(data)[:40], **_lfs(data)}
            for path, data in repository.files.items()
        ]
    siblings = [{"rfilename": path} for path in repository.files]
    return {"_id": "1", "id": name, "sha": repository.commit, "private": False, "siblings": siblings}


def _lfs(data: bytes) -> dict[str, Any]:
    if len(data) < _LFS:
        return {}
    return {"lfs": {"oid": _etag(data), "size": len(data), "pointerSize": 130}}


def _etag(data: bytes) -> str:
    kind = hashlib.sha256 if len(data) >= _LFS else hashlib.sha1
    return kind(data).hexdigest()


def _send_json(to: Any, value: Any) -> None:
    data = json.dumps(value).encode()
    to.send_response(200)
    to.send_header("Content-Type", "application/json")
    to.send_header("Content-Length", str(len(data)))
    to.end_headers()
    to.wfile.write(data)


def _refuse(to: Any, status: int, code: str, *, commit: str = "") -> None:
    to.send_response(status)
    to.send_header("X-Error-Code", code)
    to.send_header("X-Error-Message", "no")
    if commit:
        to.send_header("X-Repo-Commit", commit)
    to.send_header("Content-Length", "0")
    to.end_headers()


def _send_file(hub: Hub, to: Any, repository: Repository, filename: str, *, body: bool) -> None:
    data = repository.files[filename]
    wanted = to.headers.get("Range")
    start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and not hub.ignore_ranges else 0
    to.send_response(206 if start else 200)
    to.send_header("X-Repo-Commit", repository.commit)
    to.send_header("ETag", f'"{_etag(data)}"')
    to.send_header("X-Linked-Size", str(len(data)))
    to.send_header("Accept-Ranges", "bytes")
    if start:
        to.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    to.send_header("Content-Length", str(len(data) - start))
    to.end_headers()
    if not body:
        return
    hub.asked.append((filename, start))
    sent = data if filename not in hub.corrupt else bytes(len(data))
    cuts = hub.cuts.get(filename, [])
    if not cuts:
        to.wfile.write(sent[start:])
        return
    to.wfile.write(sent[start : cuts.pop(0)])
    to.wfile.flush()
    if hub.pause is not None:
        hub.pause.set()
        to.rfile.read(1)
    if hub.reset:  # the peer sees "connection reset", not an end
        to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        to.connection.close()
    to.close_connection = True
