"""Askpix with its model taken out, as its peers are measured.

Run by ``python -m benchmarks peers``: ``askpix_driver.py index|query FOLDER HOME N``. All the rest is the
real thing: walk, hash, decode, metadata, hashes of likeness, vectors and ledger; its searches find images.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from askpix.api.services.index import run_index
from askpix.api.services.search import open_searcher
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.machine import usable_cores
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import Embedder, Likelihood
from askpix.retrieval.query.parser import parse

_SIDE = 256


class Blocks(Embedder):
    """Stand-in for the model: every sixteenth pixel of every sixteenth row, which costs nothing."""

    model_id = "blocks"
    dim = 512
    image_side = _SIDE
    likelihood = Likelihood("softmax", 10.0)

    def __init__(self) -> None:
        self.workers = usable_cores()

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        rows = np.empty((len(images), self.dim), np.float32)
        for row, image in enumerate(images):
            small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
            rows[row] = np.asarray(small, np.float32)[::16, ::16].ravel()[: self.dim] - 127
        return _unit(rows)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        made = [np.random.default_rng(sum(map(ord, text))).normal(size=self.dim) for text in texts]
        return _unit(np.asarray(made, np.float32))


def _unit(rows: Vectors) -> Vectors:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(norms, 1e-9), np.float32)


class Without(Workspace):
    """A workspace whose only embedder is ``Blocks``."""

    def embedder(self, embedder_id: str) -> Embedder:
        """Whatever is asked for."""
        return Blocks()


def main(phase: str, folder: str, home: str, number: str) -> None:
    """Print what it took as JSON."""
    said: dict[str, object] = {"version": version("askpix")}
    workspace = Without(Settings(home=Path(home)))
    collection = workspace.open_or_create("bench", "blocks")
    if phase == "index":
        began = time.perf_counter()
        report = run_index(workspace, collection, [Path(folder)], ocr="off", prune=False)
        said["seconds"] = time.perf_counter() - began
        said["pictures"] = report.images
    else:
        with open_searcher(workspace, collection) as searcher:
            took = []
            for each in range(int(number)):
                began = time.perf_counter()
                query = parse(f"query {each}")
                searcher.retriever.retrieve(query, mode="image", show_all=True, collapse=False)
                took.append(1000 * (time.perf_counter() - began))
        said["p50_ms"] = median(took)
    said["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
