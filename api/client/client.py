"""The service from Python: a thin client on the standard library.

from askpix.api.client.client import Client
askpix = Client("http://127.0.0.1:8000", key="askpix_...")
job = askpix.upload("holiday", ["a.jpg", "b.jpg"])["job"]
askpix.wait(job)
askpix.search("holiday", "a dog on the beach")["hits"]
"""

import base64
import http.client
import json
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from askpix.core.errors import (
    AskpixError,
    AuthError,
    BadQueryError,
    GenerationError,
    IndexMismatchError,
    LimitError,
    NotFoundError,
    StoreUnavailableError,
)

_ERRORS: dict[int, type[AskpixError]] = {
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    409: IndexMismatchError,
    413: LimitError,
    422: BadQueryError,
    429: LimitError,
    502: GenerationError,
    503: StoreUnavailableError,
    507: StoreUnavailableError,
}
Json = dict[str, Any]


class Client:
    """One server. Every call is one request; errors are those of ``askpix.core.errors``. Thread-safe."""

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 120.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AskpixError(f"{url!r} is no address of a server; write http://HOST:PORT")
        self._url, self._timeout_s = parts, timeout_s
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    # --- collections and pictures --------------------------------------------------------------------------

    def collections(self) -> list[Json]:
        """Those of this key."""
        found: list[Json] = self.call("GET", "/v1/collections?limit=1000")["collections"]
        return found

    def create_collection(self, name: str, *, embedder: str | None = None) -> Json:
        """A new, empty one."""
        return self.call("POST", "/v1/collections", {"name": name, "embedder": embedder})

    def delete_collection(self, name: str) -> Json:
        """With what was uploaded into it."""
        return self.call("DELETE", f"/v1/collections/{quote(name, safe='')}")

    def upload(self, collection: str, paths: Sequence[Path | str]) -> Json:
        """Send files, streamed from disk: ``{"job", "url", "files"}``."""
        boundary = secrets.token_hex(16)
        length = sum(
            len(part) if isinstance(part, bytes) else part.stat().st_size for part in _parts(paths, boundary)
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
        path = f"/v1/collections/{quote(collection, safe='')}/images"
        with closing(self._send("POST", path, _stream(paths, boundary), headers)) as response:
            return _checked(response)

    def fetch(self, collection: str, urls: Sequence[str]) -> Json:
        """Let the server fetch pictures: ``{"job", "url", "files"}``."""
        return self.call("POST", f"/v1/collections/{quote(collection, safe='')}/images", {"urls": list(urls)})

    def job(self, job_id: str) -> Json:
        """How far it is."""
        return self.call("GET", f"/v1/jobs/{quote(job_id, safe='')}")

    def retry(self, job_id: str) -> Json:
        """Queue a job again that failed or was cancelled. Raises ``IndexMismatchError`` for any other."""
        return self.call("POST", f"/v1/jobs/{quote(job_id, safe='')}/retry")

    def wait(self, job_id: str, *, on_progress: Callable[[Json], None] | None = None) -> Json:
        """The job when it has ended, whichever way."""
        for name, job in self.events("GET", f"/v1/jobs/{quote(job_id, safe='')}/events"):
            if name != "progress":
                return job
            if on_progress:
                on_progress(job)
        raise StoreUnavailableError("the server stopped while the job ran; it goes on when it is back")

    def image(self, image_id: str) -> Json:
        """What is known of a picture."""
        return self.call("GET", f"/v1/images/{quote(image_id, safe='')}")

    def thumbnail(self, image_id: str, *, size: int = 256) -> bytes:
        """A JPEG."""
        path = f"/v1/images/{quote(image_id, safe='')}/thumbnail?size={size}"
        with closing(self._send("GET", path, None, {"Accept": "image/jpeg"})) as response:
            if response.status != 200:
                _checked(response)
            return response.read()

    # --- search and ask ------------------------------------------------------------------------------------

    def search(
        self,
        collection: str,
        text: str = "",
        *,
        image: Path | str | None = None,
        where: Mapping[str, Any] | None = None,
        top_k: int = 10,
        offset: int = 0,
        mode: Literal["auto", "image", "text", "hybrid"] = "auto",
        all: bool = False,
        **more: Any,
    ) -> Json:
        """``{"matched", "reason", "hits", "query", "took_ms"}``.

        ``image``: a path, data URI or id; ``where``: the filter; ``all``: hits even when nothing matches;
        ``more``: ``off``, ``collapse``, ``diverse``, ``rerank``.
        """
        body: Json = {"text": text, "top_k": top_k, "offset": offset, "mode": mode, "all": all, **more}
        if image is not None:
            body["image"] = _data_uri(image) if isinstance(image, Path) else image
        if where is not None:
            body["where"] = dict(where)
        return self.call("POST", f"/v1/collections/{quote(collection, safe='')}/search", body)

    def ask(
        self, collection: str, question: str, *, top_k: int = 5, generator: str | None = None, **more: Any
    ) -> Json:
        """``{"answer", "answered", "citations", "hits", ...}``. ``generator``: who writes; ``more``:
        ``history``."""
        body = _without_none({"question": question, "top_k": top_k, "generator": generator, **more})
        return self.call("POST", f"/v1/collections/{quote(collection, safe='')}/ask", body)

    def ask_stream(
        self, collection: str, question: str, *, top_k: int = 5, generator: str | None = None, **more: Any
    ) -> Iterator[tuple[str, Json]]:
        """``("hits", ...)``, ``("delta", ...)`` as it is written, ``("answer", ...)``."""
        body = {"question": question, "stream": True, "top_k": top_k, "generator": generator, **more}
        body = _without_none(body)
        yield from self.events("POST", f"/v1/collections/{quote(collection, safe='')}/ask", body)

    # --- one picture ---------------------------------------------------------------------------------------

    def caption(self, images: Sequence[Path | str], *, style: str = "short") -> list[Json]:
        """A sentence for each path, data URI or id."""
        sent = [_data_uri(each) if isinstance(each, Path) else each for each in images]
        found: list[Json] = self.call("POST", "/v1/caption", {"images": sent, "style": style})["results"]
        return found

    def extract(self, image: Path | str, schema: Mapping[str, Any]) -> Json:
        """The object that a JSON schema describes, with its ``evidence``."""
        sent = _data_uri(image) if isinstance(image, Path) else image
        return self.call("POST", "/v1/extract", {"image": sent, "schema": dict(schema)})

    def classify(self, images: Sequence[Path | str], labels: Sequence[str]) -> list[Json]:
        """Labels with probabilities, for each picture."""
        sent = [_data_uri(each) if isinstance(each, Path) else each for each in images]
        body = {"images": sent, "labels": list(labels)}
        found: list[Json] = self.call("POST", "/v1/classify", body)["results"]
        return found

    # --- the wire ------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """One request; its JSON. Raises the error that the problem stands for."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        with closing(self._send(method, path, data, headers)) as response:
            return _checked(response)

    def events(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[str, Json]]:
        """Server-sent events as they come."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        with closing(self._send(method, path, data, headers)) as response:
            if response.status != 200:
                _checked(response)
            name = ""
            try:
                for raw in response:
                    field, _, value = raw.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        content = json.loads(value)
                        if name == "error":
                            raise _error(content.get("status", 500), content)
                        yield name, content
            except (OSError, http.client.HTTPException) as error:
                raise StoreUnavailableError(f"the server broke off: {error}") from error

    def _send(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        try:
            # Small requests and answers must not wait for each other's acknowledgement.
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent = {**self._headers, **headers, "Connection": "close"}
            connection.request(method, self._url.path.rstrip("/") + path, body=body, headers=sent)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise StoreUnavailableError(
                f"the server at {self._url.geturl()!r} does not answer: {error}"
            ) from error


def _data_uri(path: Path) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _without_none(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}


def _parts(paths: Sequence[Path | str], boundary: str) -> Iterator[bytes | Path]:
    for path in map(Path, paths):
        name = path.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"'
        yield f"--{boundary}\r\n{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        yield path
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _stream(paths: Sequence[Path | str], boundary: str) -> Iterator[bytes]:
    for part in _parts(paths, boundary):
        if isinstance(part, bytes):
            yield part
            continue
        with part.open("rb") as file:
            while piece := file.read(64 * 1024):
                yield piece


def _checked(response: http.client.HTTPResponse) -> Json:
    try:
        content = json.loads(response.read())
    except (ValueError, OSError, http.client.HTTPException) as error:
        raise StoreUnavailableError(f"the server's answer ({response.status}) broke off") from error
    if response.status >= 400 or not isinstance(content, dict):
        raise _error(response.status, content)
    return content


def _error(status: int, content: Any) -> AskpixError:
    detail = content.get("detail") if isinstance(content, dict) else None
    return _ERRORS.get(status, AskpixError)(str(detail or f"the server answers {status}"))
