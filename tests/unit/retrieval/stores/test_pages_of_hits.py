"""Pages of hits on every store with files: one long list in one order, doubles gathered, nothing twice."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from askpix.core.types import Hit
from askpix.retrieval.faiss.store import FaissStore
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
from askpix.retrieval.query.parser import parse
from askpix.retrieval.search.retriever import Retriever
from askpix.retrieval.stores.base import VectorStore
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, record, unit

PICTURES, COPIES = 40, 3
EMBEDDER, WORDS = ColourEmbedder(), WordEmbedder()
_MADE: dict[str, Any] = {
    "model_id": EMBEDDER.model_id,
    "dim": EMBEDDER.dim,
    "text_model_id": WORDS.model_id,
    "text_dim": WORDS.dim,
}
OPENERS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryStore(dim=EMBEDDER.dim, text_dim=WORDS.dim),
    "edge": lambda folder: QdrantEdgeStore.open(folder, **_MADE),
    "faiss": lambda folder: FaissStore.open(folder, **_MADE),
}


@pytest.fixture(params=sorted(OPENERS))
def retriever(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Retriever]:
    store: VectorStore = OPENERS[request.param](tmp_path)
    generator = np.random.default_rng(1)
    bases = unit(generator.normal(size=(PICTURES, EMBEDDER.dim)))
    records, rows = [], []
    for number in range(PICTURES * COPIES):
        base = number % PICTURES
        phash = np.random.default_rng(base).bytes(32).hex()
        records.append(replace(record(f"p{number}"), phash=phash))
        rows.append(bases[base] + 0.001 * generator.normal(size=EMBEDDER.dim))
    store.upsert(records, unit(np.array(rows)))
    store.optimize()
    yield Retriever(EMBEDDER, WORDS, store)
    store.close()


def hits(retriever: Retriever, top_k: int, offset: int, **options: Any) -> tuple[Hit, ...]:
    return retriever.retrieve(parse("red"), top_k=top_k, offset=offset, show_all=True, **options).hits


@pytest.mark.parametrize(
    "options", [{}, {"collapse": False}, {"diverse": 0.4}], ids=["collapsed", "one by one", "diverse"]
)
def test_pages_joined_are_one_long_list(retriever: Retriever, options: dict[str, Any]) -> None:
    every = PICTURES if options.get("collapse", True) else PICTURES * COPIES
    whole = hits(retriever, 1_000, 0, **options)
    assert len(whole) == every
    joined = [hit for at in range(0, every, 7) for hit in hits(retriever, 7, at, **options)]
    assert [hit.record.id for hit in joined] == [hit.record.id for hit in whole]
    assert [hit.rank for hit in joined] == list(range(1, every + 1))
    assert hits(retriever, 7, every, **options) == ()


def test_more_like_this_shows_its_like_page_by_page(retriever: Retriever) -> None:
    first = record("p3").id
    found = [
        hit
        for at in range(0, PICTURES, 9)
        for hit in retriever.retrieve(parse(""), image_id=first, top_k=9, offset=at).hits
    ]
    assert len({hit.record.id for hit in found}) == len(found) == PICTURES
    copies = {record(f"p{3 + PICTURES * n}").id for n in range(COPIES)}
    assert {found[0].record.id, *found[0].similar} == copies
