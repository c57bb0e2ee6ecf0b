"""Keys: who may do what with which collections. Only their hashes are kept.

A key reads ``askpix_ID_SECRET``. The secret is 256 random bits, so its SHA-256 cannot be turned back; it is
compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Engine, Row, func, insert, or_, select, update

from askpix.api.schemas.results import UtcTime
from askpix.api.security.tables import keys
from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError, NotFoundError

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Scopes of a key; each includes those before it."""
_KEY = re.compile(r"askpix_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_USED_EVERY = timedelta(minutes=1)
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. ``collections`` are names in lower case; None = all."""

    id: str
    name: str
    scope: Scope
    collections: tuple[str, ...] | None
    created_at: UtcTime
    used_at: UtcTime | None
    revoked_at: UtcTime | None
    """Moment at which the key stops working; for one that was rotated this may lie ahead."""
    requests_per_minute: int | None = None
    max_upload_bytes: int | None = None
    """Upload limit in place of the service's own; None = the service's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(Key):
    """A key with its text, which is shown this once."""

    key: str

    @classmethod
    def of(cls, made: Key, text: str) -> "NewKey":
        """Join a key and its text."""
        return cls(**{field.name: getattr(made, field.name) for field in fields(made)}, key=text)


class KeyRing:
    """The keys of a home. Thread-safe; processes may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        name: str,
        *,
        scope: Scope,
        collections: Sequence[str] = (),
        requests_per_minute: int | None = None,
        max_upload_bytes: int | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which is shown once and never kept."""
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise AskpixError(f"{name!r} cannot name a key; use up to 100 printable characters")
        key_id = secrets.token_hex(6)
        secret = secrets.token_urlsafe(32)
        row = {
            "id": key_id,
            "name": name,
            "secret": _digest(secret),
            "scope": scope,
            "names": sorted({each.lower() for each in collections}) or None,
            "created_at": _now(),
            "requests_per_minute": requests_per_minute,
            "max_upload_bytes": max_upload_bytes,
        }
        with transaction(self._engine) as connection:
            connection.execute(insert(keys), [row])
        found = next(key for key in self.list() if key.id == key_id)
        return found, f"askpix_{key_id}_{secret}"

    def list(self) -> "list[Key]":
        """Return all keys, revoked ones too, oldest first."""
        wanted = select(keys).order_by(keys.c.created_at, keys.c.id)
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(wanted).all()
        return [_key(row, row.used_at) for row in rows]

    def revoke(self, key_id: str) -> Key:
        """Revoke a key, effective at once. Raises ``NotFoundError``."""
        now = _now()
        with transaction(self._engine) as connection:
            connection.execute(update(keys).where(keys.c.id == key_id, _alive(now)).values(revoked_at=now))
        found = next((key for key in self.list() if key.id == key_id), None)
        if found is None:
            raise NotFoundError(f"no key {key_id!r}; `askpix keys list` shows them")
        return found

    def rotate(self, key_id: str, *, overlap: timedelta = timedelta(0)) -> tuple[Key, str]:
        """A new key for the same, and its text; the old one opens nothing after ``overlap``.

        Raises ``NotFoundError`` for a key that is not there, or opens nothing any more.
        """
        now = _now()
        old = next((key for key in self.list() if key.id == key_id), None)
        if old is None or (old.revoked_at is not None and old.revoked_at <= now):
            raise NotFoundError(f"no key {key_id!r} that can be rotated; `askpix keys list` shows them")
        made = self.create(
            old.name,
            scope=old.scope,
            collections=old.collections or (),
            requests_per_minute=old.requests_per_minute,
            max_upload_bytes=old.max_upload_bytes,
        )
        ends = now + overlap if old.revoked_at is None else min(old.revoked_at, now + overlap)
        with transaction(self._engine) as connection:
            connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=ends))
        return made

    def any(self) -> bool:
        """Return whether a working key exists."""
        with transaction(self._engine, write=False) as connection:
            return bool(connection.execute(select(func.count()).where(_alive(_now()))).scalar())

    def ever_made(self) -> bool:
        """Return whether there was ever a key, revoked ones included: from then on every
        request needs one.
        """
        with transaction(self._engine, write=False) as connection:
            return connection.execute(select(keys.c.id).limit(1)).first() is not None

    def check(self, text: str) -> Key | None:
        """The key that ``text`` is; None when it is none or was revoked."""
        match = _KEY.fullmatch(text)
        key_id, secret = match.groups() if match else ("", "")
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
        # An unknown id takes as long as a wrong secret.
        right = hmac.compare_digest(_digest(secret), row.secret if row else _NOBODY)
        now = _now()
        if row is None or not right or (row.revoked_at is not None and row.revoked_at <= now):
            return None
        if row.used_at is None or now - row.used_at > _USED_EVERY:
            with transaction(self._engine) as connection:
                connection.execute(update(keys).where(keys.c.id == key_id).values(used_at=now))
        return _key(row, now)


def _key(row: Row[Any], used_at: datetime | None) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        scope=row.scope,
        collections=None if row.names is None else tuple(row.names),
        created_at=row.created_at,
        used_at=used_at,
        revoked_at=row.revoked_at,
        requests_per_minute=row.requests_per_minute,
        max_upload_bytes=row.max_upload_bytes,
    )


def _alive(now: datetime) -> ColumnElement[bool]:
    return or_(keys.c.revoked_at.is_(None), keys.c.revoked_at > now)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
