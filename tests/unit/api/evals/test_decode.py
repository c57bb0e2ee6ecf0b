import io
import json
from pathlib import Path

import pytest
from PIL import Image

from askpix.api.evals.decode import contents_of, measure_decode
from askpix.core.errors import NotFoundError
from tests.support.cli import PICTURES, runner
from tests.support.raw_files import dng

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='80'><rect width='9' height='9'/></svg>"


def encoded(name: str, mode: str = "RGB", **options: object) -> bytes:
    held = io.BytesIO()
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 30).convert(mode).save(held, name, **options)
    return held.getvalue()


def test_every_format_beside_its_own_decoder(tmp_path: Path) -> None:
    import pillow_jxl  # noqa: F401 - to write one

    pages = [Image.new("RGB", (300, 200), color) for color in ("red", "blue", "white")]
    tiff = io.BytesIO()
    pages[0].save(tiff, "TIFF", save_all=True, append_images=pages[1:])
    contents = [
        encoded("JPEG"),
        encoded("JPEG", "CMYK"),
        encoded("PNG", "RGBA"),
        encoded("WEBP"),
        encoded("JXL"),
        tiff.getvalue(),
        SVG,
        (PICTURES / "documents" / "library-report.pdf").read_bytes(),
        b"\xff\xd8\xff no picture",
        b"",
    ]
    rows = {row.format: row for row in measure_decode(contents, side=64, rounds=1)}
    counts = {name: row.pictures for name, row in rows.items()}
    assert counts == {"TIFF": 3, "JPEG": 2, "PDF": 2, "PNG": 1, "WEBP": 1, "JPEG XL": 1, "SVG": 1}
    assert rows["JPEG"].megapixels == pytest.approx(0.06) and rows["PDF"].megapixels > 1
    assert rows["SVG"].megapixels == pytest.approx(0.8 * 1.6), "as it is drawn, the longer side at 1600"
    for row in rows.values():
        assert row.ms > 0 and row.bare_ms > 0
        assert row.ratio == pytest.approx(row.bare_ms / row.ms), "of one round"


def test_a_camera_raw_file(tmp_path: Path) -> None:
    (row,) = measure_decode(
        [dng(Image.new("RGB", (96, 64), "teal"), preview=Image.new("RGB", (96, 64), "teal"))],
        side=32,
        rounds=1,
    )
    assert row.format == "RAW" and row.pictures == 1


def test_nothing_to_decode(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with pytest.raises(NotFoundError, match="no image to decode"):
        measure_decode(contents_of([tmp_path / "nothing.jpg", tmp_path / "gone"]), side=32)


def test_the_command(tmp_path: Path) -> None:
    askpix = runner(tmp_path / "home", tmp_path)
    done = askpix("bench", "decode", "--pictures", "9", "--rounds", "1", "--json")
    result = json.loads(done.stdout)
    assert sum(row["pictures"] for row in result["decode"]) >= 9 and result["machine"]["pillow"]
    large = askpix(
        "bench", "decode", PICTURES / "photos", "--pictures", "1", "--megapixels", "3", "--rounds", "1"
    )
    assert large.stdout.split()[:3] == ["JPEG", "1", "3.0"]
    assert "nowhere" in askpix("bench", "decode", tmp_path / "nowhere", code=1).stderr
