"""A question asked of a collection, for every door: of all of it by plan, else of what is found."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from api.archive import answer_archive
from api.rerank_wiring import searcher
from api.understanding import understand
from generation.answer import stream_answer

if TYPE_CHECKING:
    from api.wiring import Workspace
    from core.types import Answer, SearchResult
    from generation.generator import Piece
    from ingest.collection import Collection
    from retrieval.retriever import Retriever

    Opened = AbstractContextManager[Retriever]


def ask_collection(
    workspace: "Workspace", collection: "Collection", question: str, *, top_k: int, generator: str | None
) -> "Iterator[SearchResult | Piece | Answer]":
    """What was found, the pieces of the answer as they come, and last the Answer.

    The store is let go before a generator writes, which may take minutes. A question about the whole
    collection ("How many receipts in 2018?") opens no generator.
    """
    workspace.recent(collection).add(question)
    kept = workspace.folder(collection) / "known.json"
    with workspace.open_store(collection) as store:
        told = answer_archive(
            question,
            understand=lambda text: understand(text, store=store, kept=kept),
            store=store,
            embedder=workspace.embedder(collection.embedder),
            lines_of=workspace.lines_of(collection),
        )
    if told is not None:
        yield from told
        return
    writer, why = workspace.choose_generator(generator)

    def retrieve(text: str, k: int) -> "SearchResult":
        with workspace.open_retriever(collection) as retriever:
            query = understand(text, store=retriever.store, kept=kept)
            return searcher(workspace, retriever, None)(query, top_k=k)

    yield from stream_answer(
        question,
        retrieve=retrieve,
        lines_of=workspace.lines_of(collection),
        generator=writer,
        top_k=top_k,
        why=why,
    )
