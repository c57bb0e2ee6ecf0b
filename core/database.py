"""The one SQL database of a home: an engine with the right pragmas, and transactions with clear errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from core.errors import IndexMismatchError, StoreUnavailableError


def open_database(path: Path, metadata: MetaData, *, version: int) -> Engine:
    """The SQLite database at ``path`` with the tables of ``metadata``, made when missing.

    Raises ``IndexMismatchError`` when a newer version of Askpix wrote it, ``StoreUnavailableError`` when it
    is damaged, locked or not writable.
    """
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        # WAL: readers never wait for the writer. FULL: a commit has reached the disk when it returns.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    with transaction(engine) as connection:
        found = connection.execute(text("PRAGMA user_version")).scalar_one()
        if found > version:
            raise IndexMismatchError(f"{str(path)!r} was written by a newer version of Askpix; update Askpix")
        if found < version:
            metadata.create_all(connection)
            connection.execute(text(f"PRAGMA user_version={version:d}"))
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction: committed at the end, rolled back on any error. Database errors become ours."""
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        where = engine.url.database or str(engine.url)
        raise StoreUnavailableError(f"catalog {where!r}: {error.orig}") from error
