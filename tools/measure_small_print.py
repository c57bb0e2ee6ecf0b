"""Measures how much of small print on large sheets is read, and what looking closely costs.

    python tools/measure_small_print.py

Draws sheets with 300 dots an inch, in columns, under a headline; a third of the sheet has print. Each is
read as a page was before there was `ingest.ocr.resolution`, and as it is now: share of the words that are
read, and CPU seconds.
"""

import random
import sys
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from askpix.core.types import TextLine  # noqa: E402
from askpix.ingest.ocr import reader as ocr  # noqa: E402
from askpix.ingest.ocr.resolution import detect_side  # noqa: E402

PAPERS = {"A4": (2480, 3508, 1), "A3": (3508, 4961, 3), "A2": (4961, 7016, 5), "4K screen": (3840, 2160, 2)}
WORDS = (
    "account balance branch capital delivery district engine factor garden harbour invoice journal kitchen "
    "ledger machine number office payment quarter receipt surface total united value window yearly material"
).split()


def main() -> None:
    """Print one row of Markdown a sheet and size."""
    reader = ocr.RapidOcrReader.load(workers=1)
    print(
        "| sheet, print | words | before | CPU s | now | CPU s | looked at |\n|---|---|---|---|---|---|---|"
    )
    for paper, points in [(p, n) for p in PAPERS for n in ((9, 11, 13) if "screen" in p else (5, 6, 8, 10))]:
        image, words = sheet(*PAPERS[paper], points if "screen" in paper else points * 300 / 72)
        chosen: list[int] = []

        def noted(finder, picture, chosen=chosen) -> int:
            chosen.append(detect_side(finder, picture))
            return chosen[-1]

        with patch.object(ocr, "is_page", return_value=False):
            before = read(reader, image, words)
        with patch.object(ocr, "detect_side", noted):
            now = read(reader, image, words)
        unit = "px" if "screen" in paper else "pt"
        print(
            f"| {paper}, {points} {unit} | {len(words)} | {before[0]:.0%} | {before[1]:.1f} | {now[0]:.0%} "
            f"| {now[1]:.1f} | {chosen[0] if chosen else '-'} |",
            flush=True,
        )


def sheet(
    width: int, height: int, columns: int, pixels: float, seed: int = 0
) -> tuple[Image.Image, list[str]]:
    """A page with print of a height, and its words."""
    dice = random.Random(seed)
    image = Image.new("RGB", (width, height), (252, 251, 247))
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(pixels)
    margin, wide = width // 16, (width - width // 8) // columns
    pen.text(
        (margin, margin // 3), "Quarterly report", font=ImageFont.load_default(height / 45), fill="black"
    )
    words = ["quarterly", "report"]
    for column in range(columns):
        y = float(margin + height / 40)
        while y < height / 3:
            x, end = float(margin + column * wide), margin + (column + 1) * wide - wide / 16
            while True:
                word = dice.choice(WORDS) + (str(dice.randrange(1000)) if dice.random() < 0.3 else "")
                long = pen.textlength(word + " ", font=font)
                if x + long > end:
                    break
                pen.text((x, y), word, font=font, fill=(30, 30, 30))
                words.append(word)
                x += long
            y += pixels * 1.5
    return image, words


def read(reader: ocr.RapidOcrReader, image: Image.Image, words: list[str]) -> tuple[float, float]:
    """Share of the words, each as often as it stands there, and CPU seconds."""
    began = time.process_time()
    lines: list[TextLine] = reader.read(image)
    spent = time.process_time() - began
    seen = Counter(word for line in lines for word in line.text.lower().split())
    return sum((Counter(words) & seen).values()) / len(words), spent


if __name__ == "__main__":
    main()
