"""From question to checked answer: the order of events, honest silence, citations that hold."""

from collections.abc import Iterator, Mapping, Sequence

import pytest

from askpix.core.errors import BadQueryError, GenerationError
from askpix.core.types import Answer, Box, Hit, Message, Query, SearchResult, TextLine, Usage, Why
from askpix.generation.answering.answer import answer_question, stream_answer
from askpix.generation.extractive.generator import ExtractiveGenerator
from askpix.generation.generators.base import Generator, Piece
from tests.support.fakes import WordEmbedder, record

TOTAL = TextLine("GRAND TOTAL 67.85", Box(40, 100, 300, 120))
DATE = TextLine("Date: 12/05/2018", Box(40, 20, 300, 40))
RECEIPT, PHOTO = record("receipt", uri="/scans/sushi.jpg"), record("boat", uri="/photos/boat.jpg")


class Search:
    """A collection of two pictures that remembers what it was asked."""

    def __init__(self, *, matched: bool = True, reason: str | None = None) -> None:
        self.matched, self.reason = matched, reason
        self.asked: list[tuple[str, int]] = []

    def __call__(self, text: str, top_k: int) -> SearchResult:
        self.asked.append((text, top_k))
        hits = (Hit(1, RECEIPT, 0.9), Hit(2, PHOTO, 0.3)) if self.matched else ()
        return SearchResult(Query(raw=text, text=text), self.matched, self.reason, hits, 1.0)


class Writer(Generator):
    """Writes what it is told to, word by word, and remembers what it was shown."""

    model_id = "writer"

    def __init__(self, text: str) -> None:
        self.text = text
        self.shown: list[Sequence[Message]] = []

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        self.shown.append(messages)
        for word in self.text.split(" "):
            yield Piece(word + " ")
        yield Piece("", Usage(input_tokens=10, output_tokens=5, cost_usd=0.01))


def lines_of(ids: Sequence[str]) -> Mapping[str, tuple[TextLine, ...]]:
    return {RECEIPT.id: (DATE, TOTAL)} if RECEIPT.id in ids else {}


def test_hits_then_pieces_then_answer() -> None:
    search, writer = Search(), Writer('67.85 [1: "grand total 67.85"] [7]')
    events = list(
        stream_answer("  What is\nthe total? ", retrieve=search, lines_of=lines_of, generator=writer)
    )
    assert isinstance(events[0], SearchResult)
    assert all(isinstance(event, Piece) for event in events[1:-1])
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert (answer.question, answer.text, answer.answered) == ("What is the total?", "67.85 [1]", True)
    (citation,) = answer.citations
    assert (citation.image_id, citation.uri) == (RECEIPT.id, RECEIPT.uri)
    assert citation.box == TOTAL.box
    assert answer.usage == Usage(input_tokens=10, output_tokens=5, cost_usd=0.01)
    assert answer.generator == "writer"
    assert [hit.record.id for hit in answer.hits] == [RECEIPT.id, PHOTO.id]
    assert answer.took_ms >= 0
    assert search.asked == [("What is the total?", 5)]
    (messages,) = writer.shown
    assert [each.number for each in messages[-1].evidence] == [1, 2]
    assert messages[-1].evidence[0].lines == (DATE, TOTAL)
    assert messages[-1].evidence[1].lines == ()


def test_nothing_matched_nothing_generated() -> None:
    writer = Writer("never")
    search = Search(matched=False, reason="no picture has these words.")
    answer = answer_question("Who is the president?", retrieve=search, lines_of=lines_of, generator=writer)
    assert not answer.answered
    assert answer.citations == ()
    assert "no picture has these words" in answer.text
    assert writer.shown == []
    assert answer.usage == Usage()


@pytest.mark.parametrize(
    "written", ['99.00 [1: "TOTAL 99.00"]', "67.85, trust me", "67.85 [9]", "NO ANSWER: no total here [1]"]
)
def test_unproven_answers_are_not_answered(written: str) -> None:
    answer = answer_question("total?", retrieve=Search(), lines_of=lines_of, generator=Writer(written))
    assert not answer.answered
    assert answer.citations == ()
    assert "99.00" not in answer.text
    assert "67.85" not in answer.text


def test_top_k_is_kept() -> None:
    writer = Writer("x [1]")
    search = Search()
    answer_question("total?", retrieve=search, lines_of=lines_of, generator=writer, top_k=1)
    assert search.asked[0][1] == 1
    assert len(writer.shown[0][-1].evidence) == 1


@pytest.mark.parametrize("question", ["", "  \n"])
def test_empty_question(question: str) -> None:
    with pytest.raises(BadQueryError, match="empty"):
        answer_question(question, retrieve=Search(), lines_of=lines_of, generator=Writer("x"))


def test_a_generator_that_writes_nothing_is_an_error() -> None:
    with pytest.raises(GenerationError, match="'writer' wrote nothing"):
        answer_question("total?", retrieve=Search(), lines_of=lines_of, generator=Writer(""))


def test_with_the_real_generator() -> None:
    generator = ExtractiveGenerator(lambda texts: WordEmbedder().embed_texts(texts))
    answer = answer_question("When was it issued?", retrieve=Search(), lines_of=lines_of, generator=generator)
    assert answer.text == "12/05/2018 [1]"
    assert answer.citations[0].quote == "Date: 12/05/2018"
    assert answer.citations[0].box == DATE.box


def test_wrapping_is_taken_off_the_search_only() -> None:
    search, writer = Search(), Writer("x [1]")
    answer = answer_question(
        "Which picture shows a boat -sail?", retrieve=search, lines_of=lines_of, generator=writer
    )
    assert search.asked[0][0] == "a boat -sail"
    assert answer.question == writer.shown[0][-1].text == "Which picture shows a boat -sail?"


def test_of_a_sheet_the_image_that_was_found_is_shown_and_cited() -> None:
    place = Box(10, 20, 110, 120)
    found = Hit(1, PHOTO, 0.9, Why(image=0.4), region=place)
    both = Hit(1, PHOTO, 0.9, Why(image=0.4, words=3.0), region=place)
    for hit, box in ((found, place), (both, None)):
        writer = Writer("A boat [1].")
        search = SearchResult(Query(raw="boat", text="boat"), True, None, (hit,), 1.0)
        answer = answer_question(
            "boat?", retrieve=lambda text, k, search=search: search, lines_of=lines_of, generator=writer
        )
        assert answer.answered and answer.citations[0].box == box, "words may stand anywhere on it"
        shown = [each.region for message in writer.shown[0] for each in message.evidence]
        assert shown == [box]
