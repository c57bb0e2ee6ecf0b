"""A file format that a package adds: indexed and searched by the real command, decoded in a child process."""

import json
import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.support.cli import PICTURES, Askpix, runner

FORMAT = """
from askpix.ingest.formats.base import Format

TOY = Format(
    name="toy picture",
    extensions=frozenset(("toy",)),
    sniff=lambda data: data.startswith(b"TOY"),
    decoder="toy_decoder:ToyDecoder",
    kind="page",
)
"""
DECODER = """
import os, struct, sys
from PIL import Image
from askpix.core.imaging.decode import DecodedImage
from askpix.ingest.formats.base import Document

assert "sandboxed:serve" in sys.argv[0], "untrusted bytes are decoded in a child process alone"

class ToyDecoder(Document):
    def __init__(self, data, limits):
        super().__init__(data, limits)
        self.count, self.width, self.height = struct.unpack_from(">3H", data, 3)

    def picture(self, place, min_side):
        if self.data.endswith(b"crash"):
            os.abort()
        size = 3 * self.width * self.height
        pixels = self.data[9 + size * (place - 1):][:size]
        image = Image.frombytes("RGB", (self.width, self.height), pixels)
        return DecodedImage(image, *image.size, "toy", self.count, Image.Exif())
"""


@pytest.fixture
def askpix(tmp_path: Path) -> Askpix:
    """The command, where a package with the format ``.toy`` is installed."""
    package = tmp_path / "site"
    info = package / "toy_format-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-format\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[askpix.formats]\ntoy = toy_format:TOY\n")
    (package / "toy_format.py").write_text(FORMAT)
    (package / "toy_decoder.py").write_text(DECODER)
    run = runner(tmp_path / "home", tmp_path)
    path = os.pathsep.join((str(package), str(ROOT)))
    return lambda *words, **options: run(*words, **{"PYTHONPATH": path, **options})


def toy(*names: str, size: tuple[int, int] = (320, 240)) -> bytes:
    """A header and the pixels of one page for each photo."""
    pages = [Image.open(PICTURES / "photos" / f"{name}.jpg").convert("RGB").resize(size) for name in names]
    return struct.pack(">3s3H", b"TOY", len(pages), *size) + b"".join(page.tobytes() for page in pages)


def test_a_format_of_a_package_is_indexed_searched_and_sandboxed(askpix: Askpix, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    whole = toy("cat", "rocket-launch")
    for name, data in {
        "a.toy": whole,
        "unnamed": toy("coffee-cup", "wall-clock"),
        "cut.toy": whole[:100_000],
        "empty.toy": struct.pack(">3s3H", b"TOY", 0, 8, 8),
        "endless.toy": struct.pack(">3s3H", b"TOY", 65_535, 8, 8),
        "header.toy": b"TOY",
        "crash.toy": toy("cat") + b"crash",
        "photo.toy": (PICTURES / "photos" / "cat.jpg").read_bytes(),
    }.items():
        (files / name).write_bytes(data)
    report = json.loads(askpix("index", files, "--ocr", "off", "--json", code=3).stdout)
    assert (report["added"], report["images"]) == (3, 5), "by their bytes, two of them of two pages"
    failed = {Path(each["path"]).name: each["error"] for each in report["failed"]}
    assert sorted(failed) == ["crash.toy", "cut.toy", "empty.toy", "endless.toy", "header.toy"]
    assert failed["cut.toy"] == (
        "page 1: damaged toy picture: not enough image data; "
        "page 2: damaged toy picture: not enough image data"
    )
    assert failed["empty.toy"] == "damaged toy picture: it has no pages"
    assert failed["endless.toy"] == "toy picture of 65535 pages is over the limit of 2000: split it"
    assert failed["header.toy"].startswith("damaged toy picture: unpack_from requires")
    assert failed["crash.toy"].startswith("page 1: toy picture: it makes its decoder crash")
    for words, page in (("a cat", 1), ("a rocket launch", 2)):
        hits = json.loads(askpix("search", words, "--json").stdout)["hits"]
        assert ("a.toy", page) in [(Path(hit["uri"]).name, hit["page"]) for hit in hits[:3]]
    again = json.loads(askpix("index", files, "--ocr", "off", "--json", code=3).stdout)
    assert (again["added"], again["unchanged"]) == (0, 3)


def test_without_the_package_its_files_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.toy").write_bytes(toy("cat"))
    run = runner(tmp_path / "home", tmp_path)
    assert json.loads(run("index", tmp_path / "a.toy", "--ocr", "off", "--json", code=3).stdout)["failed"]
