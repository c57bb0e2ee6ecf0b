"""Askpix from Python: one home of indexed images, with the results that the commands and HTTP give."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from PIL import Image
from pydantic import InstanceOf, Strict

from askpix.api.schemas.dates import parse_date
from askpix.api.schemas.results import (
    Answer,
    Caption,
    Classification,
    CollectionInfo,
    SearchResult,
    answer_result,
    search_result,
)
from askpix.api.services.arguments import checked
from askpix.api.services.ask import ask_collection
from askpix.api.services.classify import classify_under
from askpix.api.services.collections import describe
from askpix.api.services.describe import audit, captions_under, extract, extraction_object
from askpix.api.services.index import index_paths
from askpix.api.services.search import search
from askpix.api.services.single_file import look
from askpix.api.settings import load_settings
from askpix.api.workspace.lingering import LingeringWorkspace
from askpix.core import types as core
from askpix.core.errors import BadQueryError
from askpix.core.imaging.decode import open_image
from askpix.core.types import Kind, Message, Mode, Near
from askpix.generation.tasks.audit import Finding
from askpix.generation.tasks.json_schema import check_schema
from askpix.ingest.catalog.tags import Vocabulary
from askpix.ingest.pipeline.report import Failure, IngestReport, Progress
from askpix.retrieval.classification.zero_shot import clean_labels

if TYPE_CHECKING:
    from types import TracebackType

    from askpix.ingest.catalog.models import Collection

PathLike: TypeAlias = Path | str
Moment: TypeAlias = Annotated[datetime, Strict()] | Annotated[date, Strict()] | str
"""A datetime or date, or text as on the command line: 2018, 2018-05, 2018-05-03, today."""
Turn: TypeAlias = InstanceOf[Message] | tuple[str, str]


class Askpix:
    """A home folder: its collections of images, indexed, searched and asked.

    Threads may share one. It is safe beside other processes on the same home: where ``askpix serve`` runs,
    everything goes through the server; otherwise an index is held while calls follow each other closely. It
    is let go half a second after the last, or between two as soon as another process waits for it. Models
    are loaded at the first call that needs them and kept.

    Every error raised on purpose is an ``askpix.core.errors.AskpixError`` whose text says what to do.

    >>> with Askpix(home) as askpix:
    ...     report = askpix.index(photos)
    ...     result = askpix.search("a cat")
    ...     result.matched, result.hits[0].uri.endswith("cat.jpg")
    (True, True)
    """

    @checked
    def __init__(
        self,
        home: PathLike | None = None,
        *,
        collection: str = "default",
        embedder: str | None = None,
        generator: str | None = None,
        **settings: Any,
    ) -> None:
        """Open a home; a folder that is missing is made at the first call.

        Args:
            home: The folder of the index; default: ``ASKPIX_HOME``, else the user's data folder.
            collection: The collection that methods use when they name none.
            embedder: Id of the embedder of new collections (``mini``, ``onnx:DIR_OR_REPO``, ...).
            generator: Id of the model that writes answers and captions.
            settings: Any other setting by its name without ``ASKPIX_``; they win over the environment.

        Raises:
            AskpixError: A setting is unknown or cannot be used.
        """
        given = {"home": home and Path(home), "embedder": embedder, "generator": generator, **settings}
        self.default_collection = collection
        self._workspace = LingeringWorkspace(
            load_settings(**{name: value for name, value in given.items() if value is not None})
        )

    def __enter__(self) -> Askpix:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index. Calls after it open it again."""
        self._workspace.close()

    # --- collections -----------------------------------------------------------------------------------

    def collections(self) -> list[CollectionInfo]:
        """Return every collection with its models and counts, by name."""
        return [describe(self._workspace, each) for each in self._workspace.catalog.list_collections()]

    @checked
    def collection(self, name: str | None = None) -> CollectionInfo:
        """Return one collection. Raises ``NotFoundError``."""

        return describe(self._workspace, self._collection(name), disk=True)

    @checked
    def create_collection(self, name: str, *, embedder: str | None = None) -> CollectionInfo:
        """Create an empty collection. Raises ``AskpixError`` for a taken or unusable name."""

        return describe(self._workspace, self._workspace.create_collection(name, embedder))

    @checked
    def delete_collection(self, name: str) -> int:
        """Delete a collection's index and return how many images it held; the files stay."""
        return self._workspace.delete_collection(name)

    # --- indexing --------------------------------------------------------------------------------------

    @checked
    def index(
        self,
        paths: PathLike | Sequence[PathLike],
        *,
        collection: str | None = None,
        embedder: str | None = None,
        ocr: Literal["auto", "on", "off"] | None = None,
        prune: bool = False,
        ignore: Sequence[str] = (),
        tags: Sequence[str] | None = None,
        captions: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IngestReport:
        """Bring a collection, created when missing, up to date with files and folders.

        Unchanged files are skipped; an interrupted run resumes. A file that cannot be indexed is listed in
        ``failed`` of the report (or of its ``text``, ``pages``, ``captions``) and the run goes on.

        Args:
            paths: Files, folders, ``s3://`` and other bucket URLs, lists of URLs.
            collection: Its name.
            embedder: Id for a new collection; another one than the collection has is an error.
            ocr: Whether words in the images are read.
            prune: Forget images whose files are gone from ``paths``.
            ignore: Globs, as in ``.gitignore``.
            tags: Labels to tag images with, from now on.
            captions: Id of a generator that describes each image in a sentence.
            on_progress: Called with a ``Progress`` several times a second, from this thread; what it raises
                stops the run with all work kept.

        Returns:
            An ``IngestReport``: files added, updated, unchanged, removed, failed; images; seconds.

        Raises:
            NotFoundError: A path does not exist.
            IndexMismatchError: The collection has another embedder.
            StoreUnavailableError: The disk is full, or another process indexes the collection.
        """

        options: dict[str, Any] = {"on_progress": on_progress} if on_progress else {}
        with self._workspace.taking_turns():
            return index_paths(
                self._workspace,
                _paths(paths),
                collection or self.default_collection,
                embedder=embedder,
                ocr=ocr,
                prune=prune,
                ignore=ignore,
                vocabulary=None if tags is None else Vocabulary(clean_labels(tags) if tags else (), None),
                captions=captions,
                **options,
            )

    # --- searching and asking --------------------------------------------------------------------------

    @checked
    def search(
        self,
        text: str = "",
        *,
        image: PathLike | Image.Image | None = None,
        like: PathLike | None = None,
        collection: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        near: tuple[float, float, float] | None = None,
        path: str | None = None,
        kind: Kind | None = None,
        tags: Sequence[str] = (),
        camera: str | None = None,
        top_k: int = 10,
        offset: int = 0,
        mode: Mode = "auto",
        all: bool = False,
        collapse: bool = True,
        diverse: float | None = None,
        rerank: str | None = None,
    ) -> SearchResult:
        """Find images by words, by an image, by a filter, or by all of them.

        Args:
            text: Plain words with dates, places and sums; ``"exact words"`` in quotes; ``-word`` excludes.
            image: A file or a Pillow image to compare with.
            like: Id or path of an indexed image whose neighbours are wanted; it is no hit itself.
            collection: Where to search.
            after, before: Taken on or after, and before: a datetime, a date, or text such as ``2018``,
                ``2018-05``, ``2018-05-03`` and ``today``. Clocks are those of the cameras, without a zone.
            near: Latitude and longitude in degrees, and the radius in km.
            path: Glob on the path, matched from the right: ``holiday/*``.
            kind: ``photo``, ``page`` or ``frame``.
            tags: All of these.
            camera: A part of the camera's name.
            top_k, offset: A page of the ranking.
            mode: ``image`` compares images only, ``text`` the words in them only; ``auto``, ``hybrid``.
            all: Return the ranking even where nothing matches.
            collapse: Make near duplicates one hit.
            diverse: Spread the first 100 hits: 1 as found, 0 unlike each other.
            rerank: Id of a reranker for the first 50 hits.

        Returns:
            A ``SearchResult``; ``matched`` is False, with a ``reason``, when nothing fits.

        Raises:
            BadQueryError: There is nothing to search for, or the filter contradicts itself.
            NotFoundError: No such collection or image.
        """
        start = _moment(after)
        end = _moment(before)
        if start and end and start >= end:
            raise BadQueryError(f"after {after} is not earlier than before {before}: nothing can lie between")
        found = search(
            self._workspace,
            self._collection(collection),
            text,
            where=core.Where(
                after=start,
                before=end,
                near=Near(*near) if near else None,
                path=path,
                kind=kind,
                tags=tuple(tags),
                camera=camera,
            ),
            image=Path(image) if isinstance(image, str) else image,
            like=None if like is None else str(like),
            top_k=top_k,
            offset=offset,
            mode=mode,
            show_all=all,
            collapse=collapse,
            diverse=diverse,
            rerank=rerank,
        )
        return search_result(found)

    @checked
    def ask(
        self,
        question: str,
        *,
        collection: str | None = None,
        top_k: int = 5,
        generator: str | None = None,
        history: Sequence[Turn] = (),
        image: PathLike | Image.Image | None = None,
    ) -> Answer:
        """Answer a question from the images, with citations that point into them.

        Args:
            question: In plain words.
            collection: Where to look.
            top_k: How many images may be consulted, 1 to 50.
            generator: Id of the model that writes.
            history: Turns so far, oldest first, as ``("user" or "assistant", text)``; the question may lean
                on them ("and in 2019?").
            image: A file or a Pillow image to search by, beside the words.

        Returns:
            An ``Answer``; ``answered`` is False when the images do not hold one. Boxes are in pixels of the
            upright original.

        Raises:
            BadQueryError: The question is empty or too long.
            ModelUnavailableError: The generator cannot run here.
            GenerationError: The generator failed.
        """
        events = self.ask_stream(
            question, collection=collection, top_k=top_k, generator=generator, history=history, image=image
        )
        return next(each for each in events if isinstance(each, Answer))

    @checked
    def ask_stream(
        self,
        question: str,
        *,
        collection: str | None = None,
        top_k: int = 5,
        generator: str | None = None,
        history: Sequence[Turn] = (),
        image: PathLike | Image.Image | None = None,
    ) -> Generator[SearchResult | str | Answer]:
        """Answer as ``ask`` does, and yield what was found, pieces of text as they are written, and last the
        checked ``Answer``: only that is certain, since claims that nothing bears are dropped from it."""

        if not 1 <= top_k <= 50:
            raise BadQueryError(f"top_k is {top_k}; 1 to 50 images can be consulted")
        if isinstance(image, str | Path):
            image = open_image(Path(image), limits=self._workspace.limits).image
        turns = [each if isinstance(each, Message) else _turn(*each) for each in history]
        events = ask_collection(
            self._workspace,
            self._collection(collection),
            question,
            top_k=top_k,
            generator=generator,
            history=turns,
            image=image,
        )
        return (_event(each) for each in events)

    # --- single files ----------------------------------------------------------------------------------

    @checked
    def caption(
        self,
        paths: PathLike | Sequence[PathLike],
        *,
        style: Literal["short", "detailed", "alt"] = "short",
        generator: str | None = None,
    ) -> list[Caption]:
        """Describe every image of files and folders in words; last come those that cannot be opened, with
        an ``error`` in the place of a caption."""
        failed: list[Failure] = []
        found = captions_under(self._workspace, _paths(paths), failed, style=style, generator=generator)
        rows = [Caption(path=record.uri, caption=text, page=record.page) for record, text in found]
        return rows + [Caption(path=each.path, caption="", error=each.error) for each in failed]

    @checked
    def extract(
        self,
        path: PathLike,
        schema: Mapping[str, Any],
        *,
        page: int | None = None,
        generator: str | None = None,
    ) -> dict[str, Any]:
        """Read an image as an object that is valid against a JSON schema.

        Returns:
            The fields of the object, and ``evidence``: the quote and the box of each field that was found.

        Raises:
            BadQueryError: The schema cannot be used.
            GenerationError: The image does not hold what the schema requires.
        """

        wanted = check_schema(dict(schema), patterns=True)
        looked = look(self._workspace, Path(path), page=page)
        return extraction_object(extract(self._workspace, looked, wanted, generator=generator))

    @checked
    def classify(
        self,
        paths: PathLike | Sequence[PathLike],
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
        embedder: str | None = None,
    ) -> list[Classification]:
        """Say which of ``labels`` every image of files and folders shows, most probable first.

        ``templates`` are sentences with ``{}`` for the label. Last come images that cannot be opened, with an
        ``error`` and no labels.
        """
        failed: list[Failure] = []
        found = classify_under(
            self._workspace, _paths(paths), failed, labels, templates=templates, embedder=embedder
        )
        rows = [
            Classification(path=record.uri, page=record.page, time_s=record.time_s, labels=shown)
            for record, shown in found
        ]
        return rows + [Classification(path=each.path, labels=(), error=each.error) for each in failed]

    @checked
    def audit(
        self,
        path: PathLike,
        checks: Sequence[str] = (),
        *,
        accessibility: bool = True,
        generator: str | None = None,
    ) -> list[Finding]:
        """Check a screenshot: PASS, FAIL or unsure for each of ``checks``, then contrast and size of its
        text."""

        looked = look(self._workspace, Path(path))
        return audit(self._workspace, looked, checks, accessibility=accessibility, generator=generator)

    def _collection(self, name: str | None) -> Collection:
        return self._workspace.collection(name or self.default_collection)


def _paths(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    given = [paths] if isinstance(paths, str | Path) else paths
    if "" in given:
        raise BadQueryError("a path is empty; name a file or a folder ('.' is the working folder)")
    return [Path(each) for each in given]


def _moment(at: Moment | None) -> datetime | None:
    """The first moment of it, by the clock that hung there: images know no time zone."""
    if at is None:
        return None
    if isinstance(at, datetime):
        return at.replace(tzinfo=None)
    try:
        return parse_date(at if isinstance(at, str) else at.isoformat())
    except (ValueError, OverflowError) as error:
        raise BadQueryError(str(error)) from error


def _turn(role: str, text: str) -> Message:
    if role not in ("user", "assistant"):
        raise BadQueryError(f"a turn is of 'user' or 'assistant', not of {role!r}")
    return Message("user" if role == "user" else "assistant", text)


def _event(event: Any) -> SearchResult | str | Answer:
    if isinstance(event, core.SearchResult):
        return search_result(event)
    if isinstance(event, core.Answer):
        return answer_result(event)
    return str(event.text)
