"""Dates, years and amounts of money that are written in an image's text: receipts have no other.

Pure functions of the text. OCR swallows spaces and swaps punctuation, so patterns are loose where that costs
nothing; what cannot be a date or an amount is left out, never an error.
"""

import re
from datetime import date

from askpix.retrieval.text.money import find_money
from askpix.retrieval.text.tokenize import normalise

FIRST_YEAR = 1950
LAST_YEAR = 2049
"""Years of two digits are meant within these; no others are believed."""
_MAX_TEXT = 20_000
"""Characters that are looked at: the dates and totals of a page stand on it, not in a book."""
_MAX_FOUND = 32
"""Dates or amounts of one image: a table of thousands would satisfy any filter."""

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier enero",
            "february feb februar fevrier febrero",
            "march mar marz mars marzo",
            "april apr avril abril",
            "may mai mayo",
            "june jun juni juin junio",
            "july jul juli juillet julio",
            "august aug aout agosto",
            "september sep sept septembre septiembre",
            "october oct oktober okt octobre octubre",
            "november nov novembre noviembre",
            "december dec dezember dez decembre diciembre",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + ")"
_SEP = r"\s?[-/.,]\s?"
_YEAR_FIRST = re.compile(rf"(?<![\d.,/-])(\d{{4}}){_SEP}(\d{{1,2}}){_SEP}(\d{{1,2}})(?=t|[^\w/-]|$)")
_NUMERIC = re.compile(
    r"(?<![\d.,/-])(\d{1,2})(?P<s>\s?[-/.]\s?)(\d{1,2})(?P=s)"
    r"(\d{4}(?!:)|\d{2}(?=\d\d:\d\d)|\d{2}(?!\d))(?![/-]\d|\.\d)"
)
_DAY_NAMED = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?[\s./-]*(?:of\s+)?({_MONTH})(?![a-z])[\s.,/'-]*(\d{{4}}|\d{{2}})(?!\d)"
)
_NAMED_DAY = re.compile(
    rf"(?<![a-z])({_MONTH})(?![a-z])[\s.]*(\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,\s*|\s+)(\d{{4}})(?!\d)"
)
_NAMED_YEAR = re.compile(rf"(?<![a-z\d])({_MONTH})(?![a-z])[\s.,'/-]*((?:19|20)\d\d)(?!\d)")
_YEAR = re.compile(r"(?<![\w.,$€£#/-])((?:19[5-9]|20[0-4])\d)(?![\d$€£%]|[.,/]\d)")

_TOTAL = re.compile(
    r"total|amount\s*due|balance\s*due|amount\s*payable|\bnett?\s*(?:amt|amount)|summe|gesamt|\bsuma\b"
    r"|zu zahlen|rounding rm"
)
_NO_TOTAL = re.compile(
    r"sub\s*-?\s*total|total\s*(?:qty|items?|quantity|saving|discount|gst|tax|vat)|savings"
)


def dates(text: str) -> tuple[date, ...]:
    """The dates written in a text, ascending. A month without a day counts as its first.

    "05/04/2018" is both the fifth of April and the fourth of May, unless another date of the same text
    settles which comes first.
    """
    text = plain(text)
    found: set[date] = set()
    for match in _YEAR_FIRST.finditer(text):
        _add(found, match[1], match[2], match[3])
    numeric = [(match[1], match[3], match[4], match["s"]) for match in _NUMERIC.finditer(text)]
    day_first = any(int(first) > 12 >= int(second) for first, second, _, _ in numeric)
    month_first = any(int(second) > 12 >= int(first) for first, second, _, _ in numeric)
    for first, second, year, separator in numeric:
        dotted = "." in separator  # nobody puts dots behind a month
        if day_first or not month_first or dotted:
            _add(found, year, second, first)
        if not dotted and (month_first or not day_first):
            _add(found, year, first, second)
    for match in _DAY_NAMED.finditer(text):
        _add(found, match[3], str(MONTHS[match[2]]), match[1])
    for match in _NAMED_DAY.finditer(text):
        _add(found, match[3], str(MONTHS[match[1]]), match[2])
    if not found:
        for match in _NAMED_YEAR.finditer(text):
            _add(found, match[2], str(MONTHS[match[1]]), "1")
    return tuple(sorted(found)[:_MAX_FOUND])


def years(text: str) -> tuple[int, ...]:
    """Years that stand alone in a text without dates, ascending: the axis of a chart, a tax form."""
    if dates(text):
        return ()
    return tuple(sorted({int(match[1]) for match in _YEAR.finditer(plain(text))}))[:_MAX_FOUND]


def amounts(text: str) -> tuple[float, ...]:
    """Return the amounts that a text says were to be paid, ascending: its totals, or all its amounts where
    none is named.

    An amount has two decimals ("67.85", "1.234,50") or a currency beside it ("RM 50", "20 €").
    """
    totals: set[float] = set()
    every: set[float] = set()
    awaited = False
    for written in text[:_MAX_TEXT].split("\n"):
        line = plain(written)
        here = {each.amount for each in find_money(written)}
        every.update(here)
        named = bool(_TOTAL.search(line)) and not _NO_TOTAL.search(line)
        if (named or awaited) and here:
            totals.add(max(here))
        # A column of amounts is read as lines of its own: the one after the label is its amount.
        awaited = named and not here
    positive = {amount for amount in totals or every if amount > 0}
    return tuple(sorted(positive, reverse=True)[:_MAX_FOUND][::-1])


def plain(text: str) -> str:
    """The text as dates and totals are looked for in it: normalised, months without accents."""
    text = normalise(text[:_MAX_TEXT])
    return text if text.isascii() else text.translate(_ACCENTS)


_ACCENTS = str.maketrans("äéèêûô", "aeeeuo")


def _add(found: set[date], year: str, month: str, day: str) -> None:
    number = int(year)
    if len(year) == 2:
        number += 2000 if number + 2000 <= LAST_YEAR else 1900
    if FIRST_YEAR <= number <= LAST_YEAR:
        try:
            found.add(date(number, int(month), int(day)))
        except ValueError:
            return
