"""Describe a collection: its counts, models and facets."""

from calendar import month_name
from typing import TYPE_CHECKING

from askpix.api.console.text import printable
from askpix.api.schemas.results import CollectionInfo, FacetCount, TextCounts
from askpix.core.types import Where
from askpix.retrieval.text.gazetteer import gazetteer

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.models import Collection


def describe(
    workspace: "Workspace", collection: "Collection", *, disk: bool = False, facets: bool = False
) -> CollectionInfo:
    """Return a collection's models and counts; ``disk`` and ``facets`` cost a look at all of its files and
    images."""
    counts = workspace.catalog.counts(collection)
    return CollectionInfo(
        name=collection.name,
        id=collection.id,
        embedder=collection.embedder,
        dim=collection.dim,
        text_embedder=collection.text_embedder,
        page_embedder=collection.page_embedder,
        store=collection.store,
        created_at=collection.created_at,
        images=counts["images"],
        sources=counts["sources"],
        failed=counts["failed"],
        text=TextCounts(**counts["text"]),
        disk_bytes=workspace.disk_bytes(collection) if disk else None,
        facets=facet_counts(workspace, collection) if facets else None,
    )


def facet_counts(workspace: "Workspace", collection: "Collection") -> dict[str, tuple[FacetCount, ...]]:
    """Return counts by facet: the value that a filter takes, and what people call it."""
    with workspace.open_store(collection) as store:
        found = store.facets(Where())

    def label(facet: str, value: str | int) -> str:
        if facet == "countries":
            return gazetteer().country_name(str(value))
        return month_name[int(value)] if facet == "months" else printable(str(value))

    return {
        facet: tuple(FacetCount(value, label(facet, value), count) for value, count in counts)
        for facet, counts in found.items()
    }
