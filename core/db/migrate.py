"""The tables of a database brought to what this version of Askpix knows.

A new database gets the tables of the metadata. Tables, columns and indexes that an older version did not have
are added. Anything else is an Alembic revision in the folder ``metadata.info["migrations"]``, numbered
0001, 0002 ...; the number of the last one is the version. All of it works on SQLite and PostgreSQL.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Index, MetaData, Table, inspect
from sqlalchemy.schema import CreateColumn

_STAMP = "alembic_version"
_ALEMBIC = Path(__file__).with_name("alembic")


def revision(connection: Connection) -> int:
    """The number of the last revision that the database has; 0 for a new one."""
    if inspect(connection).has_table(_STAMP):
        return int(connection.exec_driver_sql(f"SELECT version_num FROM {_STAMP}").scalar() or 0)  # noqa: S608
    # Until revision 1 the number stood in the header of the SQLite file.
    return _header(connection)


def is_behind(connection: Connection, metadata: MetaData, version: int) -> bool:
    """Whether ``bring_to`` has anything to do."""
    stamped = inspect(connection).has_table(_STAMP)
    return not stamped or revision(connection) < version or any(_missing(connection, metadata))


def bring_to(connection: Connection, metadata: MetaData, version: int) -> None:
    """Bring the database to ``version`` in the transaction of the connection, which is a writing one."""
    # Asked again under the write lock: another process may have been first.
    found = revision(connection)
    _stamp(connection, found)
    if 0 < found < version:
        _run_revisions(connection, metadata, version)
    tables, columns, indexes = _missing(connection, metadata)
    metadata.create_all(connection, tables=tables)
    for column in columns:
        table = connection.dialect.identifier_preparer.quote(column.table.name)
        spec = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {spec}")
    for index in indexes:
        index.create(connection, checkfirst=True)
    _stamp(connection, version)


def _stamp(connection: Connection, version: int) -> None:
    """As Alembic does it, without loading it: most databases never need a revision."""
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {_STAMP} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    )
    connection.exec_driver_sql(f"DELETE FROM {_STAMP}")  # noqa: S608 - our name
    connection.exec_driver_sql(f"INSERT INTO {_STAMP} VALUES ('{version:04d}')")  # noqa: S608 - a number
    if connection.dialect.name == "sqlite":  # where older versions look
        connection.exec_driver_sql(f"PRAGMA user_version={version:d}")


def _header(connection: Connection) -> int:
    if connection.dialect.name != "sqlite":
        return 0
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _run_revisions(connection: Connection, metadata: MetaData, version: int) -> None:
    from alembic import command  # noqa: PLC0415 - a tenth of a second, for the few that are behind
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_ALEMBIC).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(metadata.info["migrations"]).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    command.upgrade(config, f"{version:04d}")


def _missing(
    connection: Connection, metadata: MetaData
) -> tuple[list[Table], list[Column[Any]], list[Index]]:
    """What an older version of Askpix did not have yet."""
    found = inspect(connection)
    there = {name: {row["name"] for row in rows} for (_, name), rows in found.get_multi_columns().items()}
    indexed = _indexes(connection)
    tables = [table for table in metadata.sorted_tables if table.name not in there]
    old = [table for table in metadata.sorted_tables if table.name in there]
    columns = [column for table in old for column in table.columns if column.name not in there[table.name]]
    indexes = [index for table in old for index in table.indexes if index.name not in indexed]
    return tables, columns, indexes


def _indexes(connection: Connection) -> set[str]:
    sqlite = "SELECT name FROM sqlite_master WHERE type = 'index'"
    postgres = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
    listing = sqlite if connection.dialect.name == "sqlite" else postgres
    return set(connection.exec_driver_sql(listing).scalars())
