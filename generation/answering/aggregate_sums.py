"""Sums of receipts: the total of each, read by rules, by currency; nothing is guessed."""

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
from askpix.retrieval.text.money import currencies, find_money

_AT_ONCE = 256
_CREDIT = re.compile(
    r"\bcredit (?:note|memo|invoice)\b|\bgutschrift\b|\bstorno\b|\bavoir\b|\bcreditnota\b"
    r"|\bnota (?:di credito|de cr[eé]dito)\b|\brefund\b",
    re.IGNORECASE,
)
"""Headings of papers whose total is subtracted, whatever its sign."""
_HEAD = 6
"""Lines in which the kind of a paper is named."""

LinesOf = Callable[[Sequence[str]], Mapping[str, tuple[TextLine, ...]]]


@dataclass(frozen=True, slots=True)
class Paid:
    """A receipt's total with its proof."""

    member: Member
    amount: float
    currency: str
    """Currency as written ("RM", "$"); "" where no sign stands on the page."""
    quote: str
    box: Box | None

    @property
    def money(self) -> str:
        return f"{self.currency} {self.amount:,.2f}".strip()


@dataclass(frozen=True, slots=True)
class Sums:
    """``read`` by falling amount."""

    read: tuple[Paid, ...]
    left_out: tuple[Member, ...]
    """Papers on which no total could be read."""
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
    known = {each.member.record.id for each in read}
    left_out = tuple(each for each in members if each.record.id not in known)
    return Sums(tuple(read), left_out, whole, shown)


def money(sums: Mapping[str, float]) -> str:
    """Amounts of several currencies in words."""
    return " + ".join(
        f"{currency} {amount:,.2f}" if currency else f"{amount:,.2f} without a currency's sign"
        for currency, amount in sums.items()
    )


def _paid(member: Member, lines: Sequence[TextLine]) -> Paid | None:
    found = find_total(Page(lines)) if lines else None
    read = find_money(found.value) if found else []
    if found is None or not read:
        return None
    named = [read[0].currency, *currencies(found.quote), *_usual(lines)]
    amount = read[0].amount
    if any(_CREDIT.search(line.text) for line in lines[:_HEAD]):
        amount = -abs(amount)
    quote = found.quote if locate(found.quote, lines) else found.value
    return Paid(member, amount, next(filter(None, named), ""), quote, locate(quote, lines))


def _usual(lines: Sequence[TextLine]) -> list[str]:
    """The currency that a page names most."""
    every = Counter(name for line in lines for name in currencies(line.text))
    return [name for name, _ in every.most_common(1)]
