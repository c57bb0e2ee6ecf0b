"""Tokens and phrases of text as OCR brings it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.retrieval.text.tokenize import content_words, has_phrase, normalise, squeeze, tokens


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("GRAND TOTAL 67.85", "grand total"),
        ("GRANDTOTAL 67.85", "grand total"),
        ("GRANDTOTAL67.85", "grand total"),
        ("Grand-\nTotal: RM67.85", "grand total"),
        ("grand\n  total", '"GRAND" ... TOTAL!'),
        ("RM67.85", "67.85"),
        ("TOTAL RM 67. 85", "67.85"),
        ("date:12/05/2018 14:22", "12/05/2018"),
        ("ＴＯＴＡＬ　６７", "total 67"),
        ("STRASSE 5", "Straße"),
        ("Café Müller", "CAFÉ MÜLLER"),
        ("Cafe\u0301 zu", "café"),
        ("本日は東京タワーへ", "東京タワー"),
        ("東京\nタワー", "東京タワー"),
        ("ราคาทั้งหมด", "ทั้งหมด"),
        ("東京tokyo駅", "tokyo"),
        ("a.b.c", "b"),
        ("snake_case_name", "case"),
        ("anything", "!?"),
        ("", "--"),
    ],
)
def test_phrases_that_are_there(text: str, phrase: str) -> None:
    assert has_phrase(text, phrase)
    assert squeeze(phrase) in squeeze(text), "the store narrows down by this"


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("party", "art"),
        ("the cartel", "art"),
        ("art nouveau", "nouveau art"),
        ("grand subtotal", "grand total"),
        ("grandtotal", "grand"),
        ("167.85", "67.85"),
        ("67.851", "67.85"),
        ("Übung", "bung"),
        ("東京", "京都"),
        ("", "word"),
        ("to tal", "total x"),
    ],
)
def test_phrases_that_are_not(text: str, phrase: str) -> None:
    assert not has_phrase(text, phrase)


def test_numbers_keep_their_whole_and_their_parts() -> None:
    assert tokens("RM67.85 on 12/05/2018") == "rm 67.85 67 85 on 12/05/2018 12 05 2018".split()
    assert tokens("mp3 A4 COVID-19") == ["mp3", "a4", "covid", "19"]


def test_words_of_other_scripts_stay_whole_and_spaceless_ones_become_pairs() -> None:
    assert tokens("हिन्दी में") == ["हिन्दी", "में"]
    assert tokens("東京タワー") == ["東京", "京タ", "タワ", "ワー"]
    assert tokens("駅") == ["駅"]


def test_plurals_meet_and_question_words_go() -> None:
    assert tokens("receipts") == tokens("Receipt") == ["receipt"]
    assert tokens("bus glass gas") == ["bus", "glass", "gas"]
    assert content_words("Show me the receipts with the receipt of 67.85") == ["receipt", "67.85", "67", "85"]


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=60))
def test_a_phrase_between_blanks_is_found_whatever_it_is(before: str, phrase: str, after: str) -> None:
    text = f"{before} {phrase} {after}"
    assert has_phrase(text, phrase)
    assert squeeze(phrase) in squeeze(text)


@given(st.text(max_size=80))
def test_what_normalises_is_stable(text: str) -> None:
    assert squeeze(text) == squeeze(text.upper().lower()) or not text.isascii()
    assert all(re.search(r"\w", token) or not token.isascii() for token in tokens(text))
    assert normalise(normalise(text)) == normalise(text)


def test_long_text_and_long_phrases_take_no_time() -> None:
    text = "la " * 50_000
    assert has_phrase(text, "la la la")
    assert not has_phrase(text, "la " * 500 + "x")
    assert not has_phrase("_ " * 50_000, "a b")
