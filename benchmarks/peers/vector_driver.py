"""The same vectors with the same payload into Askpix's store and into its peers.

Run by ``python -m benchmarks peers``: ``vector_driver.py askpix|qdrant-client|faiss|clip-back
index|query|filtered FOLDER HOME N``; FOLDER holds a file ``points`` with their number. Each peer is used as
its own introduction shows: what somebody writes who needs images' vectors, some fields of each, and a
filter.
"""

import json
import pickle
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from askpix.core.types import ImageRecord, Vectors, Where
from benchmarks.load.store_scale import TOP, Data, fill
from benchmarks.peers.clip_back import ClipBack

FILTER = "one"
"""The tag that a hundredth of the images have."""


class Program(Protocol):
    """A measured program. ``search`` gives the ids of the ten nearest, with ``tag`` of those that have it."""

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None: ...
    def search(self, query: Vectors, tag: str | None, /) -> list[str]: ...
    def save(self) -> None: ...


class Askpix:
    """The default store, as a collection has it."""

    distribution = "askpix"

    def __init__(self, home: Path, dim: int) -> None:
        from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore

        self._store = QdrantEdgeStore.open(
            home / "vectors", model_id="bench", dim=dim, text_model_id="bench", text_dim=8
        )
        self.upsert = self._store.upsert

    def search(self, query: Vectors, tag: str | None) -> list[str]:
        where = Where(tags=(tag,)) if tag else Where()
        return [hit.id for hit in self._store.search("image", query, where=where, limit=TOP)]

    def save(self) -> None:
        self._store.optimize()
        self._store.close()


class QdrantLocal:
    """``QdrantClient(path=...)``: the client's own engine, in Python."""

    distribution = "qdrant-client"

    def __init__(self, home: Path, dim: int) -> None:
        from qdrant_client import QdrantClient, models

        self._models = models
        self._client = QdrantClient(path=str(home / "qdrant"))
        if not self._client.collection_exists("bench"):
            about = models.VectorParams(size=dim, distance=models.Distance.COSINE)
            self._client.create_collection("bench", vectors_config=about)

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        points = [
            self._models.PointStruct(id=record.id, vector=row.tolist(), payload=_payload(record))
            for record, row in zip(records, image_vectors, strict=True)
        ]
        self._client.upsert("bench", points)

    def search(self, query: Vectors, tag: str | None, /) -> list[str]:
        wanted = None
        if tag:
            match = self._models.MatchValue(value=tag)
            wanted = self._models.Filter(must=[self._models.FieldCondition(key="tags", match=match)])
        found = self._client.query_points("bench", query.tolist(), query_filter=wanted, limit=TOP)
        return [str(point.id) for point in found.points]

    def save(self) -> None:
        self._client.close()


class Faiss:
    """``IndexFlatIP`` in a file, and a pickled list of what each row is."""

    distribution = "faiss-cpu"

    def __init__(self, home: Path, dim: int) -> None:
        import faiss

        self._faiss: Any = faiss
        self._files = home / "index.faiss", home / "rows.pickle"
        self._index: Any = faiss.IndexFlatIP(dim)
        self._rows: list[tuple[str, dict[str, Any]]] = []
        if self._files[0].exists():
            self._index = faiss.read_index(str(self._files[0]))
            self._rows = pickle.loads(self._files[1].read_bytes())  # noqa: S301 - written below

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        self._index.add(np.ascontiguousarray(image_vectors))
        self._rows += [(record.id, _payload(record)) for record in records]

    def search(self, query: Vectors, tag: str | None, /) -> list[str]:
        options = {}
        if tag:
            kept = [number for number, (_, about) in enumerate(self._rows) if tag in about["tags"]]
            options = {"params": self._faiss.SearchParameters(sel=self._faiss.IDSelectorBatch(kept))}
        numbers = self._index.search(query[None], TOP, **options)[1][0]
        return [self._rows[number][0] for number in numbers]

    def save(self) -> None:
        self._faiss.write_index(self._index, str(self._files[0]))
        self._files[1].write_bytes(pickle.dumps(self._rows))


def _payload(record: ImageRecord) -> dict[str, Any]:
    taken = record.taken_at.isoformat() if record.taken_at else None
    return {"uri": record.uri, "tags": list(record.tags), "camera": record.camera, "taken_at": taken}


PROGRAMS: dict[str, Any] = {
    "askpix": Askpix,
    "qdrant-client": QdrantLocal,
    "faiss": Faiss,
    "clip-back": ClipBack,
}


def main(name: str, phase: str, folder: str, home: str, number: str) -> None:
    """Print what it took as JSON; ``found``: ids of the ten nearest to each query."""
    made = PROGRAMS[name]
    data = Data(int((Path(folder) / "points").read_text("ascii")))
    said: dict[str, Any] = {"version": version(made.distribution)}
    if phase == "index":
        program: Program = made(Path(home), data.dim)
        spent = fill(program, data)
        began = time.perf_counter()
        program.save()
        said["seconds"] = spent + time.perf_counter() - began
        said["pictures"] = data.points
    else:
        queries = data.queries(int(number))["like"]
        began = time.perf_counter()
        program = made(Path(home), data.dim)
        said["open_s"] = time.perf_counter() - began
        took, found = zip(*_asked(program, queries, FILTER if phase == "filtered" else None), strict=True)
        said |= {"p50_ms": median(took), "found": found}
    said["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(said) + "\n")


def _asked(program: Program, queries: Vectors, tag: str | None) -> Iterator[tuple[float, list[str]]]:
    program.search(queries[0], tag)
    for query in queries:
        began = time.perf_counter()
        found = program.search(query, tag)
        yield 1000 * (time.perf_counter() - began), found


if __name__ == "__main__":
    main(*sys.argv[1:])
