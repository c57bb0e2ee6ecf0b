"""Both stages in a process of their own, on the real store, killed with SIGKILL at random and at bad moments.

python -m tests.e2e.kills.test_kills FOLDER HOME      indexes FOLDER into HOME, as the killed processes do
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from askpix.core.db.engine import open_database
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.types import Box, ImageRecord, TextLine, Vectors
from askpix.ingest.catalog.catalog import Catalog, Collection
from askpix.ingest.catalog.tables import METADATA, VERSION
from askpix.ingest.pipeline.embed_images import collection_run, index
from askpix.ingest.pipeline.ocr_stage import read_texts
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
from tests.conftest import ROOT
from tests.support.fakes import ColourEmbedder, WordEmbedder


class SlowEmbedder(ColourEmbedder):
    """Takes its time, so that there is some to be killed in."""

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        time.sleep(0.01 * len(images))
        return super().embed_images(images)


class BrightnessReader:
    """Reads in a picture how much red it has."""

    engine_id, workers = "brightness/1", 2

    def read(self, image: Image.Image, /) -> list[TextLine]:
        time.sleep(0.003)
        red, *_ = image.getpixel((0, 0))  # type: ignore[misc]
        return [TextLine(f"red {red}", Box(0, 0, *image.size), 1.0)]


class Suicidal(QdrantEdgeStore):
    """Kills its process before or after the first call of one method."""

    die = ""

    def _maybe(self, moment: str) -> None:
        if moment == self.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        self._maybe("before upsert")
        super().upsert(records, image_vectors)
        self._maybe("after upsert")

    def delete(self, ids: Sequence[str], /) -> None:
        self._maybe("before delete")
        super().delete(ids)
        self._maybe("after delete")

    def set_copies(self, record: ImageRecord, /) -> None:
        self._maybe("before set_copies")
        super().set_copies(record)

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        self._maybe("before set_text")
        super().set_text(ids, texts, vectors)
        self._maybe("after set_text")

    def optimize(self) -> None:
        self._maybe("before optimize")
        super().optimize()


class Home:
    """A catalog and a store in a folder, with one collection."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.catalog = Catalog(open_database(folder / "catalog.sqlite", METADATA, version=VERSION))
        found = self.catalog.get_collection("default")
        self.collection: Collection = found or self.catalog.create_collection(
            "default", embedder="colour", dim=5, text_embedder="word-bag", text_dim=64
        )

    @contextmanager
    def open_store(self) -> Iterator[QdrantEdgeStore]:
        c = self.collection
        models: dict[str, Any] = {"model_id": c.embedder, "dim": c.dim}
        text: dict[str, Any] = {"text_model_id": c.text_embedder, "text_dim": c.text_dim}
        with closing(Suicidal.open(self.folder / "vectors", **models, **text, wait_s=5)) as store:
            yield store

    def run(self, photos: Path, *, prune: bool) -> None:
        """Both stages, as the command does them."""
        common: dict[str, Any] = {
            "collection": self.collection,
            "catalog": self.catalog,
            "open_store": self.open_store,
            "limits": DEFAULT_LIMITS,
        }
        with collection_run(self.folder):
            index([photos], embedder=lambda: SlowEmbedder(workers=2), batch_size=4, prune=prune, **common)
            read_texts(reader=BrightnessReader(), text_embedder=WordEmbedder(), **common)

    def check_promises(self) -> None:
        """At any moment: what the catalog lists, the store has, and so for the words."""
        with self.open_store() as store:
            there = set(store.ids())
            acknowledged = self.catalog.embedded_ids(self.collection)
            assert set(acknowledged) <= there
            unstored = set(self.catalog.texts.unstored(self.collection.id, limit=10**6))
            pending = {item.image_id for item in self.catalog.texts.pending(self.collection.id)}
            for record in store.get([i for i in acknowledged if i not in unstored | pending]):
                assert record.text == self.catalog.lines([record.id])[record.id][0].text

    def check_end(self, photos: Path) -> None:
        """After a whole run: every picture exactly once, with its own vector, words and sources."""
        self.check_promises()
        with self.open_store() as store:
            ids = list(store.ids())
            assert sorted(ids) == sorted(self.catalog.embedded_ids(self.collection))
            records = store.get(ids)
            held = sorted(uri for record in records for uri in (record.uri, *record.copies))
            assert held == sorted(str(path) for path in photos.iterdir())
            assert len(ids) == len({path.read_bytes() for path in photos.iterdir()})
            for record in records:
                with Image.open(record.uri) as opened:
                    image = opened.convert("RGB")
                expected = ColourEmbedder().embed_images([image])
                np.testing.assert_allclose(store.image_vectors([record.id]), expected, atol=1e-3)
                assert record.text == f"red {image.getpixel((0, 0))[0]}"  # type: ignore[index]
        assert self.catalog.counts(self.collection)["text"]["done"] == len(ids)


def start(photos: Path, home: Path, *, die: str = "") -> "subprocess.Popen[bytes]":
    """A process that indexes, and says so on its standard output when it begins."""
    command = [sys.executable, "-m", "tests.e2e.kills.test_kills", str(photos), str(home), die]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"begins\n"
    return process


def finish(process: "subprocess.Popen[bytes]") -> int:
    process.communicate()
    return process.returncode


def paint(path: Path, number: int) -> None:
    Image.new("RGB", (40, 30), (number % 256, number // 256 * 9, 77)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(300):
        paint(folder / f"{number:03}.png", number)
    for number in range(10):
        shutil.copy(folder / f"{number:03}.png", folder / f"copy{number}.png")
    return folder


@pytest.mark.slow
def test_killed_at_random_moments_every_image_is_there_exactly_once(tmp_path: Path, photos: Path) -> None:
    whole = start(photos, tmp_path / "whole")
    began = time.monotonic()
    assert finish(whole) == 0
    span = time.monotonic() - began
    rng, kills, homes = random.Random(4711), 0, 0
    while kills < 6:
        home = tmp_path / f"home{homes}"
        process = start(photos, home)
        time.sleep(rng.uniform(0, span / 2))
        process.kill()
        if finish(process) == -signal.SIGKILL:
            kills += 1
            Home(home).check_promises()
        else:
            # It was faster this time: the next one begins anew.
            Home(home).check_end(photos)
            homes += 1
    assert finish(start(photos, home)) == 0
    Home(home).check_end(photos)


@pytest.mark.parametrize(
    "die",
    [
        "before upsert",
        "after upsert",
        "before delete",
        "after delete",
        "before set_copies",
        "before set_text",
        "after set_text",
        "before optimize",
    ],
)
@pytest.mark.slow
def test_killed_at_a_bad_moment(tmp_path: Path, photos: Path, die: str) -> None:
    for path in sorted(photos.iterdir())[50:]:
        path.unlink()
    assert finish(start(photos, tmp_path / "home")) == 0
    for number in range(5):
        path = photos / f"{number:03}.png"
        paint(path, 1000 + number)  # edited
        os.utime(path, (1, 1))
        (photos / f"{number + 10:03}.png").unlink()  # gone
        (photos / f"{number + 20:03}.png").rename(photos / f"moved{number}.png")
        shutil.copy(photos / f"{number + 30:03}.png", photos / f"again{number}.png")
        paint(photos / f"new{number}.png", 2000 + number)
    assert finish(start(photos, tmp_path / "home", die=die)) == -signal.SIGKILL
    Home(tmp_path / "home").check_promises()
    assert finish(start(photos, tmp_path / "home")) == 0
    Home(tmp_path / "home").check_end(photos)


def test_a_second_process_is_refused_and_harms_nothing(tmp_path: Path, photos: Path) -> None:
    first = start(photos, tmp_path / "home")
    time.sleep(0.5)
    assert finish(start(photos, tmp_path / "home")) == 1
    assert finish(first) == 0
    Home(tmp_path / "home").check_end(photos)


def _child(photos: str, home: str, die: str) -> None:
    from askpix.core.errors import StoreUnavailableError

    Suicidal.die = die
    opened = Home(Path(home))
    print("begins", flush=True)
    try:
        opened.run(Path(photos), prune=True)
    except StoreUnavailableError:
        sys.exit(1)


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
