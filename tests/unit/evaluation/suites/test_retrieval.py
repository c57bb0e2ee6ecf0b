import json
from pathlib import Path

import pytest

from askpix.evaluation.data.manifest import Case
from askpix.evaluation.suites.retrieval import COLUMNS, evaluate


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


def test_rows_by_kind_and_by_source() -> None:
    cases = [
        Case("a", Path("/p/a.jpg"), "caption", "home"),
        Case("b", Path("/p/b.jpg"), "caption", "web"),
        Case("c", Path("/p/c.jpg"), "question", "web"),
    ]
    seen: list[tuple[int, int]] = []
    report = evaluate(
        "three",
        cases,
        lambda query: (True, [[f"/p/{query}.jpg"]]),
        gallery=3,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    groups = [(score.group, score.queries) for score in report.scores]
    assert groups == [("all", 3), ("caption", 2), ("question", 1), ("home", 1), ("web", 2)]
    assert all(score.mrr.value == score.ndcg_10.value == 1.0 for score in report.scores)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert all(len(row) == len(COLUMNS) for row in report.rows())


def test_a_image_that_is_not_found_counts_as_such() -> None:
    cases = [Case("a", Path("/p/a.jpg"), "caption")] * 3 + [Case("b", Path("/p/b.jpg"), "caption")]
    report = evaluate("none", cases, lambda query: (False, [["/p/b.jpg"]]), gallery=2)
    (overall,) = report.scores
    assert overall.recall_10.value == 0.25 and overall.matched == 0.0
    assert overall.mrr.value == pytest.approx(0.25)
    assert overall.recall_10.low <= 0.25 <= overall.recall_10.high


def test_no_cases_make_an_empty_report() -> None:
    report = evaluate("empty", [], lambda query: (True, []), gallery=0)
    assert report.scores[0].queries == 0 and report.scores[0].recall_1.value == 0.0
