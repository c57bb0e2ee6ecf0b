from benchmarks.speed.ocr import measure_ocr
from tests.support.fakes import picture


def test_both_read_the_same_images() -> None:
    found = measure_ocr([picture("white", "TOTAL 5", size=(200, 80)), picture("blue")], rounds=1)
    assert (found.pictures, found.with_text) == (2, 1) and found.ratio > 0
