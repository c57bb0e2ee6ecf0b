"""Citations against what they cite: a quote is shown only when its words stand in the image."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from askpix.core.text.layout import reading_order, union
from askpix.core.types import Box, Citation, Evidence, TextLine
from askpix.generation.prompting.prompt import ParsedAnswer

_SEPARATORS = ".,:/-"


def locate(quote: str, lines: Sequence[TextLine]) -> Box | None:
    """Return the box around the lines that hold the words of ``quote``; None when they do not.

    Case, punctuation and spaces do not matter (OCR swallows spaces), nor where a line ends: a quote may run
    over several boxes of a row, over the end of a line, or from a cell to the one under it. Digits must be
    the same with the same separators, and whole: "7.85" is not in "67.85". The first place that fits counts.
    """
    pattern = _pattern(quote)
    if pattern is None:
        return None
    for order, text, ends in _orders(tuple(lines)):
        found = pattern.search(text)
        if found:
            start = next(i for i, end in enumerate(ends) if found.start() < end)
            stop = next(i for i, end in enumerate(ends) if found.end() <= end)
            return union(line.box for line in order[start : stop + 1])
    return None


def verify(parsed: ParsedAnswer, evidence: Sequence[Evidence]) -> tuple[bool, tuple[Citation, ...]]:
    """Return whether the answer stands, and its citations with boxes.

    A quote that its evidence does not hold is dropped. An answer stands when at least one citation does: a
    quote that was found, or a bare number. Evidence in which no words were read cannot contradict a quote;
    the citation stands then without it. Nothing is cited for an answer that does not stand.
    """
    by_number = {each.number: each for each in evidence}
    citations: list[Citation] = []
    stands = False
    for cited in parsed.cited:
        each = by_number.get(cited.marker)
        if each is None:
            continue
        record = each.hit.record
        box = locate(cited.quote, each.lines) if cited.quote else None
        quote = cited.quote if box is not None else None
        box = box or each.region
        citation = Citation(cited.marker, record.id, record.uri, record.page, quote, box, record.time_s)
        stands = stands or cited.quote is None or quote is not None or not each.lines
        if citation not in citations:
            citations.append(citation)
    if not (parsed.answered and stands):
        return False, ()
    quoted = {citation.marker for citation in citations if citation.quote}
    return True, tuple(c for c in citations if c.quote or c.marker not in quoted)


@lru_cache(maxsize=16)
def _orders(lines: tuple[TextLine, ...]) -> list[tuple[Sequence[TextLine], str, list[int]]]:
    """The lines as given, row by row, and every cell with the one under it; each with ``_joined``.

    Kept for the pages that are asked about now: finding the cells compares each line with each other one.
    """
    orders: list[Sequence[TextLine]] = [lines, ordered := reading_order(lines)]
    for line in ordered:
        under = [other for other in ordered if _under(line.box, other.box)]
        orders += [(line, other) for other in under[:3]]
    return [(order, *_joined(order)) for order in orders]


def _under(box: Box, other: Box) -> bool:
    shared = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = box.y1 - box.y0
    middle = (other.y0 + other.y1) / 2
    return shared > 0 and box.y1 - 0.5 * height < middle and other.y0 - box.y1 < 4 * height


def _joined(lines: Sequence[TextLine]) -> tuple[str, list[int]]:
    pieces: list[str] = []
    ends: list[int] = []
    length = 0
    for line in lines:
        piece = _normalise(line.text) + "\n"
        pieces.append(piece)
        length += len(piece)
        ends.append(length)
    return "".join(pieces), ends


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@lru_cache(maxsize=512)
def _pattern(quote: str) -> re.Pattern[str] | None:
    """Return the pattern that finds the quote in a normalised text; None when it has no letter, digit or
    currency sign.

    The gaps between letters allow a few other characters only, so that the search stays linear.
    """
    text = _normalise(quote)
    parts: list[str] = []
    last: int | None = None
    for index, char in enumerate(text):
        if not char.isalnum():
            continue
        if last is not None:
            parts.append(_gap(text[last], text[last + 1 : index], char))
        parts.append(re.escape(char))
        last = index
    if last is None:
        return None
    first = next(char for char in text if char.isalnum())
    before = r"(?<![0-9])(?<![0-9][.,:/\-])" if first.isdigit() else ""
    after = r"(?![0-9])(?![.,:/\-][0-9])" if text[last].isdigit() else ""
    short = sum(char.isalnum() for char in text) < 4
    if short and first.isalpha():
        before = r"(?<![^\W\d_])"
    if short and text[last].isalpha():
        after = r"(?![^\W\d_])"
    return re.compile(before + "".join(parts) + after)


def _gap(left: str, between: str, right: str) -> str:
    """Return the pattern of what may lie between two letters or digits of the quote in the text."""
    if not (left.isdigit() and right.isdigit()):
        return r"[\W_]{0,12}"
    if not between:
        return ""
    mark = between.strip()
    if len(mark) == 1 and mark in _SEPARATORS:
        return rf"[^\w.,:/\-]{{0,3}}{re.escape(mark)}[^\w.,:/\-]{{0,3}}"
    return r"[\W_]{1,12}"
