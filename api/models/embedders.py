"""Embedder ids into embedders: ``KIND:REFERENCE``, one adapter for each kind."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from askpix.api.settings import Settings
from askpix.core.errors import AskpixError, ModelUnavailableError

if TYPE_CHECKING:
    from askpix.retrieval.embedders.base import Embedder

_log = logging.getLogger(__name__)


def open_embedder(embedder_id: str, settings: Settings) -> Embedder:
    """The embedder with this id, loaded. Raises ``ModelUnavailableError`` when it cannot be had here."""
    kind, _, reference = embedder_id.partition(":")
    if reference and kind == "transformers":
        from askpix.retrieval.embedders.transformers import load_transformers_embedder

        return load_transformers_embedder(
            reference, device=settings.device, precision=settings.precision, compiled=settings.compile
        )
    if reference and kind == "open_clip":
        from askpix.retrieval.embedders.open_clip import load_open_clip_embedder

        return load_open_clip_embedder(
            reference, device=settings.device, precision=settings.precision, compiled=settings.compile
        )
    if reference and kind == "onnx":
        from askpix.retrieval.onnx.image_embedder import OnnxEmbedder

        return OnnxEmbedder.load(
            reference,
            device=settings.device,
            precision=settings.precision,
            workers=settings.workers or None,
            openvino=settings.openvino,
        )
    raise ModelUnavailableError(
        f"no embedder {embedder_id!r}; ids are mini, onnx:DIR_OR_REPO, transformers:DIR_OR_REPO and "
        "open_clip:MODEL@PRETRAINED_OR_FILE; `askpix models` lists what there is"
    )


def same_model(wanted: str, pinned: str) -> bool:
    """Whether ``wanted``, as a person writes it, means the model that a collection has under its pinned id.

    Looks at files of this machine alone. False also when there are none.
    """
    if wanted == pinned or pinned.startswith((f"{wanted}@", f"{wanted}#")):
        return True
    kind, _, reference = wanted.partition(":")
    try:
        if kind == "transformers":
            from askpix.retrieval.model_hub.source import find_model

            return f"{kind}:{find_model(reference, local_files_only=True).name}" == pinned
        if kind == "onnx":
            from askpix.retrieval.onnx.export_layout import find_layout

            return f"{kind}:{find_layout(reference, precision='auto', local_files_only=True).name}" == pinned
        if kind == "open_clip":
            from askpix.retrieval.embedders.open_clip import find_named

            return find_named(import_module("open_clip"), reference, local_files_only=True).model_id == pinned
    except (AskpixError, ImportError) as error:
        _log.debug("%r is not here: %s", wanted, error)
    return False
