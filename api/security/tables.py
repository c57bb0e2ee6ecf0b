"""The tables of the service: jobs and keys, in a database of their own beside the catalog, so that a poll of
a job never waits for an indexing transaction."""

from pathlib import Path

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from askpix.core.db.engine import open_database
from askpix.core.db.migrate import last_revision
from askpix.core.errors import AskpixError

METADATA = MetaData(info={"migrations": Path(__file__).with_name("migrations")})
VERSION = last_revision(METADATA.info["migrations"])
"""A change here needs a revision there: ``make revision`` (CONTRIBUTING.md)."""

jobs = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True),  # the order in which they came
    Column("id", String(36), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),  # files, urls, paths
    Column("collection", String(63), nullable=False),
    Column("collection_id", String(36), nullable=False),
    Column("state", String(10), nullable=False),  # queued, running, done, failed, cancelled
    Column("spec", JSON, nullable=False),
    Column("progress", JSON),
    Column("result", JSON),
    Column("error", Text),
    Column("cancelling", Boolean, nullable=False, server_default="0"),
    # Of one that failed of a passing cause: when it is queued again, and how often it was.
    Column("retry_at", DateTime),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
)
Index("jobs_by_state", jobs.c.state, jobs.c.number)

# ``secret`` is the SHA-256 of 256 random bits: nothing to guess, so no slow hash is needed. ``names`` are the
# collections it is for; NULL = all of them.
keys = Table(
    "keys",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret", String(64), nullable=False),
    Column("scope", String(8), nullable=False),
    Column("names", JSON(none_as_null=True)),
    Column("created_at", DateTime, nullable=False),
    Column("used_at", DateTime),
    Column("revoked_at", DateTime),
    # Its own limits, in the place of the service's; NULL = those.
    Column("requests_per_minute", Integer),
    Column("max_upload_bytes", BigInteger),
)

# Who changed what (``askpix.api.security.audit_log``). ``number`` is never used again.
trail = Table(
    "trail",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("who", String(12), nullable=False),
    Column("did", String(200), nullable=False),
    Column("path", String(500), nullable=False),
    Column("status", Integer, nullable=False),
    Column("request", String(64), nullable=False),
    Index("trail_by_who", "who", "number"),
    sqlite_autoincrement=True,
)

# Requests of strangers that were turned away: a row for each address and minute.
refusals = Table(
    "refusals",
    METADATA,
    Column("at", DateTime, primary_key=True),
    Column("address", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    # Of the first of them.
    Column("did", String(200), nullable=False),
    Column("status", Integer, nullable=False),
    Column("request", String(64), nullable=False),
)


def database_of(home: Path) -> Engine:
    """The engine of the service's database in a home, made when missing."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AskpixError(f"cannot use {str(home)!r} as home: {error.strerror}") from error
    return open_database(home / "service.sqlite", METADATA, version=VERSION)
