"""The tables of the catalog as they are when a database is made; what is additive comes by itself.

Later changes that are not (``core.db.migrate``) stand beside this file: 0002_WHAT.py with ``revision =
"0002"``, ``down_revision = "0001"`` and an ``upgrade`` that runs on SQLite (``op.batch_alter_table``) and
PostgreSQL.
"""

from alembic import op

from askpix.ingest.catalog.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    METADATA.create_all(op.get_bind())
