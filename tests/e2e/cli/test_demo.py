"""The sample pictures are what NOTICE says, and the demo shows what it promises."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from askpix.api.demo import PICTURES, QUESTIONS, SEARCHES
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.formats.pages import open_pages
from tests.conftest import ROOT
from tests.support.cli import runner

FILES = sorted(path for path in PICTURES.rglob("*") if path.is_file())


def test_about_thirty_images_under_five_megabytes() -> None:
    assert 28 <= len(FILES) <= 36
    assert sum(path.stat().st_size for path in FILES) < 5_000_000
    for path in FILES:
        assert all(page.picture for page in open_pages(path.read_bytes(), limits=ImageLimits())), path


def photos_of_others() -> set[str]:
    """The names that tools/draw_demo.py gives to scikit-image's photos."""
    script = (ROOT / "tools" / "draw_demo.py").read_text("utf-8")
    return set(re.findall(r'"[\w.]+": "([\w-]+\.jpg)"', script))


def test_every_photo_of_others_has_its_notice() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    theirs = photos_of_others()
    assert len(theirs) >= 10
    for name in theirs:
        assert re.search(rf"^   {re.escape(name)} +\S", notice, re.MULTILINE), f"NOTICE lacks {name}"
        with Image.open(PICTURES / "photos" / name) as photo:
            assert not photo.getexif(), f"{name}: its source states no camera, date or place"


def test_all_others_are_drawn_and_ours(tmp_path: Path) -> None:
    """The script draws them again: the same picture up to the encoder's rounding."""
    script = [sys.executable, str(ROOT / "tools" / "draw_demo.py"), "--out", str(tmp_path)]
    subprocess.run(script, cwd=ROOT, check=True)
    drawn = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    names = {str(path.relative_to(tmp_path)) for path in drawn}
    assert names | {f"photos/{name}" for name in photos_of_others()} == {
        str(path.relative_to(PICTURES)) for path in FILES
    }
    for path in drawn:
        shipped = PICTURES / path.relative_to(tmp_path)
        if path.suffix == ".pdf":
            assert shipped.read_bytes() == path.read_bytes()
            continue
        with Image.open(path) as mine, Image.open(shipped) as theirs:
            assert mine.size == theirs.size and dict(mine.getexif()) == dict(theirs.getexif()), path.name
            difference = np.asarray(mine.convert("RGB"), int) - np.asarray(theirs.convert("RGB"), int)
        assert np.abs(difference).mean() < 3, path.name


def test_the_demo_finds_what_it_promises(tmp_path: Path) -> None:
    askpix = runner(tmp_path / "home", tmp_path)
    shown = json.loads(askpix("demo", "--json").stdout)
    assert shown["index"]["added"] == len(FILES) and shown["index"]["failed"] == []
    for promised, search in zip(SEARCHES, shown["searches"], strict=True):
        assert search["matched"] is bool(promised.finds), promised
        if promised.finds:
            assert Path(search["hits"][0]["uri"]).name in promised.finds, promised
    for asked, answer in zip(QUESTIONS, shown["answers"], strict=True):
        assert answer["answered"] is (asked.cites is not None), asked
        if asked.cites:
            assert Path(answer["citations"][0]["uri"]).name == asked.cites
            assert asked.holds and asked.holds in answer["answer"] and answer["citations"][0]["box"]
    again = askpix("demo")
    assert f"{len(FILES)} unchanged" in again.stdout and "Now your own images" in again.stdout
