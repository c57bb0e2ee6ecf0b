"""Typed values in a line of text: dates, times, amounts, percentages, numbers, contacts, identifiers.

Each finder gives ``Span``s into the line, left to right. They are written for text read by OCR: spaces may
be missing (``29/06/201816:40``) or too many (``67 .85``).
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from askpix.retrieval.text.money import find_money, read_number


@dataclass(frozen=True, slots=True)
class Span:
    """A value and where it stands in its line: ``line[start:end]``."""

    text: str
    start: int
    end: int


_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:(?:19|20)\d\d|['’]?\d\d(?![\d.,]))"
_DATE = re.compile(
    rf"(?<![\d.])(?:"
    rf"(?P<y>(?:19|20)\d\d)\s?[-/.年]\s?(?P<m>\d{{1,2}})\s?[-/.月]\s?(?P<d>\d{{1,2}})日?(?!\d)"
    rf"|(?P<a>\d{{1,2}})\s?(?P<sep>[-/.])[\s\-]{{0,2}}(?P<b>\d{{1,2}})\s?(?P=sep)\s?-?\s?{_YEAR}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s?[-/.,]?\s?(?:of\s)?{_MONTH}(?![a-z]{{2}})\.?,?\s?[-/.,]?\s?{_YEAR}?"
    rf"|(?<![a-z]){_MONTH}\.?\s?-?\s?\d{{1,2}}(?:st|nd|rd|th)?\s?,?\s?-?\s?(?:19|20)\d\d"
    rf"|(?<![a-z]){_MONTH}\.?\s?-?\s?\d{{1,2}}(?:st|nd|rd|th)?(?![\d:])"
    rf"|(?<![a-z]){_MONTH}\.?\s?,?\s?(?:19|20)\d\d"
    rf")",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?<![\d:])(?:[01]?\d|2[0-3])\s?:\s?[0-5]\d(?:\s?:\s?[0-5]\d)?(?:\s?[ap]\.?m\b\.?)?", re.I
)
_HOUR = re.compile(r"(?<![\d:.])(?:1[0-2]|[1-9])\s?[ap]\.?m\b\.?", re.I)
_YEAR_ALONE = re.compile(r"(?<![\d.,/])(?:19|20)\d\d(?![\d/]|[.,]\d)")
_PERCENT = re.compile(r"(?<![\d.,])[-+]?\d+(?:[.,]\d+)?\s?(?:%|percent\b|per cent\b)", re.I)
_NUMBER = re.compile(r"(?<![\d.,:/])[-+]?(?:\d{1,3}(?:[,' ]\d{3})+|\d+)(?:\.\d+)?(?![\d:/]|[.,]\d)\s?%?")
_EMAIL = re.compile(r"[\w.+\-]{1,64}\s?@\s?[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,4}")
_URL = re.compile(
    r"(?:https?://|www\.)[^\s,;]{3,200}|(?<![\w@.])[\w\-]{2,63}\.(?:com|org|net|gov|edu|io|my|ch|de|co\.uk)"
    r"(?:\.\w\w)?(?:/[^\s,;]*)?(?!\w|@)",
    re.I,
)
_PHONE = re.compile(r"(?<![\d.,/])(?:\+\s?)?\(?\d{1,4}\)?(?:[\s\-./]{0,2}\(?\d{2,5}\)?){1,4}(?![\d/]|[.,]\d)")
_IDENT = re.compile(r"#?\b(?=[\w/\-#]*\d)[A-Za-z0-9](?:[\w/\-#]*[A-Za-z0-9])?")


def _spans(pattern: re.Pattern[str], line: str) -> Iterator[Span]:
    for match in pattern.finditer(line):
        text = match[0].strip(" ,;")
        start = match.start() + len(match[0]) - len(match[0].lstrip(" ,;"))
        if text:
            yield Span(text, start, start + len(text))


def dates(line: str) -> list[Span]:
    """Calendar dates in any usual order; impossible ones (month 13 of 40 days) are left out."""
    found: list[Span] = []
    for match in _DATE.finditer(line):
        if match["a"] and not _day_and_month(int(match["a"]), int(match["b"])):
            continue
        if match["y"] and not _day_and_month(int(match["m"]), int(match["d"])):
            continue
        text = match[0].strip(" ,.-")
        start = match.start() + match[0].find(text)
        found.append(Span(text, start, start + len(text)))
    return found


def _day_and_month(one: int, other: int) -> bool:
    low, high = sorted((one, other))
    return 1 <= low <= 12 and high <= 31


def times(line: str) -> list[Span]:
    """Times of day and durations written with colons."""
    return [*_spans(_TIME, line), *_spans(_HOUR, line)]


def years(line: str) -> list[Span]:
    """Four-digit years from 1900 to 2099 standing alone or inside a date."""
    found = list(_spans(_YEAR_ALONE, line))
    for date in dates(line):
        inner = re.search(r"(?:19|20)\d\d", date.text)
        if inner and not any(span.start == date.start + inner.start() for span in found):
            start = date.start + inner.start()
            found.append(Span(inner[0], start, start + 4))
    return found


def amounts(line: str) -> list[Span]:
    """Money: a currency with a number, or a number with two decimals that is no date, time or percentage."""
    taken = [*dates(line), *_spans(_PERCENT, line)]
    return [
        span
        for span in (Span(each.text, each.start, each.end) for each in find_money(line))
        if not any(span.start < other.end and other.start < span.end for other in taken)
    ]


def percents(line: str) -> list[Span]:
    """Numbers with a percent sign."""
    return list(_spans(_PERCENT, line))


def numbers(line: str) -> list[Span]:
    """Plain numbers, thousands and decimals included; no parts of dates or times."""
    taken = [*dates(line), *times(line)]
    return [
        span
        for span in _spans(_NUMBER, line)
        if not any(span.start < other.end and other.start < span.end for other in taken)
    ]


_ORDINAL = re.compile(
    r"(?:step|page|level|chapter|part|phase|section|figure|table|day|week|floor|room|gate|platform|item|row|option|exit|route|no\.?|nr\.?|#)\s?$",
    re.I,
)


def counts(line: str) -> list[Span]:
    """Numbers that count: not the 2 of "Step 2"."""
    return [span for span in numbers(line) if not _ORDINAL.search(line[max(0, span.start - 12) : span.start])]


def quantities(line: str) -> list[Span]:
    """Find numbers with the currency or percent sign that belongs to them."""
    money = amounts(line)
    rest = [n for n in numbers(line) if not any(n.start < m.end and m.start < n.end for m in money)]
    return sorted([*money, *rest], key=lambda span: span.start)


def emails(line: str) -> list[Span]:
    """E-mail addresses."""
    return list(_spans(_EMAIL, line))


def urls(line: str) -> list[Span]:
    """Web addresses, with or without a scheme."""
    return list(_spans(_URL, line))


def phones(line: str) -> list[Span]:
    """Telephone numbers: 7 to 15 digits (ITU-T E.164 allows 15), not a date."""
    taken = dates(line)
    return [
        span
        for span in _spans(_PHONE, line)
        if 7 <= sum(char.isdigit() for char in span.text) <= 15
        and not any(span.start < other.end and other.start < span.end for other in taken)
    ]


def idents(line: str) -> list[Span]:
    """Words with a digit in them: numbers of invoices, accounts, projects."""
    return list(_spans(_IDENT, line))


def names(line: str) -> list[Span]:
    """The whole line when it reads as a name: up to eight words, a capital, few digits."""
    text = line.strip(" :.,-")
    words = text.split()
    letters = sum(char.isalpha() for char in text)
    digits = sum(char.isdigit() for char in text)
    caseless = text.lower() == text.upper()
    if not 1 <= len(words) <= 8 or letters < 3 or digits > 0.3 * letters or _ROLE.search(text):
        return []
    if not (caseless or words[0][0].isupper() or any(word[0].isupper() for word in words[1:])):
        return []
    start = line.find(text)
    return [Span(text, start, start + len(text))]


def measures(line: str) -> list[Span]:
    """The whole line when it is a short reading: a number with its unit, a time, a version."""
    text = line.strip(" :.,-")
    if not re.search(r"\d", text) or len(text.split()) > 5 or sum(map(str.isalpha, text)) > 16:
        return []
    start = line.find(text)
    return [Span(text, start, start + len(text))]


_ROLE = re.compile(
    r"\b(?:chairman|ceo|cfo|president|director|manager|secretary|signature|title|date|name|supervisor|officer)\b",
    re.I,
)
_ADDRESS = re.compile(
    r"\bno\.?\s?\d|\blot\b|\bjalan\b|\bjln\b|\btaman\b|\bstreet\b|\bst\.|\broad\b|\brd\b|avenue|\bave\b|lane\b|"
    r"\bblvd\b|drive\b|suite|floor|\b\d{5}\b|selangor|johor|kuala|"
    r"[a-zäöü](?:stra(?:ss|ß)e|gasse|weg|platz)\b|\bplaza\b|"
    r"highway|p\.?o\.? ?box\b|\bblock\b|\blorong\b|\bpersiaran\b|seksyen|"
    r"kawasan|\brue\b|\bvia\b|bandar|\bbatu\b|\bmall\b",
    re.IGNORECASE,
)


def address_words(line: str) -> int:
    """Count the words of the line that belong in an address (street, lot, postcode); 0 beside phones and
    taxes.
    """
    if (
        re.search(
            r"\btel\b|\bfax\b|gst|@|invoice|\bdate\b|\b(?:co\.?|company|reg\w*)\.? ?no\b", line, re.IGNORECASE
        )
        or dates(line)
        or amounts(line)
    ):
        return 0
    return len(_ADDRESS.findall(line))


def addresses(line: str) -> list[Span]:
    """The whole line when it reads as a part of a postal address."""
    return [Span(line.strip(), 0, len(line))] if address_words(line) else []


def value_of(amount: str) -> float | None:
    """``"RM 1,234.50"``, ``"1.234,50"`` and ``"(1,234.50)"`` as numbers; None when there is no number.

    Without a currency a lone point is a decimal point, whatever follows it: "1.250 kg".
    """
    if (found := find_money(amount)) and (found[0].currency or not _MEASURE.fullmatch(amount.strip())):
        return found[0].amount
    match = re.search(r"-?\d[\d.,'’\s]*", amount)
    if not match:
        return None
    digits = match[0].strip()
    if _MEASURE.fullmatch(digits):
        return float(digits)
    return math.copysign(1, -1 if digits[0] == "-" else 1) * read_number(digits.lstrip("-"))


_MEASURE = re.compile(r"-?\d+\.\d+")

Finder = Callable[[str], list[Span]]
