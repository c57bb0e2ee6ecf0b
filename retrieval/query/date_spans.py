"""One expression of time into the span it means: "May 2018", "last summer", "12/05/2018", "the 90s"."""

import re
from datetime import date, datetime, timedelta
from typing import NamedTuple

from askpix.retrieval.text.entities import MONTHS

FIRST_YEAR = 1826
"""The first photograph."""


class Span(NamedTuple):
    """Span from the first day up to, and without, the last."""

    start: date
    end: date

    def __str__(self) -> str:
        last = self.end - timedelta(days=1)
        if self.start == last:
            return f"{self.start}"
        if self.start.day == 1 and self.end.day == 1:
            months = (self.end.year - self.start.year) * 12 + self.end.month - self.start.month
            if months == 12 and self.start.month == 1:
                return f"{self.start.year}"
            if months == 1:
                return f"{self.start:%Y-%m}"
        return f"{self.start}..{last}"


# English only, and "sept": abbreviations of other languages are words of English ("mars", "mai").
MONTH_WORDS = {
    name: number
    for name, number in MONTHS.items()
    if name[:3] in "jan feb mar apr may jun jul aug sep oct nov dec".split()
    and name
    not in ("mars", "marz", "marzo", "juin", "juni", "juli", "januar", "februar", "mayo", "junio", "julio")
}
WEEKDAYS = {
    name: n for n, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())
}
SEASON_MONTHS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_NUMBERS = {
    word: n for n, word in enumerate("one two three four five six seven eight nine ten".split(), start=1)
}
_NUMBERS |= {"a": 1, "an": 1, "few": 3, "couple": 2, "couple of": 2, "a few": 3, "a couple of": 2}
_DECADES = {
    name: 1900 + 10 * n
    for n, name in enumerate(
        "twenties thirties forties fifties sixties seventies eighties nineties".split(), start=2
    )
}

_FOREIGN = {name: number for name, number in MONTHS.items() if name not in MONTH_WORDS and len(name) > 2}
_FOREIGN |= {"août": 8, "février": 2, "décembre": 12, "märz": 3, "jänner": 1, "março": 3}
"""Months of other languages are believed beside a year only."""
M = "(?:" + "|".join(sorted(MONTH_WORDS, key=len, reverse=True)) + r")\b\.?"
F = "(?:" + "|".join(sorted(_FOREIGN, key=len, reverse=True)) + r")\b\.?"
W = "(?:" + "|".join(WEEKDAYS) + ")"
Y = r"(?:1[89]\d\d|20\d\d)"
YY = rf"(?:{Y}|['’]\d\d(?!\d))"
"""A year, or the last two digits of one: '18."""
D = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
SEASON = "(?:" + "|".join(SEASON_MONTHS) + ")"
FEAST = (
    r"(?:christmas(?: eve| day)?|xmas|new year'?s? eve|new year'?s?(?: day)?|halloween"
    r"|valentine'?s?(?: day)?|easter|thanksgiving)"
)
ORDINAL = r"(?:first|second|third|fourth|1st|2nd|3rd|4th)"
PART = (
    r"(?:early|mid|late|(?:the )?(?:beginning|start|middle|end) of"
    rf"|(?:the )?{ORDINAL} (?:half|quarter)(?: of)?)"
)
COUNT = r"(?:\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
UNIT = r"(?:day|week|month|year)"

_FORMS: list[tuple[str, re.Pattern[str]]] = [
    (name, re.compile(pattern))
    for name, pattern in (
        ("iso", r"(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)|(?P<y2>\d{4})/(?P<m2>\d\d?)/(?P<d2>\d\d?)"),
        ("iso_month", rf"(?P<y>{Y})-(?P<m>\d\d)"),
        ("slash_month", rf"(?P<m>0?[1-9]|1[0-2])[/.-](?P<y>{Y})|(?P<y2>{Y})/(?P<m2>0?[1-9]|1[0-2])"),
        ("numeric", r"(?P<a>\d\d?)(?P<s>[/.-])(?P<b>\d\d?)(?P=s)(?P<y>\d{4}|\d\d)"),
        ("named", rf"(?P<d>{D})(?: of)? (?P<m>{M}),? (?P<y>{YY})"),
        ("named", rf"(?P<m>{M}) (?P<d>{D}),? (?P<y>{YY})"),
        ("named", rf"(?P<d>{D})\.?(?: de)? (?P<m>{F})(?: del?)? (?P<y>{Y})"),
        ("month", rf"(?P<m>{M})(?: of|,)? ?(?P<y>{YY})"),
        ("month", rf"(?P<m>{F})(?: del?)? (?P<y>{Y})"),
        ("day", rf"(?P<d>{D})(?: of)? (?P<m>{M})|(?P<m2>{M}) (?P<d2>{D})"),
        ("season", rf"(?:the )?(?P<n>{SEASON})(?: of)? (?P<y>{YY})(?:/(?P<y2>\d\d(?:\d\d)?))?"),
        ("season_ago", rf"(?P<w>last|this|previous) (?P<n>{SEASON})"),
        ("feast", rf"(?P<n>{FEAST})(?: of| in)? (?P<y>{YY})"),
        ("feast_ago", rf"last (?P<n>{FEAST})"),
        ("decade", (r"(?:the )?(?P<c>1[89]|20)(?P<t>\d)0'?s|(?:the )'?(?P<t2>\d)0'?s|(?:the"
                   r" )(?P<w>") + "|".join(_DECADES) + ")"),
        ("quarter", rf"q(?P<q>[1-4]) (?P<y>{YY})"),
        ("quarter_ago", r"q(?P<q>[1-4])"),
        ("part", rf"(?P<n>{PART})[ -](?P<y>{Y})"),
        ("ago", rf"(?P<n>{COUNT}) (?P<u>{UNIT})s? ago"),
        ("past", rf"(?:the )?(?:last|past) (?P<n>{COUNT}) (?P<u>{UNIT})s?"),
        ("relative", r"(?:the )?(?P<w>last|this|previous) (?P<u>week|weekend|month|year)"),
        ("past", r"(?:the )?past (?P<u>week|month|year)"),
        ("today", r"(?P<w>today|yesterday|the day before yesterday)"),
        ("weekday", rf"(?P<w>last|this) (?P<n>{W})"),
        ("month_ago", rf"(?P<w>last|this) (?P<m>{M})"),
        ("year", rf"(?:the year )?(?P<y>{Y}|\d{{4}})"),
    )
]  # fmt: skip


def span_of(
    words: str, *, now: datetime | None, day_first: bool, forms: frozenset[str] | None = None
) -> tuple[str, Span] | None:
    """The form and the span of an expression of time; None when it is none, or there is no such day.

    ``now`` is needed for what is relative to it. A day without a year is the last one that has come.
    """
    plain = " ".join(words.casefold().replace("’", "'").split())
    for name, pattern in _FORMS:
        if forms is not None and name not in forms:
            continue
        if match := pattern.fullmatch(plain):
            groups = {key: value for key, value in match.groupdict().items() if value is not None}
            try:
                span = _span(name, groups, now.date() if now else None, day_first)
            except (ValueError, OverflowError):
                span = None
            return (name, span) if span and _plausible(span, now) else None
    return None


def month_of(words: str) -> int | None:
    """The number of a month by its name."""
    return MONTH_WORDS.get(words.casefold().rstrip("."))


def _number_of(month: str) -> int:
    name = month.rstrip(".")
    return MONTH_WORDS.get(name) or _FOREIGN[name]


def _plausible(span: Span, now: datetime | None) -> bool:
    last = now.year + 1 if now else 2100
    return FIRST_YEAR <= span.start.year <= last


def _span(name: str, g: dict[str, str], today: date | None, day_first: bool) -> Span | None:
    """Raises ValueError for a day that does not exist."""
    if name == "iso":
        return _day(int(g.get("y") or g["y2"]), int(g.get("m") or g["m2"]), int(g.get("d") or g["d2"]))
    if name in ("iso_month", "month"):
        month = int(g["m"]) if name == "iso_month" else _number_of(g["m"])
        return months(_full_year(g["y"], today), month, 1) if 1 <= month <= 12 else None
    if name == "slash_month":
        return months(int(g.get("y") or g["y2"]), int(g.get("m") or g["m2"]), 1)
    if name == "numeric":
        first = int(g["a"])
        second = int(g["b"])
        if second > 12 or (first <= 12 and not day_first and g["s"] != "."):
            first, second = second, first
        return _day(_full_year(g["y"], today), second, first)
    if name == "named":
        return _day(_full_year(g["y"], today), _number_of(g["m"]), _number(g["d"]))
    found = _of_a_year(name, g, today)
    return found or (_relative(name, g, today) if today else None)


def _of_a_year(name: str, g: dict[str, str], today: date | None) -> Span | None:
    if name == "season":
        span = _season(g["n"], _full_year(g["y"], today))
        return None if "y2" in g and int(g["y2"][-2:]) != (span.start.year + 1) % 100 else span
    if name == "feast":
        return _feast(g["n"], _full_year(g["y"], today))
    if name == "decade":
        if "w" in g:
            first = _DECADES[g["w"]]
        else:
            tens = int(g.get("t") or g["t2"]) * 10
            first = int(g["c"]) * 100 + tens if "c" in g else (1900 if tens >= 30 else 2000) + tens
        return Span(date(first, 1, 1), date(first + 10, 1, 1))
    if name == "quarter":
        return months(_full_year(g["y"], today), 3 * int(g["q"]) - 2, 3)
    if name == "part":
        return _part(g["n"], int(g["y"]))
    if name == "year":
        return months(int(g["y"]), 1, 12)
    return None


def _relative(name: str, g: dict[str, str], today: date) -> Span | None:
    if name == "day":
        month = MONTH_WORDS[(g.get("m") or g["m2"]).rstrip(".")]
        day = _number(g.get("d") or g["d2"])
        return _latest([_day_or_none(today.year - back, month, day) for back in range(5)], today)
    if name == "season_ago":
        spans = [_season(g["n"], today.year - back) for back in range(3)]
        if g["w"] == "this":
            spans = [_season(g["n"], today.year + 1), *spans]
            return next((span for span in spans if span.start <= today), None)
        return next((span for span in spans if span.end <= today), None)
    if name == "feast_ago":
        return _latest([_feast(g["n"], today.year - back) for back in range(2)], today)
    if name == "month_ago":
        month = MONTH_WORDS[g["m"].rstrip(".")]
        if g["w"] == "this":
            return months(today.year, month, 1)
        spans = [months(today.year - back, month, 1) for back in range(2)]
        return next((span for span in spans if span.end <= today), None)
    if name == "weekday":
        back = (today.weekday() - WEEKDAYS[g["n"]]) % 7
        return _days(today - timedelta(days=back or (7 if g["w"] == "last" else 0)), 1)
    if name == "today":
        back = {"today": 0, "yesterday": 1}.get(g["w"], 2)
        return _days(today - timedelta(days=back), 1)
    if name == "ago":
        return _ago(_count(g["n"]), g["u"], today)
    if name == "quarter_ago":
        return _latest([months(today.year - back, 3 * int(g["q"]) - 2, 3) for back in range(2)], today)
    if name == "past":
        return Span(_back(_count(g.get("n", "1")), g["u"], today), today + timedelta(days=1))
    return _this_or_last(g["w"] == "this", g["u"], today)


def _this_or_last(this: bool, unit: str, today: date) -> Span:
    if unit == "year":
        return months(today.year - (not this), 1, 12)
    if unit == "month":
        back = 0 if this else 1
        return months(today.year, today.month - back, 1)
    monday = today - timedelta(days=today.weekday())
    if unit == "week":
        return _days(monday if this else monday - timedelta(days=7), 7)
    saturday = monday + timedelta(days=5)
    return _days(saturday if this else saturday - timedelta(days=7), 2)


def _ago(count: int, unit: str, today: date) -> Span:
    """A day ago is a day; three weeks ago is that week, two years ago that year."""
    start = _back(count, unit, today)
    if unit == "year":
        return months(start.year, 1, 12)
    if unit == "month":
        return months(start.year, start.month, 1)
    return _days(start - timedelta(days=start.weekday()), 7) if unit == "week" else _days(start, 1)


def _back(count: int, unit: str, today: date) -> date:
    if unit in ("day", "week"):
        return today - timedelta(days=count * (7 if unit == "week" else 1))
    first = months(today.year, today.month - count * (12 if unit == "year" else 1), 1)
    return first.start + timedelta(days=min(today.day, (first.end - first.start).days) - 1)


def _season(name: str, year: int) -> Span:
    """Seasons of the northern half, by whole months; winter is named by the year in which it begins."""
    return months(year, SEASON_MONTHS[name], 3)


def _part(name: str, year: int) -> Span:
    """A third ("early"), half or quarter of a year; its beginning and its end are two months each."""
    words = name.removeprefix("the ").split()
    if words[-1] == "of" and len(words) == 2:
        first = {"beginning": 1, "start": 1, "middle": 6}.get(words[0], 11)
        return months(year, first, 2)
    if len(words) == 1:
        return months(year, {"early": 1, "mid": 5, "late": 9}[words[0]], 4)
    which = ["first", "second", "third", "fourth", "1st", "2nd", "3rd", "4th"].index(words[0]) % 4
    length = 6 if words[1] == "half" else 3
    if which * length >= 12:
        raise ValueError("a year has two halves")
    return months(year, 1 + which * length, length)


def _feast(name: str, year: int) -> Span:
    if name.startswith(("christmas", "xmas")):
        return _days(date(year, 12, 24), 1 if name.endswith("eve") else 3)
    if name.startswith("new year"):
        return _days(date(year, 12, 31), 1) if name.endswith("eve") else _days(date(year, 1, 1), 1)
    if name == "halloween":
        return _days(date(year, 10, 31), 1)
    if name.startswith("valentine"):
        return _days(date(year, 2, 14), 1)
    if name == "thanksgiving":
        first = date(year, 11, 1)
        return _days(first + timedelta(days=(3 - first.weekday()) % 7 + 21), 1)
    return _days(_easter(year) - timedelta(days=2), 4)


def _easter(year: int) -> date:
    """Sunday of Easter (Gauss, as corrected by Butcher 1876)."""
    a = year % 19
    b = year // 100
    c = year % 100
    d = b // 4
    e = b % 4
    f = (b + 8) // 25
    h = (19 * a + b - d - (b - f + 1) // 3 + 15) % 30
    i = c // 4
    k = c % 4
    ell = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * ell) // 451
    month, day = divmod(h + ell - 7 * m + 114, 31)
    return date(year, month, day + 1)


def months(year: int, month: int, count: int) -> Span:
    """Whole months; ``month`` may lie outside of 1-12 and then is of another year."""
    first = year * 12 + month - 1
    last = year * 12 + month - 1 + count
    return Span(date(first // 12, first % 12 + 1, 1), date(last // 12, last % 12 + 1, 1))


def _latest(spans: list[Span | None], today: date) -> Span | None:
    return next((span for span in spans if span and span.start <= today), None)


def _day(year: int, month: int, day: int) -> Span:
    return _days(date(year, month, day), 1)


def _day_or_none(year: int, month: int, day: int) -> Span | None:
    try:
        return _day(year, month, day)
    except ValueError:
        return None


def _days(first: date, count: int) -> Span:
    return Span(first, first + timedelta(days=count))


def _number(words: str) -> int:
    return int(re.sub(r"\D", "", words))


def _count(words: str) -> int:
    return _NUMBERS[words] if words in _NUMBERS else int(words)


def days_before(count: str, unit: str, now: datetime) -> date:
    """The day so many days, weeks, months or years before now; words of ``COUNT`` and ``UNIT``."""
    return _back(_count(" ".join(count.casefold().split())), unit.casefold(), now.date())


def _full_year(year: str, today: date | None) -> int:
    year = year.removeprefix("'")
    if len(year) == 4:
        return int(year)
    number = int(year)
    pivot = (today.year if today else 2049) % 100
    return number + (2000 if number <= pivot else 1900)
