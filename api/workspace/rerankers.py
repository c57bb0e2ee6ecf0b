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
from typing import TYPE_CHECKING

from askpix.core.errors import ModelUnavailableError

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.retrieval.late_interaction.page_search import PageSubQuery
    from askpix.retrieval.rerankers.base import Reranker


def reranker(workspace: Workspace, reranker_id: str, *, page_sub_query: PageSubQuery | None) -> Reranker:
    """The reranker with this id, loaded once; ``pages`` is the open collection's own."""
    if reranker_id == "pages":
        return load_reranker(workspace, reranker_id, page_sub_query=page_sub_query)
    reranker_id = workspace.id_of(reranker_id, "reranker")
    if reranker_id not in workspace.rerankers:
        workspace.rerankers[reranker_id] = load_reranker(
            workspace, reranker_id, page_sub_query=page_sub_query
        )
    return workspace.rerankers[reranker_id]


def load_reranker(workspace: Workspace, reranker_id: str, *, page_sub_query: PageSubQuery | None) -> Reranker:
    """The reranker with this id. Raises ``ModelUnavailableError``.

    ``page_sub_query`` is the open sub-query of the collection that is searched, where it has one.
    """
    scheme, _, rest = reranker_id.partition(":")
    if reranker_id == "pages":
        if page_sub_query is None:
            raise ModelUnavailableError(
                "this collection has no page embedder; `askpix index PATH --page-embedder ID` gives it one"
            )
        return page_sub_query.reranker()
    if scheme == "transformers" and rest:
        return _transformers(workspace, rest)
    if scheme == "onnx" and rest:
        from askpix.retrieval.model_hub.source import Source
        from askpix.retrieval.onnx.precisions import split_precision
        from askpix.retrieval.onnx.text_embedder import published_text_model
        from askpix.retrieval.rerankers.cross_encoder import onnx_cross_encoder

        plain, precision = split_precision(rest)
        taken = precision or "auto"
        folder = Path(plain).expanduser()
        if folder.is_dir():
            source = Source(folder, plain)
        else:
            source = published_text_model(plain, ["tokenizer.json"], precision=taken)
        name = f"onnx:{source.name}{f'+{precision}' if precision else ''}"
        return onnx_cross_encoder(source.path, model_id=name, precision=taken, threads=workspace.workers)
    if scheme == "generator":
        from askpix.retrieval.rerankers.generator import GeneratorReranker

        generator = workspace.generator(rest or None)
        if not generator.follows_instructions:
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
    from askpix.core.pretrained import check_classes, import_torch, model_type
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
    # jina-reranker-m0 is a Qwen2-VL with a head of its own: asked yes or no, it would answer anything.
    check_classes(transformers, name, architectures)
    if any(each.endswith("ForSequenceClassification") for each in architectures):
        return transformers_cross_encoder(str(source.path), name=source.name)
    if any(each.endswith("ForConditionalGeneration") for each in architectures):
        return VlmReranker.load(str(source.path), name=source.name)
    raise ModelUnavailableError(
        f"{name!r} is a {kind!r} ({', '.join(architectures) or 'of unknown kind'}), no reranker: that is a "
        "sequence classifier, a late-interaction model or a vision-language model"
    )
