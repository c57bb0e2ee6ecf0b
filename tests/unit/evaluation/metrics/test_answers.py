"""The measures as their papers define them, and the report's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.evaluation.metrics.answers import (
    anls,
    number,
    relaxed_accuracy,
)
from askpix.evaluation.metrics.edit_distance import edit_distance


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_the_edit_distance(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_anls_by_hand() -> None:
    # NL = 1/5 < 0.5: 1 - 0.2; NL = 2/4 is not below the threshold: 0; the best of the golds counts.
    assert anls("hallo", ["hello"]) == pytest.approx(0.8)
    assert anls("abcd", ["abxy"]) == 0.0
    assert anls("abcd", ["abxy", "abce"]) == pytest.approx(0.75)
    assert anls("  HELLO ", ["hello"]) == 1.0
    assert anls("x", []) == 0.0


@given(st.text(max_size=20), st.text(max_size=20))
def test_anls_is_a_similarity(one: str, other: str) -> None:
    score = anls(one, [other])
    assert score == 0.0 or 0.5 < score <= 1.0
    assert score == anls(other, [one])
    assert anls(one, [one]) == 1.0


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("95", "100", 1.0),
        ("105", "100", 1.0),
        ("94.9", "100", 0.0),
        ("105.1", "100", 0.0),
        ("42 %", "42", 1.0),
        ("$1,234", "1234", 1.0),
        ("-1.73", "1.73", 0.0),
        ("0", "0", 1.0),
        ("0.01", "0", 0.0),
        ("Benin", "benin", 1.0),
        ("Benin", "Togo", 0.0),
        ("12", "Benin", 0.0),
        ("", "", 1.0),
    ],
)
def test_relaxed_accuracy(answer: str, gold: str, expected: float) -> None:
    assert relaxed_accuracy(answer, [gold]) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5 %", 1234.5),
        (".5", 0.5),
        ("12 pages", None),
        ("nan", None),
        ("1e5", None),
        ("1,2", None),
        ("٣", None),
    ],
)
def test_number(text: str, value: float | None) -> None:
    assert number(text) == value
