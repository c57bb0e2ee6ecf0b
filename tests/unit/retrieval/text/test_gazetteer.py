"""Where points lie and what names mean: borders, the sea, regions, scripts."""

import pytest

from askpix.retrieval.text.gazetteer import gazetteer


@pytest.mark.parametrize(
    ("lat", "lon", "country", "region"),
    [
        (48.858, 2.294, "FR", "FR-IDF"),
        (43.0790, -79.0785, "CA", "CA-ON"),  # Table Rock, across the river from Niagara Falls, New York
        (42.3170, -83.0400, "CA", "CA-ON"),  # Windsor
        (42.3310, -83.0460, "US", "US-MI"),  # Detroit
        (55.9533, -3.1883, "GB", "GB-SCT"),
        (-16.5, 179.99, "FJ", "FJ-N"),
        (5.0, -150.0, None, None),
        (90.0, 0.0, None, None),
        (-90.0, 0.0, "AQ", None),
    ],
)
def test_a_point_lies_in_its_country_and_region(
    lat: float, lon: float, country: str | None, region: str | None
) -> None:
    city, found = gazetteer().locate(lat, lon)
    assert (found, city.region if city else None) == (country, region)
    assert city is None or city.country == country


@pytest.mark.parametrize("name", ["Germany", "Deutschland", "Allemagne", "ドイツ", "Германия", "德国"])
def test_countries_are_known_in_many_languages(name: str) -> None:
    assert gazetteer().country(name) == "DE"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("Tuscany", "Toscana", "Toskana", "toscana"), "IT-52"),
        (("Bavaria", "Bayern"), "DE-BY"),
        (("England",), "GB-ENG"),
        (("Ontario",), "CA-ON"),
        (("California", "Kalifornien", "State of California"), "US-CA"),
    ],
)
def test_regions_are_known_by_their_names(names: tuple[str, ...], code: str) -> None:
    assert {gazetteer().regions(name)[0] for name in names} == {code}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("東京", "Tokyo, JP"),
        ("Москва", "Moscow, RU"),
        ("Zürich", "Zürich, CH"),
        ("Zu\u0308rich", "Zürich, CH"),
        ("zurich", "Zürich, CH"),
        ("Rom", "Rome, IT"),
    ],
)
def test_cities_are_found_as_they_are_written(name: str, label: str) -> None:
    city = gazetteer().city(name)
    assert city is not None
    assert city.label == label


@pytest.mark.parametrize("within", ["Ontario", "ON", "Canada", "CA"])
def test_a_city_is_told_by_what_it_lies_in(within: str) -> None:
    city = gazetteer().city("London", within)
    assert city is not None
    assert city.region == "CA-ON"
