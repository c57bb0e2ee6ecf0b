"""A collection searched with what was learned from its owner's captions (``retrieval.embedders.adaptation``).

To whoever searches, embedder and store have one space of ``dim + e`` numbers: an image's vector and its
second one, joined so that a dot product is the weighted mean of both cosines. Nothing is written into the
store: second vectors are made from those it has when they are needed. Candidates come from two linear
searches of the store (the query as it is, and the query moved by the map), and are scored exactly.
"""

import logging
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from askpix.core.errors import NotFoundError
from askpix.core.types import Vectors, Where
from askpix.retrieval.embedders.adaptation import Fit, Recall, RidgeMap
from askpix.retrieval.embedders.base import Embedder, TextEmbedder, unit
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.view import StoreView

_log = logging.getLogger(__name__)
_CANDIDATES = 256
"""Fewest candidates scored exactly, so that one page more or less does not reorder the others."""
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A fitted map as a collection keeps it, and the models that it is for."""

    embedder: str
    text_embedder: str
    weight: float
    ridge: RidgeMap
    facts: dict[str, Any]
    """Measured gain of the fit: the numbers of ``Fit``."""

    @property
    def mark(self) -> str:
        """Eight hex digits that differ between maps."""
        return f"{crc32(self.ridge.matrix.tobytes()) ^ crc32(str(self.weight).encode()):08x}"

    def join_images(self, images: Vectors) -> Vectors:
        """``(n, dim + e)``, length one."""
        return self._join(images, self.ridge.of_images(images))

    def join_texts(self, queries: Vectors, meanings: Vectors) -> Vectors:
        """``(n, dim + e)``, length one, from what the embedder and the text embedder make of texts."""
        return self._join(queries, self.ridge.of_texts(meanings))

    def _join(self, first: Vectors, second: Vectors) -> Vectors:
        share = self.weight / (1 + self.weight)
        return unit(np.concatenate([np.sqrt(1 - share) * first, np.sqrt(share) * second], axis=1))

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        draft = path.with_name(path.name + ".new")
        names = np.array([self.embedder, self.text_embedder])
        with draft.open("wb") as file:
            np.savez(
                file,
                version=_VERSION,
                names=names,
                weight=self.weight,
                facts=np.array([str(item) for pair in _flat(self.facts) for item in pair]),
                **{name: value.astype(np.float32) for name, value in asdict(self.ridge).items()},
            )
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, *, embedder: str, text_embedder: str) -> "Adaptation | None":
        """Load what ``save`` wrote for these models; None when it is missing, damaged or for other models."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                names = [str(name) for name in held["names"]]
                if int(held["version"]) != _VERSION or names != [embedder, text_embedder]:
                    return None
                ridge = RidgeMap(held["matrix"], held["image_mean"], held["caption_mean"])
                flat = [str(item) for item in held["facts"]]
                facts = {key: float(value) for key, value in zip(flat[::2], flat[1::2], strict=True)}
                return cls(embedder, text_embedder, float(held["weight"]), ridge, facts)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            _log.warning("%r cannot be read, so searches go without what was learnt: %s", str(path), error)
            return None


def adaptation_of(fit: Fit, *, embedder: str, text_embedder: str) -> Adaptation:
    """Return the part of a fit that is kept."""
    facts = {
        **{f"before_{name}": value for name, value in _recall(fit.before).items()},
        **{f"after_{name}": value for name, value in _recall(fit.after).items()},
        "gain": fit.gain,
        "error": fit.error,
        "ridge_lambda": fit.ridge_lambda,
        "pictures": fit.pictures,
        "captions": fit.captions,
        "gallery": fit.gallery,
    }
    return Adaptation(embedder, text_embedder, fit.weight, fit.ridge, facts)


class AdaptedEmbedder(Embedder):
    """The embedder of an adapted collection: ``dim + e`` numbers. Thread-safe as far as its parts are."""

    def __init__(self, embedder: Embedder, text_embedder: TextEmbedder, adaptation: Adaptation) -> None:
        self._embedder = embedder
        self._text = text_embedder
        self._adaptation = adaptation
        self.model_id = f"{embedder.model_id}+{adaptation.mark}"
        self.dim = embedder.dim + text_embedder.dim
        self.image_side = embedder.image_side
        self.workers = embedder.workers
        self.batch = embedder.batch

    @property
    def base_id(self) -> str:
        """The id of the embedder before adaptation."""
        return self._embedder.model_id

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), dim)`` from upright RGB images."""
        return self._adaptation.join_images(self._embedder.embed_images(images))

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` in the space of the images."""
        return self._adaptation.join_texts(self._embedder.embed_texts(texts), self._text.embed_texts(texts))

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)``; the embedder itself remembers what it encoded."""
        queries = self._embedder.embed_queries(texts)
        # The map was fitted on texts as ``embed_texts`` encodes them.
        return self._adaptation.join_texts(queries, self._text.embed_texts(texts))


class AdaptedStore(StoreView):
    """A store seen through an adaptation. Everything that is not about image vectors is the store's own."""

    def __init__(self, store: VectorStore, adaptation: Adaptation) -> None:
        super().__init__(store)
        self._adaptation = adaptation
        self._dim = len(adaptation.ridge.image_mean)

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Search like ``VectorStore.search``; a query of the sub-query ``image`` has ``dim + e`` numbers."""
        if sub_query != "image" or isinstance(query, str):
            return self._store.search(sub_query, query, where=where, limit=limit, offset=offset)
        own = query[: self._dim]
        moved = self._adaptation.ridge.matrix @ query[self._dim :]
        moved = moved * (np.linalg.norm(query[self._dim :]) / max(float(np.linalg.norm(moved)), 1e-12))
        wanted = max(_CANDIDATES, 2 * (offset + limit))
        candidates: dict[str, None] = {}
        for vector in unit(np.stack([own, own + moved])):
            found = self._store.search("image", vector, where=where, limit=wanted)
            candidates.update(dict.fromkeys(hit.id for hit in found))
        ids = list(candidates)
        try:
            vectors = self.image_vectors(ids)
        except NotFoundError:  # another thread removed some since they were found
            ids = [record.id for record in self._store.get(ids)]
            vectors = self.image_vectors(ids)
        scores = vectors @ query
        hits = sorted(
            (Scored(point, float(score)) for point, score in zip(ids, scores, strict=True)),
            key=lambda hit: (-hit.score, hit.id),
        )
        return hits[offset : offset + limit]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim + e)``. An unknown id is a ``NotFoundError``."""
        return self._adaptation.join_images(self._store.image_vectors(ids))

    def sample_vectors(self, n: int, /) -> Vectors:
        """Joined vectors of up to ``n`` images, the same ones at every call."""
        return self._adaptation.join_images(self._store.sample_vectors(n))


def adapted(
    embedder: Embedder, text_embedder: TextEmbedder, store: VectorStore, adaptation: Adaptation | None
) -> tuple[Embedder, VectorStore]:
    """Embedder and store as the collection is searched: as they are, or through its adaptation."""
    if adaptation is None:
        return embedder, store
    return AdaptedEmbedder(embedder, text_embedder, adaptation), AdaptedStore(store, adaptation)


def _recall(recall: Recall) -> dict[str, float]:
    return asdict(recall)


def _flat(facts: dict[str, Any]) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in facts.items()]
