"""Questions with the answers that are right, from the manifests of ``askpix.evaluation.data.manifest``.

    "questions": [{"question", "answer", "answers": [...], "kind", "measure"}, ...]
    "fields": {"company", "date", ...}   of receipts: the others are asked for by company and date

The answer ``<no answer>`` says that the image does not say. ``measure`` (of a question or a row) is
``relaxed``, ``anls`` or ``exact``; without it, charts (a ``source`` or folder whose name holds "chart") are
measured by relaxed accuracy as ChartQA is, the rest by ANLS as DocVQA is, and fields exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askpix.core.errors import AskpixError
from askpix.evaluation.data.manifest import place_of, read_rows
from askpix.evaluation.metrics.answers import NO_ANSWER, Measure, anls, relaxed_accuracy, same_value

MEASURES: Mapping[str, Measure] = {"relaxed": relaxed_accuracy, "anls": anls, "exact": same_value}
RECEIPT_FIELDS = ("company", "date", "address", "total")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the gold answers (alternatives), and the one image it is about."""

    text: str
    golds: tuple[str, ...]
    image: Path
    measure: str
    """A key of ``MEASURES``."""
    kind: str
    """Kind by the manifest, or ``question``; fields are ``field NAME``."""
    set: str
    """Origin of the image: the row's "source", else the folder of the manifest."""

    @property
    def answerable(self) -> bool:
        """False when the gold answer is that there is none."""
        return self.golds[0] != NO_ANSWER


@dataclass(frozen=True, slots=True)
class Receipt:
    """An image with the fields that were filled in by hand."""

    image: Path
    fields: Mapping[str, str]


def read_questions(path: Path) -> list[Question]:
    """The questions of a manifest's test images that have an answer to hold against.

    Raises ``AskpixError`` naming the line that is wrong, or when there is none.
    """
    name = path.absolute().parent.name
    rows = list(read_rows(path))
    only_test = any(row.get("split") == "test" for _, row in rows)
    found: list[Question] = []
    for where, row in rows:
        if "absent" in row:
            continue
        if row.get("split") in (("distractor",) if not only_test else ("distractor", "train", None)):
            continue
        image = place_of(path, row)
        source = str(row.get("source") or name)
        found += _asked(row, where, image, source, name)
        found += _of_fields(row, image, source)
    if not found:
        raise AskpixError(f"{str(path)!r} holds no questions with answers")
    return found


def read_receipts(path: Path) -> list[Receipt]:
    """The rows of a manifest whose fields have a company and a date, as receipts do; other fields are kept.

    Raises ``AskpixError`` when there is none.
    """
    found = []
    for _, row in read_rows(path):
        fields = row.get("fields") if "image" in row else None
        if isinstance(fields, dict) and fields.get("company") and fields.get("date"):
            values = {str(name): value for name, value in fields.items() if isinstance(value, str) and value}
            found.append(Receipt(place_of(path, row), values))
    if not found:
        raise AskpixError(f"{str(path)!r} holds no receipts: rows with fields 'company' and 'date'")
    return found


def _asked(row: dict[str, Any], where: str, image: Path, source: str, name: str) -> list[Question]:
    found: list[Question] = []
    asked = row.get("questions") or []
    if not isinstance(asked, list):
        raise AskpixError(f'{where}: "questions" must be a list')
    for each in asked:
        if not isinstance(each, dict) or not isinstance(each.get("question"), str):
            continue
        more = each.get("answers") or []
        if not isinstance(more, list):
            raise AskpixError(f'{where}: "answers" must be a list')
        golds = [each.get("answer"), *more]
        texts = tuple(dict.fromkeys(str(gold) for gold in golds if gold is not None and str(gold).strip()))
        usual = "relaxed" if "chart" in f"{source} {name}".lower() else "anls"
        measure = each.get("measure") or row.get("measure") or usual
        if not isinstance(measure, str) or measure not in MEASURES:
            raise AskpixError(f"{where}: no measure {measure!r}; there are {', '.join(MEASURES)}")
        if texts and each["question"].strip():
            kind = str(each.get("kind") or "question")
            found.append(Question(each["question"], texts, image, measure, kind, source))
    return found


def _of_fields(row: dict[str, Any], image: Path, source: str) -> list[Question]:
    fields = row.get("fields")
    if not isinstance(fields, dict) or not fields.get("company") or not fields.get("date"):
        return []
    return [
        Question(
            f"What is the {name} on the receipt of {fields['company']} of {fields['date']}?",
            (fields[name],),
            image,
            "exact",
            f"field {name}",
            source,
        )
        for name in RECEIPT_FIELDS
        if name not in ("company", "date") and isinstance(fields.get(name), str) and fields[name].strip()
    ]
