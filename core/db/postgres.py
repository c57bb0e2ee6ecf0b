"""A database on a PostgreSQL server, as strict as one in a file: one writer at a time, readers never wait.

Writers take one advisory lock for the length of their transaction, so that what they read still holds when
they write; readers see one moment. Machines that vanish are noticed in a minute, and their locks with them.
"""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from askpix.core.errors import AskpixError, ModelUnavailableError, StoreUnavailableError

# It reports connections that broke, with their tracebacks: errors say that, in one line.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())

WAIT_S = 15
"""Seconds that a writer waits for another one."""
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SESSION = (
    f"SET lock_timeout = '{WAIT_S}s'",
    "SET idle_in_transaction_session_timeout = '60s'",  # a stopped machine must not stop the others
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REMEDIES = {
    "55P03": "is being written by another process; try again in a moment",
    "40P01": "is being written by another process; try again in a moment",
    "53100": "cannot grow, the disk of its server is full; make room and run the command again",
    "53200": "cannot be used, its server is out of memory; try again in a moment",
    "53300": "has too many connections; try again in a moment, or allow more on the server",
    "25006": "cannot be written: the server is read-only; use the address of the primary one",
    "42501": "cannot be used: permission denied; the user needs to own the schema (or CREATE on it)",
    "28P01": "refuses the password; check the database URL",
    "28000": "refuses the user; check the database URL",
    "3D000": "is not there; create the database, then run the command again",
    "3F000": "has no schema to keep tables in; check the search_path of the user",
    "25P03": "let go of a transaction that took too long; run the command again",
    "57P01": "is being shut down; run the command again when its server is back",
    "57P02": "is being shut down; run the command again when its server is back",
    "57P03": "is starting or being shut down; run the command again in a moment",
}


def postgres_engine(address: str) -> Engine:
    """An engine on the server, reached at the first use. Raises ``AskpixError`` for what is no such address,
    ``ModelUnavailableError`` when the driver is not installed."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise AskpixError("the database URL cannot be read; write postgresql://USER@HOST/DATABASE") from error
    if url.drivername not in _SCHEMES:
        raise AskpixError(
            f"cannot keep a catalog in {url.render_as_string(hide_password=True)!r}; "
            "write postgresql://USER@HOST/DATABASE"
        )
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a server that was restarted meanwhile costs nobody an error
            connect_args={"connect_timeout": WAIT_S, "application_name": "askpix"},
        )
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "psycopg":
            raise
        raise ModelUnavailableError(
            "the driver of PostgreSQL is not installed; add it with: pip install 'askpix[postgres]'"
        ) from error
    except ImportError as error:  # psycopg without any libpq
        raise ModelUnavailableError(
            f"the driver of PostgreSQL does not load ({error}); add: pip install 'askpix[postgres]'"
        ) from error
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def postgres_remedy(error: BaseException | None) -> str | None:
    """Return what to do about a driver error; None for errors that concern neither server nor lock."""
    return _REMEDIES.get(getattr(error, "sqlstate", None) or "")


@contextmanager
def session_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Held by one process of all machines until the end of the ``with``; False when another one has it.

    It goes with its connection: a killed process leaves none behind. Raises ``StoreUnavailableError`` at the
    end when the connection broke and with it the lock: somebody else may have been at work too.
    """
    try:
        connection = engine.raw_connection()
    except DBAPIError as error:
        raise StoreUnavailableError(
            f"cannot reach the database: {' '.join(str(error.orig).split())}"
        ) from error
    driver: Any = connection.driver_connection
    connection.detach()
    try:
        driver.autocommit = True
        taken = bool(driver.execute(f"SELECT pg_try_advisory_lock({_KEY})", (name,)).fetchone()[0])
        try:
            yield taken
        finally:
            # Given back by name: the server takes a moment to notice that a connection was closed.
            kept = not taken or _given_back(driver, name)
        if not kept:
            raise StoreUnavailableError("the connection to the database was lost; run the command again")
    finally:
        connection.close()


def _given_back(driver: Any, name: str) -> bool:
    try:
        return bool(driver.execute(f"SELECT pg_advisory_unlock({_KEY})", (name,)).fetchone()[0])
    except type(driver).OperationalError:
        return False


@contextmanager
def temporary_schema(address: str) -> Iterator[str]:
    """The address of an empty schema in the same database, removed at the end with all that is in it."""
    engine = postgres_engine(address)
    name = f"askpix_{uuid.uuid4().hex[:12]}"
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        try:
            inside = engine.url.set(drivername="postgresql").update_query_dict(
                {"options": f"-csearch_path={name}"}
            )
            yield inside.render_as_string(hide_password=False)
        finally:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    finally:
        engine.dispose()


_KEY = "hashtextextended('askpix ' || current_schema() || ' ' || %s, 0)"


def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    from psycopg.types.string import StrDumperUnknown  # noqa: PLC0415 - an extra

    class _NoNul(StrDumperUnknown):
        """Images say what they like in EXIF; PostgreSQL keeps no NUL in a text."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "") if "\0" in obj else obj)

    connection.adapters.register_dumper(str, _NoNul)
    try:
        cursor = connection.cursor()
        for statement in _SESSION:
            cursor.execute(statement)
        cursor.close()
        connection.commit()
    except BaseException:
        connection.close()  # nobody has it yet
        raise


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("askpix_write", True):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_KEY})", ("write",))
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
