"""The last stage: images into sentences by a generator, searched like words in them. Within a budget.

Captions go to the catalog as they are written, so a kill costs those under way; what has one is not asked for
again, whoever wrote it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from askpix.core.errors import (
    AskpixError,
    BadImageError,
    BadQueryError,
    GenerationError,
    LimitError,
    NotFoundError,
)
from askpix.core.types import Evidence, Hit, ImageRecord, Usage
from askpix.generation.generators.base import Generator
from askpix.generation.tasks.caption import caption_and_usage, caption_messages, captions_with
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.formats.content import label_of
from askpix.ingest.pipeline.report import CaptionReport, Failure, Progress
from askpix.ingest.pipeline.text_sync import hand_over_notes
from askpix.retrieval.embedders.base import TextEmbedder
from askpix.retrieval.stores.base import OpenStore

_log = logging.getLogger(__name__)
_TOGETHER = 8
"""Batch size for a model in this process; servers are sent half as many at a time."""
_STORE_EVERY = 64
_MAX_FAILURES = 5
"""Most failures in a row: after them the images are not the cause."""


@dataclass(frozen=True, slots=True)
class CaptionBudget:
    """Limits of one run; None: no limit. It stops before the request that could exceed one of them."""

    pictures: int | None = None
    tokens: int | None = None
    usd: float | None = None


@dataclass(slots=True)
class _Spent:
    pictures: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    failures: list[Failure] = field(default_factory=list)
    in_a_row: int = 0

    def add(self, usage: Usage | None) -> None:
        self.pictures += 1
        self.in_a_row = 0
        if usage is None:
            return
        self.tokens += usage.input_tokens + usage.output_tokens
        self.usd = None if self.usd is None or usage.cost_usd is None else self.usd + usage.cost_usd


def caption_images(
    *,
    collection: Collection,
    catalog: Catalog,
    open_store: OpenStore,
    text_embedder: Callable[[], TextEmbedder],
    generator: Generator,
    budget: CaptionBudget,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> CaptionReport:
    """Caption every image that has none, until the budget is spent. Hold ``collection_run`` around it.

    An image that fails is reported and tried again in the next run; after five in a row it stops. Raises
    ``BadQueryError`` for a budget in dollars where the price is not known, and ``StoreUnavailableError``.
    """
    began = clock()
    spent = _Spent()
    stopped = None
    total = catalog.notes.count_uncaptioned(collection)
    ids = (i for page in catalog.notes.uncaptioned(collection) for i in page)
    together = _TOGETHER if generator.batches else _TOGETHER // 2
    handed = 0
    try:
        with ThreadPoolExecutor(together, thread_name_prefix="captions") as pool:
            while stopped is None and (some := list(islice(ids, together))):
                evidence = _evidence(catalog, some)
                allowed, stopped = _affordable(generator, evidence, budget, spent)
                texts = _write(generator, evidence[:allowed], pool, spent)
                catalog.notes.write(texts, "caption", generator.model_id)
                if spent.in_a_row >= _MAX_FAILURES:
                    stopped = f"{spent.in_a_row} images in a row failed"
                if spent.pictures - handed >= _STORE_EVERY:
                    hand_over_notes(collection, catalog, open_store, text_embedder)
                    handed = spent.pictures
                if on_progress:
                    rate = spent.pictures / max(clock() - began, 1e-9)
                    done = spent.pictures + len(spent.failures)
                    on_progress(Progress("captions", done, total, rate, len(spent.failures)))
    finally:
        hand_over_notes(collection, catalog, open_store, text_embedder)
    return CaptionReport(
        captioned=spent.pictures,
        failed=tuple(spent.failures),
        tokens=spent.tokens,
        cost_usd=spent.usd,
        left=catalog.notes.count_uncaptioned(collection),
        stopped=stopped,
        seconds=round(clock() - began, 3),
    )


def _evidence(catalog: Catalog, ids: Sequence[str]) -> list[Evidence]:
    lines = catalog.lines(ids)
    records = catalog.lookup.records(ids)
    return [Evidence(1, Hit(1, each, 1.0), lines.get(each.id, ()), each.id in lines) for each in records]


def _affordable(
    generator: Generator, evidence: Sequence[Evidence], budget: CaptionBudget, spent: _Spent
) -> tuple[int, str | None]:
    """Return how many of these the budget certainly allows, and why not all of them."""
    tokens = spent.tokens
    usd = spent.usd or 0.0
    for number, each in enumerate(evidence):
        if budget.pictures is not None and spent.pictures + number >= budget.pictures:
            return number, f"{budget.pictures} pictures, as asked for"
        if budget.tokens is None and budget.usd is None:
            continue
        plan = generator.plan(caption_messages(each))
        if plan is None:  # nothing is paid, and its tokens are those it reports
            if budget.tokens is not None and tokens >= budget.tokens:
                return number, f"the budget of {budget.tokens} tokens"
            continue
        price = generator.price(plan)
        if budget.usd is not None and price is None:
            raise BadQueryError(
                f"the price of {generator.model_id!r} is not known; bound captions by --caption-tokens"
            )
        tokens = tokens + plan.tokens
        usd = usd + (price or 0.0)
        if budget.usd is not None and usd > budget.usd:
            return number, f"the budget of {budget.usd:g} USD"
        if budget.tokens is not None and tokens > budget.tokens:
            return number, f"the budget of {budget.tokens} tokens"
    return len(evidence), None


def _write(
    generator: Generator, evidence: Sequence[Evidence], pool: ThreadPoolExecutor, spent: _Spent
) -> dict[str, str]:
    """Captions by image id."""
    if len(evidence) > 1 and generator.batches:
        try:
            texts = captions_with(generator, evidence)
        except (GenerationError, BadImageError, NotFoundError) as error:
            _log.info("a batch of captions failed, so each is asked for alone: %s", error)
        else:
            for _ in texts:
                spent.add(None)
            return {each.hit.record.id: text for each, text in zip(evidence, texts, strict=True)}
    running = [(each.hit.record, pool.submit(caption_and_usage, generator, each)) for each in evidence]
    found: dict[str, str] = {}
    for record, future in running:
        try:
            text, usage = future.result()
        except LimitError:
            raise
        except AskpixError as error:
            spent.in_a_row += 1
            _log.info("no caption of %r: %s", _name(record), error)
            spent.failures.append(Failure(_name(record), str(error)))
            continue
        found[record.id] = text
        spent.add(usage)
    return found


def _name(record: ImageRecord) -> str:
    return record.uri + label_of(record)
