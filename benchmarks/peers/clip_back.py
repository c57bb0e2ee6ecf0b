"""clip-retrieval's index and its query service, the models taken out, for ``vector_driver``.

The package as a whole needs versions of numpy and pyarrow that current ones have replaced, and its service
loads a CLIP model before anything else: the two modules are loaded by themselves, and ``torch`` and
``all_clip`` are names with nothing behind them. All that they do around a model is theirs.
"""

import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from askpix.core.types import ImageRecord, Vectors

_COLUMNS = ["image_path", "tags", "camera", "taken_at"]


class ClipBack:
    """``clip-retrieval index`` over a folder as ``inference`` writes it; ``KnnService.query`` of ``back``."""

    distribution = "clip-retrieval"

    def __init__(self, home: Path, dim: int) -> None:
        del dim
        _without_models()
        self._embeddings = home / "embeddings"
        self._folder = home / "index"
        self._rows: list[Vectors] = []
        self._about: list[dict[str, Any]] = []
        self._service: Any = None
        if self._folder.is_dir():
            self._service = self._open()

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        self._rows.append(image_vectors)
        self._about += [
            {
                "image_path": record.id,
                "tags": " ".join(record.tags),
                "camera": record.camera,
                "taken_at": record.taken_at.isoformat() if record.taken_at else "",
            }
            for record in records
        ]

    def search(self, query: Vectors, tag: str | None, /) -> list[str]:
        """Search by its service, which has no filter: ``tag`` is never asked for."""
        assert tag is None
        found = self._service.query(
            embedding_input=query.tolist(), num_images=10, num_result_ids=10, deduplicate=False
        )
        return [str(each["image_path"]) for each in found]

    def save(self) -> None:
        """Write the files of ``inference`` and have them indexed."""
        import pandas  # type: ignore[import-untyped]

        for name in ("img_emb", "metadata"):
            (self._embeddings / name).mkdir(parents=True)
        np.save(self._embeddings / "img_emb" / "img_emb_0.npy", np.concatenate(self._rows))
        table = pandas.DataFrame(self._about)
        table.to_parquet(self._embeddings / "metadata" / "metadata_0.parquet")
        self._folder.mkdir()
        indexing = importlib.import_module("clip_retrieval.clip_index")
        indexing.clip_index(str(self._embeddings), str(self._folder))

    def _open(self) -> Any:
        """Load the resource of its service by its own code, without a port."""
        back = importlib.import_module("clip_retrieval.clip_back")
        options = back.ClipOptions(
            indice_folder=str(self._folder),
            clip_model="none",
            enable_hdf5=False,
            enable_faiss_memory_mapping=False,
            columns_to_return=_COLUMNS,
            reorder_metadata_by_ivf_index=False,
            enable_mclip_option=False,
            use_jit=False,
            use_arrow=False,
            provide_safety_model=False,
            provide_violence_detector=False,
            provide_aesthetic_embeddings=False,
        )
        return back.KnnService(clip_resources={"bench": back.load_clip_index(options)})


def _without_models() -> None:
    package = ModuleType("clip_retrieval")
    where = importlib.metadata.distribution("clip-retrieval").locate_file("clip_retrieval")
    package.__path__ = [str(where)]
    torch = ModuleType("torch")
    all_clip = ModuleType("all_clip")
    torch.__dict__["cuda"] = SimpleNamespace(is_available=lambda: False)
    all_clip.__dict__["load_clip"] = lambda *_, **__: (None, None, None)
    sys.modules |= {"clip_retrieval": package, "torch": torch, "all_clip": all_clip}
