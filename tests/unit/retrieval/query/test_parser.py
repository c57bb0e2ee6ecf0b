import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.core.errors import BadQueryError
from askpix.core.types import Clause, Where
from askpix.retrieval.query.parser import MAX_LENGTH, parse


@pytest.mark.parametrize(
    ("raw", "text", "phrases", "without"),
    [
        ("dogs on the beach", "dogs on the beach", (), ()),
        ('receipts "GRAND TOTAL"', "receipts", ("GRAND TOTAL",), ()),
        ("“grand  total” lunch", "lunch", ("grand total",), ()),
        ("„Summe“ Quittung", "Quittung", ("Summe",), ()),
        ('"TOTAL 67.85" -sushi', "", ("TOTAL 67.85",), ("sushi",)),
        ('lunch -"fast food" -sushi', "lunch", (), ("fast food", "sushi")),
        ("x-ray of a hand", "x-ray of a hand", (), ()),
        ("-5 degrees", "-5 degrees", (), ()),
        ("a - b", "a - b", (), ()),
        ('12" record', '12" record', (), ()),
        ('19" monitor and 24" screen', '19" monitor and 24" screen', (), ()),
        ('an "open quote', 'an "open quote', (), ()),
        ("«prix total» -«bon marché»", "", ("prix total",), ("bon marché",)),
        ("-sushi, -(foo) (-bar)", "-(foo) (-bar)", (), ("sushi",)),
        ("--flag -", "--flag -", (), ()),
        ('"a b" x "a b"', "x", ("a b",), ()),
        ("nul\0 and \ud800", "nul and", (), ()),
        ('"" nothing', "nothing", (), ()),
        ("  spaces \t and\nlines ", "spaces and lines", (), ()),
        ("", "", (), ()),
    ],
)
def test_phrasings(raw: str, text: str, phrases: tuple[str, ...], without: tuple[str, ...]) -> None:
    query = parse(raw)
    assert (query.text, query.where.phrases, query.where.without) == (text, phrases, without)
    assert query.raw == raw


def test_clauses_say_which_words_became_what() -> None:
    assert parse('lunch "GRAND TOTAL" -sushi').clauses == (
        Clause('"GRAND TOTAL"', "phrase", "GRAND TOTAL"),
        Clause("-sushi", "without", "sushi", negative=True),
    )


def test_the_callers_filter_is_kept() -> None:
    query = parse('"b" -d', Where(kind="page", phrases=("a",), without=("c",)))
    assert query.where == Where(kind="page", phrases=("a", "b"), without=("c", "d"))


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(BadQueryError, match="'total' is both demanded and excluded"):
        parse('"total" -TOTAL')
    with pytest.raises(BadQueryError, match="both"):
        parse('"grand total"', Where(without=("Grand-Total",)))


def test_a_query_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadQueryError, match=str(MAX_LENGTH)):
        parse("x" * (MAX_LENGTH + 1))


@given(st.text(max_size=200))
def test_any_text_parses(raw: str) -> None:
    query = parse(raw)
    assert "\n" not in query.text and "\0" not in query.text
    assert all(query.where.phrases) and all(query.where.without)
