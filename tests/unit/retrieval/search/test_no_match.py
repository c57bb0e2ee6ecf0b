"""What is asked for in which way, and what is needed for it to be there."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.retrieval.search.no_match import (
    ASKED,
    NUMBERED,
    WORDED,
    decide,
    named,
    text_confidence,
    text_enough,
)


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("What is the value of India Bar?", ASKED),
        ("in which year did it rain most", ASKED),
        ("is the shop open", ASKED),
        ("fire extinguisher report", WORDED),
        ("two dogs 2018", WORDED),
        ("boeing 747", WORDED),
        ("KEDAI MAJU 12/05/2018", NUMBERED),
        ("total 67.85", NUMBERED),
        ("order 0030041455", NUMBERED),
        ("what was the total on 12/05/2018?", ASKED),
        ("", WORDED),
        ("?", ASKED),
    ],
)
def test_how_a_query_is_put(text: str, enough: float) -> None:
    assert text_enough(text) == enough


@given(st.text(max_size=60), st.floats(0, 3), st.one_of(st.none(), st.floats(0, 1)))
def test_confidence_and_verdict_agree(text: str, fit: float, image: float | None) -> None:
    shown = None if image is None else 1.0
    found = decide(text, shown=shown, needed=1.0, text_fit=fit, image_confidence=image or 0.0)
    assert found.matched == (found.confidence > 0.5) and 0 <= found.confidence <= 1
    assert found.matched or found.reason


@given(st.floats(0, 2), st.floats(0, 2))
def test_a_better_fit_is_surer(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert text_confidence("a dog", low) <= text_confidence("a dog", high)
    assert math.isclose(text_confidence("a dog", WORDED), 0.5)


def test_a_code_is_not_seen_but_read() -> None:
    shown = {"shown": 9.0, "needed": 1.0, "image_confidence": 0.99}
    assert decide("a dog", text_fit=0.0, **shown).matched  # type: ignore[arg-type]
    refused = decide("KEDAI MAJU 12/05/2018", text_fit=0.4, **shown)  # type: ignore[arg-type]
    assert not refused.matched and refused.reason and "text" in refused.reason
    assert "no picture shows" not in refused.reason
    # Where texts are not asked, what is shown is all there is.
    assert decide("KEDAI MAJU 12/05/2018", text_fit=None, **shown).matched  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uri", "terms", "there"),
    [
        ("/photos/astronaut.jpg", ("astronaut",), True),
        ("/photos/astronaut/IMG_2041.jpg", ("astronaut",), False),
        ("C:\\Photos\\CatOnSofa.JPG", ("cat", "sofa"), True),
        ("/photos/cat-on_sofa (2).jpg", ("sofa", "cat"), True),
        ("/photos/cat.jpg", ("cat", "sofa"), False),
        ("/photos/catalogue.jpg", ("cat",), False),
        ("/photos/a.jpg", ("a",), False),
        ("/photos/x.jpg", (), False),
    ],
)
def test_names_of_files(uri: str, terms: tuple[str, ...], there: bool) -> None:
    assert named([uri], terms) is there


def test_a_name_is_enough_and_a_reason_says_what_is_missing() -> None:
    poor = {"shown": 0.2, "needed": 0.7, "image_confidence": 0.38, "text_fit": 0.1}
    assert decide("an astronaut", uris=["/p/astronaut.jpg"], **poor).matched  # type: ignore[arg-type]
    reason = decide("a zebra", uris=["/p/astronaut.jpg"], **poor).reason  # type: ignore[arg-type]
    assert reason == "no image shows it, and no text in an image mentions it"
