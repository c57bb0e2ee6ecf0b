"""Are answers right, and does silence come at the right time?

Measures of single answers, by their papers' definitions, and a report over cases. Takes callables: nothing
here knows how an answer is made.
"""

import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from askpix.evaluation.metrics.edit_distance import edit_distance

ANLS_THRESHOLD = 0.5
"""Normalised distance from which an answer counts nothing (Biten et al. 2019)."""
TOLERANCE = 0.05
"""Relative error a number may have (Masry et al. 2022, after Methani et al. 2020)."""
NO_ANSWER = "<no answer>"
"""As a gold answer: the picture does not say, and saying so is right."""

Measure = Callable[[str, Sequence[str]], float]
"""``(answer, gold answers) -> score`` in 0..1; several gold answers are alternatives, the best counts."""
Ask = Callable[["AnswerCase"], str | None]
"""The answer's text without citation markers; None when it says that there is none."""

_CURRENCY = re.compile(r"\b(?:RM|MYR|USD|EUR|GBP|SGD|CHF|JPY|INR|AUD|CAD)(?![a-z])", re.IGNORECASE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, no punctuation, no English articles, single spaces (SQuAD, Rajpurkar et al. 2016)."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1.0 when the normalised answer is one of the normalised gold answers."""
    return float(any(normalised(answer) == normalised(gold) for gold in golds))


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
    one, other = " ".join(answer.lower().split()), " ".join(gold.lower().split())
    longest = max(len(one), len(other))
    distance = edit_distance(one, other) / longest if longest else 0.0
    return 1.0 - distance if distance < ANLS_THRESHOLD else 0.0


def relaxed_accuracy(answer: str, golds: Sequence[str]) -> float:
    """1.0 for a number within 5 % of a gold number, or else for the same text (ChartQA, Masry et al. 2022).

    Per cent signs, currency signs and thousands separators are taken off; zero must be met exactly.
    """
    return float(any(_relaxed(answer, gold) for gold in golds))


def _relaxed(answer: str, gold: str) -> bool:
    found, wanted = number(answer), number(gold)
    if found is not None and wanted is not None:
        return abs(found - wanted) <= TOLERANCE * abs(wanted) + 1e-12
    return answer.strip().casefold() == gold.strip().casefold()


def number(text: str) -> float | None:
    """The number that a text is, if it is one and nothing else: ``"1,234.5 %"`` -> 1234.5."""
    plain = re.sub(r"[\s%$€£¥]", "", text)
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    return float(plain) if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)", plain, re.ASCII) else None


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """A question with its gold answers; ``image`` is the picture it is about."""

    question: str
    golds: tuple[str, ...]
    image: str | None = None
    kind: str = ""

    @property
    def answerable(self) -> bool:
        """False when the gold answer is that there is none."""
        return bool(self.golds) and self.golds[0] != NO_ANSWER


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one case. ``score`` is 0 for silence on an answerable question."""

    case: AnswerCase
    answer: str | None
    score: float


@dataclass(frozen=True, slots=True)
class AnswersReport:
    """Shares of 0..1; None where there is nothing to take the share of."""

    cases: int
    answerable: int
    score: float | None
    """Mean over the answerable: the measure as papers report it."""
    answered_rate: float | None
    """Of the answerable, how many were answered."""
    accuracy_when_answered: float | None
    """Mean score of those answerable that were answered: how far an answer can be trusted."""
    unanswerable: int
    unanswerable_accuracy: float | None
    """Of the unanswerable, how many were met with silence."""
    wrong: int
    """Answers that score nothing, given to answerable and unanswerable questions alike."""
    outcomes: tuple[Outcome, ...]


def evaluate_answers(
    cases: Iterable[AnswerCase],
    ask: Ask,
    *,
    measure: Measure = anls,
    on_progress: Callable[[int], None] | None = None,
) -> AnswersReport:
    """Ask every case once and score it. ``on_progress(done)`` is called after each."""
    outcomes: list[Outcome] = []
    for done, case in enumerate(cases, start=1):
        answer = ask(case)
        if not case.answerable:
            score = float(answer is None)
        else:
            score = measure(answer, case.golds) if answer is not None else 0.0
        outcomes.append(Outcome(case, answer, score))
        if on_progress is not None:
            on_progress(done)
    answerable = [each for each in outcomes if each.case.answerable]
    unanswerable = [each for each in outcomes if not each.case.answerable]
    answered = [each for each in answerable if each.answer is not None]
    return AnswersReport(
        cases=len(outcomes),
        answerable=len(answerable),
        score=_mean([each.score for each in answerable]),
        answered_rate=_mean([float(each.answer is not None) for each in answerable]),
        accuracy_when_answered=_mean([each.score for each in answered]),
        unanswerable=len(unanswerable),
        unanswerable_accuracy=_mean([each.score for each in unanswerable]),
        wrong=sum(each.answer is not None and each.score == 0.0 for each in outcomes),
        outcomes=tuple(outcomes),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
