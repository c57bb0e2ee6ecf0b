"""Each claim of an answer against what it cites: kept, mended, doubted or dropped."""

from datetime import datetime

import pytest

from askpix.core.types import Box, Evidence, Hit, TextLine
from askpix.evaluation.suites.adversarial import RIGHT, Checked, plant_all, truth_of
from askpix.generation.grounding.citations import verify
from askpix.generation.grounding.claims import NO_QUOTE, judge
from tests.support.fakes import record

RECEIPT = ("SAKURA SUSHI BAR", "Date: 12 May 2018", "Salmon 12.50", "TOTAL 67.85", "www.sakura.example/menu")
HOTEL = ("HOTEL ALPENBLICK", "03/06/2018 08:15", "Rooms 1,200.00", "TOTAL EUR 429.00", "Invoice 7 of 9")


def evidence(number: int, texts: tuple[str, ...]) -> Evidence:
    lines = tuple(TextLine(text, Box(10, 40 * at, 300, 40 * at + 20)) for at, text in enumerate(texts))
    taken = datetime(2018, 5, 12, 19, 30)
    return Evidence(number, Hit(number, record(number, taken_at=taken), 1.0), lines)


BOTH = (evidence(1, RECEIPT), evidence(2, HOTEL))


def left(
    text: str, *, seen: bool = False, question: str = "What is the total?"
) -> tuple[str, bool, list[int], int]:
    judged = judge(text, question, BOTH, seen=frozenset({1, 2}) if seen else frozenset())
    answered, citations = verify(judged.parsed, BOTH)
    dropped = sum(doubt.dropped for doubt in judged.doubts)
    return judged.parsed.text, answered, [each.marker for each in citations], dropped


@pytest.mark.parametrize(
    "text",
    [
        '67.85 [1: "TOTAL 67.85"]',
        "It was 67.85 on 12/05/2018 [1].",
        "It was 67.85 on 2018-05-12 [1].",
        "They charged 429 euros at 8:15 on 3 June 2018 [2].",
        "1200.00 for the rooms [2], and 12.50 for salmon [1].",
        "Taken at 19:30, 640 x 480 pixels [1].",
        "There are 3 things on it [1].",
        "See www.sakura.example/menu [1].",
        "- 67.85 [1]\n- 429.00 [2]",
    ],
)
def test_what_the_evidence_bears_is_kept(text: str) -> None:
    shown, answered, cited, dropped = left(text)
    assert answered and cited and dropped == 0
    assert judge(text, "What is the total?", BOTH).doubts == () or "3 things" in text
    assert shown.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "It was 67.95 [1].",
        "It was 429.00 [1].",
        "It was 13/05/2018 [1].",
        '67.85 [1: "TOTAL 76.85"]',
        "7.00 [2]",
        "67.95",
    ],
)
def test_what_it_does_not_bear_is_dropped(text: str) -> None:
    _, answered, cited, dropped = left(text)
    assert not answered and not cited and dropped >= 1


def test_what_a_model_saw_is_doubted_and_not_dropped() -> None:
    shown, answered, cited, dropped = left("The sign says 67.95 [1].", seen=True)
    assert answered and cited == [1] and dropped == 0 and "67.95" in shown
    assert len(judge("The sign says 67.95 [1].", "?", BOTH, seen=frozenset({1})).doubts) == 1


def test_one_wrong_sentence_does_not_take_the_right_one_with_it() -> None:
    shown, answered, cited, dropped = left('It is 67.85 [1: "TOTAL 67.85"]. Of that 31.07 was tax [1].')
    assert (shown, answered, cited, dropped) == ("It is 67.85 [1].", True, [1], 1)


def test_a_quote_of_another_image_moves_its_citation() -> None:
    shown, answered, cited, _ = left('429.00 [1: "TOTAL EUR 429.00"]')
    assert (shown, answered, cited) == ("429.00 [2]", True, [2])
    doubts = judge('429.00 [1: "TOTAL EUR 429.00"]', "?", BOTH).doubts
    assert [doubt.dropped for doubt in doubts] == [False] and "image 2" in doubts[0].reason


def test_a_name_that_nobody_wrote_is_doubted() -> None:
    judged = judge("It is from Meridian Holdings [1].", "Who is it from?", BOTH)
    assert [doubt.dropped for doubt in judged.doubts] == [False]
    assert judge("It is from the Sakura Sushi Bar [1].", "Who is it from?", BOTH).doubts == ()


@pytest.mark.parametrize(
    "text",
    [
        "67.85 [1] [more](https://evil.example/?q=67.85)",
        "![a](https://evil.example/a.png) 67.85 [1]",
        "![a][b] 67.85 [1]\n[b]: https://evil.example/a.png",
        "<img src='https://evil.example/a.png'> 67.85 [1]",
        "67.85 [1] https://evil.example/a?b=c",
        '67.85 [1] <a href="javascript:alert(1)">x</a>',
        "NO ANSWER ![a](https://evil.example/a.png)",
    ],
)
def test_nothing_in_an_answer_can_be_fetched(text: str) -> None:
    shown = left(text)[0]
    assert not any(each in shown for each in ("evil", "](", "<", "javascript:", "://")), shown


def test_hostile_lengths_are_read_in_time() -> None:
    for text in ("[" * 20_000, "1." * 15_000, "<a " * 10_000, "![" * 10_000, "A b. " * 4_000, "9" * 90_000):
        judge(text + " [1]", "?", BOTH)


def test_planted_answers_are_counted() -> None:
    truth = truth_of("What is the total?", ["67.85"], BOTH, 1)
    assert truth is not None and truth.line == "TOTAL 67.85"
    assert truth_of("What is the total?", ["99.99"], BOTH, 1) is None

    def check(text: str, question: str, shown: object, seen: bool) -> Checked:
        plain, answered, cited, dropped = left(text, seen=seen)
        return Checked(plain, answered, tuple(cited), dropped > 0)

    def believes(text: str, question: str, shown: object, seen: bool) -> Checked:
        return Checked(text, True, (1, 2), False)

    checked, believed = plant_all([truth], check), plant_all([truth], believes)
    fates = {(row.kind, row.seen): row.fates for row in checked.rows}
    assert fates[RIGHT[0], False] == {"kept": 1} and fates["wrong image, quoted", False] == {"mended": 1}
    assert fates["false number, false quote", True] == {"dropped": 1}
    assert all(set(row.fates) == {"slipped"} for row in believed.rows if row.kind not in RIGHT)
    assert len(checked.cells()[0]) == 9


def test_reasons_are_told() -> None:
    (doubt,) = judge('67.85 [1: "GRAND SUM"]', "?", BOTH).doubts
    assert (doubt.reason, doubt.dropped, doubt.claim) == (NO_QUOTE, True, "67.85")
