"""The reader of money: what is written in any usual style is read as that amount, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askpix.retrieval.text.money import find_money, read_number

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
CURRENCIES = {
    "EUR": ("EUR", "€"),
    "GBP": ("GBP", "£"),
    "CHF": ("CHF", "Fr."),
    "USD": ("USD", "US$"),
    "RM": ("RM", "MYR"),
}
SIGNED = ("-{}", "\u2212{}", "- {}", "{}-", "{}\u2212", "({})", "{} CR")


def grouped(whole: int, mark: str) -> str:
    return f"{whole:,}".replace(",", mark)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, float, str]:
    """An amount in some style, its value and its currency."""
    cents = draw(st.integers(1, 999_999_999))
    whole, rest = divmod(cents, 100)
    style = draw(st.sampled_from((",.", ".,", " ,", "\u00a0,", "\u202f,", "'.", "’.", ".", ",", "raised")))
    if style == "raised":
        digits = f"{whole}{f'{rest:02}'.translate(RAISED)}"
    elif len(style) == 1:
        digits = f"{whole}{style}{rest:02}"
    else:
        digits = f"{grouped(whole, style[0])}{style[1]}{rest:02}"
    currency = draw(st.sampled_from(("", *CURRENCIES)))
    if currency:
        sign = draw(st.sampled_from(CURRENCIES[currency]))
        before = f"{sign} {digits}" if draw(st.booleans()) else f"{sign}{digits}"
        digits = before if draw(st.booleans()) or sign in ("US$", "Fr.", "MYR") else f"{digits} {sign}"
    value = cents / 100
    if draw(st.booleans()):
        digits, value = draw(st.sampled_from(SIGNED)).format(digits), -value
    return digits, value, currency


@settings(max_examples=600, deadline=None)
@given(
    written(),
    st.sampled_from(("", "Total ", "Amount due: ", "zu zahlen ")),
    st.sampled_from(("", " VAT incl.")),
)
def test_any_style_is_read_as_its_amount(money: tuple[str, float, str], before: str, after: str) -> None:
    text, value, currency = money
    (found,) = find_money(f"{before}{text}{after}")
    assert (found.amount, found.currency) == (pytest.approx(value), currency)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_and_spans_lie_in_it(text: str) -> None:
    for found in find_money(text):
        assert text[found.start : found.end] == found.text


@pytest.mark.parametrize(
    "text",
    [
        "29/06/2018 16:40",
        "12.05.2018",
        "3 pumps",
        "GS-2025-BR",
        "5 %",
        "12.50%",
        "0.8 mg",
        "10:30",
        "page 3 of 12",
    ],
)
def test_what_is_no_money_is_not_read(text: str) -> None:
    assert find_money(text) == []


@pytest.mark.parametrize(
    ("line", "amounts"),
    [
        ("Total EUR 41,50 GBP 18.20", [(41.5, "EUR"), (18.2, "GBP")]),
        ("10 - 20 EUR", [(20.0, "EUR")]),
        ("1,23,456.00 INR", [(123456.0, "INR")]),
        ("EUR -50,00", [(-50.0, "EUR")]),
        ("12,- €", [(12.0, "EUR")]),
        ("Total 12⁹⁰", [(12.9, "")]),
        ("1.250 €", [(1250.0, "EUR")]),
        ("1,234.56 DR", [(1234.56, "")]),
    ],
)
def test_lines(line: str, amounts: list[tuple[float, str]]) -> None:
    assert [(each.amount, each.currency) for each in find_money(line)] == amounts


def test_a_mark_before_three_digits_parts_thousands() -> None:
    assert [read_number(text) for text in ("1.234", "1,234", "1'234", "1 234", "1.23", "1,2")] == [
        1234
    ] * 4 + [1.23, 1.2]


@pytest.mark.parametrize("piece", ["999 ", "1,234.", "1 234", "(", "-", "EUR ", "1,23,", "12 . "])
def test_a_long_line_is_read_in_linear_time(piece: str) -> None:
    # A pattern that tries every split of it would not end within a test's patience.
    assert len(find_money(piece * (20_000 // len(piece)))) < 20_000
