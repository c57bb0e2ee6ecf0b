"""MMMU and Video-MME from the Parquet files that their authors publish on the hub."""

import ast
import re
import string
from pathlib import Path
from typing import Any

from askpix.core.errors import AskpixError
from askpix.evaluation.data.parquet import image_bytes, parquet_files, read_parquet
from askpix.evaluation.public.multiple_choice import mmmu_prompt
from askpix.evaluation.public.runner import Item

_MMMU = ("id", "question", "options", "answer", "question_type")
_VIDEO_MME = ("videoID", "question_id", "duration", "domain", "task_type", "question", "options", "answer")
_FILMS = (".mp4", ".mkv", ".webm", ".mov", ".avi")
_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
"""Prefixes that Video-MME's own scoring strips from a reply first."""


def load_mmmu_parquet(folder: Path) -> list[Item]:
    """``SUBJECT/validation-*.parquet`` of ``MMMU/MMMU``: ``id, question, options`` (a list as Python writes
    it), ``answer, question_type, image_1 .. image_7`` and ``subfield``. Images as they are numbered.

    The same prompt as for the TSV file (Yue et al. 2023, ``construct_prompt``).
    """
    files = [file for file in parquet_files(folder) if folder.is_file() or "validation" in file.name]
    items: list[Item] = []
    for file in files:
        images = [f"image_{number}" for number in range(1, 8)]
        for row in read_parquet(file, _MMMU, ["subfield", *images]):
            pictures = tuple(
                image_bytes(row[name], f"{file.name}, {row['id']}")
                for name in images
                if row.get(name) is not None
            )
            listed = _listed(row["options"]) if row["question_type"] == "multiple-choice" else ()
            choices = dict(zip(string.ascii_uppercase, listed, strict=False))
            golds = _listed(row["answer"]) or (str(row["answer"]),)
            groups = tuple(dict.fromkeys((_subject(str(row["id"])), str(row.get("subfield") or ""))))
            items.append(
                Item(
                    id=str(row["id"]),
                    prompt=mmmu_prompt(str(row["question"]), choices),
                    pictures=pictures,
                    golds=golds,
                    groups=tuple(group for group in groups if group),
                    choices=choices,
                )
            )
    if not items:
        raise AskpixError(f"{str(folder)!r} holds no validation-*.parquet; MMMU's test split has no answers")
    return items


def load_videomme(folder: Path) -> list[Item]:
    """``videomme/test-*.parquet`` and the videos as ``VIDEOID.mp4`` in any folder below (``data/``, ...).

    Fu et al. 2024, without subtitles; the prompt is the one of the benchmark's own page. Rows of the report:
    lengths (short, medium, long), domains and tasks.
    """
    files = parquet_files(folder)
    if not files:
        raise AskpixError(f"{str(folder)!r} holds no .parquet file; Video-MME's is 'videomme/test-*.parquet'")
    below = (files[0].parent if folder.is_file() else folder).rglob("*")
    films = {path.stem: path for path in below if path.suffix.lower() in _FILMS}
    items: list[Item] = []
    for file in files:
        for row in read_parquet(file, _VIDEO_MME, ["sub_category"]):
            film = films.get(str(row["videoID"]))
            if film is None:
                raise AskpixError(
                    f"no video {row['videoID']!r} under {str(folder)!r}; unpack its archives there"
                )
            options = [str(option) for option in row["options"]]
            prompt = (
                "Select the best answer to the following multiple-choice question based on the video. "
                "Respond with only the letter (A, B, C, or D) of the correct option.\n"
                f"{row['question']}\n" + "\n".join(options) + "\nThe best answer is:"
            )
            items.append(
                Item(
                    id=str(row["question_id"]),
                    prompt=prompt,
                    pictures=(),
                    golds=(str(row["answer"]),),
                    groups=tuple(str(row[name]) for name in ("duration", "domain", "task_type")),
                    choices={option[:1]: option[2:].strip() for option in options},
                    film=film,
                )
            )
    return items


def score_videomme(item: Item, reply: str) -> float:
    """1.0 for the right letter, by Video-MME's own rule (``extract_characters_regex`` of its repository):
    phrases like "The best answer is" are taken off, then the first letter of A to D counts."""
    text = reply.strip()
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    found = re.search("[ABCD]", text)
    return float(found is not None and found[0] in item.golds)


def _listed(value: Any) -> tuple[str, ...]:
    """The texts of a list, also of one that is written as Python writes it; empty when it is none."""
    if isinstance(value, str):
        if not value.startswith("["):
            return ()
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _subject(identity: str) -> str:
    """Return the subject of an id: Accounting for ``validation_Accounting_1``."""
    return identity.removeprefix("validation_").rpartition("_")[0]
