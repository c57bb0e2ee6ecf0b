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
    """``gated``: to read its files wants a token, and one of ``allowed``; its description is public."""

    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False
    allowed: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 that the hub claims of a file, where it lies."""


@dataclass
class Hub:
    """``cuts`` are bytes of a file after which the connection breaks, one for each time it is asked for;
    ``asked`` are the ranges and files that were sent, in order; ``busy`` are answers that come first, one for
    each request whose path holds the words: a status and its headers.

    Files known by their SHA-256 are sent by a storage server, as on the real hub: at another address, signed,
    which is given no token.
    """

    repositories: dict[str, Repository]
    url: str = ""
    storage: str = ""
    """The same server by another name: whoever sends it the hub's token is refused."""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    reset: bool = False
    corrupt: set[str] = field(default_factory=set)
    ignore_ranges: bool = False
    pause: threading.Event | None = None
    """Set by a request that stops in the middle and waits for ever: a download that is killed."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    busy: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Paths, in order."""


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
    hub.storage = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _answer(hub: Hub, to: Any, *, body: bool) -> None:
    path = unquote(urlsplit(to.path).path)
    hub.requests.append(f"{to.command} {path}")
    for words, answers in hub.busy.items():
        if words in to.path and answers:
            status, headers = answers.pop(0)
            _refuse(to, status, "", headers=headers)
            return
    if path.startswith("/storage/"):
        _send_stored(hub, to, path.removeprefix("/storage/"))
        return
    if path.startswith("/api/models/"):
        owner, name, kind, revision = (*path.removeprefix("/api/models/").split("/", 3), "", "")[:4]
        repository = _checked(hub, to, f"{owner}/{name}", revision, public=True)
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
    elif len(repository.files[filename]) >= _LFS:
        _redirect(hub, to, f"{owner}/{name}", filename)
    else:
        _send_file(hub, to, repository, filename, body=body)


def _redirect(hub: Hub, to: Any, name: str, filename: str) -> None:
    repository = hub.repositories[name]
    data = repository.files[filename]
    to.send_response(302)
    to.send_header("Location", f"{hub.storage}/storage/{name}/{filename}?X-Amz-Signature=abc")
    to.send_header("X-Repo-Commit", repository.commit)
    to.send_header("X-Linked-ETag", f'"{_etag(data, repository.digests.get(filename))}"')
    to.send_header("X-Linked-Size", str(len(data)))
    to.send_header("Content-Length", "0")
    to.end_headers()


def _send_stored(hub: Hub, to: Any, path: str) -> None:
    owner, name, filename = path.split("/", 2)
    if to.headers.get("Authorization") or "X-Amz-Signature" not in to.path:
        _refuse(to, 400, "")
        return
    _send_file(hub, to, hub.repositories[f"{owner}/{name}"], filename, body=to.command == "GET")


def _checked(hub: Hub, to: Any, name: str, revision: str, *, public: bool = False) -> Repository | None:
    repository = hub.repositories.get(name)
    token = (to.headers.get("Authorization") or "").removeprefix("Bearer ")
    if repository is None:
        _refuse(to, 401, "RepoNotFound")
    elif repository.gated and not public and token not in repository.allowed:
        _refuse(to, 403 if token else 401, "GatedRepo")
    elif revision.partition("?")[0] not in ("", "main", repository.commit):
        _refuse(to, 404, "RevisionNotFound")
    else:
        return repository
    return None


def _described(name: str, repository: Repository, kind: str) -> Any:
    if kind == "tree":
        return [
            {"type": "file", "path": path, "size": len(data), "oid": _oid(data), **_lfs(repository, path)}
            for path, data in repository.files.items()
        ]
    siblings = [
        {"rfilename": path, "size": len(data), "blobId": _oid(data), **_lfs(repository, path)}
        for path, data in repository.files.items()
    ]
    return {"_id": "1", "id": name, "sha": repository.commit, "private": False, "siblings": siblings}


def _lfs(repository: Repository, path: str) -> dict[str, Any]:
    data = repository.files[path]
    if len(data) < _LFS:
        return {}
    digest = _etag(data, repository.digests.get(path))
    return {"lfs": {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 130}}


def _etag(data: bytes, claimed: str | None = None) -> str:
    return claimed or (hashlib.sha256(data).hexdigest() if len(data) >= _LFS else _oid(data))


def _oid(data: bytes) -> str:
    """As git knows a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _send_json(to: Any, value: Any) -> None:
    data = json.dumps(value).encode()
    to.send_response(200)
    to.send_header("Content-Type", "application/json")
    to.send_header("Content-Length", str(len(data)))
    to.end_headers()
    to.wfile.write(data)


def _refuse(
    to: Any, status: int, code: str, *, commit: str = "", headers: dict[str, str] | None = None
) -> None:
    to.send_response(status)
    for name, value in (headers or {}).items():
        to.send_header(name, value)
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
    to.send_header("ETag", f'"{_etag(data, repository.digests.get(filename))}"')
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
