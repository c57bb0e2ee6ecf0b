"""MMMU, Video-MME and ViDoRe as their authors publish them: tiny files in the same form, official scores."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.core.errors import AskpixError
from askpix.evaluation.public.choices import score_mmmu
from askpix.evaluation.public.mmmu_videomme import load_mmmu_parquet, load_videomme, score_videomme
from askpix.evaluation.public.vidore import judge_pages, load_vidore, ndcg
from tests.support.films import film
from tests.support.public_benchmarks import item, png
from tests.support.wire import Server, Wire


def table(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def cell(colour: str, text: str = "") -> dict[str, Any]:
    return {"bytes": png(colour, text), "path": None}


MMMU = {
    "explanation": "",
    "img_type": "[]",
    "topic_difficulty": "Easy",
    "subfield": "Drawing",
    "image_3": None,
}


def test_loading_mmmu_from_parquet(tmp_path: Path) -> None:
    choice = {
        **MMMU, "id": "validation_Art_Theory_1", "question": "<image 1> or <image 2>?", "answer": "B",
        "options": "['it\\'s', 'b']", "question_type": "multiple-choice",
        "image_1": cell("red"), "image_2": cell("blue"),
    }  # fmt: skip
    asked = {
        **MMMU, "id": "validation_Math_2", "question": "How many?", "options": "[]", "answer": "['8', '8.0']",
        "question_type": "open", "image_1": cell("red"), "image_2": None,
    }  # fmt: skip
    table(tmp_path / "Art_Theory/validation-00000-of-00001.parquet", choice, asked)
    table(tmp_path / "Art_Theory/test-00000-of-00001.parquet", {**asked, "answer": "?"})
    first, second = load_mmmu_parquet(tmp_path)
    assert first.prompt == (
        "<image 1> or <image 2>?\n\n(A) it's\n(B) b\n\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert first.pictures == (png("red"), png("blue")) and first.groups == ("Art_Theory", "Drawing")
    assert score_mmmu(first, "(B)") == 1.0 and score_mmmu(first, "(A)") == 0.0
    assert second.golds == ("8", "8.0") and len(second.pictures) == 1 and not second.choices
    assert score_mmmu(second, "The answer is 8") == 1.0


VIDEO = {
    "video_id": "001", "duration": "short", "domain": "Knowledge", "sub_category": "Art", "url": "",
    "videoID": "fFj", "question_id": "001-1", "task_type": "Counting Problem", "question": "What comes last?",
    "options": ["A. A cat.", "B. A rocket.", "C. A cup.", "D. Rain."], "answer": "C",
}  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("C", 1.0),
        ("(C) A cup.", 1.0),
        ("The best answer is: C.", 1.0),
        ("Best option: C", 1.0),
        ("The answer is B", 0.0),
        ("A", 0.0),
        ("none", 0.0),
        ("", 0.0),
        ("I think that it is a cup, but none of this can be told from what is seen", 0.0),
    ],
)
def test_video_mme_takes_the_first_letter(reply: str, score: float) -> None:
    assert score_videomme(item("C"), reply) == score


def test_video_mme_shows_frames_and_asks_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "videomme/test-00000-of-00001.parquet", VIDEO)
    with pytest.raises(AskpixError, match="no video 'fFj'"):
        load_videomme(tmp_path)
    (tmp_path / "data").mkdir()
    film(tmp_path / "data/fFj.mp4", [("red", 2.0), ("lime", 2.0), ("blue", 2.0)])
    (loaded,) = load_videomme(tmp_path)
    assert loaded.prompt.endswith(
        "What comes last?\nA. A cat.\nB. A rocket.\nC. A cup.\nD. Rain.\nThe best answer is:"
    )
    assert loaded.groups == ("short", "Knowledge", "Counting Problem")
    wire = Wire(say=lambda asked: ["C"])
    monkeypatch.setenv("ASKPIX_PROVE_SIGHT", "false")
    with Server(wire):
        command = ["eval", "bench", "videomme", str(tmp_path), "--frames", "3", "--json"]
        done = CliRunner().invoke(app, [*command, "--generator", f"openai-compatible:tiny-vl@{wire.url}/v1"])
    assert done.exit_code == 0, done.output
    (asked,) = wire.asked
    middles = [picture.convert("RGB").getpixel((80, 60)) for picture in asked.pictures]
    assert [max(range(3), key=lambda part: pixel[part]) for pixel in middles] == [0, 1, 2], "red, green, blue"
    assert asked.texts[-1] == loaded.prompt
    report = json.loads(done.stdout)
    assert (report["measure"], report["rows"][0]["score"]["value"]) == ("accuracy, 3 frames,", 1.0)


def test_ndcg_as_trec_eval_has_it() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    assert ndcg([a], {a: 1.0}, 5) == 1.0
    assert ndcg([b, a], {a: 1.0}, 5) == pytest.approx(1 / math.log2(3))
    assert ndcg([b, b, b, b, b, a], {a: 1.0}, 5) == 0.0
    # trec_eval's gain is the judgement itself: (1/log2(2) + 2/log2(3)) / (2/log2(2) + 1/log2(3)).
    assert ndcg([a, b, c], {a: 1.0, b: 2.0}, 5) == pytest.approx(
        (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    )


def test_vidore_as_one_table(tmp_path: Path) -> None:
    rows = [
        {"query": "who?", "image": cell("red"), "image_filename": "a.png", "answer": "x"},
        {"query": "what?", "image": cell("red"), "image_filename": "a.png", "answer": "y"},
        {"query": None, "image": cell("blue"), "image_filename": "b.png", "answer": None},
        {"query": "who?", "image": cell("lime"), "image_filename": "c.png", "answer": "z"},
    ]
    table(tmp_path / "in/data/test-00000-of-00001.parquet", *rows)
    pages = load_vidore(tmp_path / "in", tmp_path / "out")
    assert len(pages.pictures) == 3 and pages.queries == ("who?", "what?")
    red, _, lime = pages.pictures
    assert pages.relevant == ({red: 1.0, lime: 1.0}, {red: 1.0})
    assert red.read_bytes() == png("red")
    assert load_vidore(tmp_path / "in", tmp_path / "out") == pages, "a second time nothing changes"
    report = judge_pages("vidore", pages, lambda query: [red], embedder="none")
    assert report.recall_5.value == pytest.approx((0.5 + 1) / 2)
    assert report.ndcg_5.value == pytest.approx((1 / (1 + 1 / math.log2(3)) + 1) / 2)


def test_vidore_as_beir_through_the_command(tmp_path: Path) -> None:
    words = {1: "ANNUAL REPORT", 2: "SAFETY MANUAL"}
    table(
        tmp_path / "corpus/test-0.parquet",
        *({"corpus-id": n, "image": cell("white", text), "doc-id": "d"} for n, text in words.items()),
    )
    asked = [{"query-id": n, "query": text.lower(), "language": "en"} for n, text in words.items()]
    table(tmp_path / "queries/test-0.parquet", *asked, {"query-id": 3, "query": "nothing", "language": "en"})
    table(
        tmp_path / "qrels/test-0.parquet",
        *({"query-id": n, "corpus-id": n, "score": 1} for n in words),
        {"query-id": 3, "corpus-id": 1, "score": 0},
    )
    done = CliRunner().invoke(app, ["eval", "bench", "vidore", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["pages"], report["queries"], report["embedder"]) == (2, 2, "mini")
    assert report["ndcg_5"]["value"] == report["recall_1"]["value"] == 1.0
    shown = CliRunner().invoke(app, ["eval", "bench", "vidore", str(tmp_path), "--limit", "1"])
    assert shown.exit_code == 0 and "100.0" in shown.stdout


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "holds no .parquet file"),
        ({"corpus/a.parquet": [{"corpus-id": 1, "image": None}]}, "no folder 'queries'"),
        ({"a.parquet": [{"query": "?", "image": None, "image_filename": "a"}]}, "row 0 holds no image"),
        ({"a.parquet": [{"query": "?"}]}, "no column 'image'"),
        (
            {"a.parquet": [{"query": "", "image": cell("red"), "image_filename": "a"}]},
            "no question with a page",
        ),
    ],
)
def test_what_is_no_vidore_is_said(tmp_path: Path, files: dict[str, list[dict[str, Any]]], says: str) -> None:
    (tmp_path / "in").mkdir()
    for name, rows in files.items():
        table(tmp_path / "in" / name, *rows)
    with pytest.raises(AskpixError, match=says):
        load_vidore(tmp_path / "in", tmp_path / "out")


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "validation-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(AskpixError, match="cannot read") as caught:
        load_mmmu_parquet(tmp_path)
    assert "\n" not in str(caught.value)
