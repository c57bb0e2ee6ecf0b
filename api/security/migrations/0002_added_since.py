"""Columns and tables added to the first ones before revisions became the one way to change them."""

import sqlalchemy as sa
from alembic import op

from askpix.core.db.migrate import add_missing

revision = "0002"
down_revision = "0001"

_ADDED = sa.MetaData()
sa.Table(
    "jobs",
    _ADDED,
    sa.Column("retry_at", sa.DateTime),
    sa.Column("retries", sa.Integer, nullable=False, server_default="0"),
)
sa.Table(
    "keys",
    _ADDED,
    sa.Column("requests_per_minute", sa.Integer),
    sa.Column("max_upload_bytes", sa.BigInteger),
)
sa.Table(
    "trail",
    _ADDED,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("who", sa.String(12), nullable=False),
    sa.Column("did", sa.String(200), nullable=False),
    sa.Column("path", sa.String(500), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("request", sa.String(64), nullable=False),
    sa.Index("trail_by_who", "who", "number"),
    sqlite_autoincrement=True,
)
sa.Table(
    "refusals",
    _ADDED,
    sa.Column("at", sa.DateTime, primary_key=True),
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("did", sa.String(200), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("request", sa.String(64), nullable=False),
)


def upgrade() -> None:
    add_missing(op.get_bind(), _ADDED)
