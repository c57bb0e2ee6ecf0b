"""Transactions end whatever ends them; tables come to what is known now, on both kinds of database."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    event,
    func,
    insert,
    select,
)

from askpix.core.db.engine import held, open_database, transaction
from askpix.core.errors import AskpixError, IndexMismatchError, StoreUnavailableError
from tests.support.postgres import end_sessions, new_schema

METADATA = MetaData()
numbers = Table("numbers", METADATA, Column("n", Integer, primary_key=True))


def test_ctrl_c_in_a_statement_leaves_no_lock(tmp_path: Path) -> None:
    """SQLAlchemy closes the interrupted connection, but SQLite keeps its lock as long as a cursor lives."""
    engine = open_database(tmp_path / "catalog.sqlite", METADATA, version=1)
    original = engine.dialect.do_executemany

    def interrupted(cursor: Any, statement: str, parameters: Sequence[Any], context: Any = None) -> None:
        cursor.execute(statement, parameters[0])
        cursor.execute("SELECT 1 UNION SELECT 2")  # not read to its end: still at work
        raise KeyboardInterrupt

    engine.dialect.do_executemany = interrupted  # type: ignore[method-assign, assignment]
    try:
        with transaction(engine) as connection:
            connection.execute(insert(numbers), [{"n": 1}, {"n": 2}])
        pytest.fail("the interrupt was swallowed")
    except KeyboardInterrupt:
        # As in the ingestion: what is saved now is saved while the interrupt is still being handled.
        engine.dialect.do_executemany = original  # type: ignore[method-assign]
        with transaction(engine) as connection:
            connection.execute(insert(numbers), [{"n": 3}, {"n": 4}])
    with transaction(engine, write=False) as connection:
        assert list(connection.execute(select(numbers.c.n)).scalars()) == [3, 4]


def test_an_older_one_is_brought_up_by_revisions_in_one_transaction(
    database: Path | str, tmp_path: Path
) -> None:
    """A column that changes what it holds and loses its name: what nothing additive can do."""
    folder = tmp_path / "100% of the revisions"
    folder.mkdir()
    engine = open_database(database, METADATA, version=1)
    with transaction(engine) as connection:
        connection.execute(insert(numbers), [{"n": 1}, {"n": 2}])
    engine.dispose()

    later = MetaData(info={"migrations": folder})
    grown = Table("numbers", later, Column("double", Integer, primary_key=True))
    head = "from alembic import op\nfrom sqlalchemy import text\nrevision, down_revision = {!r}, {!r}\n"
    (folder / "0001_first.py").write_text(head.format("0001", None) + "def upgrade(): 1 / 0")
    (folder / "0002_double.py").write_text(
        head.format("0002", "0001") + "def upgrade():\n"
        "    op.execute(text('update numbers set n = n + 10'))\n"
        "    with op.batch_alter_table('numbers') as table:\n"
        "        table.alter_column('n', new_column_name='double')\n"
    )
    broken = folder / "0003_broken.py"
    broken.write_text(head.format("0003", "0002") + "def upgrade(): 1 / 0")
    with pytest.raises(ZeroDivisionError):
        open_database(database, later, version=3)
    engine = open_database(database, METADATA, version=1)  # nothing was changed
    with transaction(engine, write=False) as connection:
        assert connection.execute(select(numbers.c.n)).scalars().all() == [1, 2]
    engine.dispose()

    broken.write_text(
        head.format("0003", "0002")
        + "def upgrade(): op.execute(text('delete from numbers where double = 11'))"
    )
    engine = open_database(database, later, version=3)
    with transaction(engine) as connection:
        assert connection.execute(select(grown.c.double)).scalars().all() == [12]
    engine.dispose()
    with pytest.raises(IndexMismatchError, match="newer version"):
        open_database(database, METADATA, version=2)


def test_a_revision_that_copies_a_table_costs_it_no_children(tmp_path: Path) -> None:
    """SQLite drops the old table then, and a DROP deletes rows: those that refer to them would go too."""
    folder = tmp_path / "revisions"
    folder.mkdir()
    metadata = MetaData(info={"migrations": folder})
    parents = Table("parents", metadata, Column("id", Integer, primary_key=True), Column("name", String(8)))
    parent = ForeignKey("parents.id", ondelete="CASCADE")
    children = Table("children", metadata, Column("id", Integer, primary_key=True), Column("of", parent))
    path = tmp_path / "c.sqlite"
    engine = open_database(path, metadata, version=1)
    with transaction(engine) as connection:
        connection.execute(insert(parents), [{"id": 1, "name": "a"}])
        connection.execute(insert(children), [{"id": 1, "of": 1}])
    engine.dispose()

    head = "import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = {!r}, {!r}\n"
    (folder / "0001_first.py").write_text(head.format("0001", None) + "def upgrade(): 1 / 0")
    (folder / "0002_longer.py").write_text(
        head.format("0002", "0001") + "def upgrade():\n"
        "    with op.batch_alter_table('parents') as table:\n"
        "        table.alter_column('name', type_=sa.String(80), nullable=False)\n"
    )
    engine = open_database(path, metadata, version=2)
    with transaction(engine) as connection:
        assert connection.execute(select(children)).all() == [(1, 1)]
        connection.execute(delete(parents))  # and from here on they go with their parents again
        assert connection.execute(select(children)).all() == []
    engine.dispose()


# --- a server ----------------------------------------------------------------------------------------


@pytest.fixture
def engine(postgres: str) -> Iterator[Engine]:
    opened = open_database(new_schema(postgres), METADATA, version=1)
    yield opened
    opened.dispose()


def test_a_writer_waits_for_another_and_says_when_it_took_too_long(engine: Engine) -> None:
    event.listen(engine, "connect", lambda connection, _: connection.execute("SET lock_timeout = '100ms'"))
    engine.dispose()
    with transaction(engine) as first:
        first.execute(insert(numbers), [{"n": 1}])
        with pytest.raises(StoreUnavailableError, match="written by another process"), transaction(engine):
            pytest.fail("two writers at once")
        with transaction(engine, write=False) as reader:  # never waits
            assert reader.execute(select(numbers.c.n)).all() == []


def test_a_reader_sees_one_moment_and_cannot_write(engine: Engine) -> None:
    with transaction(engine, write=False) as reader:
        assert reader.execute(select(numbers.c.n)).all() == []
        with transaction(engine) as writer:
            writer.execute(insert(numbers), [{"n": 1}])
        assert reader.execute(select(numbers.c.n)).all() == []
    with pytest.raises(StoreUnavailableError, match="read-only"), transaction(engine, write=False) as reader:
        reader.execute(insert(numbers), [{"n": 2}])


def test_a_broken_connection_is_said_and_the_next_call_has_a_new_one(engine: Engine) -> None:
    with (
        pytest.raises(StoreUnavailableError, match="run the command again"),
        transaction(engine) as connection,
    ):
        connection.execute(insert(numbers), [{"n": 1}])
        end_sessions(engine)
        connection.execute(insert(numbers), [{"n": 2}])
    with transaction(engine) as connection:
        assert connection.execute(select(numbers.c.n)).all() == []


def test_one_name_is_held_by_one_of_all_until_it_is_gone(engine: Engine) -> None:
    with held(engine, "run") as mine, held(engine, "run") as theirs, held(engine, "other") as another:
        assert (mine, theirs, another) == (True, False, True)
    for turn in range(100):
        with held(engine, "run") as mine:
            assert mine, f"turn {turn}: given back before the next may ask"
    with pytest.raises(ZeroDivisionError), held(engine, "run"):
        raise ZeroDivisionError
    with held(engine, "run") as mine:
        assert mine
    with (
        pytest.raises(StoreUnavailableError, match="connection to the database was lost"),
        held(engine, "run"),
    ):
        end_sessions(engine)


def test_a_text_with_a_nul_is_kept_without_it(postgres: str) -> None:
    metadata = MetaData()
    words = Table("words", metadata, Column("word", String), Column("more", JSON))
    engine = open_database(new_schema(postgres), metadata, version=1)
    with transaction(engine) as connection:
        connection.execute(insert(words), [{"word": "Can\0on\0", "more": ["a\0b", "\ud800"]}])
        assert connection.execute(select(words.c.word)).scalar() == "Canon"
        assert connection.execute(select(func.json_array_length(words.c.more))).scalar() == 2
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me@host/db", "write postgresql://USER@HOST/DATABASE"),
        ("nonsense", "cannot be read; write postgresql://"),
        ("postgresql://me:secret@127.0.0.1:9/askpix", r"refused"),
        ("postgres://me:secret@/askpix?host=/nowhere", r"cannot be used"),
    ],
)
def test_a_wrong_address_is_one_line_without_the_password(url: str, said: str) -> None:
    with pytest.raises(AskpixError, match=said) as caught:
        open_database(url, METADATA, version=1)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_not_there_is_said(postgres: str) -> None:
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        open_database(postgres.replace("/postgres?", "/missing?"), METADATA, version=1)
