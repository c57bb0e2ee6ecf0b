"""Questions asked through the real path: was the image found, was it read right, was silence right?

For an answerable question there are four fates: ``right`` (its measure gives more than nothing), ``misread``
(the image was handed over and something else was said), ``refused`` (it was handed over and nothing was
said) and ``not found`` (it was not handed over, whatever was said). Takes a callable: nothing here knows how
images are searched or answers made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from askpix.evaluation.data.questions import MEASURES, Question
from askpix.evaluation.metrics.ranking import Estimate, bootstrap

Fate = Literal["right", "misread", "refused", "not found", "rightly silent", "wrongly loud"]
COVERAGES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. ``cost_usd`` None: the price is not known; ``confidence`` 0..1, None: not known."""

    answer: str | None
    """Without citation markers; None for silence."""
    found: bool
    """The right image was among those that the generator was handed."""
    confidence: float | None = None
    input_tokens: int = 0
    image_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    took_ms: float = 0.0


Ask = Callable[[Question, bool], Reply]
"""(question, is its image to be as if it were not there?) -> reply."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one question. ``score`` is by its measure, or 1.0 for silence where silence is right."""

    question: Question
    answer: str | None
    score: float
    fate: Fate
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Risk:
    """Keeping the part ``coverage`` of the answers, the most confident ones, this much of them is wrong."""

    coverage: float
    confidence: float
    risk: float


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """A group of questions; shares of 0..1, None where there is nothing to take the share of."""

    group: str
    answerable: int
    score: Estimate | None
    """Mean of the measure over the answerable, silence counting nothing: as papers report it."""
    score_when_answered: Estimate | None
    right: int
    misread: int
    refused: int
    not_found: int
    unanswerable: int
    silent: Estimate | None
    """Share of the unanswerable questions that were met with silence."""
    absent_silent: Estimate | None
    """Share of the answerable questions met with silence when their image is not there; None: not measured.
    """
    mean_input_tokens: float
    mean_image_tokens: float
    mean_output_tokens: float
    mean_cost_usd: float | None
    """Mean cost of a question; None when the price of any is not known."""
    mean_ms: float


COLUMNS = (
    "questions",
    "n",
    "score %",
    "when answered %",
    "right",
    "misread",
    "refused",
    "not found",
    "silent if unanswerable %",
    "silent if absent %",
)


@dataclass(frozen=True, slots=True)
class AskingReport:
    """Report: all first, then by set and kind. ``risks`` is None when no reply had a confidence."""

    gallery: int
    generator: str
    scores: tuple[AnswerScores, ...]
    risks: tuple[Risk, ...] | None
    outcomes: tuple[Outcome, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """Rows under ``COLUMNS``."""
        return [
            (
                each.group,
                str(each.answerable + each.unanswerable),
                _shown(each.score),
                _shown(each.score_when_answered),
                *(str(n) for n in (each.right, each.misread, each.refused, each.not_found)),
                _shown(each.silent),
                _shown(each.absent_silent),
            )
            for each in self.scores
        ]


def ask_all(
    questions: Sequence[Question],
    ask: Ask,
    *,
    gallery: int,
    generator: str,
    absent: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> AskingReport:
    """Ask every question once, with ``absent`` each answerable one again without its image."""
    outcomes: list[Outcome] = []
    replies: list[Reply] = []
    silent: list[float | None] = []
    for done, question in enumerate(questions, start=1):
        reply = ask(question, False)
        replies.append(reply)
        outcomes.append(_outcome(question, reply))
        asked_again = absent and question.answerable
        silent.append(float(ask(question, True).answer is None) if asked_again else None)
        if on_progress:
            on_progress(done, len(questions))
    groups = {"all": list(range(len(questions)))}
    names = [f"{question.set} {question.kind}" for question in questions]
    if len(set(names)) > 1:
        for position, name in enumerate(names):
            groups.setdefault(name, []).append(position)
    scores = tuple(
        _score(name, [outcomes[i] for i in chosen], [replies[i] for i in chosen], [silent[i] for i in chosen])
        for name, chosen in groups.items()
    )
    return AskingReport(gallery, generator, scores, risk_coverage(outcomes), tuple(outcomes))


def risk_coverage(outcomes: Sequence[Outcome]) -> tuple[Risk, ...] | None:
    """Risk (1 - mean score) of the most confident answers (El-Yaniv and Wiener 2010); silence is no answer.

    None when there is no answer with a confidence. Answers of one confidence are kept or left together.
    """
    answered = [
        (each.confidence, each.score if each.fate != "wrongly loud" else 0.0)
        for each in outcomes
        if each.answer is not None and each.confidence is not None
    ]
    if not answered:
        return None
    confidence, score = np.array(answered, dtype=float).T
    falling = np.sort(confidence)[::-1]
    risks = []
    for coverage in COVERAGES:
        least = float(falling[math.ceil(coverage * len(falling)) - 1])
        kept = confidence >= least
        risks.append(Risk(float(kept.mean()), least, float(1 - score[kept].mean())))
    return tuple(risks)


def _outcome(question: Question, reply: Reply) -> Outcome:
    fate: Fate
    if not question.answerable:
        score = float(reply.answer is None)
        fate = "rightly silent" if reply.answer is None else "wrongly loud"
    else:
        score = 0.0 if reply.answer is None else MEASURES[question.measure](reply.answer, question.golds)
        if score > 0:
            fate = "right"
        elif not reply.found:
            fate = "not found"
        else:
            fate = "refused" if reply.answer is None else "misread"
    return Outcome(question, reply.answer, score, fate, reply.confidence)


def _score(
    group: str, outcomes: Sequence[Outcome], replies: Sequence[Reply], silent: Sequence[float | None]
) -> AnswerScores:
    there = [each for each in outcomes if each.question.answerable]
    costs = [each.cost_usd for each in replies]
    fates = [each.fate for each in there]
    return AnswerScores(
        group=group,
        answerable=len(there),
        score=_estimate([each.score for each in there]),
        score_when_answered=_estimate([each.score for each in there if each.answer is not None]),
        right=fates.count("right"),
        misread=fates.count("misread"),
        refused=fates.count("refused"),
        not_found=fates.count("not found"),
        unanswerable=len(outcomes) - len(there),
        silent=_estimate([each.score for each in outcomes if not each.question.answerable]),
        absent_silent=_estimate([each for each in silent if each is not None]),
        mean_input_tokens=_mean([each.input_tokens for each in replies]),
        mean_image_tokens=_mean([each.image_tokens for each in replies]),
        mean_output_tokens=_mean([each.output_tokens for each in replies]),
        mean_cost_usd=None if None in costs else _mean([cost or 0.0 for cost in costs]),
        mean_ms=_mean([each.took_ms for each in replies]),
    )


def _estimate(values: Sequence[float]) -> Estimate | None:
    return bootstrap(np.array(values, dtype=float)) if values else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"
