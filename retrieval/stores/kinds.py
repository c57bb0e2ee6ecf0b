"""The kinds of stores, by name: built-in ones, and those that packages add under the entry points
``askpix.stores``.

An entry point names one class, or any callable that returns a ``StoreKind``. It is called with the settings
``ASKPIX_<NAME>_...`` that Askpix has for its name (plug-ins: none) as keyword arguments.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askpix.core.errors import AskpixError
from askpix.core.registry import Registry

if TYPE_CHECKING:
    from askpix.retrieval.stores.base import VectorStore
    from askpix.retrieval.stores.pages import PageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpec:
    """Specification of a vector store to open: one generation of one collection."""

    collection: str
    """Name of the collection, for messages."""
    tenant: str
    """Id of the collection: stays the same when it is renamed."""
    generation: int
    """Counts re-embeddings. Two generations hold the same image ids and may be open at the same time."""
    folder: Path
    """Folder for the files of this generation; made by the store when it needs one."""
    model_id: str
    dim: int
    text_model_id: str
    text_dim: int
    wait_s: float = 0.0
    """Seconds to wait for another process that has it open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSpec:
    """Specification of a page store to open: the pages of a collection, or the regions of one generation."""

    collection: str
    tenant: str
    folder: Path
    model_id: str
    dim: int
    scope: str = ""
    """Sets regions apart from pages, and those of generations from each other; a folder does that too."""
    wait_s: float = 0.0


class StoreKind(ABC):
    """A kind of store: how it is opened and removed."""

    shared: bool = False
    """True if it is on a server that other machines reach, rather than in the folder."""
    keeps_pages: bool = False
    """True if it keeps page matrices too; else the default kind does, in the folder."""

    def check(self) -> None:  # noqa: B027 - most have nothing to check
        """Raise an ``AskpixError`` that says what is missing where it cannot be used here and now."""

    @abstractmethod
    def open(self, spec: VectorSpec, /) -> VectorStore:
        """Open the vectors, made when missing."""

    def drop(self, spec: VectorSpec, /) -> None:
        """Remove the vectors; nobody may have them open in a folder."""
        shutil.rmtree(spec.folder, ignore_errors=True)

    def open_pages(self, spec: PageSpec, /) -> PageStore:
        """Open the pages, made when missing; only where ``keeps_pages``."""
        raise NotImplementedError

    def drop_pages(self, spec: PageSpec, /) -> None:
        """Remove the pages; nobody may have them open in a folder."""
        shutil.rmtree(spec.folder, ignore_errors=True)


DEFAULT = "edge"
STORES: Registry[Callable[..., StoreKind]] = Registry(
    "askpix.stores",
    {
        DEFAULT: "askpix.retrieval.qdrant.kinds:EdgeKind",
        "qdrant": "askpix.retrieval.qdrant.kinds:ServerKind",
        "faiss": "askpix.retrieval.faiss.kind:FaissKind",
    },
)


def store_kind(name: str, settings: Mapping[str, Any]) -> StoreKind:
    """The kind ``name`` with its settings; those of other kinds are left out. Unknown: ``AskpixError``."""
    made = STORES.get(name)
    if made is None:
        raise AskpixError(f"there is no {name!r} store here; there are: {', '.join(STORES.names())}")
    own = f"{name}_"
    return made(**{key.removeprefix(own): value for key, value in settings.items() if key.startswith(own)})
