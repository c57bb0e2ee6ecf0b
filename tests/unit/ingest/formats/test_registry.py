"""The registry of formats: each file is of one, decoders stay away from it, and plug-ins that fail say so."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from askpix.api.demo import PICTURES
from askpix.core.errors import AskpixError, BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.registry import Registry
from askpix.ingest.formats import pages
from askpix.ingest.formats.pages import by_extension, format_of, formats, open_pages
from askpix.ingest.sources.walk import Skipped, walk
from tests.conftest import ROOT
from tests.support.films import moving
from tests.support.hostile import noise, pdf, save
from tests.support.office_files import docx


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (save(noise(), "JPEG"), "image"),
        (save(noise(), "PNG"), "image"),
        (save(noise(), "TIFF"), "tiff"),
        (save(noise(), "PPM"), "image"),
        (moving("GIF", ("red", 4), ("blue", 4)), "animation"),
        (moving("GIF", ("red", 1)), "image"),
        (b"II*\0\x10\0\0\0CR", "raw"),
        (b"\0\0\0\x18ftypcrx ", "raw"),
        (b"\xff\x0a", "jpeg_xl"),
        (b"<?xml version='1.0'?><svg/>", "svg"),
        (b"<?xml version='1.0'?><html/>", "image"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"GIF89a".ljust(188, b"\0") + b"G".ljust(188, b"\0") + b"G", "image"),
        (b"before it\n" + pdf(b""), "pdf"),
        (docx("words"), "office"),
        (b"words", "image"),
        (b"", "image"),
    ],
)
def test_a_file_is_of_one_format_by_its_bytes(data: bytes, name: str) -> None:
    assert format_of(data) is formats()[name]


def test_an_extension_belongs_to_one_format() -> None:
    assert sum(len(form.extensions) for form in formats().values()) == len(by_extension())
    assert all(form.ambiguous <= form.extensions for form in formats().values())


def test_a_photo_loads_no_decoder_of_another_format() -> None:
    code = """if True:
        import pathlib, sys
        from askpix.core.imaging.decode import ImageLimits
        from askpix.ingest.formats.pages import open_pages
        from askpix.ingest.sources.walk import walk
        found = [each.path for each in walk([pathlib.Path(sys.argv[1])])]
        assert found and all(list(open_pages(path.read_bytes(), limits=ImageLimits())) for path in found)
        print(*sorted({"pypdfium2", "av", "rawpy", "resvg_py", "pillow_jxl"} & sys.modules.keys()))
    """
    command = [sys.executable, "-c", code, str(PICTURES / "photos")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format of a package that looks at bytes that are not there."""

    def sniff(data: bytes) -> bool:
        return data[99] == 1

    found = {**formats(), "toy": replace(formats()["svg"], name="toy picture", sniff=sniff)}
    monkeypatch.setattr(pages, "formats", lambda: found)


def test_a_format_that_fails_is_named_and_costs_no_known_file(broken: None, tmp_path: Path) -> None:
    assert list(open_pages(save(noise(), "PNG"), limits=ImageLimits()))
    with pytest.raises(BadImageError, match="'toy picture' fails on its first bytes: index out of range; up"):
        list(open_pages(b"words", limits=ImageLimits()))
    (tmp_path / "README").write_text("words")
    [skipped] = walk([tmp_path])
    assert isinstance(skipped, Skipped) and "'toy picture' fails" in skipped.reason


def test_what_is_no_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    uncached: Callable[[], object] = formats.__wrapped__
    monkeypatch.setattr(pages, "REGISTRY", Registry[object]("askpix.formats", {"toy": "pathlib:Path"}))
    with pytest.raises(AskpixError, match=r"'toy'.*is no Format; update or uninstall"):
        uncached()
