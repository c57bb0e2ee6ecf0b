"""Workspace: from settings to a working whole. This package and ``api.models`` alone name concrete classes.

Everything heavy is imported where it is first needed, so that commands that need no model start fast.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from askpix.api.models.loader import Models
from askpix.api.settings import Settings
from askpix.api.workspace.identity import IDENTITY, mark_deleted, write_identity
from askpix.api.workspace.stores import SharedStores, check_store, kind_of, vector_spec
from askpix.core.errors import AskpixError, NotFoundError, StoreUnavailableError
from askpix.core.files import disk_usage
from askpix.core.log import tolerated

if TYPE_CHECKING:
    from PIL import Image

    from askpix.api.workspace.query_log import GoodHits, RecentQueries
    from askpix.core.types import ImageRecord, TextLine
    from askpix.ingest.catalog.catalog import Catalog, Collection
    from askpix.ingest.catalog.tags import Tagger, Vocabulary
    from askpix.retrieval.late_interaction.page_search import PageSubQuery
    from askpix.retrieval.search.retriever import Retriever
    from askpix.retrieval.stores.adapted import Adaptation
    from askpix.retrieval.stores.base import VectorStore
    from askpix.retrieval.stores.kinds import VectorSpec

_log = logging.getLogger(__name__)
_IDLE: tuple[Literal["building", "replaced"], ...] = ("building", "replaced")


class Workspace(SharedStores, Models):
    """An opened home folder: its catalog, its collections, and the models they need (loaded once)."""

    def __init__(self, settings: Settings, *, tell: Callable[[str], object] | None = None) -> None:
        """``tell`` gets lines for a person: what was chosen for them, and why."""
        SharedStores.__init__(self, settings)
        Models.__init__(self)
        self._tell = tell or (lambda line: None)

    # --- what is there -------------------------------------------------------------------------------

    @cached_property
    def catalog(self) -> Catalog:
        from askpix.core.db.engine import open_database
        from askpix.ingest.catalog.catalog import Catalog
        from askpix.ingest.catalog.tables import METADATA, VERSION

        home = self.settings.home
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AskpixError(
                f"cannot use {str(home)!r} as home: {error.strerror}; "
                "set ASKPIX_HOME to a folder you can write"
            ) from error
        where = self.settings.database_url or home / "catalog.sqlite"
        return Catalog(open_database(where, METADATA, version=VERSION))

    @contextmanager
    def run_on(self, collection: Collection) -> Iterator[None]:
        """Held while a collection changes: by one process of all that share the home or the catalog."""
        from askpix.ingest.pipeline.embed_images import collection_run

        self._at_home(collection)
        with collection_run(self.folder(collection)), self.catalog.held(collection):
            try:
                yield
            finally:
                self._identify(collection)

    def _identify(self, collection: Collection) -> None:
        """See that the collection's folder says of which one it is, with the models that it has now."""
        with tolerated(_log, "the collection's folder does not say of which it is", AskpixError):
            now = self.catalog.get_collection(collection.name)
            if now is not None and now.id == collection.id:
                write_identity(self.folder(now), now)

    def _at_home(self, collection: Collection) -> None:
        """Vectors in a folder are in the home that made them, while the catalog may be shared."""
        if not self.catalog.shared or kind_of(self.settings, collection).shared:
            return
        there = any(self.folder(collection).glob("vectors*"))
        if not there and self.catalog.count_images(collection) and self.server() is None:
            raise StoreUnavailableError(
                f"the vectors of {collection.name!r} are not in this home but in that of the machine which "
                "indexed it: work there, or keep collections that machines share on a Qdrant server "
                "(ASKPIX_STORE=qdrant); if they are lost, run `askpix doctor --mend` and index again"
            )

    def collection(self, name: str) -> Collection:
        """An existing collection; ``NotFoundError`` names those that exist."""
        found = self.catalog.get_collection(name)
        if found is None:
            names = ", ".join(c.name for c in self.catalog.list_collections())
            there = f"there are: {names}" if names else "there is none yet; `askpix index FOLDER` makes one"
            raise NotFoundError(f"no collection {name!r}; {there}")
        return found

    def create_collection(
        self, name: str, embedder_id: str | None = None, *, page_embedder_id: str | None = None
    ) -> Collection:
        """A new collection for these embedders (default: the settings)."""
        from askpix.api.workspace.page_index import choose_page_embedder, late_embedder

        pages = page_embedder_id or self.settings.page_embedder
        if pages != "none":
            late_embedder(self, pages)  # what cannot be had is refused before anything is made
        check_store(self.settings)
        wanted = embedder_id or self.settings.embedder
        embedder = self.embedder(wanted)
        text = self.text_embedder_for(self.settings.text_embedder)
        made = self.catalog.create_collection(
            name,
            embedder=embedder.model_id,
            dim=embedder.dim,
            text_embedder=text.model_id,
            text_dim=text.dim,
            store=self.settings.store,
        )
        if wanted == "auto":
            self._tell(f"embedder {self.auto.embedder_id}: {self.auto.reason}")
        return made if pages == "none" else choose_page_embedder(self, made, pages)

    def open_or_create(self, name: str, embedder_id: str | None = None) -> Collection:
        """The collection ``name``, made when missing; refuses another embedder than its own."""
        from askpix.core.errors import IndexMismatchError
        from askpix.retrieval.embedders.base import same_model

        found = self.catalog.get_collection(name)
        if found is None:
            try:
                return self.create_collection(name, embedder_id)
            except AskpixError:
                # Another process may have made it between the look and the making.
                found = self.catalog.get_collection(name)
                if found is None:
                    raise
        wanted = self.id_of(embedder_id or "auto", "embedder")
        if wanted != "auto" and not same_model(wanted, found.embedder):
            raise IndexMismatchError(
                f"collection {name!r} was made with {found.embedder!r}, not {wanted!r}; leave --embedder "
                f"out, or change it: `askpix collections reembed {name} --embedder {wanted}`"
            )
        return found

    def delete_collection(self, name: str) -> int:
        """Remove a collection with its vectors; the images themselves stay. Returns how many it held.

        What raises has deleted nothing. The catalog comes first, in one transaction; folders that cannot be
        removed after it, or that a kill leaves, say that they are to go.
        """
        from askpix.api.workspace.page_index import drop_pages

        collection = self.collection(name)
        folder = self.folder(collection)
        # An indexing run between two of its writes would make the folder again.
        with self.run_on(collection):
            count = self.catalog.count_images(collection)
            generations = self.catalog.generations
            idle = [each for state in _IDLE for each in generations.others(collection, state)]
            mark_deleted(folder)
            try:
                with self.catalog.deleting(name):
                    if kind_of(self.settings, collection).shared:
                        drop_pages(self, collection)
                        for each in (collection, *idle):
                            self.drop_vectors(each)
            except BaseException:
                mark_deleted(folder, back=True)
                raise
            with tolerated(_log, "a store is not flushed", AskpixError):  # it goes all the same
                self.let_go(collection)
        shutil.rmtree(self.settings.home / "uploads" / collection.id, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        return count

    # --- a collection in use -------------------------------------------------------------------------

    def image_of(self, record: ImageRecord, min_side: int | None) -> Image.Image:
        """The image of a record from whichever file still has its bytes; see
        ``ingest.sources.original``."""
        from askpix.ingest.sources.original import open_original

        collections = self.catalog.list_collections()
        return open_original(record, collections, limits=self.limits, min_side=min_side).image

    def folder(self, collection: Collection) -> Path:
        """Return the folder of a collection's vectors. It has the uuid: a new namesake never meets old
        vectors.
        """
        return self.settings.home / "collections" / f"{collection.name}-{collection.id[:8]}"

    def recent(self, collection: Collection) -> RecentQueries:
        """The collection's latest searches."""
        from askpix.api.workspace.query_log import RecentQueries

        return RecentQueries(self.folder(collection) / "queries.jsonl", keep=self.settings.remember_queries)

    def good_hits(self, collection: Collection) -> GoodHits:
        """Return the hits that people of the collection marked as good."""
        from askpix.api.workspace.query_log import GoodHits

        return GoodHits(self.folder(collection) / "good_hits.jsonl", on=bool(self.settings.remember_queries))

    def vectors_folder(self, collection: Collection) -> Path:
        """The vectors of this generation of the collection."""
        number = f"-{collection.generation}" if collection.generation else ""
        return self.folder(collection) / f"vectors{number}"

    def _spec(self, collection: Collection) -> VectorSpec:
        return vector_spec(self.settings, collection, self.vectors_folder(collection))

    def drop_vectors(self, collection: Collection) -> None:
        """Remove the vectors of this generation; no command may have them open."""
        from askpix.api.workspace.region_index import drop_sheets

        drop_sheets(self, collection)
        self.let_go(collection, str(collection.generation))
        kind_of(self.settings, collection).drop(self._spec(collection))

    @contextmanager
    def open_store(self, collection: Collection) -> Iterator[VectorStore]:
        """The collection's store, waiting a while for another process to let go of it."""

        def open_it() -> VectorStore:
            self._at_home(collection)
            _log.info("opening the %s store of collection %r", collection.store, collection.name)
            store = kind_of(self.settings, collection).open(self._spec(collection))
            if not (self.folder(collection) / IDENTITY).exists():
                self._identify(collection)
            return store

        with self.shared((collection.id, str(collection.generation)), open_it) as store:
            yield store

    def store_opener(self, collection: Collection) -> Callable[[], Any]:
        """``open_store`` bound to a collection, as the stages of ingestion take it."""
        return lambda: self.open_store(collection)

    def retriever_on(
        self, collection: Collection, store: VectorStore, *, page_sub_query: PageSubQuery | None = None
    ) -> Retriever:
        """A retriever on an open store, calibrated for what the collection holds now."""
        from askpix.retrieval.search.calibration import load_calibration
        from askpix.retrieval.search.retriever import Retriever

        embedder = self.embedder(collection.embedder)
        text = self.text_embedder_of(collection)
        if (learned := self.adaptation(collection)) is not None:
            from askpix.retrieval.stores.adapted import adapted

            embedder, store = adapted(embedder, text, store, learned)
        number = f"-{collection.generation}" if collection.generation else ""
        calibration = load_calibration(self.folder(collection) / f"calibration{number}.npz", embedder, store)
        return Retriever(embedder, text, store, calibration, page_sub_query)

    def tagger(self, collection: Collection, vocabulary: Vocabulary) -> Tagger:
        """Return the tagger of a collection's images."""
        from askpix.retrieval.classification.zero_shot import ZeroShot

        if not vocabulary.labels:
            return lambda vectors: [()] * len(vectors)
        zero_shot = ZeroShot(self.embedder(collection.embedder), vocabulary.labels)
        return lambda vectors: zero_shot.tags(vectors, threshold=vocabulary.threshold)

    def adaptation_file(self, collection: Collection) -> Path:
        """Return the file of the adaptation learned from a collection's captions."""
        number = f"-{collection.generation}" if collection.generation else ""
        return self.folder(collection) / f"adaptation{number}.npz"

    def adaptation(self, collection: Collection) -> Adaptation | None:
        """Return the adaptation learned from the collection's captions, for its present models; None without
        one.
        """
        kept = self.adaptation_file(collection)
        if not kept.exists():
            return None
        from askpix.retrieval.stores.adapted import Adaptation

        return Adaptation.load(
            kept,
            embedder=collection.embedder,
            text_embedder=collection.text_embedder,
        )

    def open_retriever(self, collection: Collection, store: VectorStore, stack: ExitStack) -> Retriever:
        """A retriever on an open store, and on the pages and regions that ``stack`` will close."""
        pages: PageSubQuery | None = None
        if collection.page_embedder is not None:
            from askpix.api.workspace.page_index import open_page_sub_query

            pages = stack.enter_context(open_page_sub_query(self, collection))
        retriever = self.retriever_on(collection, store, page_sub_query=pages)
        if not self.catalog.sheets.any(collection):
            return retriever
        from askpix.api.workspace.region_index import open_sheet_sub_query

        return retriever.with_sheets(stack.enter_context(open_sheet_sub_query(self, collection)))

    def lines_of(
        self, collection: Collection
    ) -> Callable[[Sequence[str]], Mapping[str, tuple[TextLine, ...]]]:
        """Lines of text by image id, from the catalog."""
        return self.catalog.lines

    def has_sheets(self, collection: Collection) -> bool:
        """Return whether there are pages with several images on them, or were."""
        folder = self.folder(collection) / f"sheets-{collection.generation}"
        return folder.exists() or self.catalog.sheets.any(collection)

    def disk_bytes(self, collection: Collection) -> int:
        """Return the bytes that the collection's folder takes on the disk: sparse files count what they
        hold.
        """
        folder = self.folder(collection)
        try:
            return sum(disk_usage(entry.stat()) for entry in folder.rglob("*") if entry.is_file())
        except OSError as error:
            raise StoreUnavailableError(f"cannot read {str(folder)!r}: {error.strerror}") from error
