"""Measures of single answers, by the definitions of their papers."""

import re
import string
import unicodedata
from collections.abc import Callable, Sequence

from askpix.evaluation.metrics.edit_distance import edit_distance

ANLS_THRESHOLD = 0.5
"""Normalised distance from which an answer counts nothing (Biten et al. 2019)."""
TOLERANCE = 0.05
"""Relative error a number may have (Masry et al. 2022, after Methani et al. 2020)."""
NO_ANSWER = "<no answer>"
"""Gold answer of a question that the image does not answer, where saying so is right."""

Measure = Callable[[str, Sequence[str]], float]
"""``(answer, gold answers) -> score`` in 0..1; several gold answers are alternatives, the best counts."""

_CURRENCY = re.compile(r"\b(?:RM|MYR|USD|EUR|GBP|SGD|CHF|JPY|INR|AUD|CAD)(?![a-z])", re.IGNORECASE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, no punctuation, no English articles, single spaces (SQuAD, Rajpurkar et al. 2016)."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def same_value(answer: str, golds: Sequence[str]) -> float:
    """1.0 when the value of a field is one of the gold values, currencies, spaces and case left aside.

    Numbers are compared as numbers (6785 is not 67.85), texts by ``normalised`` without their spaces: whether
    one stands after a comma is a matter of the printer.
    """
    return float(any(_plain_value(answer) == _plain_value(gold) for gold in golds))


def _plain_value(text: str) -> float | str:
    value = number(_CURRENCY.sub("", text))
    return value if value is not None else normalised(text).replace(" ", "")


def anls(answer: str, golds: Sequence[str]) -> float:
    """Average normalised Levenshtein similarity of one question (Biten et al. 2019, used by DocVQA).

    ``max over golds of 1 - NL`` where ``NL`` is the edit distance over the longer length, in lower case and
    without outer spaces; 0 when ``NL >= 0.5``.
    """
    return max((_similarity(answer, gold) for gold in golds), default=0.0)


def _similarity(answer: str, gold: str) -> float:
    one = " ".join(answer.lower().split())
    other = " ".join(gold.lower().split())
    longest = max(len(one), len(other))
    distance = edit_distance(one, other) / longest if longest else 0.0
    return 1.0 - distance if distance < ANLS_THRESHOLD else 0.0


def relaxed_accuracy(answer: str, golds: Sequence[str]) -> float:
    """1.0 for a number within 5 % of a gold number, or else for the same text (ChartQA, Masry et al. 2022).

    Per cent signs, currency signs and thousands separators are taken off; zero must be met exactly.
    """
    return float(any(_relaxed(answer, gold) for gold in golds))


def _relaxed(answer: str, gold: str) -> bool:
    found = number(answer)
    wanted = number(gold)
    if found is not None and wanted is not None:
        return abs(found - wanted) <= TOLERANCE * abs(wanted) + 1e-12
    return answer.strip().casefold() == gold.strip().casefold()


def number(text: str) -> float | None:
    """The number that a text is, if it is one and nothing else: ``"1,234.5 %"`` -> 1234.5."""
    plain = re.sub(r"[\s%$€£¥]", "", text)
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    return float(plain) if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)", plain, re.ASCII) else None
