"""Records of the catalog: a collection and a source."""

import uuid
from dataclasses import dataclass
from datetime import datetime

MAX_KILLS = 2
"""Decoders that one file may end. The first time, something else may have taken the memory or the cores."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of images with one embedder. ``id`` is a UUID."""

    id: str
    name: str
    embedder: str
    dim: int
    text_embedder: str
    text_dim: int
    created_at: datetime
    generation: int = 0
    """Generation of the vectors in use: changing the model builds the next one beside it."""
    page_embedder: str | None = None
    """The model that makes many vectors a page (late interaction); None where there is none."""
    page_dim: int | None = None
    store: str = "edge"
    """Kind of store that keeps the vectors, now and later: ``edge``, ``qdrant`` or ``faiss``."""

    def image_id(self, sha256: str, page: int | None) -> str:
        """The id of an image: the same bytes and page in the same collection, the same id."""
        return str(uuid.uuid5(uuid.UUID(self.id), f"{sha256}#{page or 0}"))


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source as the ledger knows it: as it was when it was last looked into."""

    size: int
    mtime_ns: int
    sha256: str | None
    error: str | None = None
    tried_with: str | None = None
    """The limits under which ``error`` came about: with others it is worth another try."""
    beside: str | None = None
    """The files beside it that tell about it, as ``askpix.ingest.metadata.sidecars.Beside`` stamps them."""
    kills: int | None = None
    """Number of times these bytes ended their decoder, or were being decoded for long when the process ended.
    """
    ctime_ns: int | None = None
    """Time of the last change of its inode; None: not known."""

    @property
    def set_aside(self) -> bool:
        """True if the decoder is not to be started on the file again."""
        return (self.kills or 0) >= MAX_KILLS
