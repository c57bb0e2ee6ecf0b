"""A question asked of a collection, for every door: of all of it by plan, else of what is found.

With what was said before (``history``) a question may lean on it: rules make it stand alone, a model where
there is one and the rules have nothing to say, and the images are searched anew for each question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from askpix.api.services.search import open_searcher
from askpix.core.errors import BadQueryError
from askpix.core.types import Answer, Message, Query, SearchResult, Usage
from askpix.generation.answering.aggregate import answer_archive
from askpix.generation.answering.answer import Retrieve, stream_answer
from askpix.generation.grounding.second_look import added
from askpix.generation.questions.follow_up import Standing, not_understood, stand_alone
from askpix.generation.questions.rewrite import rewrite_with
from askpix.generation.questions.understand import search_text
from askpix.retrieval.query.parser import MAX_LENGTH

if TYPE_CHECKING:
    from PIL import Image

    from askpix.api.workspace.workspace import Workspace
    from askpix.generation.generators.base import Generator, Piece
    from askpix.ingest.catalog.models import Collection


def ask_collection(
    workspace: "Workspace",
    collection: "Collection",
    question: str,
    *,
    top_k: int,
    generator: str | None,
    history: Sequence[Message] = (),
    image: "Image.Image | None" = None,
    image_id: str | None = None,
    second_look: bool | None = None,
) -> "Iterator[SearchResult | Piece | Answer]":
    """Yield the search result, the pieces of the answer as they come, and last the Answer.

    ``image`` or ``image_id`` is searched by beside the words; ``second_look`` None: as the settings say. The
    store is let go before a generator writes, which may take minutes. A question about the whole collection
    ("How many receipts in 2018?") opens no generator. What is wrong with question, collection or
    generator is raised before anything is yielded.
    """
    if not question.strip():
        raise BadQueryError("the question is empty; ask something about your images")
    if len(question) > MAX_LENGTH:
        raise BadQueryError(
            f"a question of {len(question)} characters is over the limit of {MAX_LENGTH}; shorten it"
        )
    workspace.recent(collection).add(question)
    asking = _Asking(workspace, collection, top_k)
    by_picture = image is not None or image_id is not None
    standing = Standing(question, question)
    turns = [*history, Message("user", question)]
    if history and not by_picture:
        standing = stand_alone(turns, clauses_of=lambda text: asking.understand(text).clauses) or standing
    whole = None if by_picture or standing.leans else asking.whole(standing.question)
    writer: Generator | None = None
    spent = Usage()
    if whole is None:
        writer, why = workspace.choose_generator(generator)
        if history and not by_picture and standing.question == question and writer.follows_instructions:
            rewritten, spent = rewrite_with(writer, history, question)
            standing = Standing(rewritten, rewritten)
            whole = asking.whole(rewritten)
    if whole is None and history and not by_picture and not_understood(standing, question):
        assert writer is not None
        return iter(_asked_back(question, writer.model_id, spent))
    said = None if standing.question == question and not standing.leans else _understood(standing)
    if whole is not None:
        result, answer = whole
        return iter((result, replace(answer, question=question, understood=said, usage=spent)))
    assert writer is not None
    retrieve: Retrieve = asking.found
    if by_picture:
        retrieve = partial(asking.by_picture, image=image, image_id=image_id)
    elif standing.leans:
        retrieve = partial(asking.leaning, standing=standing)
    events = stream_answer(
        standing.question,
        retrieve=retrieve,
        lines_of=workspace.lines_of(collection),
        generator=writer,
        top_k=top_k,
        why=why,
        history=history,
        second_look=workspace.settings.second_look if second_look is None else second_look,
    )
    return (_finished(each, question, said, spent) for each in events)


def _asked_back(question: str, generator: str, spent: Usage) -> tuple[SearchResult, Answer]:
    """Say that a follow-up was not understood, rather than answer another question."""
    text = "This leans on what was said before in a way that was not understood; ask it as a whole question."
    result = SearchResult(
        Query(raw=question, text=question), False, "the follow-up was not understood", (), 0.0
    )
    return result, Answer(question, text, False, (), (), generator, spent, 0.0)


def _finished(
    event: "SearchResult | Piece | Answer", question: str, understood: str | None, spent: Usage
) -> "SearchResult | Piece | Answer":
    if not isinstance(event, Answer) or (understood is None and spent == Usage()):
        return event
    usage = added(event.usage, spent)
    return replace(event, question=" ".join(question.split()), understood=understood, usage=usage)


def _understood(standing: Standing) -> str:
    if standing.pick is not None:
        which = "the last image" if standing.pick < 0 else f"image {standing.pick}"
        return f"{standing.question} ({which} of: {standing.about})"
    return standing.question + (f" (page {standing.pages + 1})" if standing.pages else "")


class _Asking:
    """Searches of one question."""

    def __init__(self, workspace: "Workspace", collection: "Collection", top_k: int) -> None:
        self._workspace = workspace
        self._collection = collection
        self._top_k = top_k

    def understand(self, text: str) -> "Query":
        """The words as a search."""
        with open_searcher(self._workspace, self._collection) as searcher:
            return searcher.read(text)

    def whole(self, question: str) -> tuple[SearchResult, Answer] | None:
        """The answer to a question about the whole collection; None for another."""
        with open_searcher(self._workspace, self._collection) as searcher:
            return answer_archive(
                question,
                understand=searcher.read,
                store=searcher.store,
                embedder=self._workspace.embedder(self._collection.embedder),
                lines_of=self._workspace.lines_of(self._collection),
            )

    def found(self, text: str, k: int, *, offset: int = 0) -> SearchResult:
        """Return the result of ``askpix search``."""
        with open_searcher(self._workspace, self._collection) as searcher:
            return searcher.find(text, k, offset=offset, partial=True)

    def by_picture(
        self, text: str, k: int, *, image: "Image.Image | None", image_id: str | None
    ) -> SearchResult:
        """Return what is like an image, and fits the words."""
        with open_searcher(self._workspace, self._collection) as searcher:
            query = searcher.read(text, beside_image=True)
            return searcher.run(query, image=image, image_id=image_id, top_k=k, partial=True)

    def leaning(self, text: str, k: int, *, standing: Standing) -> SearchResult:
        """Return the one image, or the further ones, of an earlier question."""
        del text
        whole = self.whole(standing.about)
        if whole is not None and standing.pages:
            reason = "a count shows a few examples only; search for the rest"
            return replace(whole[0], matched=False, reason=reason, hits=())
        if whole is not None:
            result = whole[0]
        else:
            result = self.found(search_text(standing.about), k, offset=standing.pages * k)
        if standing.pick is None:
            return result
        at = standing.pick - 1 if standing.pick > 0 else len(result.hits) + standing.pick
        if not 0 <= at < len(result.hits):
            reason = f"that question found {len(result.hits)} images"
            return replace(result, matched=False, reason=reason, hits=())
        return replace(result, hits=(replace(result.hits[at], rank=1),), matched=True, reason=None)
