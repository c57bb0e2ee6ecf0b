"""The trail: who changed what through the service, and who was turned away. Append-only, the latest kept.

What commands do while no server runs is not in it: they have the files themselves. Each key has a share of
its own, and strangers only a count a minute for each address: nobody pushes out the entries of others.
"""

import ipaddress
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select

from askpix.api.schemas.results import UtcTime
from askpix.api.security.tables import refusals, trail
from askpix.core.db.engine import transaction, upsert

KEPT = 100_000
"""Entries of each key: some 20 MB."""
_TIDY_EVERY = 1_000
KEPT_REFUSALS = 20_000
"""Rows: some 3 MB."""
_MAX_ADDRESSES = 100
"""Counted apart in one minute; those beyond it together, as ``_OTHERS``."""
_OTHERS = "others"
READS = frozenset(
    """/v1/collections/{name}/search /v1/collections/{name}/ask /v1/chat/completions /v1/embeddings
    /v1/classify /v1/caption /v1/extract /v1/audit""".split()
)
"""Requests that change nothing though they are posted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``who`` is a key's id, "local" (this machine's commands) or "anybody"; ``did`` the method and the
    route, ``path`` as it was asked for, ``request`` the id that the answer and the log have."""

    number: int
    at: UtcTime
    who: str
    did: str
    path: str
    status: int
    request: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """``count`` requests of strangers at one address (an IPv6 network of 64 bits) that were turned away in
    the minute ``at``; the rest tells of the first of them."""

    at: UtcTime
    address: str
    count: int
    did: str
    status: int
    request: str


class Trail:
    """Audit log of a home. Thread-safe; processes may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counting = threading.Lock()
        self._minute = datetime.min
        self._counts: dict[str, int] = {}
        self._unwritten: dict[str, dict[str, Any]] = {}

    def add(self, *, who: str, did: str, path: str, status: int, request: str) -> None:
        """Add an entry, durable on return."""
        row = {
            "at": datetime.now(UTC).replace(tzinfo=None),
            "who": who,
            "did": did[:200],
            "path": path[:500],
            "status": status,
            "request": request[:64],
        }
        with transaction(self._engine) as connection:
            number = connection.execute(insert(trail), [row]).lastrowid or 0
            if number % _TIDY_EVERY == 0:
                age = func.row_number().over(partition_by=trail.c.who, order_by=trail.c.number.desc())
                aged = select(trail.c.number, age.label("age")).subquery()
                old = select(aged.c.number).where(aged.c.age > KEPT)
                connection.execute(delete(trail).where(trail.c.number.in_(old)))

    def refuse(self, *, address: str, did: str, status: int, request: str) -> None:
        """Count a stranger's request that was turned away: written at the 1st, 2nd, 4th, 8th ... a minute, so
        that a flood costs the disk next to nothing."""
        with self._counting:
            minute = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
            if minute != self._minute:
                self._write_refusals()
                self._minute = minute
                self._counts = {}
            address = _network(address)
            if address not in self._counts and len(self._counts) >= _MAX_ADDRESSES:
                address = _OTHERS
            count = self._counts[address] = self._counts.get(address, 0) + 1
            first = {"did": did[:200], "status": status, "request": request[:64], "count": 0}
            row = self._unwritten.setdefault(address, {"at": minute, "address": address, **first})
            row["count"] += 1
            if count.bit_count() == 1:
                self._write_refusals()

    def refusals(self, *, limit: int = 100) -> list[Refusal]:
        """Newest first."""
        with self._counting:
            self._write_refusals()
        c = refusals.c
        wanted = select(*(c[name] for name in Refusal.__slots__)).order_by(c.at.desc(), c.address)
        with transaction(self._engine, write=False) as connection:
            return [Refusal(*row) for row in connection.execute(wanted.limit(limit))]

    def _write_refusals(self) -> None:
        if not self._unwritten:
            return
        c = refusals.c
        with transaction(self._engine) as connection:
            entry = upsert(connection, refusals)
            more = {"count": c.count + entry.excluded.count}
            entry = entry.on_conflict_do_update(index_elements=["at", "address"], set_=more)
            connection.execute(entry, list(self._unwritten.values()))
            oldest = select(c.at).order_by(c.at.desc()).limit(1).offset(KEPT_REFUSALS).scalar_subquery()
            connection.execute(delete(refusals).where(c.at <= oldest))
        self._unwritten.clear()

    def latest(self, *, limit: int = 100, before: int | None = None) -> list[Entry]:
        """Newest first; ``before``: those with a smaller number."""
        wanted = select(*(trail.c[name] for name in Entry.__slots__)).order_by(trail.c.number.desc())
        if before is not None:
            wanted = wanted.where(trail.c.number < before)
        with transaction(self._engine, write=False) as connection:
            return [Entry(*row) for row in connection.execute(wanted.limit(limit))]


def _network(address: str) -> str:
    """Return the network of an address: a subscriber has a whole IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))


def belongs(method: str, route: str, status: int) -> bool:
    """Return whether a request is logged: it changed something, or was not allowed to."""
    if method in ("GET", "HEAD", "OPTIONS") or route in READS or route.startswith("/v1/local/"):
        return False
    return status < 400 or status == 403
