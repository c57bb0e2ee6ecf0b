"""A catalog, a store and an embedder of colours: all that indexing needs."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from PIL import Image

from askpix.core.db.engine import open_database
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import ImageRecord, Vectors, Where
from askpix.ingest.catalog.catalog import Catalog, Collection
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.pipeline.report import IngestReport, Progress
from tests.support.fakes import ColourEmbedder, MemoryStore


class Counting(ColourEmbedder):
    """Counts the pictures it embeds, and how many threads are in it at once."""

    def __init__(self, *, workers: int = 1) -> None:
        super().__init__(workers=workers)
        self.embedded = self.inside = self.most = 0
        self._lock = threading.Lock()

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        with self._lock:
            self.embedded += len(images)
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            return super().embed_images(images)
        finally:
            with self._lock:
                self.inside -= 1


class World:
    """A folder of pictures, a collection and what a run on it needs."""

    def __init__(self, home: Path) -> None:
        self.photos = home / "photos"
        self.photos.mkdir()
        self.catalog = Catalog(open_database(home / "catalog.sqlite", METADATA, version=VERSION))
        self.embedder = Counting()
        self.store = MemoryStore(dim=5, text_dim=64)
        self.collection: Collection = self.catalog.create_collection(
            "default", embedder="colour", dim=5, text_embedder="word-bag", text_dim=64
        )
        self.limits = DEFAULT_LIMITS
        self.progress: list[Progress] = []

    def open_store(self) -> AbstractContextManager[MemoryStore]:
        return nullcontext(self.store)

    def load(self) -> Counting:
        return self.embedder

    def run(self, *paths: Path, prune: bool = False, **more: object) -> IngestReport:
        report = index(
            paths or [self.photos],
            collection=self.collection,
            catalog=self.catalog,
            open_store=self.open_store,
            embedder=self.load,
            limits=self.limits,
            prune=prune,
            on_progress=self.progress.append,
            **more,  # type: ignore[arg-type]
        )
        self.check()
        return report

    def check(self) -> None:
        """What holds after every run: store and catalog list the same pictures, with the same sources."""
        ids = self.catalog.embedded_ids(self.collection)
        assert sorted(ids) == sorted(self.store.ids())
        known = self.catalog.records(self.collection, sorted(self.catalog.contents(self.collection)))
        by_id = {record.id: (record.uri, record.copies) for record in known}
        assert by_id == {record.id: (record.uri, record.copies) for record in self.store.get(ids)}
        assert self.catalog.orphans(self.collection) == []

    def find(self, colour: str) -> str:
        """The name of the picture that fits the colour best."""
        (best,) = self.store.search("image", self.embedder.embed_texts([colour])[0], where=Where(), limit=1)
        return Path(self.record(best.id).uri).name

    def record(self, image_id: str) -> ImageRecord:
        (record,) = self.store.get([image_id])
        return record

    def uris(self) -> dict[str, tuple[str, ...]]:
        """Names of first sources with those of their copies."""
        records = self.store.get(list(self.store.ids()))
        return {Path(r.uri).name: tuple(Path(copy).name for copy in r.copies) for r in records}


def paint(path: Path, colour: str | tuple[int, int, int], size: tuple[int, int] = (48, 36)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, "PNG")
    return path


def words(world: World, query: str) -> list[str]:
    hits = world.store.search("words", query, where=Where(), limit=9)
    return [Path(world.record(hit.id).uri).name for hit in hits]
