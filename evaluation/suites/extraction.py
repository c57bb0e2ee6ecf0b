"""Fields read from images held against those that were filled in by hand, exactly and nearly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from askpix.evaluation.data.questions import Receipt
from askpix.evaluation.metrics.answers import anls, same_value
from askpix.evaluation.metrics.ranking import Estimate, bootstrap

Extract = Callable[[Receipt], Mapping[str, str]]
"""The fields that were found; those that were not are left out."""
COLUMNS = ("field", "n", "exact %", "ANLS %", "when found %", "not found")


@dataclass(frozen=True, slots=True)
class FieldScores:
    """Scores of one field over all images that have it, or ``all`` of them; 0..1. A missing
    value counts 0.
    """

    field: str
    pictures: int
    exact: Estimate
    """Letter by letter, but for case, punctuation, articles and spaces (``answers.same_value``)."""
    anls: Estimate
    exact_when_found: float | None
    not_found: int


@dataclass(frozen=True, slots=True)
class FieldsReport:
    """The fields, and last ``all``: every field of every image."""

    pictures: int
    scores: tuple[FieldScores, ...]
    every_field_right: Estimate
    """Share of the images with every field right."""
    wrong: tuple[tuple[str, str, str, str | None], ...]
    """(image, field, truth, what was read), for looking at."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """Rows under ``COLUMNS``."""
        return [
            (
                each.field,
                str(each.pictures),
                _shown(each.exact),
                _shown(each.anls),
                f"{100 * each.exact_when_found:.1f}" if each.exact_when_found is not None else "-",
                str(each.not_found),
            )
            for each in self.scores
        ]


def judge_fields(
    receipts: Sequence[Receipt],
    extract: Extract,
    names: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> FieldsReport:
    """Extract the fields ``names`` of every image and compare those that the truth has."""
    # For each field: (exact, ANLS, found?) of each image.
    scored: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in names}
    whole: list[float] = []
    wrong: list[tuple[str, str, str, str | None]] = []
    for done, receipt in enumerate(receipts, start=1):
        found = extract(receipt)
        here = [name for name in names if name in receipt.fields]
        for name in here:
            truth = receipt.fields[name]
            read = found.get(name)
            exact = same_value(read, [truth]) if read is not None else 0.0
            scored[name].append((exact, anls(read, [truth]) if read is not None else 0.0, read is not None))
            if not exact:
                wrong.append((str(receipt.image), name, truth, read))
        whole.append(float(all(scored[name][-1][0] for name in here)))
        if on_progress:
            on_progress(done, len(receipts))
    groups = {name: rows for name, rows in scored.items() if rows}
    groups["all"] = [row for rows in scored.values() for row in rows]
    return FieldsReport(
        pictures=len(receipts),
        scores=tuple(_score(name, rows) for name, rows in groups.items()),
        every_field_right=bootstrap(np.array(whole)),
        wrong=tuple(wrong),
    )


def _score(name: str, rows: Sequence[tuple[float, float, bool]]) -> FieldScores:
    found = [exact for exact, _, there in rows if there]
    return FieldScores(
        field=name,
        pictures=len(rows),
        exact=bootstrap(np.array([exact for exact, _, _ in rows])),
        anls=bootstrap(np.array([near for _, near, _ in rows])),
        exact_when_found=sum(found) / len(found) if found else None,
        not_found=len(rows) - len(found),
    )


def _shown(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"
