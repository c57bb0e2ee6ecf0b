"""Transactions end whatever ends them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, false, insert, select

from core.database import open_database, transaction

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


def test_what_an_older_version_did_not_have_is_added(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    engine = open_database(path, METADATA, version=1)
    with transaction(engine) as connection:
        connection.execute(insert(numbers), [{"n": 1}])
    engine.dispose()

    later = MetaData()
    grown = Table(
        "numbers",
        later,
        Column("n", Integer, primary_key=True),
        Column("note", String),
        Column("kind", String(8), nullable=False, server_default="plain"),
        Column("loud", Boolean, nullable=False, server_default=false()),
    )
    words = Table("words", later, Column("word", String, primary_key=True))
    engine = open_database(path, later, version=1)
    with transaction(engine) as connection:
        assert connection.execute(select(grown)).all() == [(1, None, "plain", False)]
        assert connection.execute(select(words)).all() == []
    engine.dispose()

    # The older version goes on with it: what it does not know does not disturb it.
    engine = open_database(path, METADATA, version=1)
    with transaction(engine) as connection:
        connection.execute(insert(numbers), [{"n": 2}])
        assert connection.execute(select(numbers.c.n)).scalars().all() == [1, 2]
    engine.dispose()
