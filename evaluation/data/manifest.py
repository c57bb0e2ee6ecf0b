"""Manifests: one JSON object a line, images with what should find them.

``{"image": path, ...}`` with the path relative to the manifest, and any of

    "captions": [text, ...]                     each should find the image
    "questions": [{"question": text, ...}, ...] each should find the image, unless its "answer" is
                 or [text, ...]                 "<no answer>": the image does not say
    "query" or "queries": text or [text, ...]   each should find the image
    "fields": {"company", "date", ...}          receipts: "<company> <date>" should
    "fields": {label: value, ...}               forms: the first three "<label> <value>" of 3 to 12 words
    "split": "test" | "train" | "distractor"    only test is asked (all, when no row is test)
    "source": text                              where the image comes from: a row of the report each

or ``{"absent": text or [text, ...]}``, without an image: no image of the manifest answers it.
"""

import json
import os.path
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from askpix.core.errors import AskpixError

NO_ANSWER = "<no answer>"
_FIELDS = 3
"""Queries a form gives."""


@dataclass(frozen=True, slots=True)
class Case:
    """A query and the one image that should answer it."""

    query: str
    image: Path
    kind: str
    """Origin of the query: caption, question, key, field or query."""
    set: str = ""
    """Origin of the image: the row's "source", else the folder of the manifest."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """``gallery`` is what is searched, ``distractors`` what may be added to it; both absolute paths."""

    name: str
    cases: tuple[Case, ...]
    gallery: tuple[Path, ...]
    distractors: tuple[Path, ...]
    absent: tuple[str, ...] = ()
    """Queries that nothing answers."""


def read_manifest(path: Path) -> Dataset:
    """The data set of a manifest. Raises ``AskpixError`` naming the line that is wrong."""
    name = path.absolute().parent.name
    rows = list(read_rows(path))
    only_test = any(row.get("split") == "test" for _, row in rows)
    cases: list[Case] = []
    gallery: dict[Path, None] = {}
    distractors: dict[Path, None] = {}
    absent: list[str] = []
    for where, row in rows:
        if "absent" in row:
            absent += _texts(row, "absent", where)
            continue
        image = place_of(path, row)
        if not image.is_file():
            raise AskpixError(f"{where}: no file {row['image']!r} beside the manifest")
        if row.get("split") == "distractor":
            distractors[image] = None
        elif not only_test or row.get("split") == "test":
            gallery[image] = None
            source = str(row.get("source") or name)
            cases += [Case(query, image, kind, source) for kind, query in _queries(row, where)]
    if not cases:
        raise AskpixError(f"{str(path)!r} holds no captions, questions or queries to ask")
    return Dataset(name, tuple(cases), tuple(gallery), tuple(distractors), tuple(absent))


def merge(datasets: Sequence[Dataset]) -> Dataset:
    """Several data sets as one, with one gallery."""
    if len(datasets) == 1:
        return datasets[0]
    return Dataset(
        name="-".join(sorted(dataset.name for dataset in datasets)),
        cases=tuple(case for dataset in datasets for case in dataset.cases),
        gallery=tuple(dict.fromkeys(path for dataset in datasets for path in dataset.gallery)),
        distractors=tuple(dict.fromkeys(path for dataset in datasets for path in dataset.distractors)),
        absent=tuple(query for dataset in datasets for query in dataset.absent),
    )


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of a manifest with its place, for messages. Raises ``AskpixError`` for an
    invalid one.
    """
    try:
        # Not splitlines: JSON strings may hold U+2028 as it is.
        lines = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise AskpixError(f"cannot read the manifest {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AskpixError(f"the manifest {str(path)!r} is not UTF-8 (byte {error.start})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{str(path)!r}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AskpixError(f"{where}: not JSON ({error})") from error
        absent = isinstance(row, dict) and "absent" in row
        if not absent and not (isinstance(row, dict) and isinstance(row.get("image"), str) and row["image"]):
            raise AskpixError(f'{where}: needs an object with an "image", or with "absent"')
        yield where, row


def place_of(manifest: Path, row: dict[str, Any]) -> Path:
    """Return the path of a row's image: absolute, without ``..``, links kept, as an index names its
    sources.
    """
    return Path(os.path.abspath(manifest.parent / row["image"]))  # noqa: PTH100


def _queries(row: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    for text in _texts(row, "captions", where):
        yield "caption", text
    questions = row.get("questions") or []
    if not isinstance(questions, list):
        raise AskpixError(f'{where}: "questions" must be a list')
    for each in questions:
        question = each.get("question") if isinstance(each, dict) else each
        if not isinstance(question, str):
            raise AskpixError(f'{where}: a question must be text or an object with a "question"')
        if question.strip() and not (isinstance(each, dict) and each.get("answer") == NO_ANSWER):
            yield "question", question
    for name in ("query", "queries"):
        for text in _texts(row, name, where):
            yield "query", text
    fields = row.get("fields")
    if isinstance(fields, dict) and fields.get("company") and fields.get("date"):
        yield "key", f"{fields['company']} {fields['date']}"
    elif isinstance(fields, dict):
        yield from islice(_filled_in(fields), _FIELDS)


def _filled_in(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for label, value in fields.items():
        text = " ".join(f"{label} {value}".split()) if isinstance(value, str) else ""
        if text and value.strip() and 3 <= len(text.split()) <= 12:
            yield "field", text


def _texts(row: dict[str, Any], name: str, where: str) -> list[str]:
    value = row.get(name)
    values = [value] if isinstance(value, str) else value or []
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise AskpixError(f'{where}: "{name}" must be text or a list of texts')
    return [text for text in values if text.strip()]
