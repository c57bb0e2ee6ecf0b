"""``index --engine ray`` on a local Ray: the same index as without, after a kill in the middle too.

python -m tests.unit.ingest.ray.test_engine FOLDER HOME   what is killed
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from askpix.api.settings import Settings
from askpix.api.workspace.ray import on_ray
from askpix.api.workspace.workspace import Workspace
from askpix.core.types import Box, TextLine, Vectors
from askpix.ingest.maintenance.verify import prove
from askpix.ingest.ray.engine import RayEngine
from askpix.retrieval.embedders.base import Embedder
from tests.conftest import ROOT
from tests.support.fakes import ColourEmbedder, picture

FILES, BLOCK = 64, 8


class SlowEmbedder(ColourEmbedder):
    """Takes its time, and notes in a file how many pictures it saw."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        time.sleep(0.05 * len(images))
        with self._log.open("a") as log:
            log.write("x" * len(images))
        return super().embed_images(images)


class SizeReader:
    """Reads in a picture how wide it is."""

    engine_id, workers = "size/1", 1

    def read(self, image: Image.Image, /) -> list[TextLine]:
        return [TextLine(f"wide {image.width}", Box(0, 0, *image.size), 1.0)]


class Fakes(Workspace):
    """A workspace with quick models."""

    reader: Any = SizeReader()

    def embedder(self, embedder_id: str) -> Embedder:
        return SlowEmbedder(self.settings.home / "log")


def open_fakes(settings: Settings) -> Fakes:
    return Fakes(settings)


def run(photos: Path, home: Path) -> None:
    """Both stages on Ray."""
    workspace = Fakes(Settings(home=home, embedder="colour"))
    collection = workspace.open_or_create("default")
    engine = RayEngine(
        collection=collection,
        catalog=workspace.catalog,
        open_tools=partial(open_fakes, workspace.settings),
        folder=workspace.folder(collection) / "ray",
        shared=False,
        block=BLOCK,
    )
    with on_ray("local"), workspace.run_on(collection):
        report = engine.index(
            [photos],
            open_store=workspace.store_opener(collection),
            image_side=32,
            limits=workspace.limits,
        )
        text = engine.read_texts(engine_id="size/1")
    print("done", report.images, len(report.failed), report.duplicates, text.with_text, flush=True)


def start(photos: Path, home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.ingest.ray.test_engine", str(photos), str(home)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_run_goes_on_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    photos, home = tmp_path / "photos", tmp_path / "home"
    photos.mkdir()
    for number in range(FILES):
        picture("green", size=(64 + number, 48)).save(photos / f"{number:02}.png")
    picture("green", size=(64, 48)).save(photos / "copy.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    first = start(photos, home)
    workspace = Fakes(Settings(home=home, embedder="colour"))
    deadline = time.monotonic() + 300
    done = 0
    while done < 2 * BLOCK and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        found = workspace.catalog.get_collection("default") if (home / "catalog.sqlite").exists() else None
        done = workspace.catalog.count_images(found) if found else 0
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL, "it was over before it could be killed"
    collection = workspace.collection("default")
    assert (workspace.folder(collection) / "ray" / "manifest.json").is_file()
    seen = (home / "log").stat().st_size
    assert 0 < workspace.catalog.count_images(collection) < FILES

    second = start(photos, home)
    said = second.communicate()[0].split()[-5:]
    said[3] = "?"  # the copy may be embedded at the same moment as what it copies: that is no duplicate then
    assert said == ["done", str(FILES), "1", "?", str(FILES)]
    assert second.returncode == 0
    again = (home / "log").stat().st_size - seen
    assert again < FILES, "what was done before the kill was done again"
    with workspace.open_store(collection) as store:
        proof = prove(collection, catalog=workspace.catalog, store=store)
        assert proof.holds and proof.images == FILES, proof
        texts = {record.text for record in store.get(list(store.ids()))}
    assert texts == {f"wide {64 + number}" for number in range(FILES)}
    assert workspace.catalog.counts(collection)["sources"] == FILES + 2
    assert not (workspace.folder(collection) / "ray").exists()
    workspace.catalog.close()


def test_a_cluster_that_is_not_there_is_one_line() -> None:
    code = (
        "from askpix.core.errors import StoreUnavailableError\n"
        "from askpix.ingest.ray.engine import connect\n"
        "try: connect('nonsense', local_cpus=1)\n"
        "except StoreUnavailableError as error: print(error)\n"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.startswith("cannot reach the Ray cluster: ") and done.stdout.count("\n") == 1


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
