"""The trail: who changed what through the service, and who was turned away. Append-only, the latest kept.

What commands do while no server runs is not in it: they have the files themselves.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, func, insert, select

from askpix.api.security.tables import trail
from askpix.core.db.engine import transaction

KEPT = 100_000
"""Entries: some 20 MB."""
_TIDY_EVERY = 1_000
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
    at: datetime
    who: str
    did: str
    path: str
    status: int
    request: str


class Trail:
    """Of a home. Thread-safe; processes may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, *, who: str, did: str, path: str, status: int, request: str) -> None:
        """One entry, durable on return."""
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
                newest = select(func.max(trail.c.number)).scalar_subquery()
                connection.execute(delete(trail).where(trail.c.number <= newest - KEPT))

    def latest(self, *, limit: int = 100, before: int | None = None) -> list[Entry]:
        """Newest first; ``before``: those with a smaller number."""
        wanted = select(*(trail.c[name] for name in Entry.__slots__)).order_by(trail.c.number.desc())
        if before is not None:
            wanted = wanted.where(trail.c.number < before)
        with transaction(self._engine, write=False) as connection:
            return [Entry(*row) for row in connection.execute(wanted.limit(limit))]


def belongs(method: str, route: str, status: int) -> bool:
    """Whether a request that was answered so belongs there: it changed something, or was not allowed to."""
    if method in ("GET", "HEAD", "OPTIONS") or route in READS or route.startswith("/v1/local/"):
        return False
    return status < 400 or status == 403
