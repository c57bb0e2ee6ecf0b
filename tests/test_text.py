"""The OCR reader on its real weights, reading what is drawn here."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageDraw, ImageFont

from core.types import Box, TextLine
from ingest.text import RapidOcrReader, passages
from tests.conftest import ROOT

FONT = 28


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader.load(workers=2)


def receipt() -> Image.Image:
    """Words at known places."""
    image = Image.new("RGB", (640, 400), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT)
    for text, x, y in (
        ("SUSHI HOUSE", 40, 30),
        ("Salmon roll", 40, 120),
        ("12.50", 500, 120),
        ("GRAND TOTAL", 40, 300),
        ("67.85", 500, 300),
    ):
        draw.text((x, y), text, "black", font=font)
    return image


def test_words_are_read_in_order_with_their_places(reader: RapidOcrReader) -> None:
    lines = reader.read(receipt())
    assert [line.text for line in lines] == ["SUSHI HOUSE", "Salmon roll", "12.50", "GRAND TOTAL", "67.85"]
    total = lines[-1]
    assert total.confidence > 0.8
    assert abs(total.box.x0 - 500) < 15 and abs(total.box.y0 - 300) < 15
    assert 20 < total.box.y1 - total.box.y0 < 60


def test_boxes_are_in_pixels_of_the_picture_given(reader: RapidOcrReader) -> None:
    large = receipt().resize((2560, 1600), Image.Resampling.LANCZOS)
    total = next(line for line in reader.read(large) if line.text == "67.85")
    assert abs(total.box.x0 - 2000) < 50 and abs(total.box.y0 - 1200) < 50


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (12_000, 3), (300, 200), (2000, 40)])
def test_pictures_without_words_have_none(reader: RapidOcrReader, size: tuple[int, int]) -> None:
    for colour in ("white", "black"):
        assert reader.read(Image.new("RGB", size, colour)) == []


def test_threads_read_the_same(reader: RapidOcrReader) -> None:
    expected = reader.read(receipt())
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: reader.read(receipt()), range(6)):
            assert [line.text for line in found] == [line.text for line in expected]


def test_importing_the_protocol_loads_no_engine() -> None:
    code = (
        "import sys, ingest.text; print([m for m in ('rapidocr', 'onnxruntime', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_engine_is_silent(reader: RapidOcrReader, capfd: pytest.CaptureFixture[str]) -> None:
    RapidOcrReader.load().read(receipt())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_passages_keep_rows_whole_and_lose_nothing() -> None:
    lines = [TextLine(f"word{i} a b c d e f g h", Box(0, i * 30, 200, i * 30 + 20)) for i in range(30)]
    pieces = passages(lines)
    assert len(pieces) > 3 and all(len(piece.split()) <= 70 for piece in pieces)
    assert "\n".join(pieces).split("\n") == [line.text for line in lines]
    assert passages([]) == []
    beside = [TextLine("GRAND TOTAL", Box(0, 0, 90, 20)), TextLine("67.85", Box(300, 1, 350, 21))]
    assert passages(beside) == ["GRAND TOTAL 67.85"]
