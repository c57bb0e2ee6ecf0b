"""The OCR reader on its real weights, reading what is drawn here."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tokenizers import Tokenizer

from askpix.core.errors import BadImageError, ModelUnavailableError
from askpix.core.text.layout import rows
from askpix.core.types import Box, TextLine
from askpix.ingest.ocr.engine import OcrEngine
from askpix.ingest.ocr.reader import RapidOcrReader, passages
from askpix.retrieval.weights import weight_file
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


def test_boxes_are_in_pixels_of_the_image_given(reader: RapidOcrReader) -> None:
    large = receipt().resize((2560, 1600), Image.Resampling.LANCZOS)
    total = next(line for line in reader.read(large) if line.text == "67.85")
    assert abs(total.box.x0 - 2000) < 50 and abs(total.box.y0 - 1200) < 50


@pytest.mark.parametrize(
    "size", [(1, 1), (7, 300), (12_000, 3), (300, 200), (2000, 40), (9, 9), (30, 2900), (60, 6000)]
)
def test_images_without_words_have_none(reader: RapidOcrReader, size: tuple[int, int]) -> None:
    for colour in ("white", "black"):
        assert reader.read(Image.new("RGB", size, colour)) == []


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_pages_on_their_side_or_head_are_read(reader: RapidOcrReader, degrees: int) -> None:
    lines = reader.read(receipt().rotate(degrees, expand=True))
    assert [line.text for line in lines] == ["SUSHI HOUSE", "Salmon roll", "12.50", "GRAND TOTAL", "67.85"]
    assert [[line.text for line in row] for row in rows(lines)][-1] == ["GRAND TOTAL", "67.85"]
    # Boxes are where the words stand in the picture that was given: (500, 300) of 640 x 400 before turning.
    x, y = {90: (300, 140), 180: (140, 100), 270: (100, 500)}[degrees]
    box = lines[-1].box
    corner = {90: (box.x0, box.y1), 180: (box.x1, box.y1), 270: (box.x1, box.y0)}[degrees]
    assert abs(corner[0] - x) < 15 and abs(corner[1] - y) < 15


@pytest.mark.parametrize("degrees", [-7, 4])
def test_rows_of_a_page_askew_are_kept(reader: RapidOcrReader, degrees: int) -> None:
    lines = reader.read(receipt().rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white"))
    found = [" ".join(line.text for line in row) for row in rows(lines)]
    assert found == ["SUSHI HOUSE", "Salmon roll 12.50", "GRAND TOTAL 67.85"]


def test_an_upside_down_sign_is_read(reader: RapidOcrReader) -> None:
    image = Image.new("RGB", (640, 200), "white")
    ImageDraw.Draw(image).text((40, 60), "WAY OUT PLEASE", "black", font=ImageFont.load_default(36))
    (line,) = reader.read(image.transpose(Image.Transpose.ROTATE_180))
    assert line.text == "WAY OUT PLEASE"
    assert line.box.x1 > 590


def test_a_long_receipt_is_read_to_its_end_and_nothing_twice(reader: RapidOcrReader) -> None:
    image = Image.new("RGB", (400, 6000), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    places = range(30, 5950, 97)
    for number, y in enumerate(places):
        draw.text((30, y), f"Item {number + 100}", "black", font=font)
    lines = reader.read(image)
    assert [line.text.replace(" ", "") for line in lines] == [f"Item{n + 100}" for n in range(len(places))]
    assert all(abs(line.box.y0 - y) < 12 for line, y in zip(lines, places, strict=True))


def test_small_print_of_a_large_page_is_read(reader: RapidOcrReader) -> None:
    page = Image.new("RGB", (1654, 2339), "white")  # A4 at 200 dots per inch
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(200 * 7 / 72)
    sentence = "Payment is due within thirty days of the date of this invoice."
    for y in range(300, 900, 100):
        draw.text((150, y), sentence, "black", font=font)
    lines = reader.read(page)
    assert [line.text for line in lines] == [sentence] * 6


@pytest.mark.parametrize(
    ("size", "print_pixels", "headline"),
    [
        ((7016, 4961), 25, True),
        ((7016, 4961), 25, False),
        ((3840, 2160), 14, True),
        ((2480, 3508), 25, False),
    ],
    ids=["A2 of 6 points", "without a headline", "a 4K screen", "A4 of 6 points"],
)
def test_print_too_small_for_the_whole_sheet_is_read(
    reader: RapidOcrReader, size: tuple[int, int], print_pixels: int, headline: bool
) -> None:
    sheet = Image.new("RGB", size, (250, 250, 246))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(print_pixels)
    if headline:
        draw.text((200, 60), "Quarterly report", "black", font=ImageFont.load_default(size[1] / 20))
    sentence = "Payment is due within thirty days of this date."
    places = [
        (x, y) for x in (200, size[0] // 2) for y in range(500, 500 + 8 * print_pixels, 2 * print_pixels)
    ]
    for place in places:
        draw.text(place, sentence, "black", font=font)
    small = [line for line in reader.read(sheet) if line.text != "Quarterly report"]
    assert [line.text.replace(" ", "") for line in small] == [sentence.replace(" ", "")] * len(places)
    for line in small:
        assert min(abs(line.box.x0 - x) + abs(line.box.y0 - y) for x, y in places) < 2 * print_pixels


def test_texture_is_no_text(reader: RapidOcrReader) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    assert reader.read(Image.fromarray(noise)) == []


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_any_mode_is_read(reader: RapidOcrReader, mode: str) -> None:
    assert [line.text for line in reader.read(receipt().convert(mode))][-1] == "67.85"


def test_threads_read_the_same(reader: RapidOcrReader) -> None:
    expected = reader.read(receipt())
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: reader.read(receipt()), range(6)):
            assert [line.text for line in found] == [line.text for line in expected]


def test_more_threads_than_workers_are_fine() -> None:
    single = RapidOcrReader.load(workers=1)
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda _: len(single.read(receipt())), range(4)))
    assert counts == [5, 5, 5, 5]


def test_importing_the_protocol_loads_no_engine() -> None:
    engines = "{'rapidocr', 'onnxruntime', 'openvino', 'cv2'}"
    code = f"import sys, askpix.ingest.ocr.reader; print({engines} & set(sys.modules))"
    assert run_python(code) == "set()"


def test_the_engine_is_silent_offline_and_leaves_logging_alone() -> None:
    code = """
import logging, sys
before = logging.root.level, list(logging.root.handlers)
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"network: {event} {arguments}")
sys.addaudithook(watch)
from askpix.ingest.ocr.reader import RapidOcrReader
from tests.unit.ingest.ocr.test_reader import receipt
lines = RapidOcrReader.load().read(receipt())
assert before == (logging.root.level, list(logging.root.handlers))
sys.stdout.write(lines[0].text)
"""
    assert run_python(code) == "SUSHI HOUSE"


def run_python(code: str) -> str:
    """What it writes to standard output; it may write nothing to standard error."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_missing_and_damaged_weights_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"no \*rec\*.onnx in .*ASKPIX_OCR_MODELS"):
        OcrEngine.load(tmp_path)
    for name in ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"):
        (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(ModelUnavailableError, match=r"OCR cannot be loaded .*pip install") as caught:
        OcrEngine.load(tmp_path)
    assert "\n" not in str(caught.value)
    # Rather than replacing what it was given with a download.
    assert (tmp_path / "PP-OCRv6_det_small.onnx").read_bytes() == b"not a network"


class BrokenEngine:
    """Fails as ONNX Runtime's adapter does: with a traceback as its message."""

    text_det = SimpleNamespace()

    def __call__(self, pixels: object, **options: bool) -> object:
        raise RuntimeError("Traceback (most recent call last):\n  File x\nRuntimeError: bad allocation\n")


def test_a_image_that_breaks_the_engine_is_one_line() -> None:
    reader = RapidOcrReader(
        OcrEngine(BrokenEngine()), OcrEngine.load, name="broken", workers=1, max_side=2048
    )
    for _ in range(2):  # the engine goes on to be used
        with pytest.raises(BadImageError, match=r"^words cannot be read: RuntimeError: bad allocation$"):
            reader.read(receipt())


def test_passages_keep_rows_whole_and_lose_nothing() -> None:
    lines = [TextLine(f"word{i} a b c d e f g h", Box(0, i * 30, 200, i * 30 + 20)) for i in range(30)]
    pieces = passages(lines)
    assert len(pieces) >= 3
    assert "\n".join(pieces).split("\n") == [line.text for line in lines]
    assert passages([]) == []
    beside = [TextLine("GRAND TOTAL", Box(0, 0, 90, 20)), TextLine("67.85", Box(300, 1, 350, 21))]
    assert passages(beside) == ["GRAND TOTAL 67.85"]


@pytest.mark.parametrize(
    "text", ["東京タワーの高さは三百三十三メートル" * 20, "12.50 RM 7,00 " * 100, "x" * 3000, "a b " * 400]
)
def test_no_passage_is_cut_by_the_text_embedder(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(weight_file("minilm.tokenizer.json")))
    tokenizer.no_truncation()
    pieces = passages([TextLine(text.strip(), Box(0, i * 30, 200, i * 30 + 20)) for i in range(3)])
    assert all(0 < len(tokenizer.encode(piece).ids) <= 256 for piece in pieces)
    assert "".join("".join(pieces).split()) == 3 * "".join(text.split())
