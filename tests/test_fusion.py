import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import LEAST_TRUST, Evidence, coverage, fuse, trust
from retrieval.snippet import MAX_LENGTH, snippet


def test_a_receipt_with_all_words_beats_a_picture_that_looks_a_little_like_it() -> None:
    receipt = Evidence(image_z=-0.5, text_cosine=0.5, words=1.0)
    look_alike = Evidence(image_z=3.0)
    assert fuse(receipt) > fuse(look_alike)


def test_a_photo_that_stands_out_beats_a_page_with_a_common_word() -> None:
    photo = Evidence(image_z=4.5)
    page = Evidence(image_z=-1.0, text_cosine=0.25, words=0.3)
    assert fuse(photo) > fuse(page)


def test_noise_of_one_leg_does_not_reorder_another() -> None:
    best, next_best = Evidence(image_z=-1.0, words=0.9), Evidence(image_z=1.5, words=0.8)
    assert fuse(best) > fuse(next_best)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-3, 6))
def test_more_evidence_never_lowers_the_score(words: float, cosine: float, z: float) -> None:
    score = fuse(Evidence(z, cosine, words))
    assert fuse(Evidence(z + 1, cosine, words)) >= score
    assert fuse(Evidence(z, cosine, min(1.0, words + 0.1))) >= score
    assert fuse(Evidence(z, min(1.0, cosine + 0.1), words)) >= score


def test_trust_rises_with_what_stands_out() -> None:
    assert LEAST_TRUST <= trust(0.1, 0.25) < 0.3 < trust(0.35, 0.25) < 0.9 < trust(0.6, 0.25) <= 1
    assert trust(0.1, 0.0) == 1.0, "nothing is known of an empty collection"
    assert trust(-1e9, 1e-9) >= LEAST_TRUST and trust(1e9, 1e-9) <= 1


def test_rare_words_count_more() -> None:
    documents = {str(i): frozenset({"total", "receipt"}) for i in range(9)} | {"x": frozenset({"woon"})}
    shares = coverage(["total", "woon"], documents)
    assert shares["x"] > 0.6 > shares["0"] > 0


def test_words_nobody_holds_weigh_most() -> None:
    documents = {"a": frozenset({"sushi", "total"}), "b": frozenset({"total"})}
    assert coverage(["total", "zebra"], documents)["a"] < 0.5
    assert coverage(["sushi", "total"], documents)["a"] == pytest.approx(1.0)
    assert coverage([], documents) == {"a": 0.0, "b": 0.0}


def test_snippets() -> None:
    text = "SUSHI HOUSE\nSalmon roll 12.50\nGRAND TOTAL 67.85\nthank you"
    assert snippet(text, "how much was the salmon") == "Salmon roll 12.50 · GRAND TOTAL 67.85"
    assert snippet(text, "", ("grand total",)) == "GRAND TOTAL 67.85 · thank you"
    assert snippet("", "words") is None
    long = snippet("word " * 500, "word")
    assert long is not None and len(long) <= MAX_LENGTH
