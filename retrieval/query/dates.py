"""Reader of dates in a query: "in May 2018", "between March and May 2020", "on Sundays", "after 10 pm".

An expression of time is believed by itself when it can be nothing else ("May 2018", "last summer"). What may
be many things needs a preposition ("in 2019"), a word for images beside it ("photos 2019") or a collection
that holds such images. What stays unread stays words.
"""

import re
from collections.abc import Iterator, Set
from datetime import datetime, time, timedelta
from typing import Any

from askpix.retrieval.query.base import Claim, Context, text_before
from askpix.retrieval.query.date_spans import (
    COUNT,
    FEAST,
    PART,
    SEASON,
    SEASON_MONTHS,
    UNIT,
    WEEKDAYS,
    YY,
    D,
    F,
    M,
    Span,
    W,
    Y,
    days_before,
    month_of,
    span_of,
)

EXPRESSION = (
    rf"\d{{4}}-\d\d?-\d\d?|\d{{4}}/\d\d?/\d\d?|{Y}-\d\d(?!\d)"
    rf"|\d\d?[/.-]\d\d?[/.-](?:\d{{4}}|\d\d)(?!\d)"
    rf"|(?:0?[1-9]|1[0-2])[/.-]{Y}(?!\d)|{Y}/(?:0?[1-9]|1[0-2])(?!\d)"
    rf"|{D}(?: of)? {M},? {YY}|{M} {D},? {YY}|{D}\.?(?: de)? {F}(?: del?)? {Y}"
    rf"|{M}(?: of|,)? ?{YY}|{F}(?: del?)? {Y}|{D}(?: of)? {M}|{M} {D}(?!\d)"
    rf"|(?:the )?{SEASON}(?: of)? {YY}(?:/\d\d(?:\d\d)?)?|(?:last|this|previous) {SEASON}"
    rf"|{FEAST}(?: of| in)? {YY}|last {FEAST}|{PART}[ -]{Y}"
    r"|(?:the )?(?:1[89]|20)\d0['’]?s|the ['’]?\d0['’]?s|the (?:twen|thir|for|fif|six|seven|eigh|nine)ties"
    rf"|q[1-4](?: {YY})?|{COUNT} {UNIT}s? ago|(?:the )?past {UNIT}|(?:the )?(?:last|past) {COUNT} {UNIT}s?"
    r"|(?:the )?(?:last|this|previous) (?:week|weekend|month|year)|today|yesterday|the day before"
    r" yesterday"
    rf"|(?:last|this) {W}|(?:last|this) {M}|(?:the year )?\d{{4}}"
)
_END = r"(?!['’]s\b|['’]\w|[\w%$€£]|[.,/:-]\w)"
_ONE = re.compile(rf"(?<![\w$€£#./:-])(?<!\d )(?P<e>{EXPRESSION}){_END}", re.IGNORECASE)
_BEFORE = (
    r"(?:(?:taken|shot|dated|made|created|captured|recorded|photographed|issued|printed|scanned|filmed|bought"
    r"|purchased|written|sent)\s+)?"
)
_WITH_PREPOSITION = re.compile(
    rf"(?<![\w-]){_BEFORE}(?:(?P<p>in|on|from|of|during|at|dated|over|since|after|before|until|till|up to|by"
    rf"|later than|earlier than|older than|newer than|prior to|starting|as of|not before|back in|im|en|em|au"
    rf"|nel)\s+"
    rf"|(?P<sign>[<>]=?)\s?)(?:the (?=\d))?"
    rf"(?P<e>{EXPRESSION}){_END}",
    re.IGNORECASE,
)
_AGE = re.compile(
    rf"(?<![\w-])(?P<p>older than|newer than|more than|less than|over|under)\s+(?P<n>{COUNT}) (?P<u>{UNIT})s?"
    rf"(?P<ago>\s+(?:ago|old))?{_END}",
    re.IGNORECASE,
)
_OPEN = re.compile(
    rf"(?<![\w$€£#./:-]){_BEFORE}(?:(?:from|in)\s+)?(?P<e>{EXPRESSION})\s+"
    r"(?:onwards?|(?:and|or) (?:later|after|newer|(?P<until>earlier|before|older)))\b(?!\s+\w*\d)",
    re.IGNORECASE,
)
_OR_AFTER = re.compile(rf"\s*(?:,|\bor\b|\band\b)\s+(?:in |from )?(?:{M}|{Y}\b)", re.IGNORECASE)
_OR_BEFORE = re.compile(rf"(?:{M}|\b{Y})\s*(?:,|\bor\b|\band\b)\s+(?:in |from )?$", re.IGNORECASE)
_LOOSE = rf"{EXPRESSION}|{M}|{D}"
_RANGE = re.compile(
    rf"(?<![\w$€£#./:-]){_BEFORE}(?:(?P<p>between|from|in|during)\s+)?(?P<a>{_LOOSE})"
    r"(?P<j>\s?[-–—]\s?|\s+(?:and|or|to|until|till|through|thru|up to)\s+)"
    rf"(?P<b>{EXPRESSION}|{M}|now|present){_END}",
    re.IGNORECASE,
)
_MONTH_ALONE = re.compile(
    rf"(?<![\w-]){_BEFORE}(?P<p>in|during|of|from|since|every|each)\s+(?P<m>{M}){_END}", re.IGNORECASE
)
_SEASON_ALONE = re.compile(
    rf"(?<![\w-])(?P<v>(?:taken|shot|captured|photographed|filmed)\s+)?(?:in|during|every|each)\s+(?:the\s+)?"
    rf"(?P<n>{SEASON})s?\b{_END}",
    re.IGNORECASE,
)
_ON_DAY = re.compile(
    rf"(?<![\w-]){_BEFORE}(?P<p>on|at|over|during|every|each)\s+(?:(?P<any>a|the|any)\s+)?(?P<d>{W}"
    rf"|weekend|weekday)(?P<s>s)?{_END}",
    re.IGNORECASE,
)
_SURE = frozenset(
    "iso named month season season_ago feast feast_ago past ago relative today weekday month_ago part".split()
)
"""Forms that are believed without a preposition."""
_IMAGES = (
    r"(?:photo|photograph|picture|pic|image|snapshot|shot|selfie|video|screenshot|receipt|invoice|bill"
    r"|ticket|scan|document"
    r"|statement|trip|vacation|holiday|wedding|birthday|honeymoon|party|album)s?"
)
AFTER_IMAGES = re.compile(rf"\b{_IMAGES}\W{{0,2}}$", re.IGNORECASE)
_BEFORE_IMAGES = re.compile(rf"^\W{{0,2}}(?:\w+ )?{_IMAGES}\b", re.IGNORECASE)
_NAMES = frozenset({"april", "may", "june", "august"})
"""Months that are people too: a letter "from May"."""


def read_dates(text: str, context: Context) -> Iterator[Claim]:
    """Spans of days."""
    yield from _ages(text, context)
    yield from _ranges(text, context)
    for match in _WITH_PREPOSITION.finditer(text):
        word = (match["p"] or match["sign"]).casefold()
        found = span_of(match["e"], now=context.now, day_first=context.day_first)
        if found is None or _no_day(found[0], word) or (found[0] == "year" and not _is_year(text, match)):
            continue
        if _listed(text, match):
            continue
        if word == "before" and text_before(text, match.start()).casefold().endswith("the day "):
            continue  # "the day before yesterday"
        if _of_sales(found[0], match["e"]) and not context.about_images:
            continue
        if found[0] == "decade" and context.known and not _any_year(found[1], context.known.years):
            continue  # "a kitchen from the 1950s" is what an image of today shows
        yield _claim(match, found[1], word)
    yield from _bare(text, context)


def _bare(text: str, context: Context) -> Iterator[Claim]:
    """Without a preposition: what can be nothing else, or stands beside a word for images."""
    for match in _ONE.finditer(text):
        found = span_of(match["e"], now=context.now, day_first=context.day_first)
        if found is None:
            continue
        form, span = found
        if _listed(text, match):
            continue
        near = AFTER_IMAGES.search(text_before(text, match.start())) or _BEFORE_IMAGES.match(
            text[match.end() :]
        )
        alone = not (text[: match.start()] + text[match.end() :]).strip(" \n.,;!")
        sure = form in _SURE and not (form == "today" and not match["e"].islower())
        if form in ("iso", "named"):
            # Beside other words it may be what stands in the image: "ACME 12/05/2018", "ACME 5 MAR 2018".
            written = form == "named" and not match["e"].isupper()
            sure = context.about_images or alone or written
        if form in ("numeric", "slash_month", "iso_month", "decade") and alone:
            sure = True
        if _of_sales(form, match["e"]) and not near:
            continue
        held = (
            form in ("year", "decade")
            and context.known is not None
            and span.start.year in context.known.years
        )
        if sure or held or (form in ("year", "numeric", "iso_month", "slash_month", "decade") and near):
            yield _claim(match, span, "in")


def _any_year(span: Span, years: Set[int]) -> bool:
    return any(year in years for year in range(span.start.year, span.end.year))


def _of_sales(form: str, words: str) -> bool:
    """Quarters and halves are of sales unless the query speaks of images."""
    return form.startswith("quarter") or bool(re.search(r"\b(?:half|quarter)\b", words, re.IGNORECASE))


def _no_day(form: str, preposition: str) -> bool:
    """A day without a year is one only where it must be: "on 4 July", not "in 2 May"."""
    if form == "day":
        return preposition not in ("on", "from", "since", "after", "before", "until", "till", "dated")
    return form == "iso_month" and preposition == "of"


def _is_year(text: str, match: re.Match[str]) -> bool:
    """Return whether four digits after a preposition are a year and no number of things: "over 2000
    people".
    """
    word = (match["p"] or match["sign"]).casefold()
    if word in ("over", "by", "at", "up to", "of", "on", "as of", "starting") or match["sign"]:
        before = text_before(text, match.start("e")).casefold()
        return word in ("of", "by", "starting") and bool(
            re.search(r"\byear\s+of\s+$|\b(?:from|of) the year\s+$", before)
        )
    return not re.match(
        r"\s?(?:people|euros?|dollars?|pounds|km|m|ft|feet|meters|metres|pixels?|px|kg|calories)\b",
        text[match.end() :],
    )


def _listed(text: str, match: re.Match[str]) -> bool:
    """Return whether it is one of several: "in 2015 or 2018" is no span, and half of it would be wrong."""
    return bool(_OR_AFTER.match(text, match.end()) or _OR_BEFORE.search(text_before(text, match.start("e"))))


def _ages(text: str, context: Context) -> Iterator[Claim]:
    """ "Older than 5 years", "less than a week old", "2019 and later"."""
    for match in _OPEN.finditer(text):
        found = span_of(match["e"], now=context.now, day_first=context.day_first)
        if found and not _of_sales(found[0], match["e"]):
            yield _claim(match, found[1], "until" if match["until"] else "since")
    for match in _AGE.finditer(text):
        if context.now is None or not (match["p"].casefold() in ("older than", "newer than") or match["ago"]):
            continue
        day = days_before(match["n"], match["u"], context.now)
        moment = datetime.combine(day, time())
        if match["p"].casefold() in ("older than", "more than", "over"):
            yield Claim(
                match.start(), match.end(), "date", f"..{day - timedelta(days=1)}", {"before": moment}
            )
        else:
            yield Claim(match.start(), match.end(), "date", f"{day}..", {"after": moment})


def _ranges(text: str, context: Context) -> Iterator[Claim]:
    for match in _RANGE.finditer(text):
        preposition = (match["p"] or "").casefold()
        joint = match["j"].strip().casefold()
        dash = joint in ("-", "–", "—")
        if (low := month_of(match["a"])) and (high := month_of(match["b"])):
            between = tuple((low + each - 1) % 12 + 1 for each in range((high - low) % 12 + 1))
            if preposition:  # of any year, like "in May"
                shown = f"{low:02}-{high:02}"
                yield Claim(match.start(), match.end(), "month", shown, {"months": between})
            continue
        spans = _both(match["a"], match["b"], context)
        if spans is None:
            continue
        (form, first), last = spans
        listed = joint == "or" or (joint == "and" and preposition != "between")
        if first.start >= last.end or (listed and first.end != last.start):
            continue
        years = form == "year" and re.fullmatch(r"\d{4}", match["a"].strip()) is not None
        near = AFTER_IMAGES.search(text_before(text, match.start())) or _BEFORE_IMAGES.match(
            text[match.end() :]
        )
        if years and not (preposition or near or dash or joint in ("to", "until", "through")):
            continue
        if (
            years
            and dash
            and " " not in match["j"]
            and not preposition
            and last.end.year - first.start.year > 60
        ):
            continue
        whole = Span(first.start, last.end)
        yield Claim(match.start(), match.end(), "date", str(whole), _when(whole))


def _both(a: str, b: str, context: Context) -> tuple[tuple[str, Span], Span] | None:
    """Both ends; what the first lacks it has from the second: "3 to 7 May 2019", "March to May 2020"."""
    last = span_of(
        "today" if b.casefold() in ("now", "present") else b, now=context.now, day_first=context.day_first
    )
    if last is None:
        return None
    first = None
    if month_of(a):
        year = last[1].start.year
        if month_of(a) and (month_of(a) or 0) > last[1].start.month:
            year -= 1
        first = span_of(f"{a} {year}", now=context.now, day_first=context.day_first)
    elif re.fullmatch(D, a, re.IGNORECASE) and last[0] == "named":
        first = span_of(f"{a} {last[1].start:%b %Y}", now=None, day_first=True)
    else:
        first = span_of(a, now=context.now, day_first=context.day_first)
        if first and first[0] == "day" and last[0] == "named":
            first = span_of(f"{a} {last[1].start.year}", now=None, day_first=True) or first
    return (first, last[1]) if first else None


def _claim(match: re.Match[str], span: Span, word: str) -> Claim:
    start = datetime.combine(span.start, time())
    end = datetime.combine(span.end, time())
    change: dict[str, Any]
    if word in ("since", "newer than", "starting", "not before", "as of", ">="):
        value = f"{span.start}.."
        change = {"after": start}
    elif word in ("after", "later than", ">"):
        value = f"{span.end}.."
        change = {"after": end}
    elif word in ("before", "earlier than", "older than", "prior to", "<"):
        value = f"..{span.start - timedelta(days=1)}"
        change = {"before": start}
    elif word in ("until", "till", "up to", "by", "<="):
        value = f"..{span.end - timedelta(days=1)}"
        change = {"before": end}
    else:
        value = str(span)
        change = _when(span)
    return Claim(match.start(), match.end(), "date", value, change)


def _when(span: Span) -> dict[str, datetime]:
    return {"after": datetime.combine(span.start, time()), "before": datetime.combine(span.end, time())}


def read_months(text: str, context: Context) -> Iterator[Claim]:
    """A month of any year: "in May". "since May" is the last one that has come."""
    for match in _MONTH_ALONE.finditer(text):
        word = match["p"].casefold()
        name = match["m"].casefold().rstrip(".")
        about = AFTER_IMAGES.search(text_before(text, match.start()))
        if word in ("of", "from") and not about:
            continue
        if word == "of" and name in _NAMES:
            continue  # "photos of May" show her
        number = month_of(name)
        if _OR_AFTER.match(text, match.end()):
            continue
        if number is None or (name in _NAMES | {"march"} and _goes_on(text[match.end() :])):
            continue
        if word == "since":
            if context.now:
                year = context.now.year - (number > context.now.month)
                start = datetime(year, number, 1)
                yield Claim(match.start(), match.end(), "date", f"{start:%Y-%m-%d}..", {"after": start})
            continue
        yield Claim(match.start(), match.end(), "month", f"{number:02}", {"months": (number,)})


def read_seasons(text: str, context: Context) -> Iterator[Claim]:
    """ "Photos in the summer", "taken in winter": of any year. Alone a season is what an image shows."""
    del context
    for match in _SEASON_ALONE.finditer(text):
        if match["v"] or AFTER_IMAGES.search(text_before(text, match.start())):
            first = SEASON_MONTHS[match["n"].casefold()]
            wanted = tuple((first + each - 1) % 12 + 1 for each in range(3))
            yield Claim(
                match.start(), match.end(), "month", f"{wanted[0]:02}-{wanted[-1]:02}", {"months": wanted}
            )


def _goes_on(rest: str) -> bool:
    """Return whether a name follows: "from May Smith"; or what makes "march" a walk: "in march formation"."""
    return bool(re.match(r" (?:[A-Z]|formation|order|step)", rest))


def read_days(text: str, context: Context) -> Iterator[Claim]:
    """Days of the week: "on Sundays", "at the weekend"; "on Sunday" is the last one."""
    for match in _ON_DAY.finditer(text):
        name = match["d"].casefold()
        word = match["p"].casefold()
        if name in WEEKDAYS:
            if word in ("at", "over", "during"):
                continue
            if not (match["any"] or match["s"] or word in ("every", "each")):
                found = span_of(f"this {name}", now=context.now, day_first=True)
                if found:
                    yield _claim(match, found[1], "on")
                continue
            days: tuple[int, ...] = (WEEKDAYS[name],)
        elif name == "weekend":
            days = (5, 6)
        elif match["s"] or match["any"] == "a" or word in ("every", "each"):
            days = (0, 1, 2, 3, 4)
        else:
            continue
        yield Claim(match.start(), match.end(), "weekday", name, {"weekdays": days})
