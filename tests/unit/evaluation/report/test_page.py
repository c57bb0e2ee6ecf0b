import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.evaluation.data.questions import MEASURES, Question
from askpix.evaluation.metrics.ranking import Estimate
from askpix.evaluation.report.figures import Figure, figures, kind_of
from askpix.evaluation.report.page import report_page
from askpix.evaluation.suites.ablation import SubQueriesReport, SubQueryScores
from askpix.evaluation.suites.answering import Reply, ask_all
from askpix.evaluation.suites.retrieval import RetrievalReport, Scores
from askpix.evaluation.suites.sweep import Choice, SweepReport, SweepRow
from tests.support.cli import runner

SURE = Estimate(0.5, 0.4, 0.6)


def retrieval(value: float) -> dict[str, object]:
    estimate = Estimate(value, value - 0.1, value + 0.1)
    scores = Scores("all", 9, estimate, SURE, SURE, SURE, SURE, 1.0)
    return RetrievalReport("photos", 30, (scores,)).to_json()


def store(points: int, p50: float) -> dict[str, object]:
    cases = {"none": {"p50": p50, "p95": 9.0, "recall": 0.99}}
    return {"machine": {"cores": "2"}, "report": {"store": "edge", "points": points, "cases": cases}}


def benchmark(generator: str, cost: float | None, value: float) -> dict[str, object]:
    row = {"group": "all", "items": 4, "score": {"value": value, "low": value, "high": value}}
    return {
        "benchmark": "docvqa", "measure": "ANLS", "generator": generator, "asked": 10,
        "cost_usd": cost, "rows": [row],
    }  # fmt: skip


def sweep() -> dict[str, object]:
    rows = tuple(
        SweepRow(Choice(side, "mini", "extractive"), 9, SURE, SURE, SURE, SURE) for side in (320, None)
    )
    return SweepReport("receipts", 4, rows).to_json()


def only(*results: dict[str, object]) -> Figure:
    (figure,) = figures([(f"r{number}", result) for number, result in enumerate(results)])
    return figure


def test_recall_curves_have_their_intervals() -> None:
    figure = only(retrieval(0.3), retrieval(0.4))
    assert [series.name for series in figure.series] == ["r0", "r1"]
    assert figure.series[0].xs == (1, 5, 10)
    assert figure.series[0].ys == pytest.approx((30, 50, 50))
    assert figure.series[0].low == pytest.approx((20, 40, 40))


def test_a_store_at_several_sizes_is_one_curve_in_order_of_size() -> None:
    latency, recall = figures([("large", store(100_000, 4.0)), ("small", store(1_000, 2.0))])
    assert latency.log_x and latency.series[0].xs == (1_000, 100_000)
    assert latency.series[0].ys == (2.0, 4.0)
    assert recall.series[0].ys == pytest.approx((99, 99))


def test_cost_against_accuracy_leaves_out_what_has_no_price() -> None:
    results = [
        ("a", benchmark("x", 0.5, 0.7)),
        ("b", benchmark("y", 0.1, 0.6)),
        ("c", benchmark("z", None, 0.9)),
    ]
    bars, points = figures(results)
    assert [series.name for series in bars.series] == ["x", "y", "z"]
    assert [(s.name, s.xs, s.ys) for s in points.series] == [
        ("x", (50.0,), pytest.approx((70,))),
        ("y", (10.0,), pytest.approx((60,))),
    ]


def test_how_answers_end_and_what_is_kept() -> None:
    measure = next(iter(MEASURES))
    questions = [
        Question(word, (word,), Path("a.png"), measure, "question", "set") for word in ("nine", "ten")
    ]
    replies = {"nine": Reply("nine", True, 0.9), "ten": Reply(None, True)}
    report = ask_all(questions, lambda question, _: replies[question.text], gallery=2, generator="extractive")
    assert kind_of(report.to_json()) == "answers"
    ends, kept = figures([("receipts", report.to_json())])
    assert {series.name: series.ys[0] for series in ends.series} == {
        "right": 1,
        "wrong, the image was there": 0,
        "silent, the image was there": 1,
        "the image was not found": 0,
    }
    assert kept.series[0].ys[-1] == 0, "what is kept is right"


def test_a_sweep_is_drawn_by_size() -> None:
    found, read, score = figures([("receipts", sweep())])
    assert found.series[0].xs == read.series[0].xs == ("320", "as it is")
    assert (found.series[0].name, score.series[0].name) == ("mini", "mini + extractive")
    assert score.series[0].ys == (50.0, 50.0)


def test_every_kind_is_drawn_and_the_page_needs_nothing_else() -> None:
    sub_queries = SubQueriesReport(
        9, tuple(SubQueryScores("photos", 9, "all", sub_query, SURE, SURE, SURE, SURE) for sub_query in "ab")
    )
    risks = [{"coverage": 0.5, "confidence": 0.9, "absent_kept": 0.1, "risk": 0.2}]
    absent = {"scores": [{"group": "a$b", "false_refusals": 0.1, "false_acceptances": 0.7, "risks": risks}]}
    speed = {"ingest": {"ratio": 0.8, "ratio_to_bare": 0.9}, "queries": {"ratio_p50": 1.1}}
    row = {"what": "images", "batch": 16, "ratio": 0.97}
    named = [
        ("<b>one</b>", retrieval(0.3)),
        ("sub-queries", sub_queries.to_json()),
        ("absent", absent),
        ("store", store(10, 1.0)),
        ("decoding", {"decode": [{"format": "JPEG", "ratio": 0.9}, {"format": "PNG", "ratio": 1.0}]}),
        ("peers", {"rows": [{"peer": "rclip", "phase": "index", "ratio": 2.0}]}),
        ("speed", speed),
        ("embed", {"embedders": {"mini": [row, {**row, "batch": 64, "ratio": None}]}}),
        ("bench", benchmark("x", 0.1, 0.5)),
        ("sizes", sweep()),
    ]
    drawn = figures(named)
    assert len(drawn) == 14
    page = report_page(named, drawn)
    assert "<b>one</b>" not in page and "&lt;b&gt;one" in page
    assert not re.search(r"<script|<link|<img|src=|url\(http", page)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == len(drawn)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert report_page(named, drawn) == page, "the same every time"


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "photos.json").write_text(json.dumps(retrieval(0.3)))
    done = runner(tmp_path / "home", tmp_path)("report", "photos.json", "-o", "out.html")
    assert done.stdout.strip() == "1 figures from 1 results in out.html"
    assert "photos" in (tmp_path / "out.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no result"),
        ('{"x": 1}', "is no result"),
        ('{"scores": [{"recall_1": 3, "recall_5": 3, "recall_10": 3}]}', "measure it again"),
    ],
)
def test_what_is_no_result_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    done = CliRunner().invoke(app, ["report", str(file), "-o", str(tmp_path / "out.html")])
    assert done.exit_code == 1 and says in str(done.exception)
    assert not (tmp_path / "out.html").exists()
