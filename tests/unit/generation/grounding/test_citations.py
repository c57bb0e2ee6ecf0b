"""Quotes against the lines they claim to come from: found exactly there, or not shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.core.types import Box, Evidence, Hit, TextLine
from askpix.generation.grounding.citations import locate, verify
from askpix.generation.prompting.prompt import Cited, ParsedAnswer
from tests.support.fakes import record

LINES = (
    TextLine("SAKURA SUSHI SDN. BHD.", Box(40, 10, 300, 30)),
    TextLine("12, Jalan Lama", Box(40, 40, 200, 60)),
    TextLine("43000 Kajang", Box(40, 70, 190, 90)),
    TextLine("GRANDTOTAL", Box(40, 100, 150, 120)),
    TextLine("RM67.85", Box(220, 101, 300, 121)),
    TextLine("Date", Box(40, 130, 90, 150)),
    TextLine("Table", Box(220, 130, 280, 150)),
    TextLine("12/05/2018", Box(40, 160, 140, 180)),
    TextLine("7", Box(220, 160, 230, 180)),
    TextLine("数量 合計 三千円", Box(40, 190, 200, 210)),
    TextLine("Straße Ünïcode", Box(40, 220, 200, 240)),
)


@pytest.mark.parametrize(
    ("quote", "box"),
    [
        ("SAKURA SUSHI SDN. BHD.", Box(40, 10, 300, 30)),
        ("sakura sushi", Box(40, 10, 300, 30)),
        ("Grand Total", Box(40, 100, 150, 120)),
        ("GRAND TOTAL RM 67.85", Box(40, 100, 300, 121)),
        ("67.85", Box(220, 101, 300, 121)),
        ("12, Jalan Lama 43000 Kajang", Box(40, 40, 200, 90)),
        ("Jalan Lama, 43000", Box(40, 40, 200, 90)),
        ("Date 12/05/2018", Box(40, 130, 140, 180)),
        ("Table 7", Box(220, 130, 280, 180)),
        ("12/05/2018", Box(40, 160, 140, 180)),
        ("合計", Box(40, 190, 200, 210)),
        ("STRASSE ünïcode", Box(40, 220, 200, 240)),
        ('"sushi"', Box(40, 10, 300, 30)),
    ],
)
def test_found_exactly_there(quote: str, box: Box) -> None:
    assert locate(quote, LINES) == box


@pytest.mark.parametrize(
    "quote",
    ["7.85", "67.8", "6785", "67,85", "67", "85", "RM 68.85", "12-05-2018", "2018 7 1", "", "...", "§",
     "TOTAL 7", "SUSHI 67.85", "table date", "or", "amount due"],
)  # fmt: skip
def test_not_found(quote: str) -> None:
    assert locate(quote, LINES) is None


def test_reading_order_does_not_need_to_be_given() -> None:
    shuffled = (*LINES[4:8], *LINES[:4], *LINES[8:])
    assert locate("GRAND TOTAL RM67.85", shuffled) == Box(40, 100, 300, 121)


def test_the_first_place_counts() -> None:
    twice = (TextLine("67.85", Box(0, 0, 9, 9)), TextLine("67.85", Box(0, 50, 9, 59)))
    assert locate("67.85", twice) == Box(0, 0, 9, 9)


def test_no_lines() -> None:
    assert locate("anything", ()) is None


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=20), max_size=5))
def test_never_raises_and_boxes_lie_on_lines(quote: str, texts: list[str]) -> None:
    lines = tuple(TextLine(text, Box(0, 20 * i, 50, 20 * i + 12)) for i, text in enumerate(texts))
    box = locate(quote, lines)
    if box is not None:
        assert box.x0 == 0
        assert box.x1 == 50
        assert box.y0 in {line.box.y0 for line in lines}
        assert box.y1 in {line.box.y1 for line in lines}


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9), min_size=1)
)
def test_a_whole_line_is_always_found(texts: list[str]) -> None:
    lines = tuple(TextLine(text, Box(0, 20 * i, 50, 20 * i + 12)) for i, text in enumerate(texts))
    assert all(locate(text, lines) is not None for text in texts)


def shown(number: int = 1, lines: tuple[TextLine, ...] = LINES) -> Evidence:
    return Evidence(number, Hit(number, record(number, uri=f"/p/{number}.jpg", page=number), 0.4), lines)


def test_citation_carries_image_quote_and_box() -> None:
    stands, citations = verify(ParsedAnswer("67.85 [1]", True, (Cited(1, "grand total"),)), [shown()])
    assert stands
    (citation,) = citations
    assert (citation.marker, citation.uri, citation.page) == (1, "/p/1.jpg", 1)
    assert (citation.quote, citation.box) == ("grand total", Box(40, 100, 150, 120))
    assert citation.image_id == record(1).id


def test_made_up_quote_is_never_shown() -> None:
    parsed = ParsedAnswer("a [1] b [2]", True, (Cited(1, "TIP 5.00"), Cited(2, "Kajang")))
    stands, citations = verify(parsed, [shown(1), shown(2)])
    assert stands
    assert [(each.marker, each.quote, each.box is None) for each in citations] == [
        (1, None, True),
        (2, "Kajang", False),
    ]


def test_an_answer_without_one_good_citation_does_not_stand() -> None:
    assert verify(ParsedAnswer("x [1]", True, (Cited(1, "TIP 5.00"),)), [shown()]) == (False, ())
    assert verify(ParsedAnswer("x", True, ()), [shown()]) == (False, ())
    assert verify(ParsedAnswer("x [4]", True, (Cited(4),)), [shown()]) == (False, ())
    assert verify(ParsedAnswer("x [1]", False, (Cited(1, "Kajang"),)), [shown()]) == (False, ())


def test_a_bare_number_stands_for_the_image() -> None:
    stands, (citation,) = verify(ParsedAnswer("A boat [1]", True, (Cited(1),)), [shown()])
    assert stands
    assert citation.quote is None
    assert citation.box is None


def test_unread_images_cannot_contradict_a_quote() -> None:
    stands, (citation,) = verify(ParsedAnswer("x [1]", True, (Cited(1, "STOP"),)), [shown(lines=())])
    assert stands
    assert citation.quote is None


def test_one_citation_for_each_place() -> None:
    parsed = ParsedAnswer("x [1]", True, (Cited(1, "nonsense"), Cited(1, "Kajang"), Cited(1)))
    _, citations = verify(parsed, [shown()])
    assert [each.quote for each in citations] == ["Kajang"]
