"""MMBench and MMMU from the TSV files that OpenCompass publishes: a question a row, images in base64."""

import ast
import base64
import binascii
import csv
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from askpix.core.errors import AskpixError
from askpix.evaluation.public.runner import Item

ROTATED = 1_000_000
"""A row's index modulo this is its question's: rows beyond are the same question with its options rotated."""
_REFERENCE = 64
"""An image of no more characters is the index of the row that holds it."""


def load_mmbench(folder: Path) -> list[Item]:
    """``MMBench_*.tsv``: ``index, question, hint, A .. D, answer, category, l2-category, image`` (and split).

    Circular evaluation (Liu et al. 2023, section 4.1): a question counts when the model is right for every
    rotation of its options. Where a file has no rotated rows they are made here. The prompt is VLMEvalKit's.
    """
    rows = [row for row in _rows(_file(folder)) if row.get("answer")]
    if not rows:
        raise AskpixError(f"{str(folder)!r} has no answers; MMBench's test split is scored by its own server")
    pictures = _ImageCount(rows)
    rotated = any(_index(row) >= ROTATED for row in rows)
    items: list[Item] = []
    for row in rows:
        index = _index(row)
        choices = {letter: row[letter] for letter in string.ascii_uppercase if row.get(letter)}
        if row["answer"] not in choices:
            raise AskpixError(f"row {index}: the answer {row['answer']!r} is none of its options")
        groups = tuple(row[name] for name in ("l2-category", "category") if row.get(name))
        turns = 1 if rotated else len(choices)
        for turn in range(turns):
            turned, answer = rotate(choices, row["answer"], turn)
            items.append(
                Item(
                    id=str(index + turn * ROTATED),
                    prompt=_mmbench_prompt(row, turned),
                    pictures=pictures.of(row),
                    golds=(answer,),
                    groups=groups,
                    choices=turned,
                    whole=str(index % ROTATED),
                )
            )
    return items


def load_mmmu(folder: Path) -> list[Item]:
    """``MMMU_DEV_VAL.tsv``: as MMBench's, with a list of images in ``image`` and no options for open
    questions. Rows of the split ``validation`` are taken, where there is one (Yue et al. 2023).

    The prompt is the one of the benchmark's repository (``construct_prompt``, ``llava1.5.yaml``).
    """
    rows = [row for row in _rows(_file(folder)) if row.get("answer")]
    validation = [row for row in rows if row.get("split") == "validation"]
    pictures = _ImageCount(rows)
    items: list[Item] = []
    for row in validation or rows:
        choices = {letter: row[letter] for letter in string.ascii_uppercase if row.get(letter)}
        prompt = mmmu_prompt(row["question"], choices)
        groups = tuple(row[name] for name in ("l2-category", "category") if row.get(name))
        golds = _listed(row["answer"]) or (row["answer"],)
        items.append(Item(str(_index(row)), prompt, pictures.of(row), golds, groups, choices))
    if not items:
        raise AskpixError(f"{str(folder)!r} has no answers; MMMU's test split is scored by its own server")
    return items


def mmmu_prompt(question: str, choices: Mapping[str, str]) -> str:
    """Build the prompt like ``construct_prompt`` of MMMU's repository."""
    if not choices:
        return f"{question}\n\nAnswer the question using a single word or phrase."
    options = "".join(f"({letter}) {text}\n" for letter, text in choices.items())
    return f"{question}\n\n{options}\n\nAnswer with the option's letter from the given choices directly."


def rotate(choices: dict[str, str], answer: str, turn: int) -> tuple[dict[str, str], str]:
    """The texts moved ``turn`` letters on, and the letter under which the right one stands then."""
    letters = list(choices)
    moved = {letters[(place + turn) % len(letters)]: choices[letter] for place, letter in enumerate(letters)}
    return {letter: moved[letter] for letter in letters}, letters[
        (letters.index(answer) + turn) % len(letters)
    ]


def _mmbench_prompt(row: dict[str, str], choices: dict[str, str]) -> str:
    hint = f"Hint: {row['hint']}\n" if row.get("hint") else ""
    options = "".join(f"{letter}. {text}\n" for letter, text in choices.items())
    please = "Please select the correct answer from the options above. \n"
    return f"{hint}Question: {row['question']}\nOptions:\n{options}{please}"


class _ImageCount:
    """Images by the rows that hold them; rotated rows refer to the first."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self._held = {_index(row): row["image"] for row in rows if len(row.get("image") or "") > _REFERENCE}
        self._decoded: dict[str, tuple[bytes, ...]] = {}

    def of(self, row: dict[str, str]) -> tuple[bytes, ...]:
        image = row.get("image") or ""
        if len(image) <= _REFERENCE:
            holder = int(image) if image.isdecimal() else _index(row) % ROTATED
            if holder not in self._held:
                raise AskpixError(f"row {_index(row)} has no image, and row {holder} has none for it")
            image = self._held[holder]
        if image not in self._decoded:
            try:
                whole = _listed(image) or (image,)
                self._decoded[image] = tuple(base64.b64decode(each, validate=True) for each in whole)
            except (binascii.Error, ValueError) as error:
                raise AskpixError(f"row {_index(row)}: its image is not base64") from error
        return self._decoded[image]


def _listed(text: str) -> tuple[str, ...]:
    """The texts of a list as Python writes it; empty when it is none."""
    if not text.startswith("["):
        return ()
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _file(folder: Path) -> Path:
    """Return the one TSV file of a folder, or the file itself."""
    if folder.is_file():
        return folder
    found = sorted(folder.glob("*.tsv"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise AskpixError(f"{str(folder)!r} must hold one .tsv file; there is {names}. Name the file itself")
    return found[0]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, dialect="excel-tab")
            missing = {"index", "question", "answer", "image"} - set(reader.fieldnames or ())
            if missing:
                raise AskpixError(
                    f"{str(path)!r} has no column {sorted(missing)[0]!r}; is it the published file?"
                )
            for row in reader:
                # pandas writes what is missing as nothing; some files say nan.
                yield {name: value for name, value in row.items() if name and value and value != "nan"}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AskpixError(f"cannot read {str(path)!r}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _index(row: dict[str, str]) -> int:
    try:
        return int(float(row["index"]))
    except (KeyError, ValueError, OverflowError) as error:
        raise AskpixError(f"a row has no number as index: {row.get('index')!r}") from error
