"""Search a collection: read what was typed, run it, rank again where that was asked for. For every door."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from collections.abc import Collection as Names
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askpix.api.workspace.rerankers import reranker
from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.files import written_whole
from askpix.core.imaging.decode import open_image
from askpix.core.log import tolerated
from askpix.core.text.wording import plural
from askpix.core.types import Mode, Query, SearchResult, Where
from askpix.retrieval.query.base import Known
from askpix.retrieval.query.parser import EVERYTHING, parse
from askpix.retrieval.rerankers.base import second_look
from askpix.retrieval.stores.facets import FACETS, Count, Facets

if TYPE_CHECKING:
    from PIL import Image

    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import ImageRecord
    from askpix.ingest.catalog.models import Collection
    from askpix.retrieval.search.retriever import Retriever
    from askpix.retrieval.stores.base import VectorStore

_log = logging.getLogger(__name__)
_KNOWN_FOR_S = 600.0
"""Counting the facets of 20,000 images takes 0.14 s: too long for every query."""
_RERANK_SIDE = 1280
"""Pixels: the shorter side of an image that is looked at again is decoded to no less."""


def search(
    workspace: Workspace,
    collection: Collection,
    text: str = "",
    *,
    where: Where | None = None,
    image: Image.Image | Path | None = None,
    image_id: str | None = None,
    like: str | None = None,
    off: Names[str] = (),
    top_k: int = 10,
    offset: int = 0,
    mode: Mode = "auto",
    show_all: bool = False,
    collapse: bool = True,
    diverse: float | None = None,
    rerank: str | None = None,
) -> SearchResult:
    """Return the ``top_k`` hits after ``offset`` for words, an image, a filter, or all of them.

    ``image`` is a file or a decoded image, ``image_id`` one of the collection. ``like`` is the id or the path
    of an image whose neighbours are wanted: it is no hit of its own. ``off`` are fields or words that are not
    read as filters (``EVERYTHING`` for none at all); ``rerank`` as in ``open_searcher``, the rest as in
    ``Retriever.retrieve``. The search is remembered as the settings say.
    """
    workspace.recent(collection).add(text)
    with open_searcher(workspace, collection, rerank=rerank) as searcher:
        by_image = image is not None or image_id is not None or like is not None
        query = searcher.read(text, where, off=off, beside_image=by_image)
        named = None
        if like is not None:
            named = find_image(searcher.store, like)
            image = image if named else Path(like)
        if isinstance(image, Path):
            image = open_image(image, limits=workspace.limits).image
        options: dict[str, Any] = {"mode": mode, "show_all": show_all, "diverse": diverse, "partial": True}
        if named is None:
            return searcher.run(
                query,
                image=image,
                image_id=image_id,
                top_k=top_k,
                offset=offset,
                collapse=collapse,
                **options,
            )
        # The image itself is left out, so one more is fetched. Its doubles are what is most like it.
        wanted = offset + top_k + 1
        result = searcher.run(query, image_id=named, top_k=wanted, collapse=False, **options)
    others = [hit for hit in result.hits if hit.record.id != named]
    numbered = (replace(hit, rank=rank) for rank, hit in enumerate(others, start=1))
    return replace(result, hits=tuple(numbered)[offset : offset + top_k])


@contextmanager
def open_searcher(
    workspace: Workspace, collection: Collection, *, rerank: str | None = None
) -> Iterator[Searcher]:
    """Open a collection for searching, until the end of the ``with``.

    ``rerank`` is the id of a reranker (``api.workspace.rerankers``); None takes that of the settings.
    """
    with workspace.open_store(collection) as store, ExitStack() as stack:
        yield Searcher(workspace, collection, store, stack, rerank or workspace.settings.rerank)


class Searcher:
    """An open collection: reads what people type as queries, and runs them.

    Reading needs the store alone; models and the indexes of pages and regions are opened by the first run.
    """

    def __init__(
        self, workspace: Workspace, collection: Collection, store: VectorStore, stack: ExitStack, rerank: str
    ) -> None:
        self.store = store
        self._workspace = workspace
        self._collection = collection
        self._stack = stack
        self._rerank = rerank

    @cached_property
    def retriever(self) -> Retriever:
        """The retriever on the collection's store, pages and regions."""
        return self._workspace.open_retriever(self._collection, self.store, self._stack)

    def read(
        self,
        text: str,
        where: Where | None = None,
        *,
        off: Names[str] = (),
        beside_image: bool = False,
    ) -> Query:
        """Return the query that ``text`` means here and now: by this clock, locale and collection."""
        return parse(
            text,
            where,
            now=datetime.now(),
            locale=_locale(),
            off=off,
            known=lambda: _known(self.store, self._workspace.folder(self._collection) / "known.json"),
            beside_image=beside_image,
        )

    def read_caption(self, *, literal: bool) -> Callable[..., Query]:
        """Return ``(question, where=None) -> Query`` for captions, whose quotes and minus signs are no
        operators; ``literal`` reads no filter into them either."""

        def read(question: str, where: Where | None = None) -> Query:
            plain = question.replace('"', " ").replace(" -", " ")
            return self.read(plain, where, off=(EVERYTHING,) if literal else ())

        return read

    def run(
        self, query: Query, *, over: Retriever | None = None, top_k: int = 10, offset: int = 0, **options: Any
    ) -> SearchResult:
        """Run a query; ``options`` as in ``Retriever.retrieve``. ``over`` searches that retriever instead."""
        from askpix.ingest.sources.original import is_gone  # noqa: PLC0415 - brings the decoders

        result = self._run(query, over or self.retriever, top_k=top_k, offset=offset, **options)
        result = replace(result, hits=tuple(replace(hit, missing=is_gone(hit.record)) for hit in result.hits))
        left = self._workspace.catalog.texts.count_left(self._collection.id)
        if not left:
            return result
        note = f"the text of {plural(left, 'image')} is not read yet, so matches by text may be missing"
        return replace(result, notes=(*result.notes, note))

    def _run(
        self, query: Query, retriever: Retriever, *, top_k: int, offset: int, **options: Any
    ) -> SearchResult:
        if self._rerank == "none":
            return retriever.retrieve(query, top_k=top_k, offset=offset, **options)

        def retrieve(limit: int, start: int) -> SearchResult:
            return retriever.retrieve(query, top_k=limit, offset=start, **options)

        chosen = reranker(self._workspace, self._rerank, page_sub_query=retriever.page_sub_query)
        partial = bool(options.get("partial"))
        return second_look(retrieve, chosen, self._open_image, top_k=top_k, offset=offset, partial=partial)

    def find(self, text: str, top_k: int, *, offset: int = 0, partial: bool = False) -> SearchResult:
        """Return what ``askpix search TEXT`` finds."""
        return self.run(self.read(text), top_k=top_k, offset=offset, partial=partial)

    def _open_image(self, record: ImageRecord) -> Image.Image | None:
        try:
            return self._workspace.image_of(record, _RERANK_SIDE)
        except (BadImageError, NotFoundError):
            return None


def find_image(store: VectorStore, named: str) -> str | None:
    """Return the id that a person means by an id or by the path of an indexed image (``a.pdf#page=3``).

    None for a file that is not indexed. Raises ``NotFoundError`` for what is neither.
    """
    if store.get([named]):
        return named
    path, _, page = named.partition("#page=")
    literal = "".join(f"[{each}]" if each in "[*?" else each for each in _absolute(path))
    found = store.get(store.scroll(Where(path=literal), limit=10_000))
    chosen = [record for record in found if not page or str(record.page) == page]
    if chosen:
        return min(chosen, key=lambda record: record.page or 0).id
    if not page and Path(path).expanduser().is_file():
        return None
    raise NotFoundError(f"{named!r} is neither the id of an image in this collection nor a file")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _known(store: VectorStore, kept: Path) -> Known:
    """Names of places, cameras and tags in the collection, remembered in the file ``kept`` for a while."""
    count = store.count()
    with suppress(OSError, ValueError, TypeError, KeyError, IndexError):
        found = json.loads(kept.read_text("utf-8"))
        if found["count"] == count and 0 <= time.time() - found["at"] < _KNOWN_FOR_S:
            facets: Facets = {
                name: tuple(Count(each[0], each[1]) for each in found["facets"][name]) for name in FACETS
            }
            return Known.of(facets)
    facets = store.facets(Where(), limit=2_000)
    # A disk that is full or read-only makes it slower, not wrong.
    with tolerated(_log, "the facets are not kept", OSError), written_whole(kept) as draft:
        draft.write_text(json.dumps({"count": count, "at": time.time(), "facets": facets}), "utf-8")
    return Known.of(facets)


def _locale() -> str:
    return next((os.environ[name] for name in ("LC_ALL", "LC_TIME", "LANG") if os.environ.get(name)), "en")
