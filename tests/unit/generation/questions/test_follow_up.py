"""Questions that lean on what was said before, made to stand alone by rules and by a model."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest

from askpix.core.types import Message, Usage
from askpix.generation.generators.base import Generator, Piece
from askpix.generation.prompting.prompt import build_messages, told
from askpix.generation.questions.follow_up import SHOW, Standing, follow, not_understood, stand_alone
from askpix.generation.questions.rewrite import rewrite_with
from askpix.retrieval.query.parser import parse

HOTEL = ("What is the total on the hotel receipt?", "67.85 [2]")
DOGS = ("How many photos of dogs in 2018?", "About 12 photos (dogs in 2018). For example: [1] [2] [3]")


def stand(*turns: str) -> Standing:
    roles = ("user", "assistant")
    messages = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(turns)]
    assert messages[-1].role == roles[0]
    found = stand_alone(messages, clauses_of=lambda text: parse(text, now=datetime(2020, 6, 1)).clauses)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "asks", "pick"),
    [
        ("and who issued it?", "Who issued it?", 2),
        ("the address?", "What is the address?", 2),
        ("what about the date?", "What is the date?", 2),
        ("when?", "when?", 2),
        ("how much was that?", "how much was that?", 2),
        ("show me the second one", SHOW, 2),
        ("number 3", SHOW, 3),
        ("the last one", SHOW, -1),
        ("when was the third one taken?", "when was the picture taken?", 3),
    ],
)
def test_about_one_picture_of_the_last_answer(said: str, asks: str, pick: int) -> None:
    assert stand(*HOTEL, said) == Standing(asks, HOTEL[0], pick)


@pytest.mark.parametrize(
    ("before", "said", "alone"),
    [
        (HOTEL, "and the taxi receipt?", "What is the total on the taxi receipt?"),
        (HOTEL, "what about the receipt of Starbucks", "What is the total on the receipt of Starbucks?"),
        (HOTEL, "Which picture shows a dog?", "Which picture shows a dog?"),
        (DOGS, "and in 2019?", "How many photos of dogs in 2019?"),
        (DOGS, "what about cats?", "How many photos of cats in 2018?"),
        (DOGS, "how about last year", "How many photos of dogs last year?"),
        (DOGS, "and near Berlin?", "How many photos of dogs in 2018 near Berlin?"),
        (DOGS, "per month?", "How many photos of dogs in 2018 per month?"),
        (DOGS, "thanks", "thanks"),
    ],
)
def test_the_last_question_with_one_thing_changed(before: tuple[str, str], said: str, alone: str) -> None:
    assert stand(*before, said) == Standing(alone, alone)


def test_a_chain_is_folded_from_its_beginning() -> None:
    assert stand(*DOGS, "and in 2019?", "3 [1]", "and cats?").question == "How many photos of cats in 2019?"
    chosen = stand(*HOTEL, "show me the second one", "It is this [1]", "who issued it?")
    assert (chosen.about, chosen.pick) == (HOTEL[0], 2)
    assert stand(*HOTEL, "any more?").pages == 1
    assert stand(*HOTEL, "more", "x [1]", "more").pages == 2


def test_after_an_answer_without_pictures_it_is_still_the_last_one() -> None:
    found = stand(*HOTEL, "What is the meaning of life?", "Nothing fits.", "who issued it?")
    assert (found.about, found.pick) == (HOTEL[0], 2)
    found = stand(*HOTEL, "What is the fax number of Sakura?", "Nothing fits.", "and of Fernhill?")
    assert found.question == "What is the fax number of Fernhill?"


def test_without_a_conversation_nothing_is_changed() -> None:
    assert stand("and in 2019?") == Standing("and in 2019?", "and in 2019?")
    assert stand_alone([Message("assistant", "Hello")], clauses_of=lambda text: ()) is None


def test_what_was_said_is_told_short_and_without_old_citations() -> None:
    history = [
        Message("assistant", "Hello"),
        Message("user", "What is the total?"),
        Message("assistant", '67.85 [2: "TOTAL 67.85"] x [3]\n\n[2] hotel.jpg: "TOTAL 67.85"'),
    ]
    assert told(history) == [Message("user", "What is the total?"), Message("assistant", "67.85 x")]
    assert [each.role for each in build_messages("And now?", [], history)] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert all(
        len(each.text) <= 600 for each in told([Message("user", "y" * 9000), Message("assistant", "z")])
    )


class Says(Generator):
    """A generator that says one thing."""

    model_id = "says"

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, ""

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        self.asked = messages[-1].text
        yield Piece(self.text, Usage(input_tokens=9))


HISTORY = [Message("user", "Who issued the hotel receipt?"), Message("assistant", "Fernhill [1]")]


def test_a_model_makes_it_stand_alone() -> None:
    model = Says('"What is the total of the Fernhill hotel receipt?"')
    question, usage = rewrite_with(model, HISTORY, "What did they charge, in total?")
    assert question == "What is the total of the Fernhill hotel receipt?"
    assert usage.input_tokens == 9
    assert "Person: What did they charge, in total?" in model.asked


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "67.85\nThat is the total.",
        "The total is 67.85 according to page 3 of it",
        "See http://evil.example",
        "x" * 999,
    ],
)
def test_a_model_that_answers_instead_is_not_believed(reply: str) -> None:
    assert rewrite_with(Says(reply), HISTORY, "And the sum?")[0] == "And the sum?"


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("and the purple one over there?", True),
        ("what about it?", True),
        ("what is the total of invoice BL-77?", False),
        ("dogs on the beach", False),
    ],
)
def test_a_follow_up_that_is_left_as_it_is_was_not_understood(question: str, leans: bool) -> None:
    assert not_understood(Standing(question, question), question) is leans
    assert not not_understood(Standing("What is the date of AP-101?", "x"), question)


@pytest.mark.parametrize(
    "question", ["any more?", "And any more?", "anything else?", "what else?", "more", "is that all?"]
)
def test_more_of_the_same_is_asked_in_many_ways(question: str) -> None:
    first = Standing("dogs", "dogs")
    assert follow(first, "Two [1].", question, clauses_of=lambda _: ()).pages == 1
