"""Records of a FAISS store in SQLite: the truth that its other files follow.

An image's row has the number of its image vector in the log. A new vector is a new number; the old one is
dead until the store is packed. Facts that an image has several of (tags, dates, amounts) stand in ``facts``.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from askpix.core.errors import AskpixError, StoreUnavailableError
from askpix.core.types import ImageRecord, Where
from askpix.retrieval.faiss.filters import add_functions, to_sql
from askpix.retrieval.stores.conditions import FACET_FIELDS, Check
from askpix.retrieval.stores.derived_fields import on_globe
from askpix.retrieval.stores.facets import MOST, Facets, count_records, in_order
from askpix.retrieval.stores.payload import path_fields, to_payload, to_record
from askpix.retrieval.text.tokenize import tokens

_TABLES = """
CREATE TABLE IF NOT EXISTS points(
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, payload TEXT NOT NULL, kind TEXT NOT NULL,
    camera_key TEXT, taken_at TEXT, hour INTEGER, country TEXT, lat REAL, lon REAL,
    paths TEXT NOT NULL, squeezed TEXT, length INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS points_newest ON points(taken_at DESC, id);
CREATE INDEX IF NOT EXISTS points_kind ON points(kind);
CREATE INDEX IF NOT EXISTS points_country ON points(country) WHERE country IS NOT NULL;
CREATE INDEX IF NOT EXISTS points_lat ON points(lat, lon) WHERE lat IS NOT NULL;
CREATE TABLE IF NOT EXISTS facts(field TEXT, value, n INTEGER, PRIMARY KEY(field, value, n)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS facts_of ON facts(n);
CREATE TABLE IF NOT EXISTS postings(
    term TEXT, n INTEGER, count INTEGER NOT NULL, PRIMARY KEY(term, n)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS postings_of ON postings(n);
CREATE TABLE IF NOT EXISTS passages(p INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS passages_of ON passages(n);
CREATE TABLE IF NOT EXISTS logs(name TEXT PRIMARY KEY, file TEXT NOT NULL, rows INTEGER NOT NULL);
"""
_MANY = ("tags", "tag_keys", "written", "written_years", "years", "months", "weekdays", "amounts")
_SINGLE = ("kind", "country", "city", "region", "camera")
"""Facts of which an image has one; they stand in ``facts`` too, to be counted."""
_COLUMNS = "id payload kind camera_key taken_at hour country lat lon paths squeezed length".split()
_PART = 500
"""Values bound to one statement at most."""
Numbers = NDArray[np.int64]


class FaissRows:
    """The tables on one connection; whoever uses them takes care that one thread does at a time."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        run = self._database.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")  # what was written is there after a power cut too
        run("PRAGMA cache_size = -65536")
        run("PRAGMA mmap_size = 1073741824")
        self._database.executescript(_TABLES)
        add_functions(self._database)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # --- transactions and logs -----------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction, which counts only once ``commit`` returns."""
        self._database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Durable on return."""
        self._database.execute("COMMIT")

    def roll_back(self) -> bool:
        """Undo everything written since ``begin``; False when it is committed already."""
        if not self._database.in_transaction:
            return False
        self._database.execute("ROLLBACK")
        return True

    def log(self, name: str) -> tuple[str, int]:
        """The file name of a vector log and how many of its rows count."""
        row = self._database.execute("SELECT file, rows FROM logs WHERE name = ?", (name,)).fetchone()
        return (str(row[0]), int(row[1])) if row else (f"{name}-0.f32", 0)

    def set_log(self, name: str, file: str, rows: int) -> None:
        """Note that ``rows`` rows of ``file`` count."""
        self._database.execute("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", (name, file, rows))

    # --- writing -------------------------------------------------------------------------------------

    def put(self, number: int, record: ImageRecord) -> None:
        """Write an image that is not there, whose image vector has this number."""
        self._insert(number, record)

    def rewrite(self, number: int, record: ImageRecord) -> None:
        """Write an image anew under the number that it has."""
        self._clear(number)
        self._insert(number, record)

    def set_paths(self, number: int, record: ImageRecord) -> None:
        """Rewrite where an image lies."""
        row = self._database.execute("SELECT payload FROM points WHERE n = ?", (number,)).fetchone()
        # Fields without a value are left out of a payload.
        payload = {k: v for k, v in (json.loads(row[0]) | path_fields(record)).items() if v != []}
        self._database.execute(
            "UPDATE points SET payload = ?, paths = ? WHERE n = ?",
            (_dumps(payload), "\n".join(payload["paths"]), number),
        )

    def put_passages(self, number: int, first: int, count: int) -> None:
        """Passages ``first`` and the following ones are the only ones of image ``number``."""
        self._database.execute("DELETE FROM passages WHERE n = ?", (number,))
        self._database.executemany(
            "INSERT INTO passages VALUES (?, ?)", ((first + at, number) for at in range(count))
        )

    def remove(self, ids: Sequence[str]) -> tuple[list[int], list[int]]:
        """Remove images with all that hangs on them; the numbers that they and their passages had."""
        numbers = [number for _, number in self.numbers(ids)]
        passages = self.passages_of(numbers)
        for number in numbers:
            self._clear(number)
            self._database.execute("DELETE FROM passages WHERE n = ?", (number,))
        return numbers, passages

    def passages_of(self, numbers: Sequence[int]) -> list[int]:
        """The passages of images, ascending."""
        found: list[int] = []
        for number in numbers:
            found += [
                row[0] for row in self._database.execute("SELECT p FROM passages WHERE n = ?", (number,))
            ]
        return sorted(found)

    def _clear(self, number: int) -> None:
        for table in ("points", "facts", "postings"):
            self._database.execute(f"DELETE FROM {table} WHERE n = ?", (number,))  # noqa: S608 - our names

    def _insert(self, number: int, record: ImageRecord) -> None:
        payload = to_payload(record)
        counts = Counter(tokens(record.text))
        placed = on_globe(record.lat, record.lon)
        row = {
            "id": record.id,
            "payload": _dumps(payload),
            "lat": record.lat if placed else None,
            "lon": record.lon if placed else None,
            "paths": "\n".join(payload["paths"]),
            "length": counts.total(),
        }
        self._database.execute(
            f"INSERT INTO points(n, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})",  # noqa: S608
            (number, *(row.get(name, payload.get(name)) for name in _COLUMNS)),
        )
        facts = [(field, value, number) for field in _MANY for value in payload.get(field, ())]
        facts += [(field, payload[field], number) for field in _SINGLE if field in payload]
        self._database.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?, ?)", facts)
        self._database.executemany(
            "INSERT INTO postings VALUES (?, ?, ?)",
            ((term.encode("utf-8", "replace").decode(), number, count) for term, count in counts.items()),
        )

    # --- reading -------------------------------------------------------------------------------------

    def all_numbers(self) -> Numbers:
        """The numbers of all images."""
        return _column(self._database.execute("SELECT n FROM points"))

    def owners(self) -> tuple[Numbers, Numbers]:
        """Passages and the images they belong to, by number."""
        rows = np.array(self._database.execute("SELECT p, n FROM passages").fetchall(), np.int64)
        rows = rows.reshape(-1, 2)
        return rows[:, 0], rows[:, 1]

    def numbers(self, ids: Sequence[str]) -> list[tuple[str, int]]:
        """Return the ids among ``ids`` that exist, with their numbers."""
        return list(self._by("id", [each for each in dict.fromkeys(ids) if _storable(each)], "id, n"))

    def ids_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """Ids by number; numbers of nobody are left out."""
        return dict(self._by("n", [int(number) for number in numbers], "n, id"))

    def every_id(self) -> dict[int, str]:
        """Return all ids by number."""
        return dict(self._database.execute("SELECT n, id FROM points"))

    def records(self, ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Records by id."""
        known = [each for each in dict.fromkeys(ids) if _storable(each)]
        return {key: to_record(key, json.loads(text)) for key, text in self._by("id", known, "id, payload")}

    def _by(self, column: str, keys: Sequence[Any], wanted: str) -> Iterator[Any]:
        for at in range(0, len(keys), _PART):
            part = keys[at : at + _PART]
            marks = ", ".join("?" * len(part))
            yield from self._database.execute(
                f"SELECT {wanted} FROM points WHERE {column} IN ({marks})",  # noqa: S608 - our names
                part,
            )

    def count(self) -> int:
        """Return how many images there are."""
        return int(self._database.execute("SELECT count(*) FROM points").fetchone()[0])

    def ids(self) -> list[str]:
        """Every id, ascending."""
        return [row[0] for row in self._database.execute("SELECT id FROM points ORDER BY id")]

    def smallest_ids(self, n: int) -> list[str]:
        """The ``n`` smallest ids."""
        return [row[0] for row in self._database.execute("SELECT id FROM points ORDER BY id LIMIT ?", (n,))]

    def matching(self, where: Where) -> Numbers:
        """Numbers of the images that satisfy the filter, in no order."""
        check = Check(where)
        (condition, values) = to_sql(where)
        if not check.fields:
            return _column(self._database.execute(f"SELECT n FROM points WHERE {condition}", values))  # noqa: S608
        found = self._database.execute(f"SELECT n, payload FROM points WHERE {condition}", values)  # noqa: S608
        kept = [number for number, payload in found if check(json.loads(payload))]
        return np.array(kept, np.int64)

    def newest(self, where: Where, *, limit: int, offset: int) -> list[str]:
        """Ids that satisfy the filter, newest first, then undated ones, ties by id."""
        check = Check(where)
        (condition, values) = to_sql(where)
        order = "ORDER BY taken_at IS NULL, taken_at DESC, id"
        if not check.fields:
            page = f"SELECT id FROM points WHERE {condition} {order} LIMIT ? OFFSET ?"  # noqa: S608
            return [row[0] for row in self._database.execute(page, (*values, limit, offset))]
        found: list[str] = []
        everything = f"SELECT id, payload FROM points WHERE {condition} {order}"  # noqa: S608
        for key, payload in self._database.execute(everything, values):
            if check(json.loads(payload)):
                found.append(key)
                if len(found) >= offset + limit:
                    break
        return found[offset:]

    def facets(self, where: Where, *, limit: int = MOST) -> Facets:
        """Count the values of each facet among the images that satisfy the filter."""
        condition, values = to_sql(where)
        if Check(where).fields:
            ids = list(self.ids_of(self.matching(where).tolist()).values())
            parts = (self.records(ids[at : at + _PART]) for at in range(0, len(ids), _PART))
            return count_records((record for part in parts for record in part.values()), limit=limit)
        limited = "" if condition == "1" else f" AND n IN (SELECT n FROM points WHERE {condition})"  # noqa: S608
        return {
            facet: in_order(
                self._database.execute(
                    f"SELECT value, count(*) FROM facts WHERE field = ?{limited} GROUP BY value",  # noqa: S608
                    (field, *(values if limited else ())),
                ),
                limit=limit,
            )
            for facet, field in FACET_FIELDS.items()
        }

    # --- words ---------------------------------------------------------------------------------------

    def texts(self) -> int:
        """Return how many images have text."""
        return int(self._database.execute("SELECT count(*) FROM points WHERE length > 0").fetchone()[0])

    def postings(self, term: str) -> NDArray[np.int64]:
        """``(n, 3)``: the images whose text has the term, how often, and how long their text is."""
        rows = self._database.execute(
            "SELECT n, count, length FROM postings JOIN points USING (n) WHERE term = ?",
            (term.encode("utf-8", "replace").decode(),),
        )
        return np.array(rows.fetchall(), np.int64).reshape(-1, 3)


def _column(rows: Iterable[tuple[int]]) -> Numbers:
    return np.fromiter((row[0] for row in rows), np.int64)


def _dumps(payload: dict[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=True)


def _storable(text: str) -> bool:
    return isinstance(text, str) and "\0" not in text and text.isprintable()


@contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite, FAISS and the disk into one line."""
    try:
        yield
    except (AskpixError, TypeError, MemoryError, InterruptedError):
        raise
    except (sqlite3.Error, OSError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise StoreUnavailableError(
            f"cannot use the vectors in {str(folder)!r}: {reason[:300]}; if the disk is not full and the"
            " files are damaged, delete that folder and index again"
        ) from error
