"""The one SQL database of a home: an engine with the right settings, and transactions with clear errors.

A SQLite file now. What is special about SQLite stands in this module, so that PostgreSQL can come by URL.
"""

import sqlite3
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, Table, create_engine, event, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

from core.errors import IndexMismatchError, StoreUnavailableError

Migration = Callable[[Connection], object]

_WAIT_S = 15
_PRAGMAS = (
    f"busy_timeout={_WAIT_S * 1000}",
    "synchronous=FULL",  # a commit has reached the disk when it returns; WAL with NORMAL may lose the last
    "foreign_keys=ON",
)
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "is being written by another process; try again in a moment",
    sqlite3.SQLITE_LOCKED: "is being written by another process; try again in a moment",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full; make room and run the command again",
    sqlite3.SQLITE_READONLY: "cannot be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "cannot be opened; check the permissions of the file and its folder",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check that its disk is there and has room",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup, or move it away and index again",
    sqlite3.SQLITE_NOTADB: "is not a catalog, or damaged; restore it, or move it away and index again",
}


def open_database(
    path: Path, metadata: MetaData, *, version: int, migrations: Mapping[int, Migration] | None = None
) -> Engine:
    """The SQLite database at ``path`` with the tables of ``metadata``, made when missing.

    Tables and columns that an older version did not have yet are added, whatever the version: such columns
    must be nullable or have a ``server_default``. Anything else is a new ``version``: a database of version
    ``v`` is brought to it by ``migrations[v + 1]`` and those after it, in one transaction with the new stamp.
    Raises ``IndexMismatchError`` when a newer version of Askpix
    wrote it, ``StoreUnavailableError`` when it is damaged, locked or not writable.
    """
    engine = create_engine(f"sqlite:///{path}", max_overflow=-1)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with transaction(engine, write=False) as connection:
            found = _version(connection)
            behind = found < version or any(_missing(connection, metadata))
        if found > version:
            raise IndexMismatchError(f"{str(path)!r} was written by a newer version of Askpix; update Askpix")
        if behind:
            with transaction(engine) as connection:
                _bring_to(connection, metadata, version, migrations or {})
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def transaction(engine: Engine, *, write: bool = True) -> Iterator[Connection]:
    """A transaction: committed at the end, rolled back on any error.

    ``write`` takes the write lock at once (waiting for it up to 15 s), so that what is read in it still holds
    when it writes. Raises ``StoreUnavailableError`` for what is wrong with the file, its disk or its lock.
    """
    try:
        with engine.execution_options(askpix_write=write).begin() as connection:
            yield connection
    except KeyboardInterrupt as error:
        # SQLAlchemy closes the interrupted connection, but SQLite keeps its lock as long as a cursor lives,
        # and the frames of the traceback hold one: whoever saves what is done would wait for himself.
        traceback.clear_frames(error.__traceback__)
        raise
    except DatabaseError as error:
        code = getattr(error.orig, "sqlite_errorcode", None)
        # The low byte is the primary code. A broken constraint or statement is a bug and stays one.
        remedy = _REMEDIES.get(code & 0xFF) if code is not None else None
        if remedy is None and not isinstance(error, OperationalError):
            raise
        where = engine.url.database or engine.url.render_as_string(hide_password=True)
        why = remedy or f"cannot be used: {' '.join(str(error.orig).split())}"
        raise StoreUnavailableError(f"the catalog {where!r} {why}") from error


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ``on_conflict_do_update``, in the dialect of the connection."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver would begin transactions only at the first write; _begin does it at the right time.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    _use_wal(cursor)
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Readers never wait for the writer then. SQLite does not wait by itself to change the journal."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("askpix_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _version(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _bring_to(
    connection: Connection, metadata: MetaData, version: int, migrations: Mapping[int, Migration]
) -> None:
    # Asked again under the write lock: another process may have been first.
    found = _version(connection)
    for step in range(found + 1, version + 1) if found else ():
        migrations[step](connection)
    new_tables, new_columns = _missing(connection, metadata)
    metadata.create_all(connection, tables=new_tables)
    for column in new_columns:
        table = connection.dialect.identifier_preparer.quote(column.table.name)
        spec = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {spec}")
    if found < version:
        connection.exec_driver_sql(f"PRAGMA user_version={version:d}")


def _missing(connection: Connection, metadata: MetaData) -> tuple[list[Table], list[Column[Any]]]:
    """What an older version of Askpix did not have yet."""
    found = inspect(connection)
    there = set(found.get_table_names())
    tables = [table for table in metadata.sorted_tables if table.name not in there]
    columns = [
        column
        for table in metadata.sorted_tables
        if table.name in there
        for have in [{row["name"] for row in found.get_columns(table.name)}]
        for column in table.columns
        if column.name not in have
    ]
    return tables, columns
