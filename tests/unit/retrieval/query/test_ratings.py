"""Stars in a query: what is a rating, and what is a flag, a hotel or a machine."""

import pytest

from askpix.core.types import Where
from askpix.retrieval.query.parser import parse


@pytest.mark.parametrize(
    ("query", "least", "limit"),
    [
        ("rating:5", 5, 5),
        ("rating:>=4 dogs", 4, 5),
        ("rating:>3", 4, 5),
        ("stars:4+", 4, 5),
        ("rating:2-3", 2, 3),
        ("rating:<3", 1, 2),
        ("rating:0", 0, 0),
        ("rating:-1", -1, -1),
        ("photos rated 5 stars", 5, 5),
        ("photos I rated 5", 5, 5),
        ("dogs rated at least 4 stars", 4, 5),
        ("5-star photos of dogs", 5, 5),
        ("3+ star images", 3, 5),
        ("pictures with at least three stars in Paris", 3, 5),
        ("photos with 4 or more stars", 4, 5),
        ("photos rated 4 or 5 stars", 4, 5),
        ("rated 3 to 4 stars", 3, 4),
        ("unrated photos", 0, 0),
        ("Fotos mit 5 Sternen", 5, 5),
        ("mit mindestens 4 Sternen bewertet", 4, 5),
        ("Bilder mit 4 oder mehr Sternen", 4, 5),
    ],
)
def test_stars_are_a_filter(query: str, least: int, limit: int) -> None:
    found = parse(query)
    assert (found.where.rating_min, found.where.rating_max) == (least, limit)
    assert "star" not in found.text.lower() and "rat" not in found.text.lower().replace("berat", "")


@pytest.mark.parametrize(
    "query",
    [
        "five star hotel",
        "a flag with five stars",
        "night sky with stars",
        "a fuse rated 5 amps",
        "rating: 5",
        "rating:6",
        "rating:>5",
        "rating:5-3",
        "movies rated R",
        "photos rated 1 or 5 stars",
    ],
)
def test_other_stars_and_ratings_stay_words(query: str) -> None:
    found = parse(query)
    assert (found.where.rating_min, found.where.rating_max) == (None, None)
    assert found.text


def test_a_rating_may_be_denied_and_contradictions_stay_words() -> None:
    assert parse("-rating:1 dogs").where.must_not == (Where(rating_min=1, rating_max=1),)
    assert parse("photos not rated 1 star").where.must_not == (Where(rating_min=1, rating_max=1),)
    found = parse("rating:5", Where(rating_max=3))
    assert found.where == Where(rating_max=3) and found.text == "rating:5"
