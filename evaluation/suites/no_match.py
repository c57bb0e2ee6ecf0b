"""Does it know when nothing matches? Each query twice: with its images there, and with them left out.

Left out is the whole concept and not one image: what another query of the same thing is about would still
be found, and rightly. An image is of a query's concept when one of its own queries shares a telling word
with it (one that queries of at most a tenth of the images hold) or means nearly the same.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from askpix.core.types import Vectors
from askpix.evaluation.data.manifest import Case
from askpix.evaluation.metrics.ranking import Estimate, auroc

Ask = Callable[[str, frozenset[str]], tuple[bool, float]]
"""(query, paths of images that are to be as if they were not there) -> (matched?, confidence 0..1)."""

TELLING = 0.1
"""A word is telling when queries of at most this part of the images hold it."""
SAME_MEANING = 0.4
"""Cosine of two sentences (all-MiniLM-L6-v2) about one thing."""
COVERAGES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.5)
_WORD = re.compile(r"\w{3,}")
_ROUNDS = 300

COLUMNS = ("queries of", "n", "left out", "AUROC", "false refusals %", "false acceptances %")
RISK_COLUMNS = ("queries of", "present kept %", "at confidence", "absent kept %", "wrong among kept %")


@dataclass(frozen=True, slots=True)
class Risk:
    """Keeping so much of what is there (``coverage``) lets so much through that is not."""

    coverage: float
    confidence: float
    absent_kept: float
    risk: float
    """Absent ones among all that are kept, were both asked equally often."""


@dataclass(frozen=True, slots=True)
class AbsentScores:
    """Separation of present and absent queries of one group, and the decisions of the shipped line."""

    group: str
    queries: int
    left_out: float
    """Images of a concept, on the average."""
    auroc: Estimate
    false_refusals: float
    """The part of present queries that is told nothing matches."""
    false_acceptances: float
    """The part of absent queries that is shown something."""
    risks: tuple[Risk, ...]


@dataclass(frozen=True, slots=True)
class AbsentReport:
    """Report with one ``AbsentScores`` a group."""

    gallery: int
    scores: tuple[AbsentScores, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of a table, see ``COLUMNS``."""
        return [
            (
                each.group,
                str(each.queries),
                f"{each.left_out:.1f}",
                f"{each.auroc.value:.3f} ({each.auroc.low:.3f} to {each.auroc.high:.3f})",
                f"{100 * each.false_refusals:.1f}",
                f"{100 * each.false_acceptances:.1f}",
            )
            for each in self.scores
        ]

    def risk_rows(self) -> list[tuple[str, ...]]:
        """Rows of a table, see ``RISK_COLUMNS``."""
        return [
            (
                each.group,
                f"{100 * risk.coverage:.0f}",
                f"{risk.confidence:.3f}",
                f"{100 * risk.absent_kept:.1f}",
                f"{100 * risk.risk:.1f}",
            )
            for each in self.scores
            for risk in each.risks
        ]


def judge_absence(
    groups: Sequence[tuple[str, Sequence[Case]]],
    every: Sequence[Case],
    ask: Ask,
    embed: Callable[[Sequence[str]], Vectors],
    *,
    gallery: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> AbsentReport:
    """Ask each group's cases with their concept there and without it. ``every`` are all queries of the
    images in the gallery: they say what is in an image. ``embed`` gives ``(n, dim)`` unit rows."""
    scores: list[AbsentScores] = []
    total = sum(len(cases) for _, cases in groups)
    done = 0
    for name, cases in groups:
        concepts = find_concepts(cases, every, embed)
        present: list[tuple[bool, float]] = []
        absent: list[tuple[bool, float]] = []
        for case, concept in zip(cases, concepts, strict=True):
            present.append(ask(case.query, frozenset()))
            absent.append(ask(case.query, concept))
            done += 1
            if on_progress:
                on_progress(done, total)
        scores.append(_scores(name, present, absent, float(np.mean([len(c) for c in concepts]))))
    return AbsentReport(gallery, tuple(scores))


def find_concepts(
    cases: Sequence[Case], every: Sequence[Case], embed: Callable[[Sequence[str]], Vectors]
) -> list[frozenset[str]]:
    """Return for each case the paths of the images that show or say what it asks for, its own among them."""
    words: dict[str, set[str]] = {}
    for case in every:
        words.setdefault(str(case.image), set()).update(_words(case.query))
    spread = Counter(word for held in words.values() for word in held)
    by_word: dict[str, set[str]] = {}
    for path, held in words.items():
        for word in held:
            by_word.setdefault(word, set()).add(path)
    paths = np.array([str(case.image) for case in every])
    meanings = embed([case.query for case in every])
    asked = embed([case.query for case in cases])
    found: list[frozenset[str]] = []
    for case, meaning in zip(cases, asked, strict=True):
        telling = [word for word in _words(case.query) if 0 < spread[word] <= TELLING * len(words)]
        alike = set(paths[meanings @ meaning >= SAME_MEANING].tolist())
        found.append(frozenset({str(case.image)} | alike | {p for word in telling for p in by_word[word]}))
    return found


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _scores(
    group: str, present: Sequence[tuple[bool, float]], absent: Sequence[tuple[bool, float]], left_out: float
) -> AbsentScores:
    there, gone = (np.array([confidence for _, confidence in each]) for each in (present, absent))
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(_ROUNDS):
        chosen = generator.integers(0, len(there), len(there))
        samples.append(auroc(there[chosen].tolist(), gone[chosen].tolist()))
    low, high = np.quantile(samples, [0.025, 0.975])
    return AbsentScores(
        group=group,
        queries=len(present),
        left_out=left_out,
        auroc=Estimate(auroc(there.tolist(), gone.tolist()), float(low), float(high)),
        false_refusals=1 - float(np.mean([matched for matched, _ in present])),
        false_acceptances=float(np.mean([matched for matched, _ in absent])),
        risks=tuple(_risk(there, gone, coverage) for coverage in COVERAGES),
    )


def _risk(there: Any, gone: Any, coverage: float) -> Risk:
    least = float(np.quantile(there, 1 - coverage, method="lower"))
    kept = float((there >= least).mean())
    wrong = float((gone >= least).mean())
    return Risk(coverage, least, wrong, wrong / (kept + wrong))
