"""The revisions of each database lead to its tables, from nothing and from whatever an old home has."""

import runpy
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, Index, MetaData, String, Table, event
from sqlalchemy.schema import CreateColumn, CreateTable

from askpix.api.security import tables as service
from askpix.core.db.engine import open_database, transaction
from askpix.core.db.migrate import config, last_revision, upgrade
from askpix.core.db.postgres import postgres_engine
from askpix.core.db.sqlite import sqlite_engine
from askpix.ingest.catalog import tables as catalog
from tests.conftest import ROOT
from tests.support.postgres import new_schema

OURS = {"catalog": (catalog.METADATA, catalog.VERSION), "service": (service.METADATA, service.VERSION)}
HOMES = sorted((ROOT / "tests" / "fixtures" / "homes").glob("*/*.tar.xz"))
NewDatabase = Callable[[], Path | str]
which = pytest.mark.parametrize("name", OURS)
# Of the index on lower(name), which ``schema`` has.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*expression:sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore:.*expression:UserWarning"),
]


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Gives places for empty databases, each a new one."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        return lambda: new_schema(server)
    paths = (tmp_path / f"{number}.sqlite" for number in range(1000))
    return lambda: next(paths)


def engine_on(where: Path | str) -> Engine:
    return sqlite_engine(where) if isinstance(where, Path) else postgres_engine(where)


def schema(where: Path | str) -> set[tuple[Any, ...]]:
    """Every column, key and index as the database itself says it: more than Alembic compares."""
    engine = engine_on(where)
    if engine.dialect.name == "postgresql":
        queries = [
            "SELECT table_name, column_name, data_type, character_maximum_length, collation_name,"
            " is_nullable, column_default FROM information_schema.columns"
            " WHERE table_schema = current_schema()",
            "SELECT tablename, indexname, replace(indexdef, current_schema(), '') FROM pg_indexes"
            " WHERE schemaname = current_schema()",
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = current_schema()::regnamespace",
        ]
    else:
        each = "FROM sqlite_master AS t, pragma_{}(t.name) AS p WHERE t.type = 'table'"
        queries = [
            "SELECT t.name, p.name, p.type, p.[notnull], p.dflt_value, p.pk " + each.format("table_info"),
            "SELECT t.name, p.[from], p.[table], p.[to], p.on_delete " + each.format("foreign_key_list"),
            "SELECT t.name, p.origin, p.[unique], p.partial " + each.format("index_list"),
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
            "SELECT name, instr(sql, 'AUTOINCREMENT') > 0 FROM sqlite_master WHERE type = 'table'",
        ]
    with transaction(engine, write=False) as connection:
        rows = {tuple(row) for query in queries for row in connection.exec_driver_sql(query)}
    engine.dispose()
    return rows


@which
def test_a_new_database_is_what_the_revisions_make(name: str, new_database: NewDatabase) -> None:
    """Nobody changes a table without a revision."""
    metadata, version = OURS[name]
    revised, new = new_database(), new_database()
    engine = engine_on(revised)
    with transaction(engine) as connection:
        upgrade(connection, metadata, version)
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    open_database(new, metadata, version=version).dispose()
    assert schema(new) == schema(revised)


@which
def test_revisions_are_one_chain_in_the_order_of_their_numbers(name: str) -> None:
    numbers = [each.revision for each in scripts_of(name).walk_revisions()][::-1]
    assert numbers == [f"{number:04d}" for number in range(1, OURS[name][1] + 1)]


def scripts_of(name: str) -> ScriptDirectory:
    return ScriptDirectory.from_config(config(OURS[name][0]))


@which
def test_a_home_adopts_whatever_was_added_before_there_were_revisions(
    name: str, new_database: NewDatabase
) -> None:
    """Tables and columns came one by one; each state opens, and the first ones have no stamp."""
    metadata, version = OURS[name]
    new = new_database()
    open_database(new, metadata, version=version).dispose()
    expected = schema(new)
    added: MetaData = scripts_of(name).get_revision("0002").module._ADDED  # type: ignore[union-attr]
    for step in range(len(columns_of(added)) + 1):
        where = new_database()
        engine = engine_on(where)
        with transaction(engine) as connection:
            upgrade(connection, metadata, 1)
            add(connection, added, step)
            if step % 2:
                connection.exec_driver_sql("DROP TABLE alembic_version")
        engine.dispose()
        open_database(where, metadata, version=version).dispose()
        assert schema(where) == expected, step


def columns_of(metadata: MetaData) -> list[tuple[Table, str | None]]:
    """What inspection could add: tables that are new, columns of those that are not."""
    steps: list[tuple[Table, str | None]] = []
    for table in metadata.sorted_tables:
        if table.name in ("collections", "sources", "images", "jobs", "keys"):
            parts = [column.name for column in table.columns if column.name not in ("id", "collection_id")]
            steps += [(table, part) for part in parts]
        else:
            steps.append((table, None))
    return steps


def add(connection: Connection, metadata: MetaData, steps: int) -> None:
    """The first of them, as inspection did it, before the indexes."""
    for table, part in columns_of(metadata)[:steps]:
        if part is None:
            connection.execute(CreateTable(table))
        else:
            spec = CreateColumn(table.columns[part]).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {spec}")


@pytest.mark.parametrize(
    "archive", HOMES, ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}"
)
def test_an_old_home_has_the_tables_of_a_new_one(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as packed:
        databases = [member for member in packed if ".sqlite" in member.name]
        packed.extractall(tmp_path, databases, filter="data")
    for name, (metadata, version) in OURS.items():
        old, new = tmp_path / "home" / f"{name}.sqlite", tmp_path / f"{name}.sqlite"
        assert old.is_file()
        for path in (old, new):
            open_database(path, metadata, version=version).dispose()
        assert schema(old) == schema(new)


def test_many_that_open_an_old_home_at_once_upgrade_it_once(new_database: NewDatabase) -> None:
    metadata, version = OURS["catalog"]
    where, other = new_database(), new_database()
    for each in (where, other):
        engine = engine_on(each)
        with transaction(engine) as connection:
            upgrade(connection, metadata, 1)
        engine.dispose()
    barrier = threading.Barrier(6)
    opened: list[Path | str] = []

    def run(where: Path | str) -> None:
        barrier.wait()
        open_database(where, metadata, version=version).dispose()
        opened.append(where)

    threads = [threading.Thread(target=run, args=((where, other)[turn % 2],)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    new = new_database()
    open_database(new, metadata, version=version).dispose()
    assert schema(where) == schema(other) == schema(new)


def test_processes_that_open_an_old_home_at_once_upgrade_it_once(tmp_path: Path) -> None:
    metadata, version = OURS["catalog"]
    path = tmp_path / "c.sqlite"
    engine = engine_on(path)
    with transaction(engine) as connection:
        upgrade(connection, metadata, 1)
    engine.dispose()
    code = (
        "import sys, pathlib\n"
        "from askpix.core.db.engine import open_database\n"
        "from askpix.ingest.catalog.tables import METADATA, VERSION\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"open_database(pathlib.Path({str(path)!r}), METADATA, version=VERSION)\n"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("\n")
    assert [process.returncode for process in processes] == [0, 0, 0]
    open_database(tmp_path / "new.sqlite", metadata, version=version).dispose()
    assert schema(path) == schema(tmp_path / "new.sqlite")


def test_opening_what_is_up_to_date_asks_for_the_revision_alone(new_database: NewDatabase) -> None:
    metadata, version = OURS["catalog"]
    where = new_database()
    open_database(where, metadata, version=version).dispose()
    said: list[str] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def _(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    try:
        open_database(where, metadata, version=version).dispose()
    finally:
        event.remove(Engine, "before_cursor_execute", _)
    assert len([each for each in said if "version" in each]) <= 2  # is there a stamp, and which?
    assert len(said) <= 8


def test_neither_a_new_home_nor_one_of_today_loads_alembic(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from askpix.api.security.tables import database_of\n"
        "for _ in range(2): database_of(pathlib.Path(sys.argv[1])).dispose()\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_changed_table_gets_its_revision_by_one_command(tmp_path: Path) -> None:
    """As somebody does it who adds a column, a table and an index, and makes a column longer."""
    folder = tmp_path / "migrations"
    shutil.copytree(service.METADATA.info["migrations"], folder)
    metadata = MetaData(info={"migrations": folder})
    for table in service.METADATA.sorted_tables:
        table.to_metadata(metadata)
    write_revision = runpy.run_path(str(ROOT / "tools" / "write_revision.py"))["write_revision"]
    assert write_revision(metadata, "nothing") is None

    metadata.tables["keys"].append_column(Column("owner", String(100), server_default="nobody"))
    metadata.tables["keys"].c.scope.type = String(80)
    Index("keys_by_owner", metadata.tables["keys"].c.owner)
    Table("owners", metadata, Column("name", String(100), primary_key=True))
    before = service.VERSION
    path = write_revision(metadata, "keys have owners")
    assert path.name == f"{before + 1:04d}_keys_have_owners.py"
    assert last_revision(folder) == before + 1
    old, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    open_database(old, service.METADATA, version=before).dispose()
    for where in (old, new):
        open_database(where, metadata, version=before + 1).dispose()
    assert schema(old) == schema(new)
