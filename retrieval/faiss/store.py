"""FAISS beside SQLite: a store without an engine of its own, for those who want FAISS or its GPU.

folder/rows.sqlite   records, filters and words: the truth, with the numbers of the vectors that count
folder/image-0.f32   image vectors by number; text-0.f32: passages. Append-only, synced before each commit
folder/*.faiss       snapshots of indexes with their checksums: rebuilt from the above when gone or damaged
(and what ``store_folder`` keeps there)

A kill at any moment loses nothing that a call returned from: rows of the logs that SQLite does not know are
cut off at the next start, and what a snapshot does not have yet is added to it.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from askpix.core.errors import NotFoundError, StoreUnavailableError
from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.faiss.bm25 import bm25
from askpix.retrieval.faiss.index import IndexKind
from askpix.retrieval.faiss.records import FaissRows, Numbers, one_line
from askpix.retrieval.faiss.rwlock import Gate
from askpix.retrieval.faiss.vectors import ROUNDING, FaissSubQuery
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.facets import MOST, Facets
from askpix.retrieval.stores.folder import acquire, manifest
from askpix.retrieval.text.tokenize import content_words, tokens

_SPARE = 8
_IDS = 200_000
"""Ids kept in memory, some 100 bytes each; read all at once where there are no more."""
_REMEMBERED = 8
"""Filters whose images are remembered until the next write: the sub-queries of a search ask the same one."""


class FaissStore(VectorStore):
    """A ``VectorStore`` in a folder. One process holds it at a time; its threads may share it."""

    def __init__(
        self,
        folder: Path,
        dims: tuple[int, int],
        lock: filelock.FileLock,
        *,
        index: IndexKind | None = None,
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._chosen = index
        self._dim, self._text_dim = dims
        self._gate = Gate()
        self._sql = threading.RLock()
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._building = threading.Lock()
        self._closed = False
        self._remembered: dict[Where, Numbers] = {}
        self._ids: dict[int, str] = {}
        self._rows = FaissRows(folder / "rows.sqlite")
        passages, owners = self._rows.owners()
        self._image = self._open_sub_query("image", self._dim, self._rows.all_numbers())
        self._text = self._open_sub_query("text", self._text_dim, passages)
        self._owner = np.full(max(1024, len(self._text.log)), -1, np.int64)
        self._owner[passages] = owners

    def _open_sub_query(self, name: str, dim: int, alive: Numbers) -> FaissSubQuery:
        file, rows = self._rows.log(name)
        return FaissSubQuery(self._folder / file, dim, rows=rows, alive=alive)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        model_id: str,
        dim: int,
        text_model_id: str,
        text_dim: int,
        wait_s: float = 0.0,
        index: IndexKind | None = None,
    ) -> "FaissStore":
        """Open the store in ``folder``, made when missing; waits up to ``wait_s`` for another process.

        ``index``: the FAISS index to use whatever the size. Raises ``StoreUnavailableError`` (held by another
        process, damaged, not writable) and ``IndexMismatchError`` (made with other models).
        """
        models = {"model": model_id, "dim": dim, "text_model": text_model_id, "text_dim": text_dim}
        with one_line(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = acquire(folder, wait_s)
        try:
            with one_line(folder):
                manifest(folder, models)
                return cls(folder, (dim, text_dim), lock, index=index)
        except BaseException:
            (folder / "owner.json").unlink(missing_ok=True)
            lock.release()
            raise

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        """Add or replace images with their image vectors; durable on return, all or nothing."""
        if image_vectors.shape != (len(records), self._dim):
            raise ValueError(f"{image_vectors.shape} is not {(len(records), self._dim)}")
        last = {record.id: at for at, record in enumerate(records)}
        kept = sorted(last.values())
        if not kept:
            return
        with self._change():
            first = self._image.append(image_vectors[kept])
            buried: list[int] = []
            passages: list[int] = []
            for number, at in enumerate(kept, first):
                gone, read = self._rows.remove([records[at].id])
                buried += gone
                passages += read
                self._rows.put(number, records[at])
            self._commit()
            self._image.bury(np.array(buried, np.int64))
            self._bury_passages(passages)
            self._image.enliven(first, len(kept))

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        """Attach words and passage vectors to images that are there; durable on return, all or nothing."""
        given = dict(zip(ids, zip(texts, vectors, strict=True), strict=True))
        for rows in vectors:
            if len(rows) and rows.shape[1:] != (self._text_dim,):
                raise ValueError(f"{rows.shape} is not (any, {self._text_dim})")
        with self._change():
            known = self._rows.numbers(list(given))
            records = self._rows.records([key for key, _ in known])
            blocks = [given[key][1] for key, _ in known if len(given[key][1])]
            old = self._rows.passages_of([number for _, number in known])
            empty = np.empty((0, self._text_dim), np.float32)
            first = self._text.append(np.concatenate([empty, *blocks]))
            at = first
            owners = []
            for key, number in known:
                text, rows = given[key]
                self._rows.rewrite(number, replace(records[key], text=text))
                self._rows.put_passages(number, at, len(rows))
                owners += [number] * len(rows)
                at += len(rows)
            self._commit()
            self._bury_passages(old)
            if at > len(self._owner):
                grown = np.full(2 * at, -1, np.int64)
                grown[: len(self._owner)] = self._owner
                self._owner = grown
            self._owner[first:at] = owners
            self._text.enliven(first, at - first)

    def set_copies(self, record: ImageRecord, /) -> None:
        """Rewrite where the image lies; ignored if it is not there."""
        with self._change():
            for _, number in self._rows.numbers([record.id]):
                self._rows.set_paths(number, record)
            self._commit()

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        """Rewrite the tags of images; unknown ids are ignored."""
        with self._change():
            records = self._rows.records(list(tags))
            for key, number in self._rows.numbers(list(tags)):
                self._rows.rewrite(number, replace(records[key], tags=tuple(tags[key])))
            self._commit()

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove images; unknown ids are ignored."""
        with self._change():
            gone, passages = self._rows.remove(ids)
            self._commit()
            self._image.bury(np.array(gone, np.int64))
            self._bury_passages(passages)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Alone with everything; as if nothing had happened when the block fails before its commit."""
        with self._writing, self._gate.alone(), self._sql, one_line(self._folder):
            self._check_open()
            before = len(self._image.log), len(self._text.log)
            self._rows.begin()
            try:
                yield
            except BaseException:
                if self._rows.roll_back():
                    self._image.log.forget(before[0])
                    self._text.log.forget(before[1])
                raise
            finally:
                self._remembered.clear()

    def _commit(self) -> None:
        for name, sub_query in (("image", self._image), ("text", self._text)):
            self._rows.set_log(name, sub_query.path.name, len(sub_query.log))
        self._rows.commit()

    def _bury_passages(self, passages: list[int]) -> None:
        gone = np.array(passages, np.int64)
        self._text.bury(gone)
        self._owner[gone] = -1

    # --- searching -----------------------------------------------------------------------------------

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Best first, ties by id: ``limit`` after ``offset`` of all that satisfy ``where``."""
        wanted = offset + limit
        if limit <= 0:
            return []
        with self._reading():
            among = None if where == Where() else self._matching(where)
            if isinstance(query, str):
                numbers, scores = self._words(query, among)
            elif sub_query == "image":
                numbers, scores = self._nearest(self._image, query, wanted, among)
            else:
                numbers, scores = self._passages(query, wanted, among)
            if len(scores) > wanted:  # ids only of those that may be on the page, and of their equals
                edge = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
                numbers = numbers[scores >= edge]
                scores = scores[scores >= edge]
            ids = self._ids_of(numbers.tolist())
        hits = [Scored(ids[n], score) for n, score in zip(numbers.tolist(), scores.tolist(), strict=True)]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[offset:wanted]

    def _ids_of(self, numbers: list[int]) -> dict[int, str]:
        """A number is one image's for ever, so what was read once holds: SQLite takes 0.2 ms to say it."""
        known = self._ids
        ids = {number: known[number] for number in numbers if number in known}
        missing = [number for number in numbers if number not in ids]
        if missing:
            with self._sql:
                few = not known and self._rows.count() <= _IDS
                found = self._rows.every_id() if few else self._rows.ids_of(missing)
                self._ids = {} if len(self._ids) + len(found) > _IDS else self._ids
                self._ids.update(found)
            ids |= {number: found[number] for number in missing if number in found}
        return ids

    def _matching(self, where: Where) -> Numbers:
        with self._sql:
            found = self._remembered.get(where)
            if found is None:
                found = self._rows.matching(where)
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.pop(next(iter(self._remembered)))
                self._remembered[where] = found
            return found

    def _nearest(
        self, sub_query: FaissSubQuery, query: Vectors, wanted: int, among: Numbers | None
    ) -> tuple[Numbers, Any]:
        """Return at least the first ``wanted`` rows, and all that tie with the last of them."""
        fetch = wanted + _SPARE
        while True:
            numbers, scores, complete = sub_query.nearest(query, fetch, among)
            if complete or (len(scores) > wanted and scores[-1] + ROUNDING < scores[wanted - 1]):
                return numbers, scores
            fetch *= 4

    def _passages(self, query: Vectors, wanted: int, among: Numbers | None) -> tuple[Numbers, Any]:
        """The same by best passage."""
        if among is not None:
            held = np.zeros(len(self._image.log) + 1, np.bool_)
            held[among] = True
            among = np.flatnonzero(held[self._owner])  # owner -1 is the last, which nobody is
        fetch = wanted + _SPARE
        while True:
            numbers, scores, complete = self._text.nearest(query, fetch, among)
            owners, first = np.unique(self._owner[numbers], return_index=True)
            best = np.sort(scores[first])[::-1]
            if complete or (len(best) > wanted and scores[-1] + ROUNDING < best[wanted - 1]):
                return owners, scores[first]
            fetch *= 4

    def _words(self, query: str, among: Numbers | None) -> tuple[Numbers, Any]:
        # Query words that nobody looks for ("the", "show") would match every page of prose.
        terms = content_words(query) or list(dict.fromkeys(tokens(query)))
        with self._sql:
            texts = self._rows.texts() if terms else 0
            found = [self._rows.postings(term) for term in terms]
        totals = bm25(found, texts=texts, size=len(self._image.log))
        numbers = np.flatnonzero(totals) if among is None else among[totals[among] > 0]
        return numbers, totals[numbers]

    # --- reading -------------------------------------------------------------------------------------

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Ids that satisfy the filter, newest first, then undated ones, ties by id."""
        if limit <= 0:
            return []
        with self._reading(), self._sql:
            return self._rows.newest(where, limit=limit, offset=offset)

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records in the order of ``ids``; unknown ids are left out."""
        with self._reading(), self._sql:
            found = self._rows.records(ids)
        return [found[key] for key in ids if key in found]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim)``; an unknown id is a ``NotFoundError``."""
        with self._reading():
            with self._sql:
                numbers = dict(self._rows.numbers(ids))
            for key in ids:
                if key not in numbers:
                    raise NotFoundError(f"no image with id {key!r}")
            return self._image.log.rows(np.array([numbers[key] for key in ids], np.int64))

    def sample_vectors(self, n: int, /) -> Vectors:
        """Image vectors of the ``n`` smallest ids, which are hashes and so a fair sample."""
        with self._reading(), self._sql:
            ids = self._rows.smallest_ids(max(0, n))
        return self.image_vectors(ids)

    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        """The passage vectors of images, ``(n_i, text_dim)`` each, in the order of ``ids``."""
        with self._reading():
            with self._sql:
                numbers = dict(self._rows.numbers(ids))
                held = [self._rows.passages_of([numbers[key]]) if key in numbers else [] for key in ids]
            return [self._text.log.rows(np.array(each, np.int64)) for each in held]

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        with self._reading(), self._sql:
            return iter(self._rows.ids())

    def count(self, where: Where | None = None, /) -> int:
        """Return how many images satisfy the filter."""
        with self._reading():
            if where is None or where == Where():
                with self._sql:
                    return self._rows.count()
            return len(self._matching(where))

    def facets(self, where: Where, /, *, limit: int = MOST) -> Facets:
        """Count the values of each facet among the images that satisfy the filter: the ``limit`` frequent
        of each.
        """
        with self._reading(), self._sql:
            return self._rows.facets(where, limit=limit)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._gate.shared(), one_line(self._folder):
            self._check_open()
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError(f"the vectors in {str(self._folder)!r} were closed")

    # --- upkeep --------------------------------------------------------------------------------------

    def optimize(self) -> None:
        """Build the index that suits the size, from the logs; searches and writes go on meanwhile."""
        with self._building:
            for sub_query in (self._image, self._text):
                with self._reading():
                    wanted = sub_query.wanted_kind(self._chosen)
                    count = len(sub_query.log)
                    if wanted == sub_query.kind or not count:
                        continue
                try:
                    with one_line(self._folder):
                        index = sub_query.build(wanted, count, self._stop)
                except InterruptedError:
                    return  # being closed: the next time
                with self._writing, self._gate.alone():
                    sub_query.use(index)
                with self._writing, self._reading():  # in the order of ``_change``: no embrace
                    sub_query.save()

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        self._stop.set()
        with self._building, self._writing, self._gate.alone(), self._sql:
            if self._closed:
                return
            self._closed = True
            try:
                with one_line(self._folder):
                    for sub_query in (self._image, self._text):
                        sub_query.save_if_changed()
                        sub_query.close()
                    self._rows.close()
            finally:
                (self._folder / "owner.json").unlink(missing_ok=True)
                self._lock.release()
