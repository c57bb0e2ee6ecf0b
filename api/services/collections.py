"""Describe a collection: its counts, models and facets."""

from calendar import month_name
from typing import Any

from askpix.api.console.text import printable
from askpix.core.types import Where
from askpix.retrieval.text.gazetteer import gazetteer


def facets_json(workspace: Any, collection: Any) -> dict[str, list[dict[str, Any]]]:
    """Counts by facet as JSON: the value that a filter takes, and what people call it."""
    with workspace.open_store(collection) as store:
        found = store.facets(Where())

    def label(facet: str, value: str | int) -> str:
        if facet == "countries":
            return gazetteer().country_name(str(value))
        return month_name[int(value)] if facet == "months" else printable(str(value))

    return {
        facet: [{"value": value, "label": label(facet, value), "count": count} for value, count in counts]
        for facet, counts in found.items()
    }


def describe(workspace: Any, collection: Any) -> dict[str, Any]:
    """A collection as JSON."""
    counts = workspace.catalog.counts(collection)
    return {
        "name": collection.name,
        "id": collection.id,
        "embedder": collection.embedder,
        "dim": collection.dim,
        "text_embedder": collection.text_embedder,
        "page_embedder": collection.page_embedder,
        "store": collection.store,
        "created_at": collection.created_at.isoformat(),
        **counts,
    }
