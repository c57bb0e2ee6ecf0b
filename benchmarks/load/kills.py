"""``python -m benchmarks kills``: the whole pipeline killed with SIGKILL at random moments.

On either database (``ASKPIX_DATABASE_URL``). What is killed is ``main``: index, read, then change the model.
The second model is the first with its numbers in reverse order: other vectors, nothing to download.
"""

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from PIL import Image

from askpix.api.console.render import print_json, say
from askpix.api.demo import PICTURES
from askpix.api.evals.speed import NAME, collect, temporary_home
from askpix.api.services.index import run_index
from askpix.api.services.reembed import reembed
from askpix.api.settings import Settings, load_settings
from askpix.api.workspace.region_index import prove_sheets_of
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.core.imaging.decode import open_image
from askpix.core.subprocesses import python_command
from askpix.core.types import Vectors
from askpix.ingest.maintenance.verify import prove
from askpix.ingest.sources.walk import check_paths
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.onnx.mini import MiniEmbedder
from benchmarks.load.kill_schedule import KillReport, run_kills

Stages = Literal["index", "all"]
_TURNED = "mini-turned"
_SHEETS = 10
"""One file of so many is made an album page."""


class Turned(MiniEmbedder):
    """``mini`` with its numbers in reverse order: vectors of the two must never be mixed up."""

    model_id = _TURNED

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """See ``Embedder.embed_images``."""
        return np.ascontiguousarray(super().embed_images(images)[:, ::-1])

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """See ``Embedder.embed_texts``."""
        return np.ascontiguousarray(super().embed_texts(texts)[:, ::-1])

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        """See ``TextEmbedder.encode_queries``."""
        return np.ascontiguousarray(super().encode_queries(texts)[:, ::-1])


class TwoModels(Workspace):
    """A workspace that knows the second model."""

    def embedder(self, embedder_id: str) -> Embedder:
        """See ``Workspace.embedder``."""
        if embedder_id == _TURNED:
            if _TURNED not in self._embedders:
                self._embedders[_TURNED] = Turned.load(workers=self.workers)
            return self._embedders[_TURNED]
        return super().embedder(embedder_id)


def work(workspace: Workspace, folders: Sequence[Path], stages: Stages) -> None:
    """Run all stages once: files, words, and the model that is not in use, or that was begun with."""
    collection = workspace.open_or_create(NAME)
    run_index(
        workspace, collection, list(folders), ocr="off" if stages == "index" else "on", prune=stages == "all"
    )
    if stages == "all":
        collection = workspace.collection(NAME)
        begun = workspace.catalog.generations.others(collection, "building")
        other = _TURNED if collection.embedder == "mini" else "mini"
        reembed(workspace, NAME, begun[0].embedder if begun else other)


class Watch:
    """Check that what was acknowledged once stays as long as its file does, and that nothing is there
    twice.
    """

    def __init__(self, settings: Settings, files: Sequence[Path], stages: Stages) -> None:
        self._settings = settings
        self._files = files
        self._stages = stages
        self._known: set[str] = set()
        self._read: set[str] = set()
        self._dice = random.Random(1)  # noqa: S311 - which files change
        self.complete = False

    def check(self) -> list[str]:
        """Return what is wrong now, as another process left it on the disk."""
        workspace = TwoModels(self._settings)
        try:
            return self._check(workspace)
        finally:
            workspace.catalog.close()

    def _check(self, workspace: Workspace) -> list[str]:
        catalog = workspace.catalog
        collection = catalog.get_collection(NAME)
        if collection is None:
            return ["the collection is gone"] if self._known else []
        ledger = catalog.embedded_ids(collection)
        with workspace.open_store(collection) as store:
            vectors = list(store.ids())
        shas = {hashlib.sha256(path.read_bytes()).hexdigest() for path in self._files}
        contents = catalog.contents(collection) & shas
        read = set(catalog.lines(ledger))
        ids = {collection.image_id(sha, None) for sha in shas}
        problems = []
        if len(set(ledger)) != len(ledger) or len(set(vectors)) != len(vectors):
            problems.append("an image is there twice")
        if lost := set(ledger) - set(vectors):
            problems.append(f"{len(lost)} acknowledged pictures have no vector")
        if lost := (self._known & shas) - contents:
            problems.append(f"{len(lost)} images are acknowledged no more")
        if lost := (self._read & ids) - read:
            problems.append(f"the words of {len(lost)} images are gone")
        self._known = contents
        self._read = read
        self.complete = len(contents) == len(shas) and (self._stages == "index" or ids <= read)
        return problems

    def prepare(self) -> None:
        """New work when all is done: some files get other bytes, which is another image to us."""
        if self.complete:
            some = self._files if self._stages == "index" else self._dice.sample(list(self._files), 3)
            for path in some:
                draft = path.with_suffix(".new")
                draft.write_bytes(path.read_bytes() + b"+")
                draft.replace(path)

    def prove_all(self) -> list[str]:
        """After a run that came to its end: every image once, with words and the vector of its model."""
        workspace = TwoModels(self._settings)
        collection = workspace.collection(NAME)
        problems = []
        with workspace.open_store(collection) as store:
            proof = prove(collection, catalog=workspace.catalog, store=store)
            if not proof.holds or (self._stages == "all" and proof.images != len(self._files)):
                problems.append(f"{proof}, of {len(self._files)} files")
            for path in self._files[:8]:
                point = collection.image_id(hashlib.sha256(path.read_bytes()).hexdigest(), None)
                embedder = workspace.embedder(collection.embedder)
                picture = open_image(path.read_bytes(), min_side=embedder.image_side).image
                if float(embedder.embed_images([picture])[0] @ store.image_vectors([point])[0]) < 0.99:
                    problems.append(f"{path.name} has the vector of another model")
        problems += self._prove_sheets(workspace)
        left = workspace.catalog.texts.counts(collection.id)["pending"]
        if self._stages == "all" and left:
            problems.append(f"{left} images were not read")
        if workspace.catalog.generations.others(collection, "building"):
            problems.append("vectors that were begun are not in use")
        workspace.catalog.close()
        return problems

    def _prove_sheets(self, workspace: Workspace) -> list[str]:
        """Every image on every sheet has its vector, and nothing else has one."""
        if self._stages == "index":
            return []
        proof = prove_sheets_of(workspace, workspace.collection(NAME))
        if not proof.holds or proof.sheets < len(self._files[::_SHEETS]):
            return [str(proof)]
        return []


def _album(path: Path, photos: Sequence[Path]) -> None:
    """Make the file a page with four of these photos."""
    page = Image.new("RGB", (1240, 1754), "white")
    for number, photo in enumerate(photos):
        image = open_image(photo.read_bytes()).image
        image.thumbnail((500, 700))
        page.paste(image, (60 + 620 * (number % 2), 60 + 870 * (number // 2)))
    page.save(path, "JPEG", quality=90)


def bench_kills(
    settings: Settings, files: Sequence[Path], *, kills: int, stages: Stages = "index", seed: int = 0
) -> KillReport:
    """Kill runs over ``files``, which are written anew, at random moments. ``index`` is the command on stage
    one; ``all`` goes through files, words and a change of the model, with files that change between the runs.
    """
    with temporary_home(settings) as home:
        folders = sorted({str(f.parent) for f in files})
        command = python_command("benchmarks.load.kills:main", stages, *folders)
        environment = _environment(home)
        if stages == "all":
            for number, path in enumerate(files[::_SHEETS]):
                _album(path, [files[(number * _SHEETS + k) % len(files)] for k in (1, 2, 3, 4)])
        watch = Watch(home, files, stages)
        span = 5.0
        first = []
        if stages == "all":
            # Once whole, and once with a few new files: so long does a run take that is to be killed.
            first = _whole(command, environment) + watch.check()
            watch.prepare()
            began = time.monotonic()
            first += _whole(command, environment) + watch.check()
            span = time.monotonic() - began
        report = run_kills(
            command,
            environment=environment,
            check=watch.check,
            kills=kills,
            seconds=(1.0, max(2.0, span)),
            seed=seed,
            prepare=watch.prepare,
        )
        return KillReport(report.kills, report.runs, (*first, *report.problems, *watch.prove_all()))


def _whole(command: Sequence[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return [f"a whole run ended with {done.returncode}: {done.stderr[-300:]}"] if done.returncode else []


def _environment(settings: Settings) -> dict[str, str]:
    found = {"ASKPIX_HOME": str(settings.home), "PATH": "", "HOME": str(Path.home())}
    found |= {"ASKPIX_STORE": settings.store, "ASKPIX_WORKERS": str(settings.workers)}
    if settings.qdrant_url:
        found["ASKPIX_QDRANT_URL"] = settings.qdrant_url
    return found | ({"ASKPIX_DATABASE_URL": settings.database_url} if settings.database_url else {})


def main() -> None:
    """Run once what is to be killed: the arguments are the stages and the folders."""
    work(TwoModels(load_settings()), [Path(name) for name in sys.argv[2:]], sys.argv[1])  # type: ignore[arg-type]


def kills_command(
    kills: Annotated[int, typer.Option(min=1, help="How many runs are killed.")] = 15,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Images to work on; default: the sample photos."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=16, help="How many images a run indexes.")] = 256,
    stages: Annotated[
        Literal["index", "all"],
        typer.Option(help="Stage one, or all of it with OCR and a change of the model."),
    ] = "index",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Kill indexing runs at random moments and look for images that are lost or doubled."""
    settings = load_settings()
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as folder:
        files = collect(sources, pictures, Path(folder))
        report = bench_kills(settings, files, kills=kills, stages=stages)
    if as_json:
        print_json({"kills": report})
    else:
        say(f"{report.kills} kills in {report.runs} runs: {', '.join(report.problems) or 'all well'}")
    if report.problems:
        raise AskpixError("images were lost or doubled; see above")
