"""The tables of the oldest homes that can be opened."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("embedder", sa.String, nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.Column("text_embedder", sa.String, nullable=False),
        sa.Column("text_dim", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("unfinished", sa.Boolean, nullable=False),
    )
    op.create_index("collections_by_name", "collections", [sa.text("lower(name)")], unique=True)
    op.create_table(
        "sources",
        sa.Column("id", _NUMBER, primary_key=True),
        _collection(),
        sa.Column("uri", _ORDERED, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("tried_with", sa.Text),
        sa.UniqueConstraint("collection_id", "uri"),
    )
    op.create_index("sources_by_content", "sources", ["collection_id", "sha256"])
    op.create_table(
        "images",
        sa.Column("id", sa.String(36), primary_key=True),
        _collection(),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("taken_at", sa.DateTime),
        sa.Column("camera", sa.String),
        sa.Column("lat", sa.Float),
        sa.Column("lon", sa.Float),
        sa.Column("embedded", sa.Boolean, nullable=False),
        sa.Column("text_state", sa.String(8), nullable=False),
        sa.Column("text_error", sa.Text),
    )
    op.create_index("images_by_content", "images", ["collection_id", "sha256"])
    op.create_index("images_by_text_state", "images", ["collection_id", "text_state", "sha256", "page"])
    op.create_table(
        "texts",
        sa.Column(
            "image_id", sa.String(36), sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("lines", sa.JSON, nullable=False),
    )


def _collection() -> sa.Column[str]:
    return sa.Column(
        "collection_id",
        sa.String(36),
        sa.ForeignKey("collections.id", ondelete="CASCADE"),
        nullable=False,
    )
