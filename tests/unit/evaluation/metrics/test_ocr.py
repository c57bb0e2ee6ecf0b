from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.evaluation.metrics.edit_distance import edit_distance
from askpix.evaluation.metrics.ocr import (
    ErrorRate,
    WordScores,
    cer,
    field_found,
    field_similarity,
    normalise,
    wer,
    word_scores,
    words,
)


def textbook_distance(a: str, b: str) -> int:
    """Wagner and Fischer's table, the definition itself."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (left != right))
    return row[-1]


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("ab", "ba", 2),
        ("flaw", "lawn", 2),
    ],
)
def test_edit_distance_of_known_pairs(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == distance


@given(st.text("abc", max_size=90), st.text("abcd", max_size=90))
def test_edit_distance_is_the_textbooks(a: str, b: str) -> None:
    assert edit_distance(a, b) == textbook_distance(a, b) == edit_distance(b, a)


@given(st.text("ab", min_size=1, max_size=8), st.text("abc", max_size=20))
def test_field_similarity_is_the_best_of_all_stretches(value: str, read: str) -> None:
    stretches = {read[i:j] for i in range(len(read) + 1) for j in range(i, len(read) + 1)}
    best = min(textbook_distance(value, stretch) for stretch in stretches)
    assert field_similarity(value, read) == pytest.approx(1 - best / len(value))


def test_words_are_items_too() -> None:
    assert edit_distance(["grand", "total"], ["grand", "tutal", "5"]) == 2


def test_a_page_against_a_page_is_quick() -> None:
    page = "The quick brown fox jumps over the lazy dog. " * 200
    assert edit_distance(page, page.replace("fox", "cat")) == 200 * 3


def test_error_rates() -> None:
    assert cer("GRAND TOTAL", "Grand  Total") == ErrorRate(0, 11)
    assert cer("TOTAL", "T0TAL").rate == pytest.approx(0.2)
    assert wer("Grand total: 67.85", "grand total 67.35") == ErrorRate(1, 3)
    assert cer("a", "a b c").rate == 4.0
    assert (ErrorRate(1, 10) + ErrorRate(0, 90)).rate == 0.01


@pytest.mark.parametrize("measure", [cer, wer])
def test_nothing_to_read(measure: Callable[[str, str], ErrorRate]) -> None:
    assert measure("", "").rate == 0.0
    assert measure("", "junk").rate == 1.0
    assert measure("word", "").rate == 1.0


def test_bags_of_words_count_repeats_and_forget_order() -> None:
    assert word_scores(["the total", "the end"], "end the total") == WordScores(3, 4, 3)
    scores = word_scores("a a b", "a b b c")
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.precision == 0.5
    assert scores.f1 == pytest.approx(4 / 7)
    total = scores + WordScores(0, 1, 0)
    assert (total.expected, total.recall) == (4, 0.5)


def test_empty_bags() -> None:
    nothing = word_scores("", [])
    assert (nothing.recall, nothing.precision, nothing.f1) == (1.0, 1.0, 1.0)
    assert (word_scores("a", "").recall, word_scores("", "a").precision) == (0.0, 0.0)
    assert (word_scores("a", "").f1, word_scores("", "a").f1) == (0.0, 0.0)


def test_words_lose_punctuation_at_their_ends_only() -> None:
    assert words("(Total:) 67.85, - R&D ** e-mail_") == ["total", "67.85", "r&d", "e-mail"]
    assert normalise("ＧＲＡＮＤ\u00a0 Straße\n") == "grand strasse"


@pytest.mark.parametrize(
    ("value", "read", "found"),
    [
        ("67.85", "GRAND TOTAL 67.85", True),
        ("7.85", "GRAND TOTAL 67.85", False),
        ("67", "GRAND TOTAL 67.85", False),
        ("67.8", "GRAND TOTAL 67.85", False),
        ("67", "67. The end", True),
        ("12 MAY 2018", "12MAY2018", True),
        ("2018", "12 2018", True),
        ("Sushi House Ltd", "SUSHI HOUSE\nLTD.", True),
        ("SushiHouse", "Sushi Huose", False),
        ("R&D (x)", "r&d (x)", True),
        ("", "", True),
        ("a", "", False),
    ],
)
def test_fields_stand_whole(value: str, read: str, found: bool) -> None:
    assert field_found(value, read) is found


def test_fields_may_be_nearly_right() -> None:
    assert field_similarity("Sushi House", "at the SUSH1 HOUSE today") == pytest.approx(0.9)
    assert field_found("Sushi House", "SUSH1 HOUSE", similarity=0.9)
    assert not field_found("Sushi House", "SUSH1 H0USE", similarity=0.9)
    assert field_similarity("", "x") == 1.0
    assert field_similarity("x", "") == 0.0
