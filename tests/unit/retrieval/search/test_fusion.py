"""Legs made by hand: what each of them says of a few pictures, and which one must come first."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.retrieval.search.fusion import SHARP, TEXT_NOISE, evidence_of_text, fuse, rare_share, rarity
from askpix.retrieval.text.snippet import MAX_LENGTH, holds, snippet

FINITE = st.floats(-8, 8)


def test_the_formula() -> None:
    assert fuse(None, 3.0) == 3.0
    assert fuse(2.0, 2.0) == pytest.approx(2.0 + math.log(2) / SHARP)
    assert fuse(9.0, -9.0) == pytest.approx(9.0)
    # 1000 pictures: w = 3 * 10 / sqrt(ln 1002) * 0.5 = 5.706, m = (0.36 - 0.1) / 0.13 = 2
    both = (5.706**1.5 + 2**1.5) ** (2 / 3)
    assert evidence_of_text(0.36, 10.0, 0.5, pictures=1000) == pytest.approx(both, abs=1e-3)
    assert evidence_of_text(0.36, 0.0, 0.0, pictures=1000) == pytest.approx(2.0)
    assert evidence_of_text(None, 0.0, 0.0, pictures=0) == 0.0


def test_a_receipt_with_all_words_beats_a_image_that_looks_a_little_like_it() -> None:
    receipt = fuse(-0.5, evidence_of_text(0.5, 14.0, 1.0, pictures=1000))
    assert receipt > fuse(3.0, 0.0)


def test_a_photo_that_stands_out_beats_a_page_with_a_common_word() -> None:
    page = fuse(-1.0, evidence_of_text(0.25, 2.0, 0.3, pictures=1000))
    assert fuse(4.5, 0.0) > page


def test_noise_of_one_leg_does_not_reorder_another() -> None:
    # The better text looks less like the query than the other, by as much as chance makes it.
    best = fuse(-1.5, evidence_of_text(0.5, 12.0, 0.9, pictures=1000))
    next_best = fuse(1.5, evidence_of_text(0.5, 11.0, 0.9, pictures=1000))
    assert best > next_best
    # The same the other way round: a word found by chance on the less fitting photo.
    assert fuse(4.0, 0.0) > fuse(3.8, evidence_of_text(0.2, 1.5, 0.2, pictures=1000))


@given(FINITE, FINITE)
def test_it_is_near_the_stronger_side_and_never_below(shows: float, says: float) -> None:
    score = fuse(shows, says)
    assert max(shows, says) <= score <= max(shows, says) + math.log(2) / SHARP + 1e-9


@given(FINITE, st.floats(0, 1), st.floats(0, 30), st.floats(0, 0.9))
def test_more_evidence_never_lowers_the_score(shows: float, cosine: float, bm25: float, share: float) -> None:
    def score(z: float, c: float | None, b: float, s: float) -> float:
        return fuse(z, evidence_of_text(c, b, s, pictures=100))

    base = score(shows, cosine, bm25, share)
    assert score(shows + 1, cosine, bm25, share) >= base
    assert score(shows, cosine + 0.1, bm25, share) >= base
    assert score(shows, cosine, bm25 + 1, share) >= base
    assert score(shows, cosine, bm25, share + 0.1) >= base
    # What pages rely on: a text that was not found is the least a text can be.
    assert fuse(shows, 0.0) <= base
    assert score(shows, TEXT_NOISE, 0.0, 0.0) == fuse(shows, 0.0)


def test_shares() -> None:
    documents = [frozenset({"total", "receipt"})] * 9 + [frozenset({"woon"})]
    weights = rarity(("total", "woon"), documents)
    assert rare_share({"woon"}, weights) > 0.6 > rare_share({"total"}, weights) > 0
    assert rare_share({"total", "woon"}, weights) == pytest.approx(1.0)
    assert rare_share(set(), {}) == 0.0


def test_words_nobody_holds_weigh_most() -> None:
    weights = rarity(("total", "zebra"), [frozenset({"sushi", "total"}), frozenset({"total"})])
    assert weights["zebra"] > weights["total"]
    assert rare_share({"sushi", "total"}, weights) < 0.5


@pytest.mark.parametrize(
    ("text", "term", "there"),
    [
        ("GRAND TOTAL 67.85", "total", True),
        ("two charts", "chart", True),
        ("a party", "art", False),
        ("subtotals of", "total", False),
        ("RM67.85", "67.85", True),
        ("167.85", "67.85", False),
        ("on 12/05/2018", "12/05/2018", True),
        ("A4 page", "4", True),
        ("合計金額", "金額", True),
        ("Straße", "strasse", True),
        ("art and party", "art", True),
        ("", "art", False),
    ],
)
def test_words_that_stand_in_a_text(text: str, term: str, there: bool) -> None:
    assert (term in holds(text, (term,))) is there


def test_snippets() -> None:
    text = "SUSHI HOUSE\nSalmon roll 12.50\nGRAND TOTAL 67.85\nthank you"
    assert snippet(text, {"salmon": 1.0}) == "Salmon roll 12.50 · GRAND TOTAL 67.85"
    assert snippet(text, {}, ("grand total",)) == "GRAND TOTAL 67.85 · thank you"
    assert snippet(text, {"sushi": 1.0, "salmon": 3.0}) == "SUSHI HOUSE · Salmon roll 12.50"
    assert snippet(text, {"zebra": 1.0}) == "SUSHI HOUSE · Salmon roll 12.50", "none holds it: the beginning"
    assert snippet(" \n", {"a": 1.0}) is None


def test_a_long_row_is_cut_around_its_word() -> None:
    row = "left " * 100 + "needle " + "right " * 100
    found = snippet(row, {"needle": 1.0})
    assert found is not None and len(found) <= MAX_LENGTH and "needle" in found
    assert found.startswith("…") and found.endswith("…")
    for phrase in ("left left", "right right"):
        piece = snippet(row, {}, (phrase,))
        assert piece is not None and len(piece) <= MAX_LENGTH and phrase in piece


@given(st.text(max_size=600), st.lists(st.text(min_size=1, max_size=5), max_size=3))
def test_any_text_has_a_short_snippet(text: str, terms: list[str]) -> None:
    found = snippet(text, dict.fromkeys(terms, 1.0), tuple(terms))
    assert (found is None) == (not text.split())
    assert found is None or 0 < len(found) <= MAX_LENGTH
