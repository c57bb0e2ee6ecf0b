"""The tables of the catalog. Only ``ingest.catalog`` uses them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 1
METADATA = MetaData()

collections = Table(
    "collections",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("embedder", String, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("text_embedder", String, nullable=False),
    Column("text_dim", Integer, nullable=False),
    Column("created_at", DateTime, nullable=False),
)


def _collection() -> Column[str]:
    return Column(
        "collection_id", String(36), ForeignKey("collections.id", ondelete="CASCADE"), nullable=False
    )


# A file (or URL) as it was when it was last looked into. ``sha256`` is None when it could not be read.
sources = Table(
    "sources",
    METADATA,
    Column("id", Integer, primary_key=True),
    _collection(),
    Column("uri", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("error", Text),
    UniqueConstraint("collection_id", "uri"),
    Index("sources_by_content", "collection_id", "sha256"),
)

# A picture with these bytes (and page; 0 = not paged), whose vector is in the store.
images = Table(
    "images",
    METADATA,
    Column("id", String(36), primary_key=True),
    _collection(),
    Column("sha256", String(64), nullable=False),
    Column("page", Integer, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("taken_at", DateTime),
    Column("camera", String),
    Column("lat", Float),
    Column("lon", Float),
    # pending -> read (lines are here) -> done (and in the store); or failed
    Column("text_state", String(8), nullable=False, default="pending"),
    Column("text_error", Text),
    Index("images_by_content", "collection_id", "sha256"),
    Index("images_by_text_state", "collection_id", "text_state"),
)

# What was read in a picture: [[text, x0, y0, x1, y1, confidence], ...].
texts = Table(
    "texts",
    METADATA,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("engine", String, nullable=False),
    Column("lines", JSON, nullable=False),
)
