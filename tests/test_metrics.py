import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import AskpixError
from evaluation.datasets import Case, read_manifest
from evaluation.metrics import auroc, bootstrap, ndcg_at, recall_at, reciprocal_rank
from evaluation.retrieval import evaluate

RANKS = [1, 3, None, 10, 11]


def test_measures_of_a_ranking_by_hand() -> None:
    assert recall_at(RANKS, 1).tolist() == [1, 0, 0, 0, 0]
    assert recall_at(RANKS, 10).mean() == pytest.approx(0.6)
    assert reciprocal_rank(RANKS).mean() == pytest.approx((1 + 1 / 3 + 1 / 10 + 1 / 11) / 5)
    assert ndcg_at(RANKS, 10).tolist() == pytest.approx([1, 1 / np.log2(4), 0, 1 / np.log2(11), 0])


def test_auroc_by_hand() -> None:
    assert auroc([3, 4], [1, 2]) == 1.0
    assert auroc([1, 2], [3, 4]) == 0.0
    assert auroc([1, 3], [2, 2]) == 0.5
    assert auroc([2, 2, 2], [2, 2]) == 0.5
    assert auroc([2, 3], [1, 2]) == pytest.approx(3.5 / 4)
    with pytest.raises(ValueError, match="needs"):
        auroc([], [1])


def test_bootstrap_brackets_the_mean_and_is_repeatable() -> None:
    values = np.array([1.0] * 40 + [0.0] * 60)
    estimate = bootstrap(values)
    assert estimate == bootstrap(values)
    assert estimate.value == 0.4 and 0.28 < estimate.low < 0.36 < 0.44 < estimate.high < 0.52
    assert bootstrap(np.array([])).value == 0.0


def write(folder: Path, *rows: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


def test_a_manifest_with_every_kind_of_query(tmp_path: Path) -> None:
    dataset = read_manifest(
        write(
            tmp_path,
            {"image": "a.jpg", "captions": ["a cat", " "], "split": "test"},
            {"image": "b.jpg", "captions": ["unasked"], "split": "train"},
            {"image": "c.jpg", "split": "distractor"},
            "",
            {"image": "d.jpg", "split": "test", "questions": [{"question": "how many?"}], "query": "a chart"},
            {"image": "e.jpg", "split": "test", "fields": {"company": "ACME", "date": "2018-05-03"}},
        )
    )
    assert [(case.kind, case.query, case.image.name) for case in dataset.cases] == [
        ("caption", "a cat", "a.jpg"),
        ("question", "how many?", "d.jpg"),
        ("query", "a chart", "d.jpg"),
        ("key", "ACME 2018-05-03", "e.jpg"),
    ]
    assert [path.name for path in dataset.gallery] == ["a.jpg", "d.jpg", "e.jpg"]
    assert [path.name for path in dataset.distractors] == ["c.jpg"]
    assert dataset.name == tmp_path.name


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (['{"image": "a.jpg", "captions": ["x"]}', "{broken"], "line 2: not JSON"),
        (['{"captions": ["x"]}'], 'line 1: needs an object with "image"'),
        (["[1]"], "line 1: needs"),
        (['{"image": "a.jpg"}'], "no captions, questions or queries"),
    ],
)
def test_a_wrong_manifest_is_one_clear_line(tmp_path: Path, rows: list[str], says: str) -> None:
    with pytest.raises(AskpixError, match=says):
        read_manifest(write(tmp_path, *rows))
    with pytest.raises(AskpixError, match="cannot read"):
        read_manifest(tmp_path / "missing.jsonl")


def test_evaluation_of_a_search_that_finds_by_name() -> None:
    cases = [Case("a", Path("/p/a.jpg"), "caption"), Case("b", Path("/p/b.jpg"), "question")]
    report = evaluate(
        "two", cases, lambda query: (query == "a", [["/p/x.jpg", "/p/a.jpg"], ["/p/b.jpg"]]), gallery=2
    )
    overall, captions, questions = report.scores
    assert (overall.group, overall.queries, overall.matched) == ("all", 2, 0.5)
    assert captions.recall_1.value == 1.0, "a copy of the picture counts as the picture"
    assert questions.recall_1.value == 0.0 and questions.recall_5.value == 1.0
    assert report.rows()[0][0] == "all" and json.dumps(report.to_json())
