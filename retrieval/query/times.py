"""Reader of hours in a query: "between 3 and 5 pm", "taken at night", "this morning", "last night"."""

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta

from askpix.retrieval.query.base import Claim, Context

_MERIDIEM = r"\s?[ap]\.?m\b\.?"
_HOUR = r"(?:1[0-2]|0?[1-9])(?:[:.][0-5]\d)?"
_CLOCK = rf"(?:{_HOUR}{_MERIDIEM}|(?:[01]?\d|2[0-3]):[0-5]\d|noon|midnight)"
_START = rf"(?:{_CLOCK}|{_HOUR})"
_END = r"(?!['’]s\b|['’]\w|[\w%$€£]|[.,/:-]\w)"
_TAKEN = r"(?:(?:taken|shot|captured|photographed|filmed|recorded|made|created)\s+)?"
_TIME = re.compile(
    rf"(?<![\w$€£.,:/-]){_TAKEN}(?:(?:between|from)\s+(?P<a>{_START})\s+(?:and|to|until|till)\s+(?P<b>{_CLOCK})"
    rf"|(?P<c>{_START})\s?[-–]\s?(?P<d>{_HOUR}{_MERIDIEM})"
    rf"|(?P<p>after|before|since|until|at|around)\s+(?P<e>{_CLOCK})){_END}",
    re.IGNORECASE,
)
_PART_OF_DAY = re.compile(
    r"(?<![\w-])(?:taken|shot|captured|photographed|filmed)\s+(?:at|in"
    r"|during)\s+(?:the\s+)?(?P<n>night|morning|afternoon|evening)s?\b",
    re.IGNORECASE,
)
_HOURS = {
    "night": (21, 22, 23, 0, 1, 2, 3, 4),
    "morning": tuple(range(5, 12)),
    "afternoon": tuple(range(12, 18)),
    "evening": tuple(range(17, 23)),
}
_MOMENT = re.compile(
    rf"(?<![\w-]){_TAKEN}(?:from\s+)?(?:(?P<w>this|yesterday) (?P<n>morning|afternoon|evening)"
    rf"|(?P<l>last night))\b(?! of\b){_END}",
    re.IGNORECASE,
)


def read_moments(text: str, context: Context) -> Iterator[Claim]:
    """ "This morning", "yesterday evening", and "last night", which ends at six."""
    if context.now is None:
        return
    midnight = datetime.combine(context.now.date(), time())
    for match in _MOMENT.finditer(text):
        if match["l"]:
            start = midnight - timedelta(hours=6)
            end = midnight + timedelta(hours=6)
        else:
            hours = _HOURS[match["n"].casefold()]
            day = midnight - timedelta(days=match["w"].casefold() == "yesterday")
            start = day + timedelta(hours=hours[0])
            end = day + timedelta(hours=hours[-1] + 1)
        shown = f"{start:%Y-%m-%dT%H}..{end - timedelta(hours=1):%Y-%m-%dT%H}"
        yield Claim(match.start(), match.end(), "date", shown, {"after": start, "before": end})


def read_times(text: str, context: Context) -> Iterator[Claim]:
    """Hours of the day by the clock, and "taken at night"; "at night" alone is what an image shows."""
    del context
    for match in _TIME.finditer(text):
        hours = _since(match["p"].casefold(), match["e"]) if match["p"] else _between(match)
        if hours:
            wanted = tuple(hour % 24 for hour in hours)
            yield Claim(match.start(), match.end(), "hour", hours_shown(wanted), {"hours": wanted})
    for match in _PART_OF_DAY.finditer(text):
        wanted = _HOURS[match["n"].casefold()]
        yield Claim(match.start(), match.end(), "hour", hours_shown(wanted), {"hours": wanted})


def _since(word: str, clock: str) -> range:
    at = hour_of(clock)
    if word in ("after", "since"):
        return range(5 if clock.casefold() == "midnight" else 24)[at:]
    return range(at) if word in ("before", "until") else range(at, at + 1)


def _between(match: re.Match[str]) -> range:
    """Whole hours from the first up to the second; "3 and 5 pm": what the first lacks it has from that."""
    begin = match["a"] or match["c"]
    end = match["b"] or match["d"]
    last = hour_of(end)
    if re.fullmatch(_HOUR, begin) and ":" not in begin:
        first = hour_of(begin)
        hour = int(re.match(r"\d+", begin)[0]) % 12  # type: ignore[index]
        if "m" not in end.casefold().removesuffix("idnight"):
            return range(0)  # "between 3 and 5:00" may be many things
        # The latest such hour before the end: "10 to 2 pm" begins in the morning.
        first = hour + 12 if hour + 12 < (last or 24) else hour
    else:
        first = hour_of(begin)
    if _minutes(end) and last != first:
        last += 1
    return range(first, last if last > first else last + 24)


def _minutes(clock: str) -> bool:
    return bool(re.search(r"[:.](?!00)\d\d", clock))


def hour_of(clock: str) -> int:
    """ "5 pm", "17:30", "noon": the hour, 0-23."""
    plain = clock.casefold()
    if plain in ("noon", "midnight"):
        return 12 if plain == "noon" else 0
    digits = re.match(r"\d+", plain)
    assert digits
    hour = int(digits[0])
    if "m" in plain:
        hour = hour % 12 + (12 if "p" in plain else 0)
    return hour


def hours_shown(hours: tuple[int, ...]) -> str:
    """ "18-20": the first and the last hour."""
    return f"{hours[0]:02}" if len(hours) == 1 else f"{hours[0]:02}-{hours[-1]:02}"
