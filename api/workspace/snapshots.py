"""Snapshots that the nodes of a Qdrant server take of themselves, and how they are put back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askpix.core.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from askpix.api.settings import Settings
    from askpix.retrieval.qdrant.connection import QdrantServer

_TIMEOUT_S = 3600.0
"""Timeout in seconds: one snapshot copies all that a node has of a physical collection."""
_PREFIX = "askpix-"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Snapshot of what one node holds of a physical collection, of every tenant, in a file on that node."""

    node: str
    """Address of the node."""
    collection: str
    """The physical collection, which all collections with the same models share."""
    name: str
    size: int
    """Bytes."""

    def recovery(self) -> str:
        """Return the request that puts it back, from where a server keeps snapshots by default."""
        folder = f"/collections/{self.collection}/snapshots"
        location = f"file:///qdrant/snapshots/{self.collection}/{self.name}"
        return f'PUT {self.node}{folder}/recover {{"location": "{location}", "priority": "snapshot"}}'


def take_snapshots(settings: Settings, tenants: Sequence[str]) -> tuple[list[Snapshot], list[str]]:
    """Have every node take one of each physical collection that holds points of these ``tenants``.

    Returns them, and a line for each that could not be taken or does not hold everything. Raises
    ``StoreUnavailableError`` where the server cannot be asked what it holds.
    """
    from askpix.retrieval.qdrant.connection import QdrantServer

    timeout_s = max(settings.qdrant_timeout_s, _TIMEOUT_S)
    server = QdrantServer.connect(
        settings.qdrant_url or "", api_key=settings.qdrant_api_key, timeout_s=timeout_s
    )
    taken: list[Snapshot] = []
    notes: list[str] = []
    with closing(server):
        for name in _holding(server, tenants):
            _take(server, name, taken, notes)
    return taken, notes


def _take(server: QdrantServer, name: str, taken: list[Snapshot], notes: list[str]) -> None:
    shards = set[int]()
    copied = set[int]()
    for node in server.nodes():
        try:
            found = node.ask(lambda client: client.collection_cluster_info(name))
            here = {shard.shard_id for shard in found.local_shards}
            shards |= here | {shard.shard_id for shard in found.remote_shards}
            # Once: each try would leave a file there.
            made = node.ask(lambda client: client.create_snapshot(name), tries=1) if here else None
        except StoreUnavailableError as error:
            notes.append(f"no snapshot of {name!r}: {error}")
            continue
        if made is not None:
            copied |= here
            taken.append(Snapshot(node.url, name, made.name, made.size))
    if missing := sorted(shards - copied):
        notes.append(
            f"snapshots of {name!r} hold {len(copied)} of its {len(shards)} shards: {missing} are on nodes"
            " that failed, or that ASKPIX_QDRANT_URL does not name"
        )


def _holding(server: QdrantServer, tenants: Sequence[str]) -> list[str]:
    """Physical collections with points of these tenants."""
    from qdrant_client import models

    from askpix.retrieval.qdrant.server_models import TENANT

    ours = models.FieldCondition(key=TENANT, match=models.MatchAny(any=list(tenants)))
    listed = server.ask(lambda client: client.get_collections()).collections
    names = sorted(each.name for each in listed if each.name.startswith(_PREFIX))
    return [name for name in names if _count(server, name, models.Filter(must=[ours]))]


def _count(server: QdrantServer, name: str, narrowed: Any) -> int:
    return server.ask(lambda client: client.count(name, narrowed, exact=True)).count
