"""The SQL database of a catalog: a SQLite file or a PostgreSQL server, transactions with clear errors.

What is special about either stands in ``askpix.core.db.sqlite`` and ``askpix.core.db.postgres``.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from askpix.core.db.migrate import STAMP, bring_to
from askpix.core.db.postgres import postgres_engine, postgres_remedy, session_lock
from askpix.core.db.sqlite import sqlite_engine, sqlite_remedy
from askpix.core.errors import IndexMismatchError, StoreUnavailableError

_log = logging.getLogger(__name__)


def open_database(where: Path | str, metadata: MetaData, *, version: int) -> Engine:
    """The database in a SQLite file (made when missing) or at ``postgresql://...``, with its tables.

    One of an older version of Askpix is brought to ``version``, the number of the last revision of its
    tables, in one transaction (``core.db.migrate``). Raises ``IndexMismatchError`` when a newer version of
    Askpix wrote it, ``StoreUnavailableError`` when it is damaged, locked, not writable or cannot be reached.
    """
    engine = sqlite_engine(where) if isinstance(where, Path) else postgres_engine(where)
    try:
        with transaction(engine, write=False) as connection:
            found = revision(connection, metadata)
        if found > version:
            raise IndexMismatchError(
                f"{_name(engine)!r} was written by a newer version of Askpix; update Askpix"
            )
        _log.debug("opened %r at revision %d", _name(engine), found)
        if found < version:
            with transaction(engine.execution_options(askpix_upgrade=True)) as connection:
                bring_to(connection, metadata, revision(connection, metadata), version)
            engine.dispose()  # that connection does not check foreign keys
    except BaseException:
        engine.dispose()
        raise
    return engine


def revision(connection: Connection, metadata: MetaData) -> int:
    """The number of the last revision that ran on the database; 0 for a new one."""
    found = inspect(connection)
    if found.has_table(STAMP):
        return int(connection.exec_driver_sql(f"SELECT version_num FROM {STAMP}").scalar() or 0)  # noqa: S608
    # The first homes have the tables of the first revision and no stamp.
    return int(any(found.has_table(name) for name in metadata.tables))


@contextmanager
def transaction(engine: Engine, *, write: bool = True) -> Iterator[Connection]:
    """A transaction: committed at the end, rolled back on any error.

    ``write`` takes the write lock at once (waiting for it up to 15 s), so that what is read in it still holds
    when it writes; without it all reads see one moment. Raises ``StoreUnavailableError`` for what is wrong
    with the file or server, its disk or its lock.
    """
    try:
        with engine.execution_options(askpix_write=write).begin() as connection:
            yield connection
    except KeyboardInterrupt as error:
        # SQLAlchemy closes the interrupted connection, but SQLite keeps its lock as long as a cursor lives,
        # and the frames of the traceback hold one: whoever saves what is done would wait for himself.
        traceback.clear_frames(error.__traceback__)
        raise
    except DBAPIError as error:
        remedy = sqlite_remedy(error.orig) or postgres_remedy(error.orig)
        if remedy is None and not isinstance(error, OperationalError | InterfaceError):
            raise
        again = "; run the command again when its server is back" if is_shared(engine) else ""
        why = remedy or f"cannot be used: {' '.join(str(error.orig).split())}{again}"
        raise StoreUnavailableError(f"the catalog {_name(engine)!r} {why}") from error


@contextmanager
def held(engine: Engine, name: str) -> Iterator[bool]:
    """Yield whether ``name`` is reserved for this process until the end of the ``with``, among all machines
    that use the database.

    A SQLite file has one machine, whose own locks are files: always True there.
    """
    lock = nullcontext(True) if engine.dialect.name == "sqlite" else session_lock(engine, name)
    with lock as taken:
        yield taken


def is_shared(engine: Engine) -> bool:
    """Return whether other machines may use the database too."""
    return engine.dialect.name != "sqlite"


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ``on_conflict_do_update``, in the dialect of the connection."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _name(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        return engine.url.database or ""
    return engine.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
