"""ChartQA, DocVQA and OCRBench: the files as published, the prompts, the official scores."""

import json
from pathlib import Path
from typing import Any

from askpix.core.errors import AskpixError
from askpix.evaluation.metrics.answers import ANLS_THRESHOLD, TOLERANCE, anls
from askpix.evaluation.metrics.edit_distance import edit_distance
from askpix.evaluation.public.runner import Item

SHORT = "\nAnswer the question using a single word or phrase."
"""Instruction that VLMEvalKit adds to the questions of ChartQA and DocVQA, as LLaVA 1.5 did."""


def load_chartqa(folder: Path) -> list[Item]:
    """``test_human.json`` and ``test_augmented.json``: ``[{"imgname", "query", "label"}]``, and ``png/``; in
    the folder itself, in ``test/`` or in ``ChartQA Dataset/test/`` (https://github.com/vis-nlp/ChartQA)."""
    places = (folder, folder / "test", folder / "ChartQA Dataset" / "test")
    place = next((each for each in places if (each / "test_human.json").is_file()), None)
    if place is None:
        raise AskpixError(f"no 'test_human.json' in {str(folder)!r}; ChartQA's folder 'test' holds it")
    items: list[Item] = []
    for name in ("human", "augmented"):
        for number, row in enumerate(read_list(place / f"test_{name}.json", ("imgname", "query", "label"))):
            picture = image_in(place / "png", row["imgname"])
            prompt = f"{row['query']}{SHORT}"
            items.append(Item(f"{name}-{number}", prompt, (picture,), (str(row["label"]),), (name,)))
    return items


def score_chartqa(item: Item, reply: str) -> float:
    """Relaxed accuracy as it is computed for published figures (pix2struct's ``relaxed_correctness``, which
    VLMEvalKit uses): numbers within 5 % of the gold number, "42%" being 0.42; else the same text but
    for case. A gold number of 0 must be met letter by letter."""
    said = reply.strip()
    gold = item.golds[0]
    found = _to_float(said)
    wanted = _to_float(gold)
    if found is not None and wanted:
        return float(abs(found - wanted) / abs(wanted) <= TOLERANCE)
    return float(said.lower() == gold.lower())


def load_docvqa(folder: Path) -> list[Item]:
    """``val_v1.0*.json``: ``{"data": [{"questionId", "question", "image", "answers", "question_types"?}]}``
    and ``documents/`` (https://www.docvqa.org, task 1). The test split has no answers: it is not for here."""
    found = sorted(path for path in folder.glob("**/*val*.json") if path.is_file())
    if len(found) != 1:
        raise AskpixError(
            f"{str(folder)!r} holds {len(found)} files '*val*.json'; DocVQA has one, 'val_v1.0.json'"
        )
    items: list[Item] = []
    for row in read_list(found[0], ("questionId", "question", "image", "answers"), key="data"):
        answers = row["answers"]
        if not isinstance(answers, list) or not answers:
            raise AskpixError(f"{str(found[0])!r}: question {row['questionId']!r} has no answers")
        kinds = tuple(str(kind) for kind in row.get("question_types") or ())
        picture = image_in(found[0].parent, row["image"])
        golds = tuple(str(answer) for answer in answers)
        items.append(Item(str(row["questionId"]), f"{row['question']}{SHORT}", (picture,), golds, kinds))
    return items


def score_docvqa(item: Item, reply: str) -> float:
    """ANLS (Biten et al. 2019). The official code keeps a similarity of exactly 0.5, where the paper's
    formula does not; this is the code's."""
    exact = max((_at_threshold(reply, gold) for gold in item.golds), default=0.0)
    return max(anls(reply, item.golds), exact)


def load_ocrbench(folder: Path) -> list[Item]:
    """``OCRBench.json``: ``[{"dataset_name", "type", "question", "answers", "image_path"}]`` and
    ``OCRBench_Images/`` (https://github.com/Yuliang-Liu/MultimodalOCR). The question is the whole prompt."""
    found = next((path for path in sorted(folder.glob("**/OCRBench.json")) if path.is_file()), None)
    if found is None:
        raise AskpixError(f"no 'OCRBench.json' in {str(folder)!r}")
    images = next((path for path in sorted(folder.glob("**/OCRBench_Images")) if path.is_dir()), folder)
    items: list[Item] = []
    fields = ("dataset_name", "type", "question", "answers", "image_path")
    for number, row in enumerate(read_list(found, fields)):
        answers = row["answers"] if isinstance(row["answers"], list) else [row["answers"]]
        items.append(
            Item(
                id=f"{row['dataset_name']}-{number}",
                prompt=str(row["question"]),
                pictures=(image_in(images, row["image_path"]),),
                golds=tuple(str(answer) for answer in answers),
                groups=(str(row["type"]), f"set {row['dataset_name']}"),
            )
        )
    return items


def score_ocrbench(item: Item, reply: str) -> float:
    """1.0 when a gold answer stands in the reply, in lower case and with line ends as spaces; for formulas
    (HME100k) case counts and spaces do not (``example.py`` of its repository). OCRBench's "final score" is
    the number of right ones out of 1,000."""
    if "set HME100k" in item.groups:
        said = "".join(reply.strip().replace("\n", " ").split(" "))
        return float(any("".join(g.strip().replace("\n", " ").split(" ")) in said for g in item.golds))
    said = reply.lower().strip().replace("\n", " ")
    return float(any(gold.lower().strip().replace("\n", " ") in said for gold in item.golds))


def read_list(path: Path, fields: tuple[str, ...], *, key: str | None = None) -> list[dict[str, Any]]:
    """The objects of a JSON list, or of the list under ``key``, each with all ``fields``.

    Raises ``AskpixError`` that names what is wrong.
    """
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise AskpixError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise AskpixError(f"{str(path)!r} is not JSON ({error})") from error
    if key is not None:
        rows = rows.get(key) if isinstance(rows, dict) else None
    if not isinstance(rows, list):
        where = f"no list {key!r}" if key else "no list"
        raise AskpixError(f"{str(path)!r} holds {where}; is it the published file?")
    for number, row in enumerate(rows):
        missing = [name for name in fields if not isinstance(row, dict) or name not in row]
        if missing:
            raise AskpixError(f"{str(path)!r}: entry {number} has no {missing[0]!r}")
    return rows


def image_in(folder: Path, name: Any) -> Path:
    """The file ``name`` in ``folder`` and not elsewhere. Raises ``AskpixError`` when it is not there."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise AskpixError(f"no image {str(name)!r} in {str(folder)!r}")
    return path


def _to_float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _at_threshold(reply: str, gold: str) -> float:
    one = " ".join(reply.lower().split())
    other = " ".join(gold.lower().split())
    longest = max(len(one), len(other))
    return 0.5 if longest and edit_distance(one, other) == ANLS_THRESHOLD * longest else 0.0
