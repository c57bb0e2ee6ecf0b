"""Columns and tables added to the first ones before revisions became the one way to change them."""

import sqlalchemy as sa
from alembic import op

from askpix.core.db.migrate import add_missing

revision = "0002"
down_revision = "0001"

_ADDED = sa.MetaData()
_NUMBER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def _parent(table: str, name: str, *, primary_key: bool = False) -> sa.Column[str]:
    parent = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(name, sa.String(36), parent, primary_key=primary_key, nullable=False)


sa.Table(
    "collections",
    _ADDED,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("page_embedder", sa.String),
    sa.Column("page_dim", sa.Integer),
    sa.Column("store", sa.String(16), nullable=False, server_default="edge"),
)
sa.Table(
    "generations",
    _ADDED,
    sa.Column("id", _NUMBER, primary_key=True),
    _parent("collections", "collection_id"),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("embedder", sa.String, nullable=False),
    sa.Column("dim", sa.Integer, nullable=False),
    sa.Column("text_embedder", sa.String, nullable=False),
    sa.Column("text_dim", sa.Integer, nullable=False),
    sa.UniqueConstraint("collection_id", "generation"),
)
sa.Table(
    "sources",
    _ADDED,
    sa.Column("kills", sa.Integer),
    sa.Column("beside", sa.Text),
    sa.Column("described", sa.Text),
)
sa.Table(
    "images",
    _ADDED,
    sa.Column("id", sa.String(36), primary_key=True),
    _parent("collections", "collection_id"),
    sa.Column("phash", sa.String(80)),
    sa.Column("preview", sa.String(80)),
    sa.Column("tags", sa.JSON(none_as_null=True)),
    sa.Column("about", sa.JSON(none_as_null=True)),
    sa.Column("regions", sa.JSON(none_as_null=True)),
    sa.Index(
        "images_with_regions",
        "collection_id",
        sqlite_where=sa.text("regions IS NOT NULL"),
        postgresql_where=sa.text("regions IS NOT NULL"),
    ),
)
sa.Table(
    "vocabularies",
    _ADDED,
    _parent("collections", "collection_id", primary_key=True),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("threshold", sa.Float),
    sa.Column("embedder", sa.String, nullable=False),
)
sa.Table(
    "notes",
    _ADDED,
    _parent("images", "image_id", primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("writer", sa.String),
    sa.Column("stored", sa.Boolean, nullable=False),
    sa.Index("notes_by_stored", "stored"),
)
sa.Table(
    "page_errors",
    _ADDED,
    _parent("images", "image_id", primary_key=True),
    sa.Column("error", sa.Text, nullable=False),
)


def upgrade() -> None:
    add_missing(op.get_bind(), _ADDED)
