"""Identity behind a request and the collections it may access. Others do not exist for it."""

from dataclasses import dataclass

from askpix.api.security.keys import SCOPES, Key, Scope
from askpix.api.security.problems import ProblemError
from askpix.core.errors import AuthError, NotFoundError
from askpix.ingest.catalog.catalog import Catalog, Collection


@dataclass(frozen=True, slots=True)
class Principal:
    """A key, this machine's own commands (``local``), or anybody where no key was made."""

    id: str
    scope: Scope
    names: tuple[str, ...] | None = None
    """Collections in lower case; None = all."""
    local: bool = False
    requests_per_minute: int | None = None
    max_upload_bytes: int | None = None
    """Upload limit of this principal, in place of the service's; None = the service's."""

    @classmethod
    def of(cls, key: Key) -> "Principal":
        """Whoever has this key."""
        return cls(
            key.id,
            key.scope,
            key.collections,
            requests_per_minute=key.requests_per_minute,
            max_upload_bytes=key.max_upload_bytes,
        )

    def need(self, scope: Scope) -> None:
        """Raises ``AuthError`` unless they may."""
        if SCOPES.index(self.scope) < SCOPES.index(scope):
            raise AuthError(f"this key may {self.scope!r} only; it needs {scope!r} for that")

    def sees(self, name: str) -> bool:
        """Return whether a collection of this name would be accessible, if there is one."""
        return self.names is None or name.lower() in self.names

    def need_name(self, name: str) -> None:
        """Raises a 403 that says nothing about whether such a collection exists."""
        if not self.sees(name):
            raise ProblemError(403, f"this key is not for a collection {name!r}")

    def need_all(self) -> None:
        """Raises ``AuthError`` unless every collection is theirs."""
        if self.names is not None:
            raise AuthError("this needs a key for all collections")

    def collections(self, catalog: Catalog) -> list[Collection]:
        """Return the collections this principal may access, sorted by name."""
        return [each for each in catalog.list_collections() if self.sees(each.name)]

    def collection(self, catalog: Catalog, name: str) -> Collection:
        """Return an accessible collection. Raises ``NotFoundError``, the same for an inaccessible one and a
        missing one.
        """
        found = catalog.get_collection(name) if self.sees(name) else None
        if found is None:
            raise NotFoundError(f"no collection {name!r}")
        return found


ANYBODY = Principal("anybody", "admin")
LOCAL = Principal("local", "admin", local=True)
