"""Reader of amounts of money in a query: "over 50", "under $20", "between 10 and 20 euros"."""

import re
from collections.abc import Iterator
from typing import Any

from askpix.retrieval.query.base import Claim, Context
from askpix.retrieval.text.money import read_number

_SIGN = r"(?:[$€£¥₹]|(?:RM|USD|EUR|GBP|CHF|JPY|INR|CAD|AUD|SGD|MYR|SEK|NOK|DKK|US\$|Rs)\b\.?)"
_WORD = (
    r"(?:[$€£¥₹]|(?:dollars?|euros?|pounds?|francs?|ringgit|yen|rupees?|bucks|usd|eur|gbp|chf|rm"
    r"|myr|jpy|inr)\b)"
)
_K = r"(?P<k>\s?k\b)?"
_N = r"\d{1,3}(?:[,.'’\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d{1,7}(?:[.,]\d{1,2})?"
_END = r"(?![\w%]|[.,:/-]\d)"
_PAID = (
    r"(?:(?:costing|that cost|which cost|cost(?:s|ing)?|worth|priced|totall?ing|for|of|with (?:a "
    r"|an )?(?:total|amount) of|amount(?:s|ing)? to)\s+)?"
)
_OVER = (
    r"over|above|more than|greater than|bigger than|larger than|higher than|at least|no less than"
    r"|exceeding|from|>=?"
)
_UNDER = (
    r"under|below|less than|smaller than|lower than|cheaper than|at most|no more than|up to|not"
    r" over|not more than|<=?"
)
_ONE = re.compile(
    rf"(?<![\w-]){_PAID}(?P<o>{_OVER}|{_UNDER})\s*(?P<s>{_SIGN})?\s?(?P<n>{_N}){_K}(?:\s?(?P<w>{_WORD}))?{_END}",
    re.IGNORECASE,
)
_TWO = re.compile(
    rf"(?<![\w-]){_PAID}(?P<o>between|from)\s+(?P<s>{_SIGN})?\s?(?P<a>{_N})(?:\s?{_WORD})?\s+(?:and"
    rf"|to)\s+(?:{_SIGN})?\s?(?P<b>{_N})"
    rf"(?:\s?(?P<w>{_WORD}))?{_END}",
    re.IGNORECASE,
)
_FOLLOWS = re.compile(
    r"\s*(?:$|[\n,.;!?)]|(?:and|or|but|in|on|from|at|by|with|without|not|last|this|since|before|after"
    r"|near|for|paid|total"
    r"|during|between|of|to|taken|dated|that|which|i|we|my)\b)",
    re.IGNORECASE,
)
"""Words that may follow a sum without a currency: not "over 50 people"."""
_INCLUSIVE = frozenset(
    {
        "at least",
        "no less than",
        "at most",
        "no more than",
        "up to",
        "not over",
        "not more than",
        "from",
        ">=",
        "<=",
    }
)


def read_amounts(text: str, context: Context) -> Iterator[Claim]:
    """Bounds of a sum. Without a currency only where the query speaks of receipts, prices or paying."""
    for match in _TWO.finditer(text):
        low = read_number(match["a"])
        high = read_number(match["b"])
        named = match["s"] or match["w"]
        if low > high or not (
            named or (context.about_money and _bare(text, match) and not _years(low, high))
        ):
            continue
        yield _claim(match, f"{low:g}..{high:g}", {"amount_min": low, "amount_max": high})
    for match in _ONE.finditer(text):
        word = " ".join(match["o"].casefold().split())
        number = read_number(match["n"]) * (1000 if match["k"] else 1)
        named = match["s"] or match["w"]
        if not named and (not context.about_money or not _bare(text, match) or word == "from"):
            continue
        over = re.fullmatch(_OVER, word) is not None
        yield bound(match, over=over, inclusive=word in _INCLUSIVE, number=number)


def bound(match: re.Match[str], *, over: bool, inclusive: bool, number: float) -> Claim:
    """One bound. "Over 50" begins a cent above: the filter's bounds are inclusive."""
    value = f"{'>' if over else '<'}{'=' if inclusive else ''}{number:g}"
    cent = 0.0 if inclusive else 0.01
    if over:
        return _claim(match, value, {"amount_min": round(number + cent, 2)})
    return _claim(match, value, {"amount_max": round(number - cent, 2)})


def _bare(text: str, match: re.Match[str]) -> bool:
    return _FOLLOWS.match(text, match.end()) is not None


def _years(low: float, high: float) -> bool:
    return all(1900 <= each <= 2100 and each == int(each) for each in (low, high))


def _claim(match: re.Match[str], value: str, change: dict[str, Any]) -> Claim:
    return Claim(match.start(), match.end(), "amount", value, change)
