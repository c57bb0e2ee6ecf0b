"""Questions with gold answers, their fates, risk and coverage, and fields; then the commands themselves."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.core.errors import AskpixError
from askpix.evaluation.data.questions import Question, Receipt, read_questions, read_receipts
from askpix.evaluation.metrics.answers import same_value
from askpix.evaluation.suites.answering import COLUMNS, Reply, ask_all
from askpix.evaluation.suites.extraction import judge_fields
from askpix.evaluation.suites.sweep import gold_read


def question(text: str, gold: str = "yes", kind: str = "question") -> Question:
    return Question(text, (gold,), Path("/p/a.png"), "anls", kind, "set")


def manifest(folder: Path, *rows: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    for row in rows:
        Image.new("RGB", (8, 8)).save(folder / str(row["image"]))
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_decimal_point_is_no_punctuation() -> None:
    assert same_value("67.85", ["67.85"]) == same_value("RM 67.850", ["67.85"]) == 1.0
    assert same_value("6785", ["67.85"]) == 0.0
    assert same_value("TAN  Woon yann! 7,B", ["tan woon yann 7, b"]) == 1.0
    assert same_value("12 March", ["12"]) == 0.0


def test_every_fate_is_told_apart() -> None:
    said = {
        "right?": Reply("yes", True, 0.9, input_tokens=10, cost_usd=0.02),
        "misread?": Reply("qqqq", True, 0.8),
        "refused?": Reply(None, True),
        "lost?": Reply("qqqq", False, 0.2),
        "lost and silent?": Reply(None, False),
        "rightly silent?": Reply(None, True),
        "wrongly loud?": Reply("yes", True, 0.9),
    }
    questions = [question(text, "<no answer>" if "ly" in text else "yes") for text in said]
    report = ask_all(
        questions,
        lambda asked, left_out: Reply(None, False) if left_out else said[asked.text],
        gallery=3,
        generator="fake",
        absent=True,
    )
    (whole,) = report.scores
    assert [outcome.fate for outcome in report.outcomes] == [
        "right",
        "misread",
        "refused",
        "not found",
        "not found",
        "rightly silent",
        "wrongly loud",
    ]
    assert (whole.right, whole.misread, whole.refused, whole.not_found) == (1, 1, 1, 2)
    assert whole.score is not None and whole.score.value == pytest.approx(1 / 5)
    assert whole.score_when_answered is not None and whole.score_when_answered.value == pytest.approx(1 / 3)
    assert whole.silent is not None and whole.silent.value == 0.5
    assert whole.absent_silent is not None and whole.absent_silent.value == 1.0
    assert whole.mean_cost_usd == pytest.approx(0.02 / 7)
    # Answered, by confidence: 0.9 right, 0.9 wrongly loud, 0.8 misread, 0.2 lost.
    assert report.risks is not None
    assert [(risk.coverage, risk.risk) for risk in report.risks] == [
        (0.5, 0.5),
        (0.5, 0.5),
        (0.75, pytest.approx(2 / 3)),
        (1.0, 0.75),
    ]
    assert all(len(row) == len(COLUMNS) for row in report.rows())
    assert json.loads(json.dumps(report.to_json(), default=str))["outcomes"][1]["fate"] == "misread"


def test_an_unknown_price_makes_the_mean_unknown() -> None:
    report = ask_all([question("?")], lambda *_: Reply("yes", True, cost_usd=None), gallery=1, generator="x")
    assert report.scores[0].mean_cost_usd is None
    assert report.risks is None and report.scores[0].absent_silent is None


def test_groups_by_set_and_kind() -> None:
    report = ask_all(
        [question("a", kind="human"), question("b", kind="augmented")],
        lambda asked, _: Reply("yes" if asked.text == "a" else "no!", True),
        gallery=1,
        generator="x",
    )
    assert [(each.group, each.right) for each in report.scores] == [
        ("all", 1),
        ("set human", 1),
        ("set augmented", 0),
    ]


def test_reading_questions(tmp_path: Path) -> None:
    path = manifest(
        tmp_path / "m",
        {
            "image": "a.png",
            "source": "chartqa_test",
            "questions": [
                {"question": "How many?", "answer": 42, "kind": "human"},
                "no answer to hold against",
            ],
        },
        {
            "image": "b.png",
            "questions": [{"question": "Who?", "answer": "<no answer>", "answers": ["<no answer>"]}],
        },
        {"image": "c.png", "fields": {"company": "ABC", "date": "1/2/2020", "total": "9.00", "address": ""}},
        {"image": "d.png", "fields": {"Name:": "x"}},
    )
    how_many, who, total = read_questions(path)
    assert (how_many.measure, how_many.golds, how_many.kind) == ("relaxed", ("42",), "human")
    assert (who.measure, who.answerable, who.golds) == ("anls", False, ("<no answer>",))
    assert (total.measure, total.kind, total.golds) == ("exact", "field total", ("9.00",))
    assert "ABC" in total.text and "1/2/2020" in total.text
    (receipt,) = read_receipts(path)
    assert receipt.fields == {"company": "ABC", "date": "1/2/2020", "total": "9.00"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"questions": [{"question": "?", "answer": "x", "measure": "bleu"}]}, "no measure 'bleu'"),
        ({"questions": "?"}, '"questions" must be a list'),
        ({"questions": [{"question": "?", "answers": "x"}]}, '"answers" must be a list'),
        ({"captions": ["a dog"]}, "holds no questions with answers"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(tmp_path: Path, row: dict[str, object], message: str) -> None:
    with pytest.raises(AskpixError, match=message):
        read_questions(manifest(tmp_path / "m", {"image": "a.png", **row}))


def test_fields_not_found_count_as_wrong() -> None:
    receipts = [
        Receipt(Path("/p/a"), {"total": "9.00", "date": "1/2/2020"}),
        Receipt(Path("/p/b"), {"total": "8.00"}),
        Receipt(Path("/p/c"), {"total": "7.00"}),
    ]
    read = {"a": {"total": "9.00", "date": "1/2/2020"}, "b": {"total": "8.01"}, "c": {}}
    report = judge_fields(receipts, lambda receipt: read[receipt.image.name], ("date", "total", "tax"))
    date, total, every = report.scores
    assert (date.field, date.pictures, date.exact.value) == ("date", 1, 1.0)
    assert (total.pictures, total.not_found, total.exact_when_found) == (3, 1, 0.5)
    assert total.exact.value == pytest.approx(1 / 3) and total.exact.low <= 1 / 3 <= total.exact.high
    assert every.pictures == 4 and every.exact.value == 0.5
    assert report.every_field_right.value == pytest.approx(1 / 3)
    assert [(field, was) for _, field, _, was in report.wrong] == [("total", "8.01"), ("total", None)]


def receipt_image(path: Path, company: str, total: str) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (560, 420), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=28)
    lines = [
        company,
        "12 JALAN BESAR 3, 47100 PUCHONG",
        "DATE: 12/03/2018",
        "NASI LEMAK  4.00",
        f"TOTAL  {total}",
    ]
    for number, line in enumerate(lines):
        draw.text((24, 30 + 70 * number), line, fill="black", font=font)
    image.save(path)


def test_the_commands_on_receipts(tmp_path: Path) -> None:
    rows = []
    for name, company, total in (("a", "GOLDEN WOK SDN BHD", "67.85"), ("b", "BLUE FISH TRADING", "12.30")):
        receipt_image(tmp_path / f"{name}.png", company, total)
        rows.append(
            {"image": f"{name}.png", "fields": {"company": company, "date": "12/03/2018", "total": total}}
        )
    rows[0]["questions"] = [{"question": "Which colour is the car?", "answer": "<no answer>"}]
    rows[1]["questions"] = [{"question": "How many pictures are there?", "answer": "2 pictures"}]
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))

    done = CliRunner().invoke(app, ["eval", "extract", str(path), "--json"])
    assert done.exit_code == 0, done.output
    scores = {each["field"]: each for each in json.loads(done.stdout)["scores"]}
    assert scores["total"]["exact"]["value"] == 1.0 and scores["date"]["exact"]["value"] == 1.0

    asked = ["eval", "answers", str(path), "--generator", "extractive", "--json"]
    for options in ([], ["--given"], ["--absent"]):
        done = CliRunner().invoke(app, asked + options)
        assert done.exit_code == 0, done.output
        report = json.loads(done.stdout)
        assert (report["gallery"], report["generator"]) == (2, "extractive")
        whole = report["scores"][0]
        assert (whole["answerable"], whole["unanswerable"]) == (3, 1)
        assert whole["right"] + whole["misread"] + whole["refused"] + whole["not_found"] == 3
        about_all = next(each for each in report["scores"] if each["group"].endswith(" question"))
        assert (about_all["right"] == 1) == ("--given" not in options), "the whole collection is counted"
        assert (whole["absent_silent"] is not None) == ("--absent" in options)
        if "--given" in options:
            assert whole["not_found"] == 0, "what is handed over cannot be lost"
            assert whole["right"] == 2, "and one picture does not say how many there are"

    assert CliRunner().invoke(app, [*asked, "--given", "--absent"]).exit_code != 0
    table = CliRunner().invoke(app, [*asked[:-1], "--limit", "1"])
    assert table.exit_code == 0 and "a question: 0 tokens in" in table.stdout


def test_whether_the_answer_was_read_at_all() -> None:
    texts = {Path("/p/a.png"): "Total\nRM 67 . 85", Path("/p/b.png"): "café olé"}
    questions = [
        Question("total?", ("67.85", "none"), Path("/p/a.png"), "exact", "question", "set"),
        Question("where?", ("Cafe Ole",), Path("/p/b.png"), "exact", "question", "set"),
        Question("who?", ("Ann",), Path("/p/b.png"), "exact", "question", "set"),
        Question("why?", ("<no answer>",), Path("/p/b.png"), "exact", "question", "set"),
    ]
    read = gold_read(questions, texts.__getitem__)
    assert read is not None and read.value == pytest.approx(2 / 3)
    assert gold_read(questions[-1:], texts.__getitem__) is None


def test_a_sweep_says_where_reading_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for name, company, total in (("a", "GOLDEN WOK SDN BHD", "67.85"), ("b", "BLUE FISH TRADING", "12.30")):
        receipt_image(tmp_path / "in" / f"{name}.png", company, total)
        rows.append(
            {"image": f"{name}.png", "fields": {"company": company, "date": "12/03/2018", "total": total}}
        )
    (tmp_path / "in" / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    asked = ["eval", "sweep", "../in/manifest.jsonl", "--generator", "extractive"]
    done = CliRunner().invoke(app, [*asked, "--sides", "48,0", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    tiny, whole = report["rows"]
    assert [row["choice"]["side"] for row in report["rows"]] == [48, None]
    assert whole["read"]["value"] == whole["score"]["value"] == whole["recall_1"]["value"] == 1.0
    assert (whole["fates"]["right"], whole["cost_usd"]) == (2, 0.0)
    assert tiny["read"]["value"] == tiny["score"]["value"] == 0.0, "no letter is left at 48 pixels"
    table = CliRunner().invoke(app, asked)
    assert table.exit_code == 0 and "2 images, 2 questions" in table.output
    for sides in ("x", "5", ""):
        refused = CliRunner().invoke(app, [*asked, "--sides", sides])
        assert refused.exit_code != 0 and "must be pixels" in str(refused.exception)
