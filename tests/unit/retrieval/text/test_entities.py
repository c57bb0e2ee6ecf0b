from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.retrieval.text.entities import amounts, dates, years
from askpix.retrieval.text.money import read_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.05.2018 20:10", [(2018, 5, 12)]),
        ("05/04/2018", [(2018, 4, 5), (2018, 5, 4)]),
        ("05/04/2018 and 13/05/2018", [(2018, 4, 5), (2018, 5, 13)]),
        ("05/04/2018 and 05/13/2018", [(2018, 5, 4), (2018, 5, 13)]),
        ("11/02/1819:21", [(2018, 2, 11), (2018, 11, 2)]),
        ("11/02/201819:21", [(2018, 2, 11), (2018, 11, 2)]),
        ("25-12-17", [(2017, 12, 25)]),
        ("2018-05-12T10:00", [(2018, 5, 12)]),
        ("2018/5/3", [(2018, 5, 3)]),
        ("12MAY18", [(2018, 5, 12)]),
        ("12th of May, 2018", [(2018, 5, 12)]),
        ("May 12, 2018", [(2018, 5, 12)]),
        ("3. März 2020", [(2020, 3, 3)]),
        ("le 14 août 2021", [(2021, 8, 14)]),
        ("Statement May 2018", [(2018, 5, 1)]),
        ("Date: 9/ 3/ 92", [(1992, 3, 9), (1992, 9, 3)]),
        ("31/02/2018", []),
        ("version 1.2.2018.3", []),
        ("192.168.12.20", []),
        ("order 2018-05-12345", []),
        ("12/05", []),
        ("page 1/2/3", []),
        ("", []),
    ],
)
def test_dates(text: str, expected: list[tuple[int, int, int]]) -> None:
    assert dates(text) == tuple(date(*each) for each in expected)


def test_years_stand_alone_and_only_where_no_date_does() -> None:
    assert years("2015\n2016\n2017 in %") == (2015, 2016, 2017)
    assert years("Tax year 2018, paid 12.05.2019") == ()
    assert years("$2018 2018.50 12018 2018% 3018 1812 no. 2018/77") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Beer 10.00\nGRAND TOTAL: RM67.85\nCASH 100.00", [67.85]),
        ("Total\n45.00\nCash\n50.00", [45.0]),
        ("SUBTOTAL 40.00\nTax 5.00\nTotal 45.00", [45.0]),
        ("Total Qty: 3.00\nTotal 9.90", [9.9]),
        ("Summe 1.234,50 €", [1234.5]),
        ("from $20 to 20 €, 1 234,50 b", [20.0, 1234.5]),
        ("RM 50", [50.0]),
        ("5 % 6.00% 12:30 12.05.2018 1.2.3", []),
        ("0.00", []),
        ("3 apples", []),
    ],
)
def test_amounts(text: str, expected: list[float]) -> None:
    assert list(amounts(text)) == expected


def test_numbers_of_many_countries() -> None:
    numbers = ["1,234.50", "1.234,50", "1'234.50", "1 234,5", "67,85", "1,234", "12"]
    assert [read_number(each) for each in numbers] == [1234.5, 1234.5, 1234.5, 1234.5, 67.85, 1234.0, 12.0]


@given(st.text(max_size=300) | st.text("0123456789/.-,: \nMayT$€RM", max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert list(dates(text)) == sorted(set(dates(text)))
    assert all(amount > 0 for amount in amounts(text))
    assert len(amounts(text)) <= 32 and len(years(text)) <= 100


def test_a_book_of_numbers_is_read_fast_and_kept_short() -> None:
    assert len(dates("12.05.2018 13.05.2018 " * 50_000)) == 2
    assert len(amounts("\n".join(f"{n}.50" for n in range(9_000)))) == 32
