"""The tables of the catalog, for ``askpix.ingest.catalog.catalog`` and its ledgers alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from askpix.core.db.migrate import last_revision
from askpix.core.types import Box, ImageRecord
from askpix.ingest.formats.content import place_of, time_at
from askpix.ingest.metadata.model import About
from askpix.ingest.vision.screenshots import with_tag

METADATA = MetaData(info={"migrations": Path(__file__).with_name("migrations")})
VERSION = last_revision(METADATA.info["migrations"])
"""A change here needs a revision there: ``make revision`` (CONTRIBUTING.md)."""

# Rows are numbered anew at each upsert: 2**31 would not be for ever on a server with a hundred million.
_NUMBER = Integer().with_variant(BigInteger(), "postgresql")
# In the order of SQLite and Python, whatever the language of the server.
_ORDERED = Text().with_variant(Text(collation="C"), "postgresql")

collections = Table(
    "collections",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("embedder", String, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("text_embedder", String, nullable=False),
    Column("text_dim", Integer, nullable=False),
    Column("created_at", DateTime, nullable=False),
    # True from the begin of a run to its end: still True at the next begin, it was cut off.
    Column("unfinished", Boolean, nullable=False, default=False),
    # Which vectors are in use; each change of the model makes new ones beside the old.
    Column("generation", Integer, nullable=False, server_default="0"),
    # The model that makes many vectors a page, and their width; NULL where there is none.
    Column("page_embedder", String),
    Column("page_dim", Integer),
    # Which kind of store has its vectors: edge, qdrant or faiss.
    Column("store", String(16), nullable=False, server_default="edge"),
)
Index("collections_by_name", func.lower(collections.c.name), unique=True)


def _collection() -> Column[str]:
    return Column(
        "collection_id", String(36), ForeignKey("collections.id", ondelete="CASCADE"), nullable=False
    )


# Vectors of a collection that are not in use: still being built, or replaced by others and kept.
generations = Table(
    "generations",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    _collection(),
    Column("generation", Integer, nullable=False),
    Column("state", String(8), nullable=False),  # building, replaced
    Column("embedder", String, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("text_embedder", String, nullable=False),
    Column("text_dim", Integer, nullable=False),
    UniqueConstraint("collection_id", "generation"),
)

# A file (or URL) as it was when it was last looked into. ``sha256`` is None when it was too large to be read;
# ``error`` says what is wrong with it (or with some of its pages), ``tried_with`` under which limits.
sources = Table(
    "sources",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    _collection(),
    Column("uri", _ORDERED, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("error", Text),
    Column("tried_with", Text),
    # How often these bytes ended their decoder, or were being decoded for long when everything ended.
    Column("kills", Integer),
    # The files beside it that tell about it, and what they were when its images were told of them.
    Column("beside", Text),
    Column("described", Text),
    # When its inode changed last: programs that keep size and time of a file cannot keep this.
    Column("ctime_ns", BigInteger),
    UniqueConstraint("collection_id", "uri"),
    Index("sources_by_content", "collection_id", "sha256"),
)

# An image with these bytes and this page, or place of a film's frame (``content.place_of``); 0 = neither.
# ``embedded``: its vector is in the store.
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
    Column("phash", String(80)),
    Column("preview", String(80)),
    Column("embedded", Boolean, nullable=False),
    # pending -> read (lines are here) -> done (and in the store); or failed
    Column("text_state", String(8), nullable=False),
    Column("text_error", Text),
    # Of the collection's vocabulary; NULL = not held against it yet.
    Column("tags", JSON(none_as_null=True)),
    # What is written about it in the file and beside it (``ingest.metadata.model``); NULL = nothing, or not
    # looked.
    Column("about", JSON(none_as_null=True)),
    # Where images lie on it (``askpix.ingest.vision.regions``): [[x0, y0, x1, y1], ...]; NULL = nowhere.
    Column("regions", JSON(none_as_null=True)),
    Index("images_by_content", "collection_id", "sha256"),
    Index("images_by_text_state", "collection_id", "text_state", "sha256", "page"),
    Index(
        "images_with_regions",
        "collection_id",
        sqlite_where=text("regions IS NOT NULL"),
        postgresql_where=text("regions IS NOT NULL"),
    ),
)

# The labels that a collection's images are tagged with, and the model that did it.
vocabularies = Table(
    "vocabularies",
    METADATA,
    Column("collection_id", String(36), ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("labels", JSON, nullable=False),
    Column("threshold", Float),
    Column("embedder", String, nullable=False),
)

# What was read in an image: [[text, x0, y0, x1, y1, confidence], ...].
texts = Table(
    "texts",
    METADATA,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("engine", String, nullable=False),
    Column("lines", JSON, nullable=False),
)

# Words about an image that are not in it: ``about`` its owner's, ``caption`` a generator's. Searched like
# those in it. ``stored``: the store has them.
notes = Table(
    "notes",
    METADATA,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("text", Text, nullable=False),
    Column("writer", String),
    Column("stored", Boolean, nullable=False),
    Index("notes_by_stored", "stored"),
)

# Why a page could not be embedded by the page embedder.
page_errors = Table(
    "page_errors",
    METADATA,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("error", Text, nullable=False),
)


REWRITTEN = ("taken_at", "camera", "lat", "lon", "phash", "preview", "regions")
"""Columns that an image gets anew when it is embedded again: the catalog says what the store has."""


def image_row(record: ImageRecord) -> dict[str, Any]:
    """A new row of ``images`` for an image that is in the store, less its collection and content."""
    same = {
        f: getattr(record, f)
        for f in ("id", "kind", "width", "height", "taken_at", "camera", "lat", "lon", "phash", "preview")
    }
    regions = [list(box) for box in record.regions] or None
    return {
        **same,
        "regions": regions,
        "page": place_of(record) or 0,
        "embedded": True,
        "text_state": "pending",
    }


def own_tags(about: dict[str, Any] | None) -> tuple[str, ...]:
    """The tags that an image has from its file and from those beside it."""
    return About.from_json(about).tags if about else ()


def to_record(row: Row[Any], uris: Sequence[str]) -> ImageRecord:
    """A row of ``images`` and the sources that hold it as a record."""
    record = ImageRecord(
        id=row.id,
        uri=uris[0],
        kind=row.kind,
        width=row.width,
        height=row.height,
        page=(row.page or None) if row.kind != "frame" else None,
        time_s=time_at(row.page) if row.kind == "frame" else None,
        taken_at=row.taken_at,
        camera=row.camera,
        lat=row.lat,
        lon=row.lon,
        phash=row.phash,
        preview=row.preview,
        regions=tuple(Box(*box) for box in row.regions or ()),
        tags=tuple(dict.fromkeys((*(row.tags or ()), *own_tags(row.about)))),
        copies=tuple(uris[1:]),
    )
    return with_tag(record)
