"""The same questions at several sizes of the images, by several embedders and generators: which to take?

One row for each choice. Where the words of the images stop being read as they shrink is told apart from
where they stop being found and from where the generator fails: ``read`` asks only whether a right answer
stands in what OCR read of its image. Takes callables: nothing here knows a collection.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from askpix.evaluation.data.questions import Question
from askpix.evaluation.metrics.ranking import Estimate, bootstrap
from askpix.evaluation.suites.answering import AskingReport
from askpix.evaluation.suites.retrieval import RetrievalReport

COLUMNS = (
    "longer side",
    "embedder",
    "generator",
    "R@1 %",
    "R@5 %",
    "answer read %",
    "score %",
    "right",
    "misread",
    "refused",
    "not found",
    "$ / question",
    "ms",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """``side``: pixels of the longer side that images were shrunk to; None: as they are."""

    side: int | None
    embedder: str
    generator: str | None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """Figures of one choice; None where the manifest has no queries, or no questions with answers."""

    choice: Choice
    pictures: int
    recall_1: Estimate | None
    recall_5: Estimate | None
    read: Estimate | None
    score: Estimate | None
    fates: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = 0.0
    """Mean of a question; None: a price is not known."""
    mean_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Rows in the order of the choices."""

    dataset: str
    questions: int
    rows: tuple[SweepRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def cells(self) -> list[tuple[str, ...]]:
        """Rows under ``COLUMNS``."""
        return [
            (
                "as it is" if row.choice.side is None else str(row.choice.side),
                row.choice.embedder,
                row.choice.generator or "-",
                _shown(row.recall_1),
                _shown(row.recall_5),
                _shown(row.read),
                _shown(row.score),
                *(str(row.fates.get(fate, "-")) for fate in ("right", "misread", "refused", "not found")),
                "not known" if row.cost_usd is None else f"{row.cost_usd:.5f}",
                f"{row.mean_ms:.0f}",
            )
            for row in self.rows
        ]


def sweep_row(
    choice: Choice,
    *,
    pictures: int,
    found: RetrievalReport | None,
    read: Estimate | None,
    asked: AskingReport | None,
) -> SweepRow:
    """Return one choice's figures over the whole manifest."""
    whole = found.scores[0] if found else None
    answers = asked.scores[0] if asked else None
    fates = (
        {
            "right": answers.right,
            "misread": answers.misread,
            "refused": answers.refused,
            "not found": answers.not_found,
        }
        if answers
        else {}
    )
    return SweepRow(
        choice=choice,
        pictures=pictures,
        recall_1=whole.recall_1 if whole else None,
        recall_5=whole.recall_5 if whole else None,
        read=read,
        score=answers.score if answers else None,
        fates=fates,
        cost_usd=answers.mean_cost_usd if answers else 0.0,
        mean_ms=answers.mean_ms if answers else 0.0,
    )


def gold_read(questions: Sequence[Question], text_of: Callable[[Path], str]) -> Estimate | None:
    """Return the share of the answerable questions with a right answer in the words of their image.

    Compared without case, spaces and accents. It is a bound of what a generator can do that reads and does
    not look, and above it where answers have to be worked out. None without answerable questions.
    """
    answerable = [question for question in questions if question.answerable]
    if not answerable:
        return None
    texts = {image: _plain(text_of(image)) for image in {question.image for question in answerable}}
    there = [any(_plain(gold) in texts[question.image] for gold in question.golds) for question in answerable]
    return bootstrap(np.array(there, dtype=float))


def _plain(text: str) -> str:
    kept = unicodedata.normalize("NFKD", text).casefold()
    return "".join(each for each in kept if not each.isspace() and not unicodedata.combining(each))


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"
