"""Denials: what is denied is left out, whatever the field, the phrasing, the order and the language."""

from dataclasses import replace
from datetime import datetime
from itertools import product

import pytest

from askpix.core.types import Clause, Query
from askpix.retrieval.query.base import Known
from askpix.retrieval.query.parser import parse

NOW = datetime(2026, 11, 23, 3, 0)
KNOWN = Known(
    kinds=frozenset({"photo", "page"}),
    years=frozenset({2018, 2019}),
    countries=frozenset({"FR", "DE", "US"}),
    cities=frozenset({"Paris, FR", "Berlin, DE", "Toulouse, FR"}),
    cameras=("canon eos 5d", "nikon d90"),
    tags={"holiday": "Holiday", "work": "Work"},
)
ENGLISH = {
    "country": (
        "not {in} {x}",
        "not from {x}",
        "not taken in {x}",
        "never in {x}",
        "outside {x}",
        "but not in {x}",
        "outside of {x}",
        "except {x}",
        "except in {x}",
        "excluding {x}",
        "other than {x}",
        "without {x}",
        "that are not from {x}",
        "which were not taken in {x}",
        "apart from {x}",
        "{x} excluded",
    ),
    "date": (
        "not from {x}",
        "not in {x}",
        "not taken in {x}",
        "never in {x}",
        "except {x}",
        "except from {x}",
        "excluding {x}",
        "other than {x}",
        "without {x}",
        "that were not taken in {x}",
        "apart from {x}",
        "but not {x}",
        "not dated {x}",
    ),
    "tag": (
        "not tagged {x}",
        "without the tag {x}",
        "without {x}",
        "except {x}",
        "-tag:{x}",
        "-#{x}",
        "not #{x}",
        "not tag:{x}",
        "excluding tag:{x}",
        "that are not tagged {x}",
        "other than {x}",
    ),
    "camera": (
        "not taken with my {x}",
        "not with my {x}",
        "-camera:{x}",
        "except {x}",
        "not shot on my {x}",
        "without camera:{x}",
        "that were not taken with a {x}",
    ),
}
GERMAN = {
    "country": (
        "nicht in {x}",
        "nicht aus {x}",
        "außerhalb von {x}",
        "außer {x}",
        "außer in {x}",
        "nie in {x}",
        "ohne {x}",
        "die nicht in {x} aufgenommen wurden",
        "aber nicht in {x}",
        "ausgenommen {x}",
        "außerhalb {x}",
        "nicht in {x} aufgenommen",
        "niemals in {x}",
        "bis auf {x}",
    ),
    "date": (
        "nicht aus {x}",
        "nicht von {x}",
        "außer {x}",
        "ohne {x}",
        "nicht im Jahr {x}",
        "ausgenommen {x}",
        "die nicht aus {x} sind",
        "aber nicht aus {x}",
        "bis auf {x}",
        "nicht aus dem Jahr {x}",
        "nie aus {x}",
        "nicht {x}",
    ),
    "tag": (
        "ohne das Schlagwort {x}",
        "nicht getaggt mit {x}",
        "ohne {x}",
        "außer {x}",
        "-tag:{x}",
        "-#{x}",
        "ohne #{x}",
        "ausgenommen {x}",
        "nicht #{x}",
        "nicht mit dem Schlagwort {x}",
        "bis auf {x}",
    ),
    "camera": (
        "nicht mit der {x}",
        "nicht mit meiner {x} aufgenommen",
        "-camera:{x}",
        "ohne camera:{x}",
        "außer {x}",
    ),
}
EXPECTED = {
    "France": ("country", "France"),
    "Germany": ("country", "Germany"),
    "Frankreich": ("country", "France"),
    "Deutschland": ("country", "Germany"),
    "USA": ("country", "United States"),
    "2018": ("date", "2018"),
    "2019": ("date", "2019"),
    "May 2018": ("date", "2018-05"),
    "Mai 2018": ("date", "2018-05"),
    "Holiday": ("tag", "Holiday"),
    "Work": ("tag", "Work"),
    "Canon": ("camera", "canon"),
    "Nikon": ("camera", "nikon"),
}
VALUES = {
    "en": {"country": ("France", "Germany", "USA"), "date": ("2018", "2019", "May 2018")},
    "de": {"country": ("Frankreich", "Deutschland", "USA"), "date": ("2018", "2019", "Mai 2018")},
}
SHARED = {"tag": ("Holiday", "Work"), "camera": ("Canon", "Nikon")}


def read(text: str) -> Query:
    return parse(text, now=NOW, known=lambda: KNOWN)


def signs(query: Query) -> list[tuple[str, str, bool]]:
    return [(c.field, c.value, c.negative) for c in query.clauses if c.field not in ("filler", "kind")]


def phrasings(language: str) -> list[tuple[str, str]]:
    forms, photos = (ENGLISH, ("photos", "pictures")) if language == "en" else (GERMAN, ("Fotos", "Bilder"))
    found = []
    for field, phrases in forms.items():
        values = {**VALUES[language], **SHARED}[field]
        for (number, phrase), value in product(enumerate(phrases), values):
            words = phrase.replace("{in}", "in").format(x=value)
            lead = "" if "excluded" in phrase else photos[number % 2]
            found.append((f"{lead} {words}".strip(), value))
    return found


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_denied_field_is_a_negative_clause_by_any_phrasing(language: str) -> None:
    wrong = []
    every = phrasings(language)
    for text, value in every:
        query = read(text)
        found = [
            (field, each.lower() if field == "camera" else each, sign) for field, each, sign in signs(query)
        ]
        if found != [(*EXPECTED[value], True)] or len(query.where.must_not) != 1:
            wrong.append((text, signs(query)))
    assert not wrong
    assert len(every) >= 80


def test_there_are_enough_phrasings() -> None:
    assert len(phrasings("en")) + len(phrasings("de")) >= 220
    assert len(phrasings("de")) >= 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos not in France or Germany", [("country", "France", True), ("country", "Germany", True)]),
        (
            "photos neither in France nor in Germany",
            [("country", "France", True), ("country", "Germany", True)],
        ),
        ("not in France and not from 2018", [("country", "France", True), ("date", "2018", True)]),
        ("photos in France not from 2018", [("country", "France", False), ("date", "2018", True)]),
        ("photos from 2019 not in France", [("date", "2019", False), ("country", "France", True)]),
        ("photos not in France from 2019", [("country", "France", True), ("date", "2019", False)]),
        ("photos tagged Work but not tagged Holiday", [("tag", "Work", False), ("tag", "Holiday", True)]),
        (
            "tag:Work -tag:Holiday -in:France",
            [("tag", "Work", False), ("tag", "Holiday", True), ("country", "France", True)],
        ),
        ("not between 2018 and 2019", [("date", "2018-01-01..2019-12-31", True)]),
        ("not in 2018 or 2019", [("date", "2018", True), ("date", "2019", True)]),
        ("photos not in May", [("month", "05", True)]),
        ("photos not in summer", [("month", "06-08", True)]),
        ("photos not taken at night", [("hour", "21-04", True)]),
        ("not on Sundays", [("weekday", "sunday", True)]),
        ("except weekends", [("weekday", "weekend", True)]),
        ("-path:holiday/*", [("path", "holiday/*", True)]),
        ('-"grand total"', [("without", "grand total", True)]),
        ('not "grand total"', [("without", "grand total", True)]),
        (
            "weder in Frankreich noch in Deutschland",
            [("country", "France", True), ("country", "Germany", True)],
        ),
        ("Fotos aus Frankreich, aber nicht aus 2018", [("country", "France", False), ("date", "2018", True)]),
        ("Fotos von 2019 nicht in Frankreich", [("date", "2019", False), ("country", "France", True)]),
        ("not before 2018", [("date", "2018-01-01..", False)]),
    ],
)
def test_denied_and_wanted_stand_together(text: str, expected: list[tuple[str, str, bool]]) -> None:
    assert signs(read(text)) == expected


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("not near Berlin", "near", "Berlin, DE (52.5244,13.4105 within 60 km)"),
        ("everything but Paris", "near", "Paris, FR (48.8534,2.3488 within 26.3 km)"),
        ("alles außer Paris", "near", "Paris, FR (48.8534,2.3488 within 26.3 km)"),
        ("nicht in der Nähe von Berlin", "near", "Berlin, DE (52.5244,13.4105 within 60 km)"),
        ("far from Berlin", "near", "Berlin, DE (52.5244,13.4105 within 60 km)"),
    ],
)
def test_denied_cities_are_circles_that_are_left_out(text: str, field: str, value: str) -> None:
    assert read(text).clauses == (Clause(text, field, value, negative=True),)


@pytest.mark.parametrize(
    "text",
    [
        "people sitting outside in the sun",
        "a dog without a leash",
        "not only Paris",
        "not just 2018",
        "a bus that says not in service",
        "people sitting outside Paris cafes",
        "everything is nothing but trouble",
    ],
)
def test_what_denies_no_field_denies_none(text: str) -> None:
    assert not read(text).where.must_not


ONTARIO = replace(KNOWN, countries=frozenset({"CA"}), cities=frozenset({"London, CA", "Toronto, CA"}))


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("photos in London", "near", "London, CA"),
        ("in:London", "near", "London, CA"),
        ("photos in London, Ontario", "near", "London, CA"),
        ("London, England", "near", "London, GB"),
        ("photos in Ontario", "country", "Ontario"),
        ("not in Ontario", "country", "Ontario"),
        ("photos in Toscana", "country", "Tuscany"),
        ("photos in Bayern", "country", "Bavaria"),
        ("photos in 東京", "near", "Tokyo, JP"),
        ("photos in Tokyo, Japan", "near", "Tokyo, JP"),
    ],
)
def test_a_name_means_what_the_collection_holds_first(text: str, field: str, value: str) -> None:
    clause = next(
        each for each in parse(text, now=NOW, known=lambda: ONTARIO).clauses if each.field != "kind"
    )
    assert (clause.field, clause.value.split(" (")[0]) == (field, value)


@pytest.mark.parametrize(
    "text", ["ducks in lakes", "a house in the north", "DATE: March 27, 1984", "Date March 18, 1968"]
)
def test_what_a_picture_shows_or_a_page_says_is_no_filter(text: str) -> None:
    assert parse(text, now=NOW).clauses == ()


def test_a_file_name_in_quotes_is_literal() -> None:
    assert parse('file:"[2019] trip.jpg"').where.path == "[[]2019] trip.jpg"


@pytest.mark.parametrize(
    ("text", "field", "value", "negative"),
    [
        ("Fotos mit dem Schlagwort Holiday", "tag", "Holiday", False),
        ("Fotos getaggt mit Work", "tag", "Work", False),
        ("ohne das Schlagwort Bilder", "tag", "Bilder", True),
        ("Strand ohne Bilder", "not", "Bilder", True),
        ("Fotos im Ordner Rechnungen", "path", "Rechnungen/*", False),
        ("nicht im Ordner Rechnungen", "path", "Rechnungen/*", True),
        ("Fotos vor drei Jahren", "date", "2023", False),
        ("Fotos vom 3. Mai 2018", "date", "2018-05-03", False),
        ("Fotos zwischen 2015 und 2018", "date", "2015-01-01..2018-12-31", False),
        ("Rechnungen über 1.234,50 Euro", "amount", ">1234.5", False),
        ("Fotos in den Niederlanden", "country", "The Netherlands", False),
        ("Fotos außerhalb Deutschlands", "country", "Germany", True),
    ],
)
def test_german_names_stay_as_they_are_typed(text: str, field: str, value: str, negative: bool) -> None:
    assert (field, value, negative) in [(c.field, c.value, c.negative) for c in read(text).clauses]
