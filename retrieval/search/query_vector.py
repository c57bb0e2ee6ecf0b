"""The vector that images are compared with: of words, of an image, or of both."""

import numpy as np
from PIL import Image

from askpix.core.types import Part, Query, Vectors
from askpix.retrieval.embedders.base import Embedder
from askpix.retrieval.stores.base import VectorStore


def image_vector(
    embedder: Embedder, store: VectorStore, image: Image.Image | None, image_id: str | None
) -> Vectors | None:
    """Embed an image, or take the vector of one in the store. Raises ``NotFoundError``."""
    if image is not None:
        vectors = embedder.embed_images([image])
    elif image_id is not None:
        vectors = store.image_vectors([image_id])
    else:
        return None
    row: Vectors = vectors[0]
    return row


def query_vector(embedder: Embedder, query: Query, by_picture: Vectors | None) -> Vectors:
    """Build the query embedding: text, image, or their mean, minus the unwanted parts."""
    parts = query.parts or ((Part(query.text),) if query.text else ())
    wanted = [] if by_picture is None else [by_picture]
    vectors = embedder.embed_queries([part.text for part in parts]) if parts else ()
    weighed = [part.weight * row for part, row in zip(parts, vectors, strict=True)]
    if sought := [row for part, row in zip(parts, weighed, strict=True) if part.weight > 0]:
        wanted.append(_unit(np.sum(sought, axis=0)))
    unwanted = [row for part, row in zip(parts, weighed, strict=True) if part.weight < 0]
    if wanted:
        unwanted.append(_unit(np.sum(wanted, axis=0)))
    return _unit(np.sum(unwanted, axis=0))


def _unit(vector: Vectors) -> Vectors:
    row: Vectors = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return row
