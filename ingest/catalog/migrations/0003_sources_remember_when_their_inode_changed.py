"""Sources remember when their inode changed: the rows that are there get it in the next run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("sources", sa.Column("ctime_ns", sa.BigInteger))
