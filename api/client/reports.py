"""Reports of indexing: one of each job of a server, added up."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from functools import reduce
from typing import Any

from askpix.api.schemas.results import CollectionInfo
from askpix.ingest.pipeline.report import IngestReport

_LATEST = ("images", "left")
"""Counts of the collection, not of a run."""


def total(collection: CollectionInfo, reports: Sequence[IngestReport]) -> IngestReport:
    """Return the sum of reports; all zero without one."""
    nothing = IngestReport(
        collection=collection.name,
        embedder=collection.embedder,
        added=0,
        updated=0,
        unchanged=0,
        removed=0,
        duplicates=0,
        failed=(),
        skipped=(),
        images=collection.images,
        seconds=0.0,
        images_per_second=0.0,
    )
    embedded = sum(each.images_per_second * each.seconds for each in reports)
    whole: IngestReport = reduce(_sum, reports, nothing)
    return replace(whole, images_per_second=embedded / whole.seconds if whole.seconds else 0.0)


def _sum(first: Any, second: Any) -> Any:
    if is_dataclass(first) and not isinstance(first, type):
        summed = {
            each.name: getattr(second, each.name)
            if each.name in _LATEST
            else _sum(getattr(first, each.name), getattr(second, each.name))
            for each in fields(first)
        }
        return replace(first, **summed)
    if isinstance(first, str) or first is None or second is None:
        return second
    return first + second
