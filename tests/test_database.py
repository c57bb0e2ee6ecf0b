"""Transactions end whatever ends them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

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
