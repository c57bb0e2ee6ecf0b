"""Benchmark ``askpix bench``: the real parts and the bare libraries beside them, wired."""

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from askpix.api.services.index import run_index
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.db.postgres import temporary_schema
from askpix.core.imaging.decode import open_image
from askpix.core.types import Where
from askpix.evaluation.performance.speed import IngestSpeed, QuerySpeed, measure_ingest, measure_queries
from askpix.ingest.pipeline.embed_images import index
from askpix.ingest.sources.walk import Source, walk
from askpix.retrieval.onnx.mini import SIDE
from askpix.retrieval.query.parser import parse
from askpix.retrieval.weights import weight_file

NAME = "bench"


@contextmanager
def temporary_home(settings: Settings) -> Iterator[Settings]:
    """The settings on a home of its own that is gone afterwards; on a server, on a schema of its own."""
    url = settings.database_url
    with (
        tempfile.TemporaryDirectory(prefix="askpix-bench-") as home,
        temporary_schema(url) if url else nullcontext(None) as schema,
    ):
        yield settings.model_copy(update={"home": Path(home), "database_url": schema})


def collect(
    paths: Sequence[Path], number: int, folder: Path, *, megapixels: float | None = None
) -> list[Path]:
    """``number`` different images in ``folder``: those under ``paths``, again and again with other bytes.

    With ``megapixels`` each is enlarged to that size first, as a JPEG of a camera's quality.
    """
    found = [item.path for item in walk(paths) if isinstance(item, Source)]
    photos = [path for path in found if path.suffix.lower() in (".jpg", ".jpeg")] or found
    contents = [path.read_bytes() for path in photos[:number]]
    if megapixels is not None:
        contents = [_enlarged(data, megapixels) for data in contents]
    made: list[Path] = []
    for place in range(number):
        target = folder / f"{place:05}.jpg"
        # Bytes behind the end of a JPEG change its hash and not its image.
        target.write_bytes(contents[place % len(contents)] + f"{place}".encode())
        made.append(target)
    return made


def _enlarged(data: bytes, megapixels: float) -> bytes:
    picture = open_image(data).image
    scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
    size = (round(picture.width * scale), round(picture.height * scale))
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def bench_ingest(settings: Settings, files: Sequence[Path], *, rounds: int) -> IngestSpeed:
    """Stage one of ingestion against bare Pillow and bare ONNX Runtime on the same images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(weight_file("efficientnet-lite2.onnx")), options, providers=["CPUExecutionProvider"]
    )
    ready = {path: _bare_decode(path) for path in files[:64]}
    pixels = list(ready.values())

    def bare_embed(batch: Sequence[Path]) -> None:
        # Two at a time is the fastest the bare library does here: its caches hold them.
        for start in range(0, len(batch), 2):
            rows = [pixels[(start + i) % len(pixels)] for i in range(min(2, len(batch) - start))]
            session.run(None, {"pixels": np.stack(rows)})

    with temporary_home(settings) as home:
        workspace = Workspace(home)
        workspace.embedder("mini").embed_images([Image.new("RGB", (SIDE, SIDE))])  # loaded and warm

        fresh = (f"{NAME}-{number}" for number in count())

        def index_run() -> int:
            collection = workspace.open_or_create(next(fresh))
            with workspace.run_on(collection):
                return index(
                    list(files),
                    collection=collection,
                    catalog=workspace.catalog,
                    open_store=workspace.store_opener(collection),
                    embedder=lambda: workspace.embedder("mini"),
                    limits=workspace.limits,
                ).images

        return measure_ingest(
            index_run, _bare_decode, bare_embed, files, cores=workspace.workers, rounds=rounds
        )


def _bare_decode(path: Path) -> Any:
    """Decode like any program on Pillow that shows the model an image."""
    with Image.open(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def bench_queries(settings: Settings, files: Sequence[Path], texts: Sequence[str]) -> QuerySpeed:
    """A whole search against encoding the text and one bare query of the store."""
    with temporary_home(settings) as home:
        workspace = Workspace(home)
        collection = workspace.open_or_create(NAME)
        run_index(workspace, collection, list(files), ocr="off", prune=False)
        embedder = workspace.embedder(collection.embedder)
        with workspace.open_store(collection) as store:
            retriever = workspace.retriever_on(collection, store)
            return measure_queries(
                # The images here are copies of a few: collapsing near duplicates would look through all of
                # them for one page, which no archive asks for.
                lambda text: retriever.retrieve(parse(text), show_all=True, collapse=False),
                lambda text: store.search("image", embedder.embed_texts([text])[0], where=Where(), limit=10),
                texts,
            )
