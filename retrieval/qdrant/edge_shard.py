"""A folder with one Qdrant Edge shard: who may open it, whether it is whole, and its errors made ours.

folder/shard*/      Qdrant's own files; the manifest says which, others are leftovers of a rebuild
folder/closed.json  how many images it held when last closed in order; gone while it is open
(and what ``store_folder`` keeps there)
"""

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import filelock
import qdrant_edge as edge

from askpix.core.errors import AskpixError, StoreUnavailableError
from askpix.retrieval.qdrant.edge_config import edge_config
from askpix.retrieval.qdrant.edge_rebuild import rebuild, room_for_copy
from askpix.retrieval.qdrant.filters import INDEXES
from askpix.retrieval.stores.folder import acquire, manifest, read_json, write_json

_FLUSH_EVERY = 5_000
"""Points between flushes: replaying the write-ahead log of more takes seconds at the next start."""
_REBUILD_FROM = 20 << 20
"""Bytes of vectors without codes from which on those are made in another process: here it would take seconds.
The engine makes none for less than 10 MB a segment."""
_SPARE_BYTES = 100 << 20
"""Free disk below which nothing is written: the engine writes through mapped files, and a full disk under
those is not an error but the death of the process (SIGBUS)."""


_SPARE_BYTES_TO_DELETE = 4 << 20
"""Spare bytes required for deletions: they take some 50 bytes an image, and make room."""


class Configure(Protocol):
    def __call__(self, dim: int, text_dim: int, /, *, graph: bool) -> edge.EdgeConfig: ...


class Shard:
    """The engine behind a lock file and a gate: threads use it together, and wait while it is reopened."""

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        lock: filelock.FileLock,
        configure: "Configure",
        indexes: Mapping[str, Any],
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._lock = lock
        self._configure = configure
        self._indexes = indexes
        self._engine: edge.EdgeShard | None = None
        self._gate = threading.Condition()
        self._users = 0
        self._shut = False
        self._unflushed = 0
        self._updating = threading.Lock()
        self._rebuilding = threading.Lock()
        self._stop = threading.Event()
        self._missed: list[edge.UpdateOperation] | None = None
        """Changes since the shard was copied, while its rebuild goes on."""
        self._load()

    @classmethod
    def open(
        cls,
        folder: Path,
        models: dict[str, Any],
        *,
        wait_s: float,
        configure: "Configure | None" = None,
        indexes: Mapping[str, Any] = INDEXES,
    ) -> "Shard":
        """Lock the folder (made when missing), check what it was made with, load it.

        ``models`` has the keys model, dim, text_model, text_dim; ``configure`` makes the engine's
        configuration of the last two numbers (default: ``edge_config``). Raises ``StoreUnavailableError`` and
        ``IndexMismatchError``, and then holds nothing.
        """
        lock: filelock.FileLock | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = acquire(folder, wait_s)
            return cls(folder, manifest(folder, models), lock, configure or edge_config, indexes)
        except BaseException as error:
            if lock is not None:
                (folder / "owner.json").unlink(missing_ok=True)
                lock.release()
            if isinstance(error, OSError):
                reason = error.strerror or str(error)
                raise StoreUnavailableError(f"cannot use the folder {str(folder)!r}: {reason}") from error
            raise

    @property
    def has_graph(self) -> bool:
        """True if searches walk a graph (large collections) instead of scanning."""
        return bool(self._manifest.get("graph"))

    @property
    def payload_version(self) -> int:
        """Version of the derived fields that its points have."""
        return int(self._manifest.get("payload", 1))

    def note_payload_version(self, version: int) -> None:
        """Record that all points have the derived fields of this version."""
        self._manifest["payload"] = version
        write_json(self._folder / "manifest.json", self._manifest)

    @contextmanager
    def use(self) -> Iterator[edge.EdgeShard]:
        """The engine, for as long as the block lasts. Its failures become ``StoreUnavailableError``."""
        with self._gate:
            self._gate.wait_for(lambda: not self._shut)
            self._users += 1
        try:
            if self._engine is None:
                raise StoreUnavailableError(f"the vectors in {str(self._folder)!r} were closed")
            with _translated(f"the vectors in {str(self._folder)!r} cannot be used"):
                yield self._engine
        finally:
            with self._gate:
                self._users -= 1
                self._gate.notify_all()

    def update(self, operation: edge.UpdateOperation, points: int, *, deletes: bool = False) -> None:
        """Apply one change; it survives the death of this process from here on."""
        with self._updating, self.use() as engine:
            self._check_disk(_SPARE_BYTES_TO_DELETE if deletes else _SPARE_BYTES)
            engine.update(operation)
            if self._missed is not None:
                self._missed.append(operation)
            self._unflushed += points
            if self._unflushed >= _FLUSH_EVERY:
                self._unflushed = 0
                engine.flush()

    def _check_disk(self, spare: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < spare:
            raise StoreUnavailableError(
                f"the disk of {str(self._folder)!r} is full: {free >> 20} MB left where"
                f" {spare >> 20} MB are needed; free some space"
            )

    def optimize(self, *, graph: bool) -> None:
        """Let the engine rebuild its segments; with ``graph`` as one that has a graph, now and later.

        What takes more than moments goes on in another process, and searches and changes with it.
        """
        with self._rebuilding:
            with self.use() as engine:
                info = engine.info()
            graph = graph or self.has_graph
            uncoded = (info.points_count - info.indexed_vectors_count) * 4 * self._manifest["dim"]
            large = uncoded >= _REBUILD_FROM
            apart = self._configure is edge_config and (large or graph != self.has_graph)
            if apart and room_for_copy(self._folder, self._path, _SPARE_BYTES):
                self._rebuild(graph)
                return
            with self._updating, self.use() as engine:
                engine.optimize()
                engine.flush()
                self._unflushed = 0

    def _rebuild(self, graph: bool) -> None:
        fresh = self._folder / f"shard-{time.time_ns():x}"
        dims = {name: self._manifest[name] for name in ("dim", "text_dim")}
        try:
            with self._updating, self.use() as engine:
                engine.flush()
                self._unflushed = 0
                shutil.copytree(self._path, fresh)
                self._missed = []
            if rebuild(fresh, graph=graph, stop=self._stop, **dims):
                self._change_over(fresh, graph)
        except OSError as error:
            raise StoreUnavailableError(
                f"the index of {str(self._folder)!r} could not be built: {error.strerror or error}"
            ) from error
        finally:
            self._missed = None
            self._sweep()

    def _change_over(self, fresh: Path, graph: bool) -> None:
        """Take the rebuilt shard into use, with the changes that it missed."""
        with self._updating, _translated(f"the rebuilt vectors in {str(self._folder)!r} cannot be used"):
            config = self._configure(self._manifest["dim"], self._manifest["text_dim"], graph=graph)
            engine = edge.EdgeShard.load(str(fresh), config)
            for operation in self._missed or ():
                engine.update(operation)
            engine.flush()
            with self._alone():
                old = self._engine
                self._engine = engine
                self._manifest |= {"graph": graph, "shard": fresh.name}
                write_json(self._folder / "manifest.json", self._manifest)
                if old is not None:
                    old.close()

    @property
    def _path(self) -> Path:
        return self._folder / str(self._manifest.get("shard", "shard"))

    def _sweep(self) -> None:
        """Remove what rebuilds left: of a kill, or replaced."""
        for leftover in self._folder.glob("shard*"):
            if leftover.is_dir() and leftover != self._path:
                shutil.rmtree(leftover, ignore_errors=True)
            elif leftover.suffix == ".log":
                leftover.unlink(missing_ok=True)

    def close(self) -> None:
        """Flush, note how much there is, let go; a rebuild is given up. Closing twice is fine."""
        self._stop.set()
        with self._rebuilding, self._alone():
            engine = self._engine
            self._engine = None
            if engine is None:
                return
            try:
                with _translated(f"the vectors in {str(self._folder)!r} cannot be written"):
                    engine.flush()
                    count = engine.count(edge.CountRequest(exact=True))
                    engine.close()
                    write_json(self._folder / "closed.json", {"count": count})
            finally:
                (self._folder / "owner.json").unlink(missing_ok=True)
                self._lock.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._gate:
            self._gate.wait_for(lambda: not self._shut)
            self._shut = True
            self._gate.wait_for(lambda: self._users == 0)
        try:
            yield
        finally:
            with self._gate:
                self._shut = False
                self._gate.notify_all()

    def _load(self) -> None:
        """Load or make the shard, and see that nothing of it is missing."""
        path = self._path
        closed = self._folder / "closed.json"
        config = self._configure(self._manifest["dim"], self._manifest["text_dim"], graph=self.has_graph)
        hint = "; if its files are damaged, delete that folder and index again"
        with _translated(f"the vectors in {str(self._folder)!r} cannot be opened", hint):
            if (path / "edge_config.json").exists():
                engine = edge.EdgeShard.load(str(path), config)
            else:
                self._check_disk(_SPARE_BYTES)
                path.mkdir(exist_ok=True)
                engine = edge.EdgeShard.create(str(path), config)
            # A kill between making the shard and its indexes must not leave it without them.
            for field in sorted(self._indexes.keys() - engine.info().payload_schema.keys()):
                engine.update(edge.UpdateOperation.create_field_index(field, self._indexes[field]))
            # The engine passes over a segment whose marker file is gone, and over the end of a cut id list.
            if closed.exists():
                count = engine.count(edge.CountRequest(exact=True))
                before = read_json(closed).get("count", count)
                if count != before:
                    engine.close()
                    raise StoreUnavailableError(
                        f"the vectors in {str(self._folder)!r} are damaged: {count} of {before} images are"
                        " left; delete that folder and index again"
                    )
                closed.unlink()
        self._engine = engine
        self._sweep()


@contextmanager
def _translated(what: str, hint: str = "") -> Iterator[None]:
    try:
        yield
    except (AskpixError, ValueError, TypeError, MemoryError):
        raise  # ours, or a bug of ours: the engine itself never raises the latter
    except BaseException as error:
        # The engine raises bare Exception for all that goes wrong, and PanicException (a BaseException that
        # cannot be imported) where its files make no sense.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:300]
        raise StoreUnavailableError(f"{what}: {reason}{hint}") from error
