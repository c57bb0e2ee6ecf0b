"""A database in a SQLite file: how it is opened, how transactions begin, and what its errors mean."""

import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

WAIT_S = 15
"""Seconds that a writer waits for another one."""
_PRAGMAS = (
    f"busy_timeout={WAIT_S * 1000}",
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


def sqlite_engine(path: Path) -> Engine:
    """An engine on the file, made at the first use."""
    engine = create_engine(f"sqlite:///{path}", max_overflow=-1)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def sqlite_remedy(error: BaseException | None) -> str | None:
    """Return what to do about a driver error; None for errors that concern neither file, disk nor lock."""
    code = getattr(error, "sqlite_errorcode", None)
    # The low byte is the primary code. A broken constraint or statement is a bug and stays one.
    return _REMEDIES.get(code & 0xFF) if code is not None else None


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
    deadline = time.monotonic() + WAIT_S
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
    options = connection.get_execution_options()
    if options.get("askpix_upgrade"):
        # SQLite changes a table by copying it and dropping the old one, which would delete its children. It
        # cannot be said within a transaction.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("askpix_write", True) else "BEGIN")
