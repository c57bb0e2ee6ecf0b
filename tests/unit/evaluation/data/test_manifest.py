import json
from collections import Counter
from pathlib import Path

import pytest

from askpix.core.errors import AskpixError
from askpix.evaluation.data.manifest import read_manifest


def write(folder: Path, *rows: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    for name in "abcde":
        (folder / f"{name}.jpg").touch()
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
        (['{"captions": ["x"]}'], 'line 1: needs an object with an "image"'),
        (["[1]"], "line 1: needs"),
        (['{"image": ""}'], "line 1: needs"),
        (["", '{"image": "gone.jpg", "query": "x"}'], "line 2: no file 'gone.jpg'"),
        (['{"image": "a.jpg", "captions": [1]}'], 'line 1: "captions" must be text'),
        (['{"image": "a.jpg", "queries": {"a": 1}}'], 'line 1: "queries" must be text'),
        (['{"image": "a.jpg", "questions": "x"}'], 'line 1: "questions" must be a list'),
        (['{"image": "a.jpg", "questions": [{"q": "x"}]}'], "line 1: a question must be"),
        (['{"image": "a.jpg"}'], "no captions, questions or queries"),
    ],
)
def test_a_wrong_manifest_is_one_clear_line(tmp_path: Path, rows: list[str], says: str) -> None:
    with pytest.raises(AskpixError, match=says):
        read_manifest(write(tmp_path, *rows))
    with pytest.raises(AskpixError, match="cannot read"):
        read_manifest(tmp_path / "missing.jsonl")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b'{"image": "\xff"}')
    with pytest.raises(AskpixError, match="not UTF-8"):
        read_manifest(path)


def test_the_simple_manifest_of_a_user(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "questions": ["what is it?", {"question": "unsaid?", "answer": "<no answer>"}]},
        {"image": "a.jpg", "queries": ["one\u2028line", "two"], "source": "mine"},
        {"image": "b.jpg", "split": "train", "query": "asked too: no row is test"},
    ]
    path = write(tmp_path, *(json.dumps(row, ensure_ascii=False) for row in rows))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    dataset = read_manifest(path)
    assert [(case.query, case.set) for case in dataset.cases] == [
        ("what is it?", tmp_path.name),
        ("one\u2028line", "mine"),
        ("two", "mine"),
        ("asked too: no row is test", tmp_path.name),
    ]
    assert [image.name for image in dataset.gallery] == ["a.jpg", "b.jpg"], "each picture once"


def test_the_evaluation_data(shared_data: Path) -> None:
    sizes = {}
    for name in ("photos_captions", "charts_qa", "documents", "screenshots"):
        dataset = read_manifest(shared_data / name / "manifest.jsonl")
        sizes[name] = (len(dataset.cases), len(dataset.gallery), len(dataset.distractors))
        kinds = Counter(case.kind for case in dataset.cases)
        assert dict(kinds) == (
            {"field": 335, "key": 180}
            if name == "documents"
            else {kinds.most_common()[0][0]: len(dataset.cases)}
        )
    assert sizes["photos_captions"] == (3870, 774, 1800)
    assert sizes["charts_qa"] == (423, 240, 0)
    assert sizes["documents"] == (515, 299, 0)
    assert sizes["screenshots"][1:] == (30, 0)
