import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from PIL import Image, ImageOps

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.types import Box, TextLine
from askpix.ingest.formats import sandboxed
from askpix.ingest.formats.pdf import SandboxedPdf
from askpix.ingest.pipeline.ocr_stage import _lines as lines_of
from tests.conftest import ROOT
from tests.support.hostile import pdf, pdf_stream

LIMITS = ImageLimits()
FONT = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>/XObject<</I 5 0 R>>>>"
SCAN = pdf_stream(
    b"\x80" * 100, b"/Subtype/Image/Width 10/Height 10/BitsPerComponent 8/ColorSpace/DeviceGray"
)


def words(*lines: tuple[int, int, bytes], drawing: bytes = b"", page: bytes = b"") -> bytes:
    """A page of 300 x 400 points with text at these places, above ``drawing``."""
    text = b"".join(b"BT /F 12 Tf 1 0 0 1 %d %d Tm (%s) Tj ET " % line for line in lines)
    return pdf(drawing + text, SCAN, page=FONT + page)


def read(data: bytes) -> list[TextLine] | None:
    with SandboxedPdf(data, LIMITS) as document:
        return document.lines(1)


def nested(depth: int = 30) -> bytes:
    """Forms that draw the next one twice each: a billion at the end."""
    twice = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X %d 0 R>>>>/Length 10>>stream\n"
    )
    forms = [twice % (number + 6) + b"/X Do /X Do\nendstream" for number in range(depth)]
    last = pdf_stream(b"0 g 0 0 1 1 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
    return pdf(b"/X Do", *forms, last, page=b"/Resources<</XObject<</X 5 0 R>>>>")


def test_text_is_taken_as_it_is_written_with_its_place() -> None:
    lines = read(words((30, 340, b"Invoice 4711"), (30, 300, b"Total"), (200, 300, b"67.85")))
    assert lines is not None
    assert [line.text for line in lines] == ["Invoice 4711", "Total", "67.85"], "a wide gap parts columns"
    x0, y0, x1, y1 = lines[0].box
    scale = 150 / 72
    assert x0 == pytest.approx(30 * scale, abs=4) and x1 == pytest.approx((30 + 66) * scale, abs=8)
    assert y1 == pytest.approx((400 - 340) * scale, abs=8) and 12 < y1 - y0 < 30


@pytest.mark.parametrize(("dpi", "drawn"), [(150, (625, 834)), (300, (1250, 1667)), (72, (300, 400))])
def test_at_another_resolution_more_is_seen_and_nothing_moves(dpi: int, drawn: tuple[int, int]) -> None:
    data = words((30, 340, b"Invoice 4711"))
    with SandboxedPdf(data, LIMITS) as document:
        usual = document.lines(1)
    with SandboxedPdf(data, replace(LIMITS, pdf_dpi=dpi)) as document:
        assert document.lines(1) == usual
        picture = document.picture(1, None)
        assert (picture.width, picture.height) == (625, 834)
        assert max(abs(a - b) for a, b in zip(picture.image.size, drawn, strict=True)) <= 1
        small = document.picture(1, 250)
        assert min(small.image.size) == pytest.approx(250, abs=1) and small.width == 625


def test_a_resolution_is_no_way_around_the_limit() -> None:
    with SandboxedPdf(words(), replace(LIMITS, pdf_dpi=600, max_pixels=1_000_000)) as document:
        picture = document.picture(1, None)
        assert picture.image.width * picture.image.height <= 1_010_000 and picture.width == 625


def test_what_is_read_on_a_finer_page_has_the_boxes_of_the_usual_one() -> None:
    class Reader:
        engine_id, workers = "fake", 1

        def read(self, image: Image.Image, /) -> list[TextLine]:
            seen.append(image.size)
            ink = ImageOps.invert(image.convert("L")).getbbox()
            assert ink
            return [TextLine("black", Box(*map(float, ink)))]

    data = pdf(b"0 g 100 100 50 20 re f")
    seen: list[tuple[int, int]] = []
    boxes = {}
    for dpi in (150, 600):
        limits = replace(LIMITS, pdf_dpi=dpi)
        with SandboxedPdf(data, limits) as document:
            (line,) = lines_of(document, 1, Reader())
        boxes[dpi] = line.box
    assert seen[1][0] > 1.5 * seen[0][0]
    assert boxes[150] == pytest.approx(boxes[600], abs=2)


def test_boxes_lie_where_the_words_are_drawn_however_the_page_is_turned_and_cut() -> None:
    data = words((150, 200, b"HERE"), page=b"/Rotate 90/CropBox[100 100 250 350]")
    with SandboxedPdf(data, LIMITS) as document:
        (line,) = document.lines(1) or ()
        picture = document.picture(1, None)
    assert (picture.width, picture.height) == (521, 313), "250 x 150 points, turned"
    dark = picture.image.convert("L").point(lambda shade: 255 * (shade < 128)).getbbox()
    assert dark is not None
    assert line.box == pytest.approx(dark, abs=3)


def test_a_scan_without_words_of_its_own_is_left_to_be_read() -> None:
    scan = b"q 280 0 0 300 10 10 cm /I Do Q "
    assert read(words((20, 380, b"Page 3"), drawing=scan)) is None, "what the picture says is unknown"
    assert read(words((30, 200, b"what it says"), drawing=scan)) is not None, (
        "read before, by another program"
    )
    small = b"q 30 0 0 30 10 10 cm /I Do Q "
    assert read(words((30, 200, b"a letter with a logo"), drawing=small)) is not None
    assert read(pdf(b"")) is None


def test_letters_without_a_meaning_are_left_to_be_read() -> None:
    nameless = (
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica"
        b"/Encoding<</Differences[65/g1/g2/g3/g4]>>>>>>>>"
    )
    data = pdf(b"BT /F 12 Tf 1 0 0 1 30 300 Tm (ABCDABCD) Tj ET", SCAN, page=nameless)
    lines = read(data)
    assert lines is None or all(line.text.isprintable() for line in lines)


def test_a_page_that_takes_too_long_costs_itself_alone() -> None:
    document = SandboxedPdf(nested(), replace(LIMITS, decode_seconds=1))
    try:
        with pytest.raises(BadImageError, match="more than 1 seconds to read"):
            document.picture(1, None)
        with pytest.raises(BadImageError, match="more than 1 seconds to read"):
            document.picture(1, None)
    finally:
        document.close()
    assert read(words((30, 300, b"fine"))), "the next document is read"


def test_a_crash_costs_one_page() -> None:
    with SandboxedPdf(words((30, 300, b"fine")), LIMITS) as document:
        assert document.lines(1)
        child = document._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGKILL)
        with pytest.raises(BadImageError, match="makes its reader crash"):
            document.picture(1, None)
        assert document.picture(1, None).width == 625, "the next page is asked of another process"


def test_one_that_died_while_idle_is_replaced() -> None:
    with SandboxedPdf(words((30, 300, b"fine")), LIMITS):
        pass
    for child in sandboxed.CHILDREN.idle:
        child._process.kill()
        child._process.wait()
    assert read(words((30, 300, b"fine")))


def test_what_a_process_says_is_not_trusted() -> None:
    with SandboxedPdf(words((30, 300, b"fine")), LIMITS) as document:
        child = document._child
        assert child is not None
        for said in ({"sides": [9, 9, 9, 9]}, {"sides": []}, {"sides": ["x"] * 4}, {}):
            child.ask = lambda *_, said=said, **__: (said, b"")  # type: ignore[method-assign]
            document._child, document._kills = child, 0
            with pytest.raises(BadImageError, match="makes its reader crash"):
                document.picture(1, None)
        assert document.picture(1, 50).image.size[0] >= 50


def test_more_pixels_than_are_allowed_are_not_taken() -> None:
    with SandboxedPdf(words((30, 300, b"fine")), ImageLimits(max_pixels=1000)) as document:
        with pytest.raises(BadImageError, match="over the limit of 1000"):
            document.picture(1, None)
        with pytest.raises(BadImageError, match="over the limit of 1000"):
            document.lines(1)


def test_nothing_is_left_behind_by_a_process_that_is_killed() -> None:
    code = """if True:
        import sys, pathlib
        from askpix.core.imaging.decode import ImageLimits
        from askpix.ingest.formats.pdf import SandboxedPdf
        document = SandboxedPdf(sys.stdin.buffer.read(), ImageLimits())
        print(document._child._process.pid, flush=True)
        document.picture(1, None)
    """
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(nested())
        process.stdin.close()
        child = int(process.stdout.readline())
        process.kill()
    until = time.monotonic() + 30
    while time.monotonic() < until and _lives(child):
        time.sleep(0.1)
    assert not _lives(child), "it goes on drawing for nobody"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has asked about is a zombie.
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return not stat.stdout.startswith("Z") and bool(stat.stdout.strip())


def test_images_come_through_whole() -> None:
    with SandboxedPdf(pdf(b"1 0 0 rg 0 0 150 400 re f"), LIMITS) as document:
        image = document.picture(1, None).image
    assert image.mode == "RGB" and image.getpixel((10, 10)) == (255, 0, 0)
    assert image.getpixel((620, 10)) == (255, 255, 255)
    assert isinstance(image, Image.Image)
