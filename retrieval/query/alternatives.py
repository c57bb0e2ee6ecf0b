"""Reader of alternatives in a query: "in 2015 or 2018", "January, March and May 2019", "12/2018 and 12/2019".

Half of such a list would be wrong and one span over all of it too, so it is read as a whole or not at all.
"""

import re
from collections.abc import Iterator
from datetime import datetime, time
from itertools import pairwise

from askpix.retrieval.query.base import Claim, Context, text_before
from askpix.retrieval.query.date_spans import M, Span, Y, month_of, span_of
from askpix.retrieval.query.dates import AFTER_IMAGES, EXPRESSION

_ITEM = rf"(?:{EXPRESSION}|{M})"
_JOINT = r"\s*(?:,\s*(?:(?:or|and)\s+)?|(?:or|and|&)\s+)(?:(?:in|from|of|during)\s+)?"
_LIST = re.compile(
    rf"(?<![\w$€£#./:-])(?P<p>(?:(?:taken|shot|made|dated)\s+)?(?:in|from|of|during|on|either in)\s+)?"
    rf"(?P<all>{_ITEM}(?:{_JOINT}{_ITEM})+)(?!['’]s\b|['’]\w|[\w%$€£]|[./:-]\w)"
    r"(?!\s(?:people|euros?|dollars?|pounds|km|miles|m|ft|px|kg)\b)",
    re.IGNORECASE,
)
_SPLIT = re.compile(_JOINT, re.IGNORECASE)
_ONE = re.compile(_ITEM, re.IGNORECASE)


def read_lists(text: str, context: Context) -> Iterator[Claim]:
    """Two times and more as one filter: any of them will do."""
    for match in _LIST.finditer(text):
        if re.search(r"\bbetween\s+$", text_before(text, match.start()), re.IGNORECASE):
            continue
        words = [each[0] for each in _ONE.finditer(match["all"])]
        if _SPLIT.sub("", match["all"]).replace(" ", "") != "".join(words).replace(" ", ""):
            continue
        claim = _months(match, words) or _spans(match, words, text, context)
        if claim:
            yield claim


def _months(match: re.Match[str], words: list[str]) -> Claim | None:
    """Months of any year, behind a preposition."""
    numbers = [month_of(word) for word in words]
    if not match["p"] or None in numbers:
        return None
    wanted = tuple(dict.fromkeys(number for number in numbers if number))
    runs = all(after == before % 12 + 1 for before, after in pairwise(wanted))
    shown = (
        f"{wanted[0]:02}-{wanted[-1]:02}" if runs and len(wanted) > 1 else ",".join(f"{n:02}" for n in wanted)
    )
    return Claim(match.start(), match.end(), "month", shown, {"months": wanted})


def _spans(match: re.Match[str], words: list[str], text: str, context: Context) -> Claim | None:
    found = list[tuple[str, Span]]()
    year = ""
    for word in reversed(words):  # "March, April 2020": what has no year has that of the next
        whole = f"{word} {year}" if month_of(word) else word
        read = span_of(whole, now=context.now, day_first=context.day_first)
        if read is None:
            return None
        if with_year := re.search(rf"{Y}\b", whole):
            year = with_year[0]
        found.insert(0, read)
    forms = {form for form, _ in found}
    if (
        not match["p"]
        and not AFTER_IMAGES.search(text_before(text, match.start()))
        and forms & {"year", "decade", "numeric"}
    ):
        return None
    if any(form.startswith("quarter") for form in forms) and not context.about_images:
        return None
    if "year" in forms and len(forms) > 1 and "named" in forms:
        return None  # "on 12 May 2018, 2019 things"
    spans = _joined([span for _, span in found])
    moments = tuple((datetime.combine(a, time()), datetime.combine(b, time())) for a, b in spans)
    change = {"spans": moments} if len(moments) > 1 else {"after": moments[0][0], "before": moments[0][1]}
    return Claim(match.start(), match.end(), "date", ", ".join(str(span) for span in spans), change)


def _joined(spans: list[Span]) -> list[Span]:
    """Return the spans in order of time; those that touch as one."""
    joined = list[Span]()
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(span.end, joined[-1].end))
        else:
            joined.append(span)
    return joined
