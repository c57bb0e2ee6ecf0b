"""Manifests: one JSON object a line, pictures with what should find them.

``{"image": path, ...}`` with the path relative to the manifest, and any of

    "captions": [text, ...]                     each should find the picture
    "questions": [{"question": text, ...}, ...] each should find the picture
    "query" or "queries": text or [text, ...]   each should find the picture
    "fields": {"company", "date", ...}          receipts: "<company> <date>" should
    "split": "test" | "train" | "distractor"    only test is asked (all, when no row has a split)
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import AskpixError


@dataclass(frozen=True, slots=True)
class Case:
    """A query and the one picture that should answer it."""

    query: str
    image: Path
    kind: str
    """Where the query comes from: caption, question, key or query."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """``gallery`` is what is searched, ``distractors`` what may be added to it; both absolute paths."""

    name: str
    cases: tuple[Case, ...]
    gallery: tuple[Path, ...]
    distractors: tuple[Path, ...]


def read_manifest(path: Path) -> Dataset:
    """The data set of a manifest. Raises ``AskpixError`` naming the line that is wrong."""
    rows = list(_rows(path))
    splits = {row.get("split") for row in rows}
    asked = "test" if "test" in splits else None
    cases: list[Case] = []
    gallery: list[Path] = []
    distractors: list[Path] = []
    for row in rows:
        image = (path.parent / row["image"]).absolute()
        if row.get("split") == "distractor":
            distractors.append(image)
        elif row.get("split") == asked:
            gallery.append(image)
            cases += [Case(query, image, kind) for kind, query in _queries(row)]
    if not cases:
        raise AskpixError(f"{str(path)!r} holds no captions, questions or queries to ask")
    return Dataset(path.absolute().parent.name, tuple(cases), tuple(gallery), tuple(distractors))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AskpixError(f"cannot read the manifest {str(path)!r}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise AskpixError(f"{str(path)!r}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise AskpixError(f'{str(path)!r}, line {number}: needs an object with "image"')
        yield row


def _queries(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from (("caption", text) for text in _texts(row.get("captions")))
    for question in row.get("questions") or ():
        if isinstance(question, dict) and isinstance(question.get("question"), str):
            yield "question", question["question"]
    yield from (("query", text) for text in _texts(row.get("queries") or row.get("query")))
    fields = row.get("fields")
    if isinstance(fields, dict) and fields.get("company") and fields.get("date"):
        yield "key", f"{fields['company']} {fields['date']}"


def _texts(value: Any) -> Sequence[str]:
    values = [value] if isinstance(value, str) else value or ()
    return [text for text in values if isinstance(text, str) and text.strip()]
