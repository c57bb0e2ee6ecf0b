"""Answers about a whole collection: counts, first and last, sums, with a few images to check."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askpix.core.types import Box, ImageRecord, Query, TextLine
from askpix.generation.answering.aggregate_groups import Groups, group, group_name, moment
from askpix.generation.answering.aggregate_sums import Sums, add_up, money
from askpix.generation.prompting.prompt import file_name
from askpix.generation.questions.aggregate import ArchiveAsked
from askpix.retrieval.classification.membership import Member, Members

_EXAMPLES = 3
_SHOWN = 30

LinesOf = Callable[[Sequence[str]], Mapping[str, tuple[TextLine, ...]]]


@dataclass(frozen=True, slots=True)
class Said:
    """The answer's words and what they cite, in the order of their markers."""

    text: str
    examples: tuple[Member, ...] = ()
    answered: bool = True
    result: Mapping[str, Any] | None = None
    quotes: Mapping[str, tuple[str, Box | None]] | None = None


def say_archive(asked: ArchiveAsked, query: Query, members: Members, lines_of: LinesOf) -> Said:
    """The answer to what was asked of these images."""
    counted = members.likely
    if not counted or (not members.clear and not members.exact):
        return _none(asked, query, members)
    match asked.what:
        case "first" | "last":
            return _ordered(asked, members)
        case "sum" | "list" | "highest" | "lowest":
            return _summed(asked, add_up(counted, lines_of, by=asked.by), members)
        case "span":
            return _span(members)
        case "group" | "most" | "fewest":
            return _grouped(asked, members, group(counted, asked.by or "year"))
        case _:
            return _counted(asked, members)


def _none(asked: ArchiveAsked, query: Query, members: Members) -> Said:
    what = _things(asked, 0)
    if members.exact or not members.found:
        by_look = query.text and not members.paper and members.passed
        if not by_look:
            return Said(f"There are no {what} here.", result={"pictures": 0})
    nearest = tuple(sorted(members.found, key=lambda each: -each.chance)[:_EXAMPLES])
    some = f" {len(members.found)} might." if members.found else ""
    return Said(
        f"No image shows that clearly enough to be counted ({members.looked_at:,} looked at).{some}",
        nearest,
        answered=False,
        result={"pictures": None, "low": 0, "high": members.bounds[1]},
    )


def _counted(asked: ArchiveAsked, members: Members) -> Said:
    count = len(members.likely)
    low, high = members.bounds
    examples = _best(members.likely)
    days = len({when.date() for each in members.likely if (when := moment(each.record)[0])})
    often = f", on {days:,} {'day' if days == 1 else 'days'}" if asked.days else ""
    result = {"pictures": count, "low": low, "high": high, **({"days": days} if asked.days else {})}
    if members.exact:
        read = ", by the words read in them" if members.read else ""
        return Said(f"{_things(asked, count)}{often}{read}.{_marks(examples)}", examples, result=result)
    text = f"About {_things(asked, count)}{often}: {_sure(members)}.{_marks(examples)}"
    return Said(text, examples, result=result)


def _sure(members: Members) -> str:
    low, high = members.bounds
    return f"{members.clear:,} clearly; by their look, so between {low:,} and {high:,} are likely"


def _ordered(asked: ArchiveAsked, members: Members) -> Said:
    late = asked.what == "last"
    dated = [(when, each) for each in members.likely if (when := moment(each.record)[0]) is not None]
    undated = len(members.likely) - len(dated)
    if not dated:
        return Said(
            f"{_things(asked, undated)} match, and none has a date.", _best(members.likely), answered=False,
            result={"undated": undated},
        )  # fmt: skip
    dated.sort(key=lambda row: (row[0], row[1].record.id), reverse=late)
    clear = [row for row in dated if row[1].clear]
    chosen = clear[: asked.limit]
    maybe = [row for row in dated[:1] if chosen and row[1] is not chosen[0][1] and not row[1].clear]
    examples = tuple(each for _, each in (*chosen, *maybe))
    order = "last" if late else "first"
    parts = [
        f"{_name(each.record)}, {_day(each.record)} [{number}]"
        for number, (_, each) in enumerate(chosen, start=1)
    ]
    one = asked.noun if not asked.search else f"{asked.noun} ({asked.search})"
    text = (
        f"The {order} {one} is {parts[0]}."
        if len(parts) == 1
        else f"The {order} {len(parts)}: {'; '.join(parts)}."
    )
    if maybe:
        text += (
            f" {'A later' if late else 'An earlier'} one may be {_name(maybe[0][1].record)}, "
            f"{_day(maybe[0][1].record)} [{len(chosen) + 1}], but it shows it less clearly."
        )
    if undated:
        text += f" {undated:,} more without a date {'is' if undated == 1 else 'are'} not in this order."
    result = {"pictures": len(members.likely), "undated": undated, "date": chosen[0][0].isoformat()}
    return Said(text, examples, result=result)


def _span(members: Members) -> Said:
    dated = sorted(
        ((when, each) for each in members.likely if (when := moment(each.record)[0]) is not None),
        key=lambda row: (row[0], row[1].record.id),
    )
    undated = len(members.likely) - len(dated)
    if not dated:
        return Said(
            "None of the images has a date.",
            _best(members.likely),
            answered=False,
            result={"undated": undated},
        )
    first = dated[0]
    last = dated[-1]
    text = f"From {_day(first[1].record)} [1] to {_day(last[1].record)} [2]"
    text += f"; {undated:,} of {len(members.likely):,} images have no date." if undated else "."
    result = {"first": first[0].isoformat(), "last": last[0].isoformat(), "undated": undated}
    return Said(text, (first[1], last[1]), result=result)


def _grouped(asked: ArchiveAsked, members: Members, groups: Groups) -> Said:
    by = asked.by or "year"
    if not groups.counts:
        return Said(
            f"Of {_things(asked, len(members.likely))} none has a {by} that is known.",
            answered=False,
            result={"groups": [], "without": groups.without},
        )
    rows = list(groups.counts.items())
    about = "" if members.exact else "about "
    if asked.what in ("most", "fewest"):
        rows.sort(key=lambda row: (row[1] if asked.what == "fewest" else -row[1], row[0]))
        best = rows[0]
        ties = [group_name(by, value) for value, count in rows[1:] if count == best[1]]
        examples = _best([each for each in members.likely if best[0] in groups.of[each.record.id]])
        text = f"{group_name(by, best[0])}: {about}{_things(asked, best[1])}.{_marks(examples)}"
        if ties:
            text += f" As many: {', '.join(ties[:5])}."
        elif rows[1:]:
            text += " Then " + ", ".join(f"{group_name(by, v)} ({c:,})" for v, c in rows[1:4]) + "."
    else:
        shown = rows[:_SHOWN]
        more = f", and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        listed = ", ".join(f"{group_name(by, value)}: {about}{count:,}" for value, count in shown)
        examples = _best(members.likely)
        text = f"{listed}{more}.{_marks(examples)}"
    if groups.without:
        text += f" {groups.without:,} more have no {by} that is known."
    if not members.exact:
        low, high = members.bounds
        text += f" By their look: all together between {low:,} and {high:,} are likely."
    result = {
        "groups": [{"value": value, "pictures": count} for value, count in rows],
        "without": groups.without,
    }
    return Said(text, examples, result=result)


def _summed(asked: ArchiveAsked, sums: Sums, members: Members) -> Said:
    unread = len(sums.left_out)
    result: dict[str, Any] = {
        "unread": unread,
        "left_out": [
            {"uri": each.record.uri, "reason": "no total could be read"} for each in sums.left_out[:_SHOWN]
        ],
    }
    if not sums.read:
        text = f"No total could be read on {_things(asked, len(members.likely))}."
        return Said(text, _best(members.likely), answered=False, result=result)
    ordered = sums.read[::-1] if asked.what == "lowest" else sums.read
    shown = ordered[: _SHOWN if asked.what == "list" else _EXAMPLES]
    examples = tuple(each.member for each in shown)
    quotes = {each.member.record.id: (each.quote, each.box) for each in shown}
    names = ", ".join(_name(each.record) for each in sums.left_out[:_EXAMPLES])
    more = ", ..." if unread > _EXAMPLES else ""
    missing = (
        f" {len(sums.read):,} of {len(members.likely):,} were read; no total could be read on {names}{more}."
        if unread
        else ""
    )
    if asked.what in ("highest", "lowest"):
        best = shown[0]
        text = f"{best.money} on {_name(best.member.record)} [1], of {len(sums.read):,} read.{missing}"
        result |= {"amount": best.amount, "currency": best.currency}
        return Said(text, examples, result=result, quotes=quotes)
    result |= {"sums": dict(sums.by_currency), "receipts": len(sums.read), "groups": dict(sums.groups)}
    if asked.what == "list":
        rows = [f"{each.money} on {_name(each.member.record)} [{n}]" for n, each in enumerate(shown, start=1)]
        rest = f"; and {len(sums.read) - len(shown):,} more" if len(sums.read) > len(shown) else ""
        result["totals"] = [
            {"uri": each.member.record.uri, "amount": each.amount, "currency": each.currency}
            for each in shown
        ]
        return Said(f"{'; '.join(rows)}{rest}.{missing}", examples, result=result, quotes=quotes)
    text = f"{money(sums.by_currency)} on {_things(asked, len(sums.read))}, as read by rules. The largest:"
    text += (
        ",".join(f" {each.money} [{number}]" for number, each in enumerate(shown, start=1)) + f".{missing}"
    )
    if sums.groups:
        text += " " + ", ".join(f"{value}: {amount}" for value, amount in sums.groups.items()) + "."
    return Said(text, examples, result=result, quotes=quotes)


def _best(members: Sequence[Member]) -> tuple[Member, ...]:
    """A few to be looked at: the clearest."""
    return tuple(sorted(members, key=lambda each: -each.chance)[:_EXAMPLES])


def _marks(examples: Sequence[Member]) -> str:
    label = " For example:" if len(examples) > 1 else ""
    return f"{label} " + " ".join(f"[{i}]" for i in range(1, len(examples) + 1)) if examples else ""


def _things(asked: ArchiveAsked, count: int) -> str:
    noun = asked.noun if count == 1 else f"{asked.noun}s"
    left = re.sub(rf"^{re.escape(asked.noun)}s?\b ?", "", asked.search)
    return f"{f'{count:,} ' if count else ''}{noun}" + (f" ({left})" if left else "")


def _name(record: ImageRecord) -> str:
    name = "".join(char if char.isprintable() else " " for char in file_name(record))[:120]
    return name.replace("[", "(").replace("]", ")") + (f", page {record.page}" if record.page else "")


def _day(record: ImageRecord) -> str:
    when, written = moment(record)
    return (
        f"{when.day} {when:%B %Y}" + (" (the date written in it)" if written else "") if when else "no date"
    )
