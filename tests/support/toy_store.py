"""A store as a foreign package would add it: brute force, one file, nothing of ``askpix.api``."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from askpix.core.types import ImageRecord, Vectors
from askpix.retrieval.stores.kinds import StoreKind, VectorSpec
from tests.support.fakes import MemoryStore


class ToyStore(MemoryStore):
    """Everything in memory, and in one file after each change."""

    def __init__(self, path: Path, *, dim: int, text_dim: int) -> None:
        super().__init__(dim=dim, text_dim=text_dim)
        self._path = path

    @classmethod
    def open(cls, folder: Path, *, dim: int, text_dim: int) -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder / "toy.pickle", dim=dim, text_dim=text_dim)
        if store._path.exists():
            store._records, store._images, store._passages = pickle.loads(store._path.read_bytes())
        return store

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        with self._writing:
            super().upsert(records, image_vectors)
            self._save()

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        with self._writing:
            super().set_text(ids, texts, vectors)
            self._save()

    def set_copies(self, record: ImageRecord, /) -> None:
        with self._writing:
            super().set_copies(record)
            self._save()

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        with self._writing:
            super().set_tags(tags)
            self._save()

    def delete(self, ids: Sequence[str], /) -> None:
        with self._writing:
            super().delete(ids)
            self._save()

    def _save(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_bytes(pickle.dumps((self._records, self._images, self._passages)))
        draft.replace(self._path)


class ToyKind(StoreKind):
    """What the entry point names."""

    def open(self, spec: VectorSpec, /) -> ToyStore:
        return ToyStore.open(spec.folder, dim=spec.dim, text_dim=spec.text_dim)
