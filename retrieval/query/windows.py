"""Parts of a text that a reader need look at: around the words that what it reads is made of."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from askpix.retrieval.query.base import Claim, Context, Reader
from askpix.retrieval.query.date_spans import MONTH_WORDS, SEASON_MONTHS, WEEKDAYS

_LONG = 240
"""Characters up to which a text is read as a whole."""
_AROUND = 100
"""Characters before and behind a word that are read with it."""
_WORD = re.compile(r"\w+")
_DATES = frozenset(
    """today yesterday ago older newer day days week weeks weekend weekends weekday weekdays month months
    year years christmas xmas easter halloween thanksgiving valentine valentines eve twenties thirties
    forties fifties sixties seventies eighties nineties""".split()
) | {name + ending for name in (*MONTH_WORDS, *WEEKDAYS, *SEASON_MONTHS) for ending in ("", "s")}
_HOURS = frozenset("noon midnight night morning mornings afternoon afternoons evening evenings".split())
_DENIALS = frozenset(
    """not never nor neither no nothing none nowhere isn isnt aren arent wasn wasnt weren werent don dont
    didn didnt haven havent leave leaving omit omitting skip skipping hide hiding non all any every
    anything everything everyone everywhere anywhere anyone anytime everytime anyone except excepting
    excluding exclude excludes exclusive other apart aside besides save minus without outside ignore
    ignoring rather instead sans far away beyond excluded left included omitted excepted""".split()
)
Spots = Mapping[str, Sequence[int]]
"""Places of the words of a kind."""


def spots_of(text: str) -> Spots:
    """Places where a text speaks of time or numbers, and where it denies."""
    dates: list[int] = []
    hours: list[int] = []
    denials: list[int] = []
    for match in _WORD.finditer(text):
        word = match[0].lower()
        number = not word.isalpha()
        if number or word in _DATES:
            dates.append(match.start())
        if number or word in _HOURS:
            hours.append(match.start())
        if word in _DENIALS:
            denials.append(match.start())
    return {"dates": dates, "hours": hours, "denials": denials}


def claims_in(
    text: str, read: Reader, context: Context, *, spots: Sequence[int] | None, near: Sequence[int] | None
) -> Iterator[Claim]:
    """Run a reader over a text; ``spots``: only around these; ``near``: only around the last changes."""
    if spots is not None and not spots:
        return
    if len(text) <= _LONG:
        yield from read(text, context)
        return
    places = near if spots is None else spots
    if near is not None and spots is not None:
        places = [spot for spot in spots if _is_near(spot, near)]
    if places is None:
        yield from read(text, context)
        return
    for start, end in _windows(text, places):
        # A word at either edge: the window is neither the beginning nor all of the text.
        head = "x\n" if start else ""
        tail = "\nx" if end < len(text) else ""
        for claim in read(f"{head}{text[start:end]}{tail}", context):
            shift = start - len(head)
            yield replace(claim, start=claim.start + shift, end=claim.end + shift)


def _is_near(spot: int, changes: Sequence[int]) -> bool:
    """``changes`` ascend."""
    at = bisect_left(changes, spot - _AROUND)
    return at < len(changes) and changes[at] <= spot + _AROUND


def _windows(text: str, places: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for place in places:
        start = text.rfind(" ", 0, max(0, place - _AROUND)) + 1
        end = text.find(" ", place + _AROUND)
        end = len(text) if end < 0 else end
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
