"""Extraction of one field of a schema from the words of a page: the rule that finds it, and its value in the
field's type.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from askpix.generation.extractive import receipt
from askpix.generation.extractive.page import Found, Page
from askpix.generation.extractive.patterns import value_of
from askpix.generation.extractive.values import find_value
from askpix.generation.questions.understand import understand
from askpix.generation.word_match import normalise, tokens
from askpix.retrieval.text.entities import MONTHS, plain

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_YES = frozenset("yes true x checked ja oui si".split())
_NO = frozenset("no false unchecked nein non".split())


@dataclass(frozen=True, slots=True)
class Field:
    """A value in the field's type, the words as written, and the quote that shows it."""

    value: Any
    written: str
    quote: str


def find_field(name: str, schema: Mapping[str, Any], page: Page) -> Field | None:
    """The field ``name`` of a page; None when nothing is found that has its type."""
    for asked in questions(name, schema):
        found = _usual(asked, page) or find_value(understand(f"What is the {asked}?"), page)
        if found is None:
            continue
        value = _typed(found.value, schema)
        if value is not None:
            return Field(value, found.value, found.quote)
    return None


def words_of(name: str) -> str:
    """``invoiceDate``, ``invoice_date`` and ``Invoice date`` as words."""
    return " ".join(word.lower() for word in _WORDS.findall(name)) or name


def questions(name: str, schema: Mapping[str, Any]) -> list[str]:
    """Return the names that the field may have on a page, in order: its name, title and description."""
    texts = [words_of(name), schema.get("title"), schema.get("description")]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str) and 0 < len(text) < 200))


def _usual(asked: str, page: Page) -> Found | None:
    """Find what receipts have in a usual place, for fields with its plain name."""
    plain = tuple(tokens(asked))
    if plain in (("total",), ("grand", "total"), ("total", "amount"), ("amount", "due")):
        return receipt.find_total(page)
    if plain == ("date",):
        return receipt.find_date(page)
    if plain[-1:] in (("company",), ("merchant",), ("vendor",), ("seller",), ("store",), ("shop",)):
        return receipt.find_company(page)
    if plain == ("address",):
        return receipt.find_address(page)
    return None


def _typed(written: str, schema: Mapping[str, Any]) -> Any:
    """The words in the schema's type; None when they have none."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        plain = normalise(written)
        fitting = [choice for choice in choices if normalise(str(choice)) == plain]
        fitting = fitting or [choice for choice in choices if normalise(str(choice)) in plain]
        return fitting[0] if len(fitting) == 1 else None
    kinds = schema.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "number" in kinds or "integer" in kinds:
        number = value_of(written)
        if number is None:
            return None
        if "number" in kinds:
            return number
        return int(number) if number == int(number) else None
    if "boolean" in kinds:
        plain = normalise(written).strip(" .:")
        return True if plain in _YES else False if plain in _NO else None
    if "string" not in kinds:
        return None
    return iso_date(written) if schema.get("format") == "date" else written


def iso_date(written: str) -> str | None:
    """``15/03/2018``, ``15 Mar 18``, ``2018-03-15`` as ``2018-03-15``; day first where both fit."""
    parts = re.findall(r"\d+|[^\W\d_]+", plain(written))
    named = [MONTHS[part] for part in parts if part in MONTHS]
    numbers = [part for part in parts if part.isdigit()]
    if named and len(numbers) >= 2:
        orders = [(numbers[1], str(named[0]), numbers[0]), (numbers[0], str(named[0]), numbers[1])]
    elif len(numbers) >= 3:
        a, b, c = numbers[:3]
        orders = [(a, b, c)] if len(a) == 4 else [(c, b, a), (c, a, b)]
    else:
        return None
    for year, month, day in orders:
        full = int(year) + (2000 if int(year) < 70 else 1900) * (len(year) <= 2)
        try:
            return datetime(full, int(month), int(day)).date().isoformat()
        except ValueError:
            continue
    return None
