"""Captions, and screenshots held against checks: real pixels, real letters, models that make mistakes."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.core.errors import GenerationError
from askpix.core.types import Box, Evidence, Hit, ImageRecord, Message, TextLine
from askpix.generation.generators.base import Generator, Piece
from askpix.generation.tasks.audit import check_accessibility, check_with, check_words, contrast_of
from askpix.generation.tasks.caption import caption_by_rules, caption_with
from tests.support.fakes import picture


class Says(Generator):
    model_id = "says"

    def __init__(self, text: str) -> None:
        self.text = text

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        yield Piece(self.text)


def evidence(*texts: str, **fields: object) -> Evidence:
    record = ImageRecord("a", "/a.png", "photo", 640, 480, **fields)  # type: ignore[arg-type]
    lines = tuple(TextLine(text, Box(10, 30 * n, 300, 30 * n + 20)) for n, text in enumerate(texts))
    return Evidence(1, Hit(1, record, 1.0), lines)


def test_captions_say_how_sure_they_are() -> None:
    assert caption_by_rules(evidence(), [("beagle", 0.8)]) == "An image of a beagle"
    assert caption_by_rules(evidence(), [("ox", 0.3), ("ram", 0.25)]) == "An image, perhaps of an ox or a ram"
    assert caption_by_rules(evidence(), [("ox", 0.1)]) == "An image"
    taken = evidence("EXIT", taken_at=datetime(2020, 5, 3))
    assert caption_by_rules(taken, []) == 'An image, with the words "EXIT", taken 2020-05-03'
    assert len(caption_by_rules(evidence("word " * 200), [], style="alt")) <= 250


def test_a_models_caption_is_one_line_and_not_nothing() -> None:
    assert caption_with(Says("A dog\n on  grass."), evidence()) == "A dog on grass."
    assert len(caption_with(Says("x " * 5000), evidence(), style="alt")) <= 250
    with pytest.raises(GenerationError, match="no caption"):
        caption_with(Says("  \n"), evidence())


LINES = evidence("Save changes", "Your card ends in 4711", "Settings").lines


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ("the button says 'Save changes'", "pass"),
        ('"save CHANGES" is visible', "pass"),
        ("the button says 'Delete'", "fail"),
        ("there is no 'Error'", "pass"),
        ("'4711' is not shown", "fail"),
        ("card ends in 4711", "pass"),
        ("the logo is red", "unsure"),
        ("the settings are not open", "unsure"),
    ],
)
def test_checks_by_words_alone(check: str, verdict: str) -> None:
    finding = check_words(check, LINES)
    assert finding.verdict == verdict, finding
    if verdict == "pass" and "no" not in check:
        assert finding.box is not None


def test_a_models_verdict_must_rest_on_words_that_are_there() -> None:
    good = json.dumps({"verdict": "pass", "evidence": "It says so.", "quote": "Save changes"})
    assert check_with(Says(good), "x", evidence("Save changes")).verdict == "pass"
    made_up = json.dumps({"verdict": "pass", "evidence": "It says so.", "quote": "Welcome back"})
    assert check_with(Says(made_up), "x", evidence("Save changes")).verdict == "unsure"
    for nonsense in ("PASS", '{"verdict": "maybe"}', "[1]", "{", '{"verdict": ["pass"]}'):
        assert check_with(Says(nonsense), "x", evidence("Save")).verdict == "unsure"


def screen(ink: str, paper: str, size: int) -> tuple[Image.Image, TextLine]:
    image = Image.new("RGB", (400, 120), paper)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    draw.text((20, 40), "Sign in here", font=font, fill=ink)
    return image, TextLine("Sign in here", Box(*draw.textbbox((20, 40), "Sign in here", font=font)))


@pytest.mark.parametrize(
    ("ink", "paper", "ratio"),
    [("#000000", "#ffffff", 21), ("#767676", "#ffffff", 4.54), ("#ffffff", "#0000ff", 8.59)],
)
def test_contrast_is_that_of_the_standard(ink: str, paper: str, ratio: float) -> None:
    image, line = screen(ink, paper, 40)
    measured = contrast_of(np.asarray(image, np.float32) / np.float32(255), line.box)
    assert measured == pytest.approx(ratio, rel=0.06)
    assert contrast_of(np.asarray(image, np.float32), Box(5, 5, 6, 6)) is None


def test_faint_and_small_text_is_found_where_it_stands() -> None:
    image, line = screen("#aaaaaa", "#ffffff", 20)
    findings = {each.check: each for each in check_accessibility(image, [line])}
    assert findings["contrast"].verdict == "fail" and findings["contrast"].box == line.box
    assert findings["text size"].verdict == "pass"
    image, line = screen("#000000", "#ffffff", 8)
    findings = {each.check: each for each in check_accessibility(image, [line])}
    assert (findings["contrast"].verdict, findings["text size"].verdict) == ("pass", "fail")
    assert {each.verdict for each in check_accessibility(image, [])} == {"unsure"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASKPIX_LOCAL_SERVERS", "")
    return tmp_path


def test_the_commands(home: Path) -> None:
    receipt = home / "receipt.png"
    text = "HARBOUR CAFE LTD\nDate: 15/03/2018\nTOTAL 18.90"
    picture("white", text, size=(800, 600)).save(receipt)
    (home / "broken.png").write_bytes(b"no image")
    runner = CliRunner()

    done = runner.invoke(app, ["caption", str(home), "--json"])
    assert done.exit_code == 3
    [row] = json.loads(done.stdout)
    assert row["path"] == str(receipt) and "HARBOUR CAFE" in row["caption"]

    wanted = home / "schema.json"
    wanted.write_text(
        '{"type": "object", "properties": {"total": {"type": "number"}, "date": {"type": "string"}}, '
        '"required": ["total"]}'
    )
    done = runner.invoke(app, ["extract", str(receipt), "--schema", str(wanted)])
    found = json.loads(done.stdout)
    assert found["total"] == 18.9 and "18.90" in found["evidence"]["total"]["quote"]
    x0, y0, x1, y1 = found["evidence"]["total"]["box"]
    assert 0 <= x0 < x1 <= 800 and 0 <= y0 < y1 <= 600

    done = runner.invoke(app, ["audit", str(receipt), "--check", "it says 'TOTAL 18.90'", "--json"])
    findings = json.loads(done.stdout)["findings"]
    assert findings[0]["verdict"] == "pass" and findings[0]["box"]


def test_wrong_files_are_one_clear_line(home: Path) -> None:
    runner = CliRunner()
    schema = home / "schema.json"
    schema.write_text("{")
    for command in (
        ["extract", str(home / "none.png"), "--schema", str(home / "none.json")],
        ["extract", str(home / "none.png"), "--schema", str(schema)],
        ["audit", str(home)],
        ["caption", str(home / "none.png")],
    ):
        done = runner.invoke(app, command)
        assert done.exit_code == 1 and "\n" not in str(done.exception), command
