"""The tables of a database and their revisions, on SQLite and PostgreSQL.

The folder ``metadata.info["migrations"]`` holds a chain of Alembic revisions, numbered 0001, 0002 ...: what
makes the tables of the metadata, one after the other. The number of the last one that ran stands in the
database. A new database gets the tables at once and the number of the last; that both ways lead to the same
tables is tested (``tests/unit/core/db/test_migrations.py``).
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.schema import CreateColumn

if TYPE_CHECKING:
    from alembic.config import Config

_log = logging.getLogger(__name__)
STAMP = "alembic_version"
_ALEMBIC = Path(__file__).with_name("alembic")
_ONE = threading.Lock()
"""Alembic's ``op`` is one for all threads of a process."""


def last_revision(folder: Path) -> int:
    """The number of the last revision in a folder."""
    return max(int(path.name[:4]) for path in folder.glob("[0-9]*.py"))


def bring_to(connection: Connection, metadata: MetaData, found: int, version: int) -> None:
    """Bring the database to ``version`` in the transaction of the connection, which is a writing one.

    ``found`` is its revision, asked under the write lock: another process may have been first.
    """
    if found == 0:
        metadata.create_all(connection)
        _stamp(connection, version)
    elif found < version:
        _log.info("upgrading %r from revision %d to %d", connection.engine.url.database, found, version)
        _stamp(connection, found)
        upgrade(connection, metadata, version)


def upgrade(connection: Connection, metadata: MetaData, version: int) -> None:
    """Run the revisions after that of the database, up to ``version``."""
    from alembic import command  # noqa: PLC0415 - a tenth of a second, for the few that are behind

    with _ONE:
        command.upgrade(config(metadata, connection), f"{version:04d}")


def config(metadata: MetaData, connection: Connection | None = None) -> Config:
    """The configuration of Alembic for the revisions of a metadata, run on a connection."""
    from alembic.config import Config  # noqa: PLC0415

    made = Config(attributes={"connection": connection, "metadata": metadata})
    made.set_main_option("script_location", str(_ALEMBIC).replace("%", "%%"))
    made.set_main_option("path_separator", "newline")
    made.set_main_option("version_locations", str(metadata.info["migrations"]).replace("%", "%%"))
    made.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return made


def add_missing(connection: Connection, wanted: MetaData) -> None:
    """Add the tables, columns and indexes of ``wanted`` that are not there.

    For the revisions 0002 alone: until then these were added by looking at what was missing, so a home of
    revision 0001 may have any of them.
    """
    found = inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    for table in wanted.sorted_tables:
        if not found.has_table(table.name):
            table.create(connection)
            continue
        there = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                spec = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {quote(table.name)} ADD COLUMN {spec}")
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def _stamp(connection: Connection, version: int) -> None:
    """Record the revision as Alembic does, without loading Alembic."""
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {STAMP} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {STAMP}_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql(f"DELETE FROM {STAMP}")  # noqa: S608 - our name
    connection.exec_driver_sql(f"INSERT INTO {STAMP} VALUES ('{version:04d}')")  # noqa: S608 - a number
