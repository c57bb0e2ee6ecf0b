"""Open rerankers: from a reranker's id to the reranker.

none                      no second look
pages                     late interaction by the collection's own page embedder
transformers:DIR_OR_REPO  a cross-encoder over text, a late-interaction model or a vision-language model: its
                          configuration says which
onnx:DIR_OR_REPO          a cross-encoder over text, exported
generator[:ID]            the generator itself marks each hit
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from askpix.core.errors import BadImageError, ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import ImageRecord, Query, SearchResult
    from askpix.retrieval.late_interaction.page_search import PageLeg
    from askpix.retrieval.rerankers.base import Reranker
    from askpix.retrieval.search.retriever import Retriever

    Search = Callable[..., SearchResult]

_SIDE = 1280
"""Of a picture that is looked at again, the shorter side is decoded to no less."""


def searcher(workspace: Workspace, retriever: Retriever, reranker_id: str | None) -> Search:
    """``retriever.retrieve``, with this second look after it (None: what the setting says)."""
    wanted = reranker_id or workspace.settings.rerank
    if wanted == "none":
        return retriever.retrieve
    from askpix.retrieval.rerankers.base import second_look

    reranker = workspace.rerankers.get(wanted)
    if reranker is None:
        reranker = load_reranker(workspace, wanted, page_leg=retriever.page_leg)
        if wanted != "pages":  # of this collection's open store: not to be kept
            workspace.rerankers[wanted] = reranker
    open_image = picture_opener(workspace)

    def search(query: Query, *, top_k: int = 10, offset: int = 0, **options: Any) -> SearchResult:
        def retrieve(limit: int, start: int) -> SearchResult:
            return retriever.retrieve(query, top_k=limit, offset=start, **options)

        return second_look(retrieve, reranker, open_image, top_k=top_k, offset=offset)

    return search


def load_reranker(workspace: Workspace, reranker_id: str, *, page_leg: PageLeg | None) -> Reranker:
    """The reranker with this id. Raises ``ModelUnavailableError``.

    ``page_leg`` is the open leg of the collection that is searched, where it has one.
    """
    scheme, _, rest = reranker_id.partition(":")
    if reranker_id == "pages":
        if page_leg is None:
            raise ModelUnavailableError(
                "this collection has no page embedder; `askpix index PATH --page-embedder ID` gives it one"
            )
        return page_leg.reranker()
    if scheme == "transformers" and rest:
        return _transformers(workspace, rest)
    if scheme == "onnx" and rest:
        from askpix.retrieval.model_hub.source import Source
        from askpix.retrieval.rerankers.cross_encoder import onnx_cross_encoder, published_cross_encoder

        folder = Path(rest).expanduser()
        source = Source(folder, rest) if folder.is_dir() else published_cross_encoder(rest)
        return onnx_cross_encoder(source.path, model_id=f"onnx:{source.name}", threads=workspace.workers)
    if scheme == "generator":
        from askpix.retrieval.rerankers.generator import GeneratorReranker

        generator = workspace.generator(rest or None)
        if generator.model_id == "extractive":
            raise ModelUnavailableError(
                "the extractive generator only quotes and cannot mark hits; name one: generator:ID"
            )
        return GeneratorReranker(generator)
    raise ModelUnavailableError(
        f"no reranker {reranker_id!r}; there are none, pages, transformers:DIR_OR_REPO, onnx:DIR_OR_REPO "
        "and generator[:ID]"
    )


def _transformers(workspace: Workspace, name: str) -> Reranker:
    from askpix.api.workspace.page_index import late_embedder
    from askpix.core.pretrained import import_torch, model_type
    from askpix.retrieval.late_interaction.colpali import CLASSES
    from askpix.retrieval.late_interaction.reranker import LateReranker
    from askpix.retrieval.model_hub.source import named
    from askpix.retrieval.rerankers.cross_encoder import transformers_cross_encoder
    from askpix.retrieval.rerankers.vlm import VlmReranker

    _, transformers = import_torch("a reranker")
    source = named(name)
    kind, architectures = model_type(transformers, str(source.path))
    if kind in CLASSES:
        return LateReranker(late_embedder(workspace, f"transformers:{name}"))
    if any(each.endswith("ForSequenceClassification") for each in architectures):
        return transformers_cross_encoder(str(source.path), name=source.name)
    if any(each.endswith("ForConditionalGeneration") for each in architectures):
        return VlmReranker.load(str(source.path), name=source.name)
    raise ModelUnavailableError(
        f"{name!r} is a {kind!r} ({', '.join(architectures) or 'of unknown kind'}), no reranker: that is a "
        "sequence classifier, a late-interaction model or a vision-language model"
    )


def picture_opener(workspace: Workspace) -> Callable[[ImageRecord], Image.Image | None]:
    """The picture of a record from whichever of its files can be read now; None when none can."""

    def open_it(record: ImageRecord) -> Image.Image | None:
        from askpix.ingest.formats.content import place_of
        from askpix.ingest.formats.pages import open_page
        from askpix.ingest.sources.remote import read_source

        for uri in (record.uri, *record.copies):
            try:
                data = read_source(uri, workspace.limits)
                return open_page(data, place_of(record), limits=workspace.limits, min_side=_SIDE).image
            except BadImageError:
                continue
        return None

    return open_it
