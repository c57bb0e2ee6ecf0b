"""Public benchmarks: loaders on tiny files in the published formats, scores on the reference code's cases."""

import base64
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.core.errors import AskpixError
from askpix.evaluation.public.captions import (
    Captioned,
    embed_image_files,
    judge_captions,
    load_coco,
    load_flickr30k,
)
from askpix.evaluation.public.choices import (
    infer_choice,
    numbers_in,
    parse_choice,
    parse_open,
    score_choice,
    score_mmmu,
)
from askpix.evaluation.public.document_qa import (
    load_chartqa,
    load_docvqa,
    load_ocrbench,
    score_chartqa,
    score_docvqa,
    score_ocrbench,
)
from askpix.evaluation.public.multiple_choice import load_mmbench, load_mmmu, rotate
from askpix.evaluation.public.runner import Benchmark, Item, Response, run
from tests.support.public_benchmarks import item, png
from tests.support.wire import Server, Wire

ANIMALS = {"A": "teddy bear", "B": "rabbit", "C": "cat", "D": "dog"}


def save(path: Path, colour: str = "white", text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(colour, text))


def tsv(path: Path, *rows: dict[str, object]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, dialect="excel-tab")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"),
        ("(B)", "B"),
        ("The answer is C.", "C"),
        ("C. cat", "C"),
        ("a cute teddy bear", "A"),
        ("It is a RABBIT", "B"),
        ("A or B", None),
        ("a rabbit and a cat", None),
        ("Spider", None),
        ("Z", "Z"),
        ("Cannot determine the answer", "Z"),
        ("rabbit " * 20, None),
        ("", None),
    ],
)
def test_which_option_a_reply_chooses(reply: str, letter: str | None) -> None:
    assert infer_choice(reply, ANIMALS) == letter


def test_what_cannot_be_told_is_wrong() -> None:
    assert score_choice(item("C", choices=ANIMALS), "C") == 1.0
    assert score_choice(item("C", choices=ANIMALS), "Spider") == 0.0


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("(A) is wrong, so (C).", "C"),
        ("A is wrong but D is right", "D"),
        ("I am quite sure that it shows one cat", "C"),
        ("first a rabbit and later on some small dog", "D"),
    ],
)
def test_mmmu_parses_choices(reply: str, letter: str) -> None:
    assert parse_choice(reply, ANIMALS, seed="x") == letter


def test_mmmu_guesses_the_same_each_time() -> None:
    guesses = {seed: parse_choice("no idea", ANIMALS, seed=seed) for seed in "abcdefghij"}
    assert guesses == {seed: parse_choice("no idea", ANIMALS, seed=seed) for seed in "abcdefghij"}
    assert len(set(guesses.values())) > 1


@pytest.mark.parametrize(
    ("reply", "gold", "score"),
    [
        ("36 watts", "30", 0.0),  # the example of the benchmark's evaluation guide
        ("30", "30.0", 1.0),
        ("The result is 1,234.567", "1234.57", 1.0),
        ("x + 2 = 8", "8", 1.0),
        ("So the answer is the Treaty of Rome.", "treaty of rome", 1.0),
        ("The Treaty of Rome", "rome", 1.0),
        ("banana", "a", 0.0),  # one letter must stand by itself
        ("It is a b", "b", 1.0),
    ],
)
def test_mmmu_scores_open_answers(reply: str, gold: str, score: float) -> None:
    assert score_mmmu(item(gold), reply) == score


def test_mmmu_reads_numbers_and_the_ends_of_sentences() -> None:
    # The reference's plain pattern also finds the ends of the other two.
    assert numbers_in("1,234 and 2e3 and -4.5") == ["1,234", "2e3", "234", "3", "-4.5"]
    assert parse_open("the answer is 7\nso it is 8") == {7.0, 8.0}
    assert parse_open("Paris.") == {"paris"}


@pytest.mark.parametrize(
    ("reply", "gold", "score"),
    [
        ("105", "100", 1.0),
        ("105.1", "100", 0.0),
        ("42%", "0.42", 1.0),
        ("42%", "42", 0.0),
        ("0", "0", 1.0),
        ("0.0", "0", 0.0),
        ("Yes", "yes", 1.0),
        ("1,234", "1234", 0.0),
        ("", "x", 0.0),
    ],
)
def test_chartqa_is_scored_as_published(reply: str, gold: str, score: float) -> None:
    assert score_chartqa(item(gold), reply) == score


def test_docvqa_keeps_one_half() -> None:
    assert score_docvqa(item("abcd"), "abxy") == 0.5
    assert score_docvqa(item("abcd"), "axyz") == 0.0
    assert score_docvqa(item("hello", "hallo"), " Hallo ") == 1.0
    assert score_docvqa(item("hello"), "hallo") == pytest.approx(0.8)


def test_ocrbench_looks_for_the_answer_in_the_reply() -> None:
    assert (
        score_ocrbench(item("CENTRE", groups=("Regular Text Recognition", "set svt")), "It says Centre.")
        == 1.0
    )
    assert score_ocrbench(item("a", "b\nc"), "x B C x") == 1.0
    assert score_ocrbench(item("a"), "") == 0.0
    formula = ("Handwritten Mathematical Expression Recognition", "set HME100k")
    assert score_ocrbench(item("x ^ { 2 }", groups=formula), "so: x^{2}\n+1") == 1.0
    assert score_ocrbench(item("X ^ 2", groups=formula), "x^2") == 0.0


def test_loading_chartqa_docvqa_ocrbench(tmp_path: Path) -> None:
    save(tmp_path / "c/test/png/1.png")
    for name in ("human", "augmented"):
        rows = [{"imgname": "1.png", "query": "How many?", "label": "7"}]
        (tmp_path / f"c/test/test_{name}.json").write_text(json.dumps(rows))
    human, augmented = load_chartqa(tmp_path / "c")
    assert human.prompt == "How many?\nAnswer the question using a single word or phrase."
    assert (human.groups, augmented.groups, human.golds) == (("human",), ("augmented",), ("7",))

    save(tmp_path / "d/documents/x_1.png")
    row = {"questionId": 9, "question": "Who?", "image": "documents/x_1.png", "answers": ["A", "B"]}
    file = tmp_path / "d/val_v1.0.json"
    file.write_text(json.dumps({"dataset_name": "DocVQA", "data": [row]}))
    (who,) = load_docvqa(tmp_path / "d")
    assert (who.id, who.golds, who.pictures) == ("9", ("A", "B"), (tmp_path / "d/documents/x_1.png",))
    file.write_text(json.dumps({"data": [{**row, "image": "../../c/test/png/1.png"}]}))
    with pytest.raises(AskpixError, match="no image"):
        load_docvqa(tmp_path / "d")

    save(tmp_path / "o/OCRBench_Images/IIIT5K/1.png")
    about = {"dataset_name": "IIIT5K", "type": "Regular Text Recognition", "id": 0}
    row = {**about, "question": "what is written?", "answers": ["CENTRE"], "image_path": "IIIT5K/1.png"}
    (tmp_path / "o/OCRBench.json").write_text(json.dumps([row]))
    (written,) = load_ocrbench(tmp_path / "o")
    assert (written.prompt, written.groups[0]) == ("what is written?", "Regular Text Recognition")


MMB = {"question": "What is it?", "hint": "Look.", "answer": "B", "category": "c", "l2-category": "l"}


def test_mmbench_without_rotated_rows_is_rotated_here(tmp_path: Path) -> None:
    image = base64.b64encode(png()).decode()
    tsv(
        tmp_path / "MMBench_DEV_EN.tsv",
        {"index": 241, **MMB, "A": "cat", "B": "dog", "C": "", "image": image},
    )
    one, two = load_mmbench(tmp_path)
    assert one.prompt == (
        "Hint: Look.\nQuestion: What is it?\nOptions:\nA. cat\nB. dog\n"
        "Please select the correct answer from the options above. \n"
    )
    assert (one.golds, two.golds, two.choices) == (("B",), ("A",), {"A": "dog", "B": "cat"})
    assert one.whole == two.whole == "241" and one.pictures == two.pictures == (png(),)
    assert (one.id, two.id, one.groups) == ("241", "1000241", ("l", "c"))


def test_mmbench_with_rotated_rows_is_taken_as_it_is(tmp_path: Path) -> None:
    image = base64.b64encode(png()).decode()
    rows = (
        {"index": 3, **MMB, "A": "cat", "B": "dog", "image": image},
        {"index": 1000003, **MMB, "A": "dog", "B": "cat", "answer": "A", "image": "3"},
    )
    one, two = load_mmbench(tsv(tmp_path / "m.tsv", *rows))
    assert one.whole == two.whole == "3" and two.pictures == (png(),)
    with pytest.raises(AskpixError, match="row 9 has none for it"):
        load_mmbench(tsv(tmp_path / "m.tsv", {**rows[0], "image": "9"}))
    with pytest.raises(AskpixError, match="not base64"):
        load_mmbench(tsv(tmp_path / "m.tsv", {**rows[0], "image": "!" * 100}))
    with pytest.raises(AskpixError, match="no column"):
        load_mmbench(tsv(tmp_path / "m.tsv", {"index": 1}))


def test_rotation_comes_round() -> None:
    for turn in range(4):
        turned, answer = rotate(ANIMALS, "C", turn)
        assert turned[answer] == "cat" and sorted(turned) == list("ABCD")
    assert rotate(ANIMALS, "C", 4) == (ANIMALS, "C")


def test_loading_mmmu(tmp_path: Path) -> None:
    images = str([base64.b64encode(png(colour)).decode() for colour in ("red", "blue")])
    row = {"question": "<image 1> or <image 2>?", "category": "Art", "split": "validation", "image": images}
    file = tsv(
        tmp_path / "MMMU_DEV_VAL.tsv",
        {"index": 1, **row, "A": "<image 1>", "B": "<image 2>", "answer": "B"},
        {"index": 2, **row, "answer": "['8', '8.0']"},
        {"index": 3, **row, "split": "dev", "answer": "x"},
    )
    choice, open_question = load_mmmu(file)
    assert "?\n\n(A) <image 1>\n(B) <image 2>\n\n\nAnswer with" in choice.prompt
    assert choice.pictures == (png("red"), png("blue"))
    assert open_question.golds == ("8", "8.0") and not open_question.choices
    assert open_question.prompt.endswith("\n\nAnswer the question using a single word or phrase.")


def test_a_question_counts_when_every_rotation_is_right(tmp_path: Path) -> None:
    items = [Item(str(n), "?", (), ("A",), ("g",), {"A": "x", "B": "y"}, whole=str(n % 2)) for n in range(4)]
    benchmark = Benchmark("b", "m", lambda folder: items, score_choice)
    report = run(
        benchmark, items, lambda each: Response("B" if each.id == "3" else "A"), tmp_path / "r", generator="x"
    )
    assert [(row.group, row.items, row.score.value) for row in report.rows] == [
        ("all", 2, 0.5),
        ("g", 2, 0.5),
    ]


def test_a_run_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    items = [Item(str(n), f"{n}?", (), ("A",)) for n in range(5)]
    benchmark = Benchmark("b", "m", lambda folder: items, lambda each, reply: float(reply == "A"))
    file, asked = tmp_path / "deep" / "r.jsonl", []

    def respond(each: Item) -> Response:
        if each.id == "3" and "3" not in asked:
            asked.append(each.id)
            raise KeyboardInterrupt
        asked.append(each.id)
        return Response("A", 10, 2, 0.5)

    with pytest.raises(KeyboardInterrupt):
        run(benchmark, items, respond, file, generator="x")
    with file.open("a") as torn:
        torn.write('{"key": "abc", "te')
    report = run(benchmark, items, respond, file, generator="x")
    assert asked == ["0", "1", "2", "3", "3", "4"]
    assert (report.rows[0].score.value, report.input_tokens, report.cost_usd) == (1.0, 50, 2.5)
    assert len(file.read_text().splitlines()) == 6
    again = run(benchmark, items, respond, file, generator="x")
    assert again == report and len(asked) == 6
    with pytest.raises(AskpixError, match="another run"):
        run(benchmark, items, respond, file, generator="another")
    with pytest.raises(AskpixError, match="one id"):
        run(benchmark, [items[0], items[0]], respond, file, generator="x")
    file.write_text(file.read_text().replace('"text"', '"tixt"'))
    with pytest.raises(AskpixError, match="no reply"):
        run(benchmark, items, respond, file, generator="x")


def test_captions_by_hand() -> None:
    captioned = Captioned((Path("a"), Path("b")), ("1", "2", "3"), (0, 0, 1))
    pictures = np.eye(2, dtype=np.float32)
    # The second caption of the first picture is nearer to the second picture.
    captions = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    text, picture = judge_captions("x", captioned, pictures, captions, embedder="e").directions
    assert text.recall_1.value == pytest.approx(2 / 3) and text.recall_5.value == 1.0
    assert picture.recall_1.value == 1.0, "the best placed of its captions counts"
    same = np.ones_like(captions) / np.sqrt(2)
    both = judge_captions("x", captioned, same[:2], same, embedder="e").directions
    assert [each.recall_1.value for each in both] == [0.0, 0.0], "what cannot be told apart is not found"


def test_loading_captions(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    for name in ("1.jpg", "2.jpg"):
        save(folder / "flickr30k-images" / name)
    rows = [
        {"filename": "1.jpg", "split": "test", "sentences": [{"raw": str(n)} for n in range(6)]},
        {"filename": "2.jpg", "split": "train", "sentences": [{"raw": "x"}]},
    ]
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"images": rows}))
    found = load_flickr30k(folder)
    assert found.captions == ("0", "1", "2", "3", "4") and found.owners == (0,) * 5

    folder = tmp_path / "coco"
    save(folder / "val2017/000000000009.jpg")
    (folder / "annotations").mkdir()
    about = {
        "images": [{"id": 9, "file_name": "000000000009.jpg"}, {"id": 10, "file_name": "gone.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 9, "caption": "a dog"},
            {"id": 2, "image_id": 9, "caption": "b"},
        ],
    }
    (folder / "annotations/captions_val2017.json").write_text(json.dumps(about))
    assert load_coco(folder).captions == ("a dog", "b")


def test_vectors_are_kept(tmp_path: Path) -> None:
    pictures, seen = [Path(str(n)) for n in range(70)], []

    def embed(batch: object) -> np.ndarray:
        seen.append(len(batch))  # type: ignore[arg-type]
        return np.ones((seen[-1], 2), np.float32)

    for _ in range(2):
        assert embed_image_files(pictures, embed, tmp_path / "v", about="x").shape == (70, 2)
    assert seen == [64, 6]
    with pytest.raises(AskpixError, match="another run"):
        embed_image_files(pictures, embed, tmp_path / "v", about="y")


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "png").mkdir()
    save(tmp_path / "png/1.png", text="TOTAL 67.85")
    for name, rows in (
        ("human", [{"imgname": "1.png", "query": "What is the total?", "label": "67.85"}]),
        ("augmented", [{"imgname": "1.png", "query": "Who is the president?", "label": "x"}]),
    ):
        (tmp_path / f"test_{name}.json").write_text(json.dumps(rows))
    command = ["eval", "bench", "ChartQA", str(tmp_path), "--generator", "extractive", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["measure"], report["asked"]) == ("relaxed accuracy", 2)
    assert [row["group"] for row in report["rows"]] == ["all", "human", "augmented"]
    kept = tmp_path / "askpix-results"
    assert sorted(path.name for path in kept.iterdir()) == [
        "chartqa-extractive.jsonl",
        "chartqa-extractive.report.json",
    ]
    assert json.loads((kept / "chartqa-extractive.report.json").read_text()) == report
    assert CliRunner().invoke(app, [*command[:-1], "--limit", "1"]).exit_code == 0
    for wrong in (["nope", str(tmp_path)], ["docvqa", str(tmp_path)], ["mmbench", str(tmp_path / "gone")]):
        failed = CliRunner().invoke(app, ["eval", "bench", *wrong])
        assert isinstance(failed.exception, AskpixError)


def test_the_command_on_captions(tmp_path: Path) -> None:
    for name, colour in (("1.jpg", "red"), ("2.jpg", "blue")):
        save(tmp_path / "images" / name, colour)
    rows = [
        {"filename": f"{n}.jpg", "split": "test", "sentences": [{"raw": f"a {c} wall"}]}
        for n, c in ((1, "red"), (2, "blue"))
    ]
    (tmp_path / "dataset_flickr30k.json").write_text(json.dumps({"images": rows}))
    command = ["eval", "bench", "flickr30k", str(tmp_path), "--embedder", "mini", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["pictures"], report["captions"], report["embedder"]) == (2, 2, "mini")
    assert all(each["recall_5"]["value"] == 1.0 for each in report["directions"])


def test_a_model_that_sees_gets_the_images_and_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = base64.b64encode(png("blue")).decode()
    row = {"index": 7, **MMB, "A": "cat", "B": "dog", "C": "fox", "image": image}
    file = tsv(tmp_path / "MMBench_DEV_EN.tsv", row)
    wire = Wire(say=lambda asked: ["B. ", "dog"])
    monkeypatch.setenv("ASKPIX_PROVE_SIGHT", "false")
    with Server(wire):
        command = ["eval", "bench", "mmbench", str(file), "--json"]
        command += ["--generator", f"openai-compatible:tiny-vl@{wire.url}/v1"]
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert [asked.texts[-1] for asked in wire.asked] == [each.prompt for each in load_mmbench(file)]
    for asked in wire.asked:
        (shown,) = asked.pictures
        assert not any("no words" in text for text in asked.texts), "nobody looked for words"
        assert shown.getpixel((40, 20))[2] > 200 and asked.system == ""  # type: ignore[index]
    report = json.loads(done.stdout)
    # Always "B. dog": right as published; of the rotated ones the letter is held against, and wrong.
    assert (report["asked"], report["rows"][0]["items"], report["rows"][0]["score"]["value"]) == (3, 1, 0.0)
