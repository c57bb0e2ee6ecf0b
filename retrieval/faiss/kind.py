"""The kind ``faiss``: FAISS beside SQLite, in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from askpix.retrieval.stores.kinds import StoreKind, VectorSpec

if TYPE_CHECKING:
    from askpix.retrieval.faiss.store import FaissStore


@dataclass(frozen=True, kw_only=True)
class FaissKind(StoreKind):
    """FAISS with records in SQLite; ``index`` is ``ASKPIX_FAISS_INDEX``."""

    index: Literal["auto", "flat", "hnsw", "ivf_pq"] = "auto"

    def check(self) -> None:
        """Raise where FAISS is not installed."""
        import askpix.retrieval.faiss.index  # noqa: F401 - says which extra is missing

    def open(self, spec: VectorSpec, /) -> FaissStore:
        """Open the store in the folder."""
        from askpix.retrieval.faiss.store import FaissStore

        return FaissStore.open(
            spec.folder,
            model_id=spec.model_id,
            dim=spec.dim,
            text_model_id=spec.text_model_id,
            text_dim=spec.text_dim,
            wait_s=spec.wait_s,
            index=None if self.index == "auto" else self.index,
        )
