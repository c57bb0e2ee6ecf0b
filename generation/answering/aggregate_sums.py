"""What receipts add up to: the total of each, read by rules, by currency; nothing is guessed."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from askpix.core.types import Box, TextLine
from askpix.generation.answering.aggregate_groups import group_name, values
from askpix.generation.extractive.page import Page
from askpix.generation.extractive.receipt import find_total
from askpix.generation.grounding.citations import locate
from askpix.generation.questions.aggregate_patterns import By
from askpix.retrieval.classification.membership import Member
from askpix.retrieval.text.entities import read_number

_AT_ONCE = 256
_SIGN = re.compile(
    r"(?<![A-Za-z])(RM|MYR|USD|EUR|GBP|CHF|SGD|AUD|CAD|JPY|INR|SEK|NOK|DKK)(?![A-Za-z])|([$€£¥₹])",
    re.IGNORECASE,
)
_ALIKE = {"MYR": "RM", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_NUMBER = re.compile(r"\d[\d., ']*")

LinesOf = Callable[[Sequence[str]], Mapping[str, tuple[TextLine, ...]]]


@dataclass(frozen=True, slots=True)
class Paid:
    """A receipt's total with its proof."""

    member: Member
    amount: float
    currency: str
    """As written ("RM", "$"), "" where no sign stands on the page."""
    quote: str
    box: Box | None

    @property
    def money(self) -> str:
        return f"{self.currency} {self.amount:,.2f}".strip()


@dataclass(frozen=True, slots=True)
class Sums:
    """``read`` by falling amount."""

    read: tuple[Paid, ...]
    unread: int
    by_currency: Mapping[str, float]
    groups: Mapping[str, str] = field(default_factory=dict)


def add_up(members: Sequence[Member], lines_of: LinesOf, *, by: By | None = None) -> Sums:
    """The totals of receipts, each currency for itself, and by year, month ... when asked."""
    read: list[Paid] = []
    for start in range(0, len(members), _AT_ONCE):
        batch = members[start : start + _AT_ONCE]
        lines = lines_of([each.record.id for each in batch])
        read += [paid for each in batch if (paid := _paid(each, lines.get(each.record.id, ())))]
    read.sort(key=lambda each: (-each.amount, each.member.record.id))
    groups: dict[str, Counter[str]] = {}
    for each in read if by else ():
        for value in values(each.member.record, by or "year")[:1]:
            groups.setdefault(value, Counter())[each.currency] += each.amount  # type: ignore[assignment]
    shown = {group_name(by or "year", value): money(groups[value]) for value in sorted(groups)}
    sums: Counter[str] = Counter()
    for each in read:
        sums[each.currency] += each.amount  # type: ignore[assignment]
    whole = {currency: round(float(amount), 2) for currency, amount in sums.most_common()}
    return Sums(tuple(read), len(members) - len(read), whole, shown)


def money(sums: Mapping[str, float]) -> str:
    """Amounts of several currencies in words."""
    return " + ".join(
        f"{currency} {amount:,.2f}" if currency else f"{amount:,.2f} without a currency's sign"
        for currency, amount in sums.items()
    )


def _paid(member: Member, lines: Sequence[TextLine]) -> Paid | None:
    found = find_total(Page(lines)) if lines else None
    number = _NUMBER.search(found.value) if found else None
    if found is None or number is None:
        return None
    sign = _sign(found.value) or _sign(found.quote) or _usual_sign(lines)
    quote = found.quote if locate(found.quote, lines) else found.value
    return Paid(member, read_number(number[0].rstrip(".,' ")), sign, quote, locate(quote, lines))


def _sign(text: str) -> str:
    found = _SIGN.search(text)
    return _named(found) if found else ""


def _usual_sign(lines: Sequence[TextLine]) -> str:
    signs = Counter(_named(found) for line in lines for found in _SIGN.finditer(line.text))
    return signs.most_common(1)[0][0] if signs else ""


def _named(found: re.Match[str]) -> str:
    sign = (found[1] or found[2]).upper()
    return _ALIKE.get(sign, sign)
