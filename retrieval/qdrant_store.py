"""Qdrant's engine in this process (``qdrant-edge-py``): the store that needs no server.

Three vectors a picture: ``image`` (dense), ``text`` (one row per passage read in it, best row counts) and
``words`` (BM25). Up to half a million pictures a scan over 4-bit codes, rescored with the originals, is both
exact and fast, and no filter can break it; above that a graph is built (measured: README, "Numbers").
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import numpy as np
import qdrant_edge as edge

from core.errors import IndexMismatchError, NotFoundError, StoreUnavailableError
from core.types import ImageRecord, Vectors, Where
from retrieval.qdrant_filter import CHECKED_FIELDS, INDEXES, Check, to_filter, to_payload, to_record
from retrieval.store import Leg, Scored
from retrieval.words import content_words, squeeze, tokens

FORMAT = 1
GRAPH_FROM = 500_000
"""Pictures from which a graph pays: below, the quantised scan takes under 15 ms and finds everything."""
_FLUSH_EVERY = 5_000
"""Points between flushes: replaying the write-ahead log of more takes seconds at the next start."""
_TIES = 8
"""Fetched beyond what was asked for, so that equal scores at the edge of a page sort the same each time."""


class QdrantEdgeStore:
    """A ``VectorStore`` in a folder. One process holds it at a time; its threads may share it."""

    def __init__(
        self, shard: edge.EdgeShard, folder: Path, lock: filelock.FileLock, dims: tuple[int, int]
    ) -> None:
        self._shard: edge.EdgeShard | None = shard
        self._folder = folder
        self._lock = lock
        self._dims = dims
        self._unflushed = 0
        # Tokens are made by ``words.tokens``; Qdrant only splits and weighs them.
        self._bm25 = edge.Bm25(
            edge.Bm25Config(
                tokenizer=edge.TokenizerType.Whitespace,
                stopwords=edge.StopwordsSet(),
                stemmer=edge.DisabledStemmer(),
                avg_len=60.0,
            )
        )

    @classmethod
    def open(
        cls, folder: Path, *, model_id: str, dim: int, text_model_id: str, text_dim: int, wait_s: float = 0.0
    ) -> "QdrantEdgeStore":
        """Open the store in ``folder``, made when missing; waits up to ``wait_s`` for another process.

        Raises ``StoreUnavailableError`` (held by another process, damaged, not writable) and
        ``IndexMismatchError`` (made with other models, or by a newer version).
        """
        models = {
            "format": FORMAT,
            "model": model_id,
            "dim": dim,
            "text_model": text_model_id,
            "text_dim": text_dim,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _acquire(folder, wait_s)
        except OSError as error:
            raise StoreUnavailableError(f"cannot use {str(folder)!r}: {error.strerror or error}") from error
        try:
            _check_models(folder, models)
            shard_folder = folder / "shard"
            if shard_folder.is_dir() and any(shard_folder.iterdir()):
                shard = edge.EdgeShard.load(str(shard_folder))
            else:
                shard_folder.mkdir(exist_ok=True)
                shard = edge.EdgeShard.create(str(shard_folder), _config(dim, text_dim))
            # Idempotent, and a kill between making the shard and its indexes must not leave it without them.
            missing = INDEXES.keys() - shard.info().payload_schema.keys()
            for field in sorted(missing):
                shard.update(edge.UpdateOperation.create_field_index(field, INDEXES[field]))
        except (IndexMismatchError, StoreUnavailableError):
            lock.release()
            raise
        except Exception as error:
            # The engine raises bare Exception for everything that goes wrong in it.
            lock.release()
            raise StoreUnavailableError(
                f"the vectors in {str(folder)!r} cannot be opened: {_one_line(error)}; "
                "if they are damaged, delete that folder and index again"
            ) from error
        return cls(shard, folder, lock, (dim, text_dim))

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        """Add or replace pictures with their image vectors; durable on return."""
        points = [
            edge.Point(record.id, {"image": row}, to_payload(record))
            for record, row in zip(records, image_vectors.tolist(), strict=True)
        ]
        if points:
            self._update(edge.UpdateOperation.upsert_points(points), len(points))

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        """Attach words and passage vectors to pictures that are there; durable on return."""
        there = {
            record.id for record in self._open().retrieve(list(ids), with_payload=False, with_vector=False)
        }
        changed: list[edge.PointVectors] = []
        for point_id, text, rows in zip(ids, texts, vectors, strict=True):
            if str(point_id) not in there:
                continue
            named: dict[str, Any] = {}
            if len(rows):
                named["text"] = rows.tolist()
            if terms := tokens(text):
                named["words"] = self._bm25.embed_document(" ".join(terms))
            gone = [name for name in ("text", "words") if name not in named]
            if gone:
                self._update(edge.UpdateOperation.delete_vectors([point_id], gone), 0)
            if named:
                changed.append(edge.PointVectors(point_id, named))
            payload = {"text": text, "squeezed": squeeze(text)}
            self._update(edge.UpdateOperation.set_payload([point_id], payload), 1)
        if changed:
            self._update(edge.UpdateOperation.update_vectors(changed), len(changed))

    def set_copies(self, record: ImageRecord, /) -> None:
        """Rewrite where the picture lies."""
        payload = to_payload(record)
        fields = {name: payload[name] for name in ("uri", "copies", "paths")}
        if self.get([record.id]):
            self._update(edge.UpdateOperation.set_payload([record.id], fields), 1)

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pictures; unknown ids are ignored."""
        if ids:
            self._update(edge.UpdateOperation.delete_points(list(ids)), len(ids))

    # --- reading -------------------------------------------------------------------------------------

    def search(
        self, leg: Leg, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Best first, ties by id."""
        if isinstance(query, str):
            # Query words that nobody looks for ("the", "show") would match every page of prose.
            terms = content_words(query) or tokens(query)
            if not terms:
                return []
            vector: Any = self._bm25.embed_query(" ".join(terms))
        else:
            vector = query.tolist() if leg == "image" else [query.tolist()]
        check, narrowed = Check(where), to_filter(where)
        fields = CHECKED_FIELDS if check.needed else False
        wanted = offset + limit
        fetch = wanted + _TIES
        while True:
            points = self._query(vector, leg, narrowed, fetch, fields)
            found = [point for point in points if not check.needed or check(point.payload or {})]
            if len(found) >= wanted or len(points) < fetch:
                break
            fetch *= 4
        hits = sorted(
            (Scored(str(point.id), point.score) for point in found), key=lambda hit: (-hit.score, hit.id)
        )
        return hits[offset:wanted]

    def _query(
        self, vector: Any, leg: Leg, narrowed: edge.Filter | None, limit: int, fields: list[str] | bool
    ) -> list[edge.ScoredPoint]:
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector, leg),
            filter=narrowed,
            with_payload=fields,
            params=edge.SearchParams(
                quantization=edge.QuantizationSearchParams(rescore=True, oversampling=2.0),
                # Walks the graph through filtered-out neighbours: keeps recall when a filter is narrow.
                acorn=edge.AcornSearchParams(enable=narrowed is not None, max_selectivity=0.4),
            ),
        )
        return self._open().query(request)

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Ids that satisfy the filter, newest first, then undated ones."""
        check, narrowed, wanted = Check(where), to_filter(where), offset + limit
        fields = [*CHECKED_FIELDS, "taken_at"]
        found: list[tuple[str, str]] = []
        start: Any = None
        while True:
            points, start = self._open().scroll(
                edge.ScrollRequest(offset=start, limit=1000, filter=narrowed, with_payload=fields)
            )
            for point in points:
                payload = point.payload or {}
                if not check.needed or check(payload):
                    found.append((payload.get("taken_at") or "", str(point.id)))
            if start is None:
                break
        found.sort(key=lambda pair: pair[1])
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [point_id for _, point_id in found[offset:wanted]]

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records in the order of ``ids``; unknown ids are left out."""
        if not ids:
            return []
        points = self._open().retrieve(list(ids), with_payload=True, with_vector=False)
        by_id = {str(point.id): to_record(str(point.id), point.payload or {}) for point in points}
        return [by_id[point_id] for point_id in ids if point_id in by_id]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim)``; an unknown id is a ``NotFoundError``."""
        points = self._open().retrieve(list(ids), with_payload=False, with_vector=["image"]) if ids else []
        by_id: dict[str, Any] = {str(point.id): point.vector for point in points}
        unknown = [point_id for point_id in ids if point_id not in by_id]
        if unknown:
            raise NotFoundError(f"no picture with id {unknown[0]!r}")
        rows = [by_id[point_id]["image"] for point_id in ids]
        return np.asarray(rows, np.float32).reshape(len(rows), self._dims[0])

    def sample_vectors(self, n: int, /) -> Vectors:
        """Image vectors of the ``n`` smallest ids, which are hashes and so a fair sample."""
        points, _ = self._open().scroll(
            edge.ScrollRequest(limit=n, with_payload=False, with_vector=["image"])
        )
        rows: list[Any] = [point.vector["image"] for point in points]  # type: ignore[index,call-overload]
        return np.asarray(rows, np.float32).reshape(len(rows), self._dims[0])

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        start: Any = None
        while True:
            points, start = self._open().scroll(
                edge.ScrollRequest(offset=start, limit=5000, with_payload=False)
            )
            yield from (str(point.id) for point in points)
            if start is None:
                return

    def count(self, where: Where | None = None, /) -> int:
        """How many pictures satisfy the filter."""
        where = where or Where()
        if Check(where).needed:
            return len(self.scroll(where, limit=sys.maxsize))
        return self._open().count(edge.CountRequest(exact=True, filter=to_filter(where)))

    # --- upkeep --------------------------------------------------------------------------------------

    def optimize(self) -> None:
        """Quantise, and from ``GRAPH_FROM`` pictures on build the graph. Blocks until done."""
        shard = self._open()
        if shard.info().points_count >= GRAPH_FROM:
            # A shard takes its index parameters when it is loaded.
            shard.flush()
            shard.close()
            config = _config(*self._dims, graph=True)
            self._shard = edge.EdgeShard.load(str(self._folder / "shard"), config)
        self._open().optimize()
        self._flush()

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        if self._shard is None:
            return
        try:
            self._flush()
            self._shard.close()
        finally:
            self._shard = None
            (self._folder / "owner.json").unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> "QdrantEdgeStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> edge.EdgeShard:
        if self._shard is None:
            raise StoreUnavailableError(f"the vectors in {str(self._folder)!r} were closed")
        return self._shard

    def _update(self, operation: edge.UpdateOperation, points: int) -> None:
        try:
            self._open().update(operation)
            self._unflushed += points
            if self._unflushed >= _FLUSH_EVERY:
                self._flush()
        except StoreUnavailableError:
            raise
        except Exception as error:
            raise StoreUnavailableError(
                f"cannot write vectors to {str(self._folder)!r}: {_one_line(error)}"
            ) from error

    def _flush(self) -> None:
        self._open().flush()
        self._unflushed = 0


def _config(dim: int, text_dim: int, *, graph: bool = False) -> edge.EdgeConfig:
    index = edge.HnswIndexConfig(m=16 if graph else 0, ef_construct=128, full_scan_threshold=10_000)
    codes = edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4)
    best_row = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    cosine = edge.Distance.Cosine
    return edge.EdgeConfig(
        vectors={
            "image": edge.EdgeVectorParams(dim, cosine, hnsw_config=index, quantization_config=codes),
            "text": edge.EdgeVectorParams(text_dim, cosine, hnsw_config=index, multivector_config=best_row),
        },
        sparse_vectors={"words": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )


def _acquire(folder: Path, wait_s: float) -> filelock.FileLock:
    """The folder's lock, or a StoreUnavailableError that says who holds it. Kill -9 leaves no lock behind."""
    lock, owner = filelock.FileLock(folder / "lock"), folder / "owner.json"
    try:
        lock.acquire(timeout=wait_s, poll_interval=0.02)
    except filelock.Timeout as error:
        try:
            held = json.loads(owner.read_text("utf-8"))
            who = f"process {held['pid']} ({held['command']}) since {held['since']}"
        except (OSError, ValueError, KeyError):
            who = "another process"
        raise StoreUnavailableError(
            f"collection {folder.parent.name!r} is in use by {who}; wait for it to finish, or stop it"
        ) from error
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    since = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
    owner.write_text(json.dumps({"pid": os.getpid(), "command": command, "since": since}), "utf-8")
    return lock


def _check_models(folder: Path, models: dict[str, Any]) -> None:
    """Write the manifest of a new store; refuse the one of other models or a newer version."""
    path = folder / "manifest.json"
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(models), "utf-8")
        draft.replace(path)
        return
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["format"] > FORMAT:
            raise IndexMismatchError(
                f"{str(folder)!r} was written by a newer version of Askpix; update Askpix"
            )
        same = all(found[key] == models[key] for key in ("model", "dim", "text_model", "text_dim"))
        made = f"{found['model']!r} with {found['text_model']!r}"
    except (ValueError, KeyError, TypeError) as error:
        raise StoreUnavailableError(
            f"{str(path)!r} is damaged; delete that folder and index again"
        ) from error
    if not same:
        wanted = f"{models['model']!r} with {models['text_model']!r}"
        raise IndexMismatchError(
            f"these vectors were made with {made}, not {wanted}; open them with their own model, "
            "or index into another collection"
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
