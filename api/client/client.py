"""The service from Python: ``Client`` and ``AsyncClient``, one method for each thing a server does.

Each method is written once, in ``Methods``; ``AsyncClient`` has them as they are, ``Client`` runs them.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, get_args
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from askpix.api.client.connection import (
    AsyncIO,
    BlockingIO,
    BrokenStreamError,
    Connection,
    TooLargeError,
    iterate,
    run,
)
from askpix.api.client.content import File, Multipart, batches, image_reference, in_batches, listed
from askpix.api.schemas.results import (
    Answer,
    Caption,
    Classification,
    CollectionInfo,
    Image,
    Job,
    JobState,
    SearchResult,
    Upload,
)
from askpix.core.errors import AskpixError, BadQueryError, NotFoundError
from askpix.core.types import Kind, Message, Mode, Where

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from askpix.api.client.content import ImageInput
    from askpix.generation.tasks.audit import Finding
    from askpix.ingest.pipeline.report import IngestReport

P = ParamSpec("P")
T = TypeVar("T")
Described = TypeVar("Described", Caption, Classification)
Paths = Path | str | Sequence[Path | str]
Turn = Message | tuple[str, str]
"""A turn of a conversation: the role, "user" or "assistant", and its text."""
Moment = datetime | str
"""A datetime, or text: 2018, 2018-05, 2018-05-03."""
OnProgress = Callable[[Job], None]

TIMEOUT_S = 300.0
RETRIES = 3
_ENDED = ("done", "failed", "cancelled")
_SILENCE_S = 60.0
"""The events of a job have a heartbeat every 15 s."""
_REATTACH_S = 0.5
_PAGE = 1000
_MAX_CAPTIONS = 16
_MAX_CLASSIFIED = 64
_MAX_EMBEDDED = 64
"""Images in one request."""


class Methods:
    """Operations of a server. Requests whose repetition changes nothing are tried again when the connection
    breaks or the server is busy (429, 503), by its ``Retry-After``; a stream that has begun is not.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.call

    # --- collections and images ----------------------------------------------------------------------------

    async def collections(self) -> list[CollectionInfo]:
        """Return the collections that this key may see, by name."""
        found: list[CollectionInfo] = []
        while True:
            page = await self._call("GET", f"/v1/collections?limit={_PAGE}&offset={len(found)}", repeat=True)
            found += (more := _read(tuple[CollectionInfo, ...], page, "collections"))
            if len(more) < _PAGE:
                return found

    async def collection(self, name: str) -> CollectionInfo:
        """Return one collection, with ``disk_bytes``. Raises ``NotFoundError``."""
        return _read(CollectionInfo, await self._call("GET", _collection(name), repeat=True))

    async def create_collection(self, name: str, *, embedder: str | None = None) -> CollectionInfo:
        """Create an empty collection. Raises ``IndexMismatchError`` if there is one of this name."""
        body = {"name": name, "embedder": embedder}
        return _read(CollectionInfo, await self._call("POST", "/v1/collections", body))

    async def delete_collection(self, name: str) -> int:
        """Delete a collection and what was uploaded into it; return how many images it held."""
        return _read(int, await self._call("DELETE", _collection(name)), "images")

    async def upload(self, collection: str, paths: Paths) -> list[Upload]:
        """Send files, and the images and documents in folders, read from disk as they are sent.

        Returns an ``Upload`` for each request that it took (250 files, 256 MiB, or what the server takes),
        each with the job that indexes it. An image is known by its content: sending files again changes
        nothing, so an upload that breaks is repeated. Where it fails in the end, requests that were answered
        stay, and their jobs go on. Raises ``NotFoundError`` for a path, ``LimitError`` for a file over the
        server's limit.
        """
        uploads: list[Upload] = []
        remaining = await self._connection.io.run(lambda: [*batches(paths)][::-1])
        while remaining:
            batch = remaining.pop()
            try:
                uploads.append(await self._send(collection, batch))
            except TooLargeError:  # this server, or this key, may have lower limits
                if len(batch) == 1:
                    raise
                half = len(batch) // 2
                remaining += (batch[half:], batch[:half])
        return uploads

    async def _send(self, collection: str, batch: Sequence[File]) -> Upload:
        path = f"{_collection(collection)}/images"
        return _read(Upload, await self._call("POST", path, Multipart(batch), repeat=True))

    async def index(
        self, collection: str, paths: Paths, *, on_progress: OnProgress | None = None
    ) -> "IngestReport":
        """Upload files and folders, and wait until they are indexed.

        Returns the report of it all: files ``added``, ``unchanged``, ``failed`` (which, and why) ...; see
        ``upload`` and ``wait`` for the jobs and the ids of each file. ``on_progress`` gets the job at work.
        Raises as they do, and ``AskpixError`` for a job that failed or was cancelled.
        """
        from askpix.api.client.reports import total  # noqa: PLC0415 - for those who index
        from askpix.ingest.pipeline.report import IngestReport  # noqa: PLC0415

        uploads = await self.upload(collection, paths)
        jobs = [await self.wait(each.job, on_progress=on_progress) for each in uploads]
        for job in jobs:
            if job.state != "done":
                raise AskpixError(f"job {job.id!r} {job.state}: {job.error or 'it can be tried again'}")
        return total(await self.collection(collection), [_read(IngestReport, job.result) for job in jobs])

    async def fetch(self, collection: str, urls: Sequence[str]) -> Upload:
        """Let the server fetch images from the open internet: 1,000 URLs at most."""
        body = {"urls": urls}
        return _read(Upload, await self._call("POST", f"{_collection(collection)}/images", body, repeat=True))

    async def images(
        self, collection: str, *, order: Literal["steady", "newest"] = "steady"
    ) -> AsyncGenerator[Image]:
        """Yield every image of a collection, in an order that nothing added changes, or newest first."""
        offset = 0
        while True:
            path = f"{_collection(collection)}/images?order={order}&limit={_PAGE}&offset={offset}"
            page = _read(tuple[Image, ...], await self._call("GET", path, repeat=True), "images")
            for each in page:
                yield each
            offset += len(page)
            if len(page) < _PAGE:
                return

    async def image(self, image_id: str) -> Image:
        """Return what is known of an image: also its ``lines`` of text, ``about`` and ``caption``."""
        return _read(Image, await self._call("GET", _image(image_id), repeat=True))

    async def image_file(self, image_id: str) -> bytes:
        """Return the file that was indexed; of a page, the whole document."""
        return await self._connection.read(f"{_image(image_id)}/file")

    async def thumbnail(self, image_id: str, *, size: int = 256) -> bytes:
        """Return the image as a JPEG, its longer side at least ``size`` pixels where it has them."""
        return await self._connection.read(f"{_image(image_id)}/thumbnail?size={size}", accept="image/jpeg")

    async def delete_image(self, image_id: str) -> None:
        """Take an image out of its collection, and delete its file if that was uploaded."""
        await self._call("DELETE", _image(image_id))

    # --- jobs ----------------------------------------------------------------------------------------------

    async def jobs(
        self,
        *,
        state: JobState | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        """Return jobs on the collections of this key, newest first; ``limit`` is 1,000 at most."""
        only = f"&state={state}" if state else ""
        path = f"/v1/jobs?limit={limit}&offset={offset}{only}"
        return _read(list[Job], await self._call("GET", path, repeat=True), "jobs")

    async def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return _read(Job, await self._call("GET", _job(job_id), repeat=True))

    async def events(self, job_id: str) -> AsyncGenerator[Job]:
        """Yield a job now, at each change, and last when it has ended.

        Ends earlier where the server stops. Raises ``StoreUnavailableError`` when the connection breaks, or
        is silent for a minute.
        """
        path = f"{_job(job_id)}/events"
        stream = self._connection.events("GET", path, repeat=True, silence_s=_SILENCE_S)
        async with aclosing(stream) as events:
            async for _, content in events:
                yield _read(Job, content)

    async def wait(self, job_id: str, *, on_progress: OnProgress | None = None) -> Job:
        """Return a job when it has ended: ``state`` is done, failed or cancelled.

        ``on_progress`` gets the job at each change. Where the connection breaks it is made anew, as often as
        a request is tried again. Raises ``StoreUnavailableError``; the job goes on all the same.
        """
        failures = 0
        while True:
            try:
                async with aclosing(self.events(job_id)) as events:
                    async for job in events:
                        if job.state in _ENDED:
                            return job
                        failures = 0
                        if on_progress:
                            on_progress(job)
                raise BrokenStreamError("the server stopped while the job ran; it goes on when it is back")
            except BrokenStreamError:
                if failures == self._connection.retries:
                    raise
            failures += 1
            await self._connection.io.sleep(_REATTACH_S)

    async def cancel(self, job_id: str) -> Job:
        """Stop a job at its next safe point; what it has done stays."""
        return _read(Job, await self._call("POST", f"{_job(job_id)}/cancel", repeat=True))

    async def retry(self, job_id: str) -> Job:
        """Queue a job again that failed or was cancelled. Raises ``IndexMismatchError`` for any other."""
        return _read(Job, await self._call("POST", f"{_job(job_id)}/retry"))

    # --- search and ask ------------------------------------------------------------------------------------

    async def search(
        self,
        collection: str,
        text: str = "",
        *,
        image: "ImageInput | None" = None,
        like: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        near: tuple[float, float, float] | None = None,
        path: str | None = None,
        kind: Kind | None = None,
        tags: Sequence[str] = (),
        camera: str | None = None,
        where: Where | Mapping[str, Any] | None = None,
        top_k: int = 10,
        offset: int = 0,
        mode: Mode = "auto",
        all: bool = False,
        off: Sequence[str] = (),
        collapse: bool = True,
        diverse: float | None = None,
        rerank: str | None = None,
    ) -> SearchResult:
        """Search by words, an image, a filter, or all of them; best hits first.

        ``image``: a path, bytes or an image of Pillow; ``like``: the id of an indexed image. ``near``:
        latitude and longitude in degrees, and km. ``path``: a glob, matched from the right. ``where``: the
        whole filter, as ``Where`` or as a request has it, in place of the single fields.
        ``all``: hits even when nothing matches. ``off``: clauses of the text that shall stay words.
        ``collapse``: near duplicates are one hit. ``diverse``: 1 as found, 0 as unlike as can be. ``rerank``:
        "pages" or "none". Raises ``BadQueryError`` and ``NotFoundError``.
        """
        given = {
            "after": after,
            "before": before,
            "near": near and _near(near),
            "path": path,
            "kind": kind,
            "tags": tags,
            "camera": camera,
        }
        filters = {name: value for name, value in given.items() if value}
        if (where and filters) or (image is not None and like):
            raise BadQueryError("pass the whole filter or its fields, and an image or an id, not both")
        body = {
            "text": text,
            "image": like if image is None else await self._reference(image),
            "where": where or filters,
            "top_k": top_k,
            "offset": offset,
            "mode": mode,
            "all": all,
            "off": off,
            "collapse": collapse,
            "diverse": diverse,
            "rerank": rerank,
        }
        found = await self._call("POST", f"{_collection(collection)}/search", body, repeat=True)
        return _read(SearchResult, found)

    async def ask(
        self,
        collection: str,
        question: str,
        *,
        top_k: int = 5,
        generator: str | None = None,
        history: Sequence[Turn] = (),
    ) -> Answer:
        """Answer a question from ``top_k`` images; ``answered`` is False when they do not hold the answer.

        ``generator``: who writes; any but the server's own needs an admin key. ``history``: the conversation
        so far, oldest first. Boxes of citations are in pixels of the upright original. Raises
        ``GenerationError``.
        """
        body = _question(question, top_k, generator, history)
        found = await self._call("POST", f"{_collection(collection)}/ask", body, repeat=True)
        return _read(Answer, found)

    async def ask_stream(
        self,
        collection: str,
        question: str,
        *,
        top_k: int = 5,
        generator: str | None = None,
        history: Sequence[Turn] = (),
    ) -> AsyncGenerator[SearchResult | str | Answer]:
        """Yield what was found, pieces of text as they are written, and last the checked ``Answer``.

        Raises as ``ask`` does, and ``StoreUnavailableError`` when the connection breaks.
        """
        body = _question(question, top_k, generator, history) | {"stream": True}
        stream = self._connection.events("POST", f"{_collection(collection)}/ask", body, repeat=True)
        async with aclosing(stream) as events:
            async for name, content in events:  # a newer server may send others
                if name == "hits":
                    yield _read(SearchResult, content)
                elif name == "delta":
                    yield _read(str, content, "text")
                elif name == "answer":
                    yield _read(Answer, content)
                    return
        raise BrokenStreamError("the server stopped before the answer was complete; ask again")

    # --- single images -------------------------------------------------------------------------------------

    async def caption(
        self,
        images: "Sequence[ImageInput]",
        *,
        style: Literal["short", "detailed", "alt"] = "short",
        generator: str | None = None,
    ) -> list[Caption]:
        """Describe images, each in a sentence or more; ``index`` is an image's place in ``images``."""
        body = {"style": style, "generator": generator}
        return await self._of_each("/v1/caption", images, _MAX_CAPTIONS, body, Caption)

    async def classify(
        self,
        images: "Sequence[ImageInput]",
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
    ) -> list[Classification]:
        """Return the labels of each image, the most probable first; ``templates``: "a photo of a {}" ..."""
        body = {"labels": labels, "template": templates or None}
        return await self._of_each("/v1/classify", images, _MAX_CLASSIFIED, body, Classification)

    async def extract(
        self,
        image: "ImageInput",
        schema: Mapping[str, Any],
        *,
        page: int | None = None,
        generator: str | None = None,
    ) -> dict[str, Any]:
        """Read an image as an object that is valid against a JSON schema.

        Its ``evidence`` has, by field, the ``quote`` that it was read from and its ``box`` in pixels.
        ``page``: 1-based, of a document. Raises ``BadQueryError`` for a schema or an image that cannot be
        used, ``GenerationError`` for what cannot be read.
        """
        body = {
            "image": await self._reference(image),
            "schema": schema,
            "page": page,
            "generator": generator,
        }
        return _read(dict[str, Any], await self._call("POST", "/v1/extract", body, repeat=True))

    async def audit(
        self,
        image: "ImageInput",
        checks: Sequence[str] = (),
        *,
        accessibility: bool = True,
        generator: str | None = None,
    ) -> "list[Finding]":
        """Hold a screenshot against checks, and measure contrast and size of its text (``accessibility``)."""
        from askpix.generation.tasks.audit import Finding  # noqa: PLC0415 - for those who audit

        body = {
            "image": await self._reference(image),
            "checks": checks,
            "accessibility": accessibility,
            "generator": generator,
        }
        found = await self._call("POST", "/v1/audit", body, repeat=True)
        return _read(list[Finding], found, "findings")

    async def embeddings(self, inputs: "Sequence[ImageInput]", *, model: str) -> "npt.NDArray[np.float32]":
        """Embed texts and images in one space: float32 ``(len(inputs), dim)``, rows of length one.

        A ``str`` is a text, or an image as a data URI; paths, bytes and images of Pillow are images.
        ``model``: "askpix/COLLECTION", or an id of ``models()``.
        """
        import numpy as np  # noqa: PLC0415 - for those who want vectors

        rows: list[list[float]] = []
        references = (each if isinstance(each, str) else image_reference(each) for each in listed(inputs))
        parts = in_batches(references, max_items=_MAX_EMBEDDED)
        while part := await self._connection.io.run(lambda: next(parts, None)):
            found = await self._call("POST", "/v1/embeddings", {"model": model, "input": part}, repeat=True)
            rows += [_read(list[float], each, "embedding") for each in _read(list[Any], found, "data")]
        return np.array(rows, np.float32).reshape(len(rows), -1 if rows else 0)

    # --- the server ----------------------------------------------------------------------------------------

    async def models(self) -> list[str]:
        """Return ids for ``embeddings`` and OpenAI's clients: "askpix/NAME" of collections, and embedders."""
        found = await self._call("GET", "/v1/models", repeat=True)
        return [_read(str, each, "id") for each in _read(list[Any], found, "data")]

    async def health(self, *, ready: bool = False) -> str:
        """Return "ok", or with ``ready`` "ready" once the models are loaded.

        Raises ``StoreUnavailableError`` while the server is not.
        """
        return _read(str, await self._call("GET", "/readyz" if ready else "/healthz", repeat=True), "status")

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of one request, for routes without a method of their own (``/docs`` lists them)."""
        if not path.startswith("/") or path.startswith("//"):  # the key is for this server alone
            raise BadQueryError(f"{path!r} is no route of the server; it begins with one '/'")
        return await self._call(method, path, body, repeat=method == "GET")

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.io.close()

    async def _reference(self, image: "ImageInput") -> str:
        return await self._connection.io.run(image_reference, image)

    async def _of_each(
        self,
        path: str,
        images: "Sequence[ImageInput]",
        limit: int,
        body: dict[str, Any],
        kind: type[Described],
    ) -> list[Described]:
        results: list[Described] = []
        parts = in_batches(map(image_reference, listed(images)), max_items=limit)
        while part := await self._connection.io.run(lambda: next(parts, None)):
            found = await self._call("POST", path, {**body, "images": part}, repeat=True)
            for each in _read(list[Any], found, "results"):
                results.append(replace(_read(kind, each), index=len(results)))
        return results


class AsyncClient(Methods):
    """A server, for asyncio and trio: the methods of ``Client``, to be awaited or iterated over.

    >>> import asyncio
    >>> async def first_hit(text: str) -> str:
    ...     async with AsyncClient("http://127.0.0.1:8000") as client:
    ...         found = await client.search("holiday", text)
    ...         return found.hits[0].uri
    >>> asyncio.run(first_hit("a cat"))
    'upload:cat.jpg'
    """

    def __init__(
        self, url: str, key: str | None = None, *, timeout_s: float = TIMEOUT_S, retries: int = RETRIES
    ) -> None:
        super().__init__(Connection(url, key, AsyncIO, timeout_s=timeout_s, retries=retries))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _blocking(
    method: Callable[Concatenate[Methods, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    @functools.wraps(method)
    def blocking(self: "Client", /, *args: P.args, **options: P.kwargs) -> T:
        return run(method(self._methods, *args, **options))

    return blocking


def _iterating(
    method: Callable[Concatenate[Methods, P], AsyncGenerator[T]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    @functools.wraps(method)
    def iterating(self: "Client", /, *args: P.args, **options: P.kwargs) -> Iterator[T]:
        return iterate(method(self._methods, *args, **options))

    shown = inspect.signature(method)
    items = GenericAlias(Iterator, get_args(shown.return_annotation)[:1])
    iterating.__signature__ = shown.replace(return_annotation=items)  # type: ignore[attr-defined]
    return iterating


class Client:
    """A server. Thread-safe; errors are those of ``askpix.core.errors``, one line for a person.

    ``url``: http://HOST:PORT; ``key``: of ``askpix keys create``; ``timeout_s``: seconds that one answer may
    take; ``retries``: how often a request is tried again. Use it in a ``with`` block, or ``close()`` it.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     made = client.create_collection("holiday")
    ...     report = client.index("holiday", ["photos/cat.jpg", "receipts/hotel-alpenblick.jpg"])
    ...     found = client.search("holiday", "a cat", top_k=1)
    ...     answer = client.ask("holiday", "What is the total on the hotel receipt?")
    >>> report.added, report.failed
    (2, ())
    >>> [(hit.uri, hit.kind) for hit in found.hits]
    [('upload:cat.jpg', 'photo')]
    >>> answer.answered, answer.citations[0].uri
    (True, 'upload:hotel-alpenblick.jpg')
    """

    def __init__(
        self, url: str, key: str | None = None, *, timeout_s: float = TIMEOUT_S, retries: int = RETRIES
    ) -> None:
        self._methods = Methods(Connection(url, key, BlockingIO, timeout_s=timeout_s, retries=retries))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    collections = _blocking(Methods.collections)
    collection = _blocking(Methods.collection)
    create_collection = _blocking(Methods.create_collection)
    delete_collection = _blocking(Methods.delete_collection)
    upload = _blocking(Methods.upload)
    index = _blocking(Methods.index)
    fetch = _blocking(Methods.fetch)
    images = _iterating(Methods.images)
    image = _blocking(Methods.image)
    image_file = _blocking(Methods.image_file)
    thumbnail = _blocking(Methods.thumbnail)
    delete_image = _blocking(Methods.delete_image)
    jobs = _blocking(Methods.jobs)
    job = _blocking(Methods.job)
    events = _iterating(Methods.events)
    wait = _blocking(Methods.wait)
    cancel = _blocking(Methods.cancel)
    retry = _blocking(Methods.retry)
    search = _blocking(Methods.search)
    ask = _blocking(Methods.ask)
    ask_stream = _iterating(Methods.ask_stream)
    caption = _blocking(Methods.caption)
    classify = _blocking(Methods.classify)
    extract = _blocking(Methods.extract)
    audit = _blocking(Methods.audit)
    embeddings = _blocking(Methods.embeddings)
    models = _blocking(Methods.models)
    health = _blocking(Methods.health)
    call = _blocking(Methods.call)
    close = _blocking(Methods.close)


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _read(kind: type[T], body: Any, field: str | None = None) -> T:
    """Return a response, or one field of it, as ``kind``; fields that ``kind`` does not have are left out."""
    try:
        value: T = _adapter(kind).validate_python(body if field is None else body[field])
        return value
    except (ValidationError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AskpixError(f"the server's answer is not understood; update askpix here: {reason}") from error


def _question(question: str, top_k: int, generator: str | None, history: Sequence[Turn]) -> dict[str, Any]:
    pairs = [(turn.role, turn.text) if isinstance(turn, Message) else turn for turn in listed(history)]
    try:
        turns = [{"role": role, "content": text} for role, text in pairs]
    except (TypeError, ValueError) as error:
        raise BadQueryError('a turn of the history is ("user" or "assistant", text)') from error
    return {"question": question, "top_k": top_k, "generator": generator, "history": turns}


def _near(near: tuple[float, float, float]) -> dict[str, float]:
    try:
        return dict(zip(("lat", "lon", "km"), near, strict=True))
    except (TypeError, ValueError) as error:
        raise BadQueryError(f"near={near!r}: it should be latitude, longitude and km") from error


def _collection(name: str) -> str:
    return f"/v1/collections/{_segment('collection', name)}"


def _image(image_id: str) -> str:
    return f"/v1/images/{_segment('image', image_id)}"


def _job(job_id: str) -> str:
    return f"/v1/jobs/{_segment('job', job_id)}"


def _segment(noun: str, value: str) -> str:
    """Return an id as a part of a path; one that would make it another path names nothing."""
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise NotFoundError(f"no {noun} {value!r}")
    return quote(value, safe="")
