"""Answers that a printed table or the numbers at a chart's bars hold: a cell, the highest, the lowest."""

import re
from collections.abc import Sequence

from askpix.core.types import TextLine
from askpix.generation.extractive.page import Found
from askpix.generation.extractive.tables import Table, table_by_rules
from askpix.generation.questions.understand import Asked
from askpix.generation.word_match import content_words, holds, squeeze

_HIGH = re.compile(
    r"\b(?:highest|largest|biggest|greatest|most|maximum|max|top|longest|peak)\b", re.IGNORECASE
)
_LOW = re.compile(r"\b(?:lowest|smallest|least|fewest|minimum|min|shortest)\b", re.IGNORECASE)
_RECKONS = re.compile(
    r"\b(?:second|third|2nd|3rd|fourth|differences?|between|than|sum|average|mean|median|mode|ratio|"
    r"times|adding?|"
    r"combined|together|except|divided?|subtract\w*|multipl\w+|increase[ds]?|decrease[ds]?|changed?|gap)\b|"
    r"\b(?:red|green|blue|orange|gr[ae]y|black|yellow|purple|pink|brown|navy|teal)\b|"
    r"\bhow (?:many|much) (?:more|less|fewer|bars?|categor\w+|lines?|groups?|colou?rs?)\b",
    re.IGNORECASE,
)
"""Words of questions that take more than looking up."""
_ASKS_LABEL = re.compile(
    r"^(?:in |on |at )?(?:which|who|when|where|(?:in |on )?what (?:years?|month|country|state|group))\b",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"\b(?:value|percentage|percent|number|share|rate|amount|figure|how (?:much|many))\b", re.IGNORECASE
)
_FIT = 0.8


def find_in_table(asked: Asked, lines: Sequence[TextLine]) -> Found | None:
    """Answer the question from a table on the page, where it is sure what belongs to what; else None."""
    table = table_by_rules(lines)
    if table is None or not table.sure:
        return None
    column = _column(asked, table)
    if column is None:
        return None
    high = _HIGH.search(asked.text)
    low = _LOW.search(asked.text)
    if bool(high) != bool(low):
        return _extreme(asked, table, column, largest=bool(high))
    return _cell(asked, table, column)


def _cell(asked: Asked, table: Table, column: int) -> Found | None:
    """The number of the one row whose label the question names."""
    if _RECKONS.search(asked.text) or _ASKS_LABEL.search(asked.text):
        return None
    named = [row for row in table.rows if row[column] and _named(str(row[0]), asked)]
    if len(named) > 1:  # "Rep" and "Rep/Lean Rep": the longest label that is named wholly
        longest = max(len(squeeze(str(row[0]))) for row in named)
        named = [row for row in named if len(squeeze(str(row[0]))) == longest]
    if len(named) != 1:
        return None
    return _found(named[0][0], named[0][column], str(named[0][column]))


def _extreme(asked: Asked, table: Table, column: int, *, largest: bool) -> Found | None:
    """The label, or the number, of the row with the highest or the lowest."""
    if _RECKONS.search(asked.text):
        return None
    rows = [(value, row) for row in table.rows if (value := _value(row[column])) is not None]
    if len(rows) < max(3, len(table.rows) - 1):
        return None
    ordered = sorted(rows, key=lambda each: each[0], reverse=largest)
    if ordered[0][0] == ordered[1][0]:
        return None  # two of them: either would be half the answer
    row = ordered[0][1]
    label = str(row[0])
    number = str(row[column])
    # "The company with the highest output" is a label, "the highest value" a number.
    a_value = _VALUE.search(re.split(r"\b(?:with|has|had|have)\b", asked.text, maxsplit=1)[0])
    if _ASKS_LABEL.search(asked.text) or not a_value:
        return _found(label, number, label)
    return _found(label, number, number)


def _column(asked: Asked, table: Table) -> int | None:
    """The column that is meant: the only one, or the one whose head the question names."""
    if len(table.columns) == 2:
        return 1
    named = [at for at, head in enumerate(table.columns) if at and _named(head, asked)]
    return named[0] if len(named) == 1 else None


def _named(label: str, asked: Asked) -> bool:
    """Return whether the question holds every word of a label."""
    words = content_words(label)
    return bool(words) and all(holds(asked.words, squeeze(asked.text), word) for word in words)


def _found(label: str | None, number: str | None, answer: str) -> Found:
    return Found(answer.rstrip(" *†"), f"{label} {number}", _FIT)


def _value(text: str | None) -> float | None:
    digits = re.search(r"\d+(?:[, ]\d{3}(?!\d))*(?:\.\d+)?", text or "")
    if digits is None or text is None:
        return None
    value = float(re.sub("[, ]", "", digits[0]))
    return -value if re.match(r"\s*[-−–(]", text) else value
