"""Reader of stars in a query: "rated 5 stars", "4-star photos", "at least three stars"."""

import re
from collections.abc import Iterator

from askpix.core.types import MAX_RATING
from askpix.retrieval.query.base import Claim, Context

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_NUMBER = rf"[1-5]|{'|'.join(_NUMBERS)}"
_THINGS = r"(?:photo|photograph|picture|pic|image|shot|snapshot|selfie|video|film|scan|one)s?"
_BOUND = (
    r"(?:(?P<low>at least|minimum|min\.?|no less than|not less than|>=)"
    r"|(?P<high>at most|up to|maximum|max\.?|no more than|<=)"
    r"|(?P<over>more than|over|above|>)|(?P<under>less than|under|below|<))\s*"
)
_OR = r"(?:\s+or\s+(?:(?P<up{0}>more|better|higher|above|up)|(?P<down{0}>less|fewer|worse|lower|below)))?"
_VALUE = (
    rf"(?:{_BOUND})?(?P<n>{_NUMBER})(?P<plus>\s?\+)?"
    rf"(?:\s*(?P<to>-|–|\bto\b|\bor\b|\band\b)\s*(?P<m>{_NUMBER})(?!\w))?{_OR.format(1)}"
)
_STARS = r"\s*-?\s*stars?\b"
_FOLLOWS = r"\s*(?:$|[\n,;!?)]|\.(?!\d)|(?:and|or|but|in|on|from|at|by|of|with|without|taken|that|which)\b)"
_END = r"(?![\w-]|[.,:/]\d)"
_PATTERNS = (
    # Beside the word that says so, stars need not be named; but not "rated 5 amps".
    re.compile(
        rf"(?<![\w-])(?:(?:that|which)\s+(?:i|we)\s+)?(?:rated|(?:with\s+)?(?:a\s+)?rating(?:\s+of)?)\s+"
        rf"(?:(?:with|as)\s+)?{_VALUE}(?:{_STARS}{_OR.format(2)}{_END}|(?={_FOLLOWS}))",
        re.IGNORECASE,
    ),
    # Else only right beside a word for images: not "five star hotel", nor "a flag with five stars".
    re.compile(
        rf"(?<=\w)\s(?:with|of|having)\s+{_VALUE}{_STARS}{_OR.format(2)}{_END}(?!\s+on\b)", re.IGNORECASE
    ),
    re.compile(
        rf"(?<![\w-])(?:with\s+)?{_VALUE}{_STARS}{_OR.format(2)}(?:\s+rated\b|(?=\s+{_THINGS}\b))",
        re.IGNORECASE,
    ),
)
_AFTER_THING = re.compile(rf"\b{_THINGS}$", re.IGNORECASE)
_UNRATED = re.compile(rf"(?<![\w-])(?:unrated|not yet rated)(?=\s+{_THINGS}\b|\W*$)", re.IGNORECASE)
_REACH = 16
_FIELD = re.compile(r"(?P<o>[<>]=?|=)?(?P<a>-1|[0-5])(?:(?:-|\.\.)(?P<b>[0-5])|(?P<plus>\+))?")


def read_ratings(text: str, context: Context) -> Iterator[Claim]:
    """Stars that a person gave."""
    del context
    for match in _UNRATED.finditer(text):
        yield _claim(match.start(), match.end(), 0, 0)
    for number, pattern in enumerate(_PATTERNS):
        for match in pattern.finditer(text):
            if number == 1 and not _AFTER_THING.search(text[max(0, match.start() - _REACH) : match.start()]):
                continue
            bounds = _bounds(match)
            if bounds:
                yield _claim(match.start() + (number == 1), match.end(), *bounds)


def rating_field(value: str) -> Claim | None:
    """``rating:5``, ``rating:>=4``, ``rating:3-5``; 0 is what has no rating, -1 what was rejected."""
    match = _FIELD.fullmatch(value)
    if match is None or (match["o"] and (match["b"] or match["plus"])):
        return None
    sign = match["o"] or "="
    least = most = int(match["a"])
    if match["b"]:
        most = int(match["b"])
    elif match["plus"] or sign.startswith(">"):
        least, most = least + (sign == ">"), MAX_RATING
    elif sign.startswith("<"):
        least, most = 1, most - (sign == "<")
    return _claim(0, 0, least, most) if least <= most else None


def _bounds(match: re.Match[str]) -> tuple[int, int] | None:
    number = _number(match["n"])
    if match["m"]:
        last = _number(match["m"])
        together = match["to"].casefold() not in ("or", "and") or last == number + 1
        return (number, last) if together and number <= last else None
    if match["low"] or match["plus"] or match["up1"] or match["up2"]:
        return number, MAX_RATING
    if match["high"] or match["down1"] or match["down2"]:
        return 1, number
    if match["over"]:
        return (number + 1, MAX_RATING) if number < MAX_RATING else None
    if match["under"]:
        return (1, number - 1) if number > 1 else None
    return number, number


def _number(word: str) -> int:
    return _NUMBERS.get(word.casefold(), 0) or int(word)


def _claim(start: int, end: int, least: int, most: int) -> Claim:
    bounds = f">={least}" if most == MAX_RATING else f"{least}..{most}"
    shown = str(least) if least == most else bounds
    return Claim(start, end, "rating", shown, {"rating_min": least, "rating_max": most})
