"""A question from search to a checked answer: hits, then pieces as they are written, then the Answer."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from askpix.core.errors import BadQueryError, GenerationError
from askpix.core.types import Answer, Box, Evidence, Hit, Message, SearchResult, TextLine, Usage
from askpix.generation.generators.base import Generator, Piece
from askpix.generation.grounding.citations import verify
from askpix.generation.grounding.claims import judge
from askpix.generation.grounding.second_look import SecondLook, added
from askpix.generation.prompting.budget import Plan
from askpix.generation.prompting.prompt import build_messages
from askpix.generation.questions.understand import search_text

Retrieve: TypeAlias = Callable[[str, int], SearchResult]
LinesOf: TypeAlias = Callable[[Sequence[str]], Mapping[str, tuple[TextLine, ...]]]

UNCITED = "The answer that was written cites none of the images, so it is left out."
CUT = "The answer ends at the limit of its length: its end is missing."
UNCHECKED = "The answer that was written says what is not in the images that it cites, so it is left out."


def answer_question(
    question: str,
    *,
    retrieve: Retrieve,
    lines_of: LinesOf,
    generator: Generator,
    top_k: int = 5,
    why: str | None = None,
    second_look: bool = False,
) -> Answer:
    """``stream_answer`` to its end."""
    answer: Answer | None = None
    for event in stream_answer(
        question,
        retrieve=retrieve,
        lines_of=lines_of,
        generator=generator,
        top_k=top_k,
        why=why,
        second_look=second_look,
    ):
        if isinstance(event, Answer):
            answer = event
    assert answer is not None  # the stream ends with it
    return answer


def stream_answer(
    question: str,
    *,
    retrieve: Retrieve,
    lines_of: LinesOf,
    generator: Generator,
    top_k: int = 5,
    why: str | None = None,
    history: Sequence[Message] = (),
    second_look: bool = False,
) -> Iterator[SearchResult | Piece | Answer]:
    """Yield the search result, the pieces of the answer as they come, and last the Answer with checked
    citations.

    ``retrieve(text, top_k)`` searches; ``lines_of(ids)`` gives the words read in images. Pieces are raw:
    they hold citations as the generator writes them. When nothing matched, the generator is not asked.
    ``why`` this generator was taken goes into the answer. ``history`` is what was said before; the question
    must stand alone all the same (``generation.questions.follow_up``). With ``second_look`` the generator
    looks again, closely, at what a claim cites that the words of its images do not bear.

    Raises ``BadQueryError`` for an empty question, and what the callables raise.
    """
    started = time.perf_counter()
    question, result = _search(question, retrieve, top_k)
    yield result
    if not result.matched or not result.hits:
        yield _unanswered(question, result, generator, started, why)
        return
    evidence = _evidence(result, lines_of, top_k)
    written: list[str] = []
    usage = Usage()
    cut = False
    for piece in generator.generate(build_messages(question, evidence, history)):
        written.append(piece.text)
        usage = piece.usage or usage
        cut = piece.cut
        yield piece
    text = "".join(written)
    if not text.strip():
        raise GenerationError(
            f"{generator.model_id!r} wrote nothing; ask again or choose another --generator"
        )
    seen = frozenset(sent.number for sent in usage.sent if sent.how != "text")
    look = SecondLook(generator) if second_look else None
    judged = judge(text, question, evidence, seen=seen, look=look)
    if look is not None:
        usage = added(usage, look.usage)
    parsed = judged.parsed
    answered, citations = verify(parsed, evidence)
    shown = parsed.text
    if parsed.answered and not answered:
        shown = UNCHECKED if parsed.cited or judged.doubts else UNCITED
    yield Answer(
        question=question,
        text=shown,
        answered=answered,
        citations=citations,
        hits=result.hits,
        generator=generator.model_id,
        usage=usage,
        took_ms=_since(started),
        generator_why=why,
        doubts=judged.doubts,
        notes=(*result.notes, CUT) if cut else result.notes,
    )


def plan_question(
    question: str, *, retrieve: Retrieve, lines_of: LinesOf, generator: Generator, top_k: int = 5
) -> tuple[SearchResult, Plan | None]:
    """Return what ``stream_answer`` would find and send, without asking the generator; None when nothing
    matched.
    """
    question, result = _search(question, retrieve, top_k)
    if not result.matched or not result.hits:
        return result, None
    return result, generator.plan(build_messages(question, _evidence(result, lines_of, top_k)))


def _search(question: str, retrieve: Retrieve, top_k: int) -> tuple[str, SearchResult]:
    question = " ".join(question.split())
    if not question:
        raise BadQueryError("the question is empty; ask something about your images")
    return question, retrieve(search_text(question), top_k)


def _evidence(result: SearchResult, lines_of: LinesOf, top_k: int) -> list[Evidence]:
    hits = result.hits[:top_k]
    lines = lines_of([hit.record.id for hit in hits])
    return [
        Evidence(number, hit, tuple(lines.get(hit.record.id, ())), region=_shown(hit))
        for number, hit in enumerate(hits, start=1)
    ]


def _shown(hit: Hit) -> Box | None:
    """Return the box of the image found on a sheet; None, all of it, where text on it was found too."""
    return hit.region if hit.why.text is None and hit.why.words is None else None


def _unanswered(
    question: str, result: SearchResult, generator: Generator, started: float, why: str | None
) -> Answer:
    reason = f": {result.reason.rstrip('.')}" if result.reason else ""
    return Answer(
        question=question,
        text=f"Nothing in this collection fits the question{reason}.",
        answered=False,
        citations=(),
        hits=result.hits,
        generator=generator.model_id,
        usage=Usage(),
        took_ms=_since(started),
        generator_why=why,
        notes=result.notes,
    )


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
