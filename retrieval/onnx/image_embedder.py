"""CLIP, SigLIP and SigLIP 2 as ONNX exports: full models without torch, on CPU, CUDA or CoreML.

What goes in and comes out is read from the graphs, since exports differ in names, types and fixed sizes;
how images and texts are prepared is read from the configuration files beside them.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.log import tolerated
from askpix.core.machine import usable_cores
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import Embedder, EmbedderKind, EmbedderOptions, unit
from askpix.retrieval.model_hub.options import split_options
from askpix.retrieval.model_hub.registry import published
from askpix.retrieval.onnx.embedding_gemma import MODEL_TYPE, OnnxGemmaEmbedder
from askpix.retrieval.onnx.export_layout import Layout, find_layout
from askpix.retrieval.onnx.likelihood import find_likelihood
from askpix.retrieval.onnx.naflex import Patches, from_naflex
from askpix.retrieval.onnx.openvino import computes_bf16, open_bf16
from askpix.retrieval.onnx.preprocess import Pixels, from_open_clip, from_preprocessor
from askpix.retrieval.onnx.session import RUN_ERRORS, Session, open_session
from askpix.retrieval.onnx.tokenizer import Words
from askpix.retrieval.onnx.tower import Tower, choose_outputs

_log = logging.getLogger(__name__)
SCHEME = "onnx"
_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider",),
    "mps": ("CoreMLExecutionProvider",),
    "cpu": (),
    "auto": ("CUDAExecutionProvider", "CoreMLExecutionProvider"),
}
_BATCH = 16


class OnnxEmbedder(Embedder):
    """An embedder from a published export. Thread-safe."""

    def __init__(self, vision: Session, text: Session, layout: Layout, *, workers: int) -> None:
        shown = Tower(layout.vision, "image", vision)
        said = Tower(layout.text, "text", text)
        pixels = _prepared(layout, shown)
        self.model_id = f"{SCHEME}:{layout.name}"
        self.workers = workers
        self.image_side = pixels.side
        self._vision = shown
        self._text = said
        self._pixels = pixels
        self._words = Words(layout, said)
        pictures = _stacked(_probes(pixels.side), pixels)
        texts = self._words(["a photo of a dog", "two people on a bench in the rain"])
        self.dim = choose_outputs(shown, said, pictures, texts)
        self.likelihood = find_likelihood(layout, shown, said, pictures, texts)
        shown.run(pictures)  # numbers that are none are told now, not at the first image
        said.run(texts)

    @classmethod
    def load(
        cls,
        reference: str,
        *,
        device: str = "auto",
        precision: str = "auto",
        workers: int | None = None,
        openvino: bool = False,
        local_files_only: bool = False,
    ) -> Embedder:
        """The export in a folder or hub repository ``OWNER/NAME[@REVISION][+fp32|+fp16|+int8|+q4]``; of
        EmbeddingGemma 2 also ``+dim=N`` and ``+tokens=N``.

        With ``openvino`` fp32 files are computed in bf16 on a CPU that can, unless ``precision`` is "fp32".
        Raises ``ModelUnavailableError`` and ``IndexMismatchError``; see ``find_layout``.
        """
        providers = _providers(device)
        on_gpu = len(providers) > 1
        halved = openvino and not on_gpu and precision in ("auto", "bf16") and computes_bf16()
        files = "fp32" if halved and precision == "bf16" else precision
        plain, options = split_options(reference)
        layout = find_layout(plain, precision=files, local_files_only=local_files_only)
        cores = workers or usable_cores()
        whole = layout.model_config().get("model_type") == MODEL_TYPE
        if not whole:
            options.check(plain)
        try:
            if halved and layout.precision == "fp32" and not whole:
                with tolerated(_log, "embedding without OpenVINO", *RUN_ERRORS, ModelUnavailableError):
                    shown = open_bf16(layout.vision, workers=cores, threads=1)
                    said = open_bf16(layout.text, workers=1, threads=cores)
                    return cls(shown, said, layout, workers=cores)
            threads = 0 if on_gpu or whole else 1
            opened = open_session(layout.vision, threads=threads, providers=providers)
            other = open_session(layout.text, threads=0, providers=providers)
            if whole:  # each image is work for all cores, and memory for one at a time
                return OnnxGemmaEmbedder(opened, other, layout, options, workers=1)
            return cls(opened, other, layout, workers=1 if on_gpu else cores)
        except ModelUnavailableError:
            raise
        except Exception as error:
            # ONNX Runtime's exceptions have no common base class; any of them means that this cannot run.
            reason = " ".join(str(error).split())[:200]
            raise ModelUnavailableError(f"cannot embed with {reference!r}: {reason}") from error

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), dim)`` from upright RGB images of any size."""
        rows = []
        for start in range(0, len(images), _BATCH):
            rows.append(self._vision.run(_stacked(images[start : start + _BATCH], self._pixels)))
        return unit(np.concatenate(rows)) if rows else np.zeros((0, self.dim), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` in the space of the images; texts longer than the window are cut."""
        rows = []
        for start in range(0, len(texts), _BATCH):
            rows.append(self._text.run(self._words(texts[start : start + _BATCH])))
        return unit(np.concatenate(rows)) if rows else np.zeros((0, self.dim), np.float32)


def _prepared(layout: Layout, vision: Tower) -> Pixels | Patches:
    config = layout.config("preprocessor_config.json", "onnx/preprocessor_config.json")
    if config:
        if "spatial_shapes" in vision.inputs:
            return from_naflex(config)
        if config.get("max_num_patches"):
            raise ModelUnavailableError(
                f"{layout.vision.name!r} takes whole images, but its preprocessing makes patches (NaFlex)"
            )
        return replace(from_preprocessor(config), as_bytes=vision.takes_bytes)
    config = layout.config("visual/preprocess_cfg.json", "preprocess_cfg.json", "open_clip_config.json")
    config = config.get("preprocess_cfg", config)
    if not config:
        raise ModelUnavailableError(
            f"{str(layout.folder)!r} does not say how images are prepared (preprocessor_config.json)"
        )
    return replace(from_open_clip(config), as_bytes=vision.takes_bytes)


def _stacked(images: Sequence[Image.Image], pixels: Pixels | Patches) -> dict[str, NDArray[Any]]:
    rows = [pixels.prepare(image) for image in images]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _providers(device: str) -> list[str]:
    kind = device.partition(":")[0]
    if kind not in _PROVIDERS:
        raise ModelUnavailableError(
            f"ONNX Runtime knows no device {device!r}; there are auto, cpu, cuda and mps"
        )
    there = onnxruntime.get_available_providers()
    found = [name for name in _PROVIDERS[kind] if name in there]
    if kind not in ("cpu", "auto") and not found:
        raise ModelUnavailableError(
            f"this ONNX Runtime cannot use {device!r}; install onnxruntime-gpu, or set ASKPIX_DEVICE=cpu"
        )
    return [*found[:1], "CPUExecutionProvider"]


def _probes(side: int) -> list[Image.Image]:
    """Two images that no model takes for the same."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return [Image.new("RGB", (side, side), "gray"), Image.fromarray(noise)]


def _load(reference: str, options: EmbedderOptions) -> Embedder:
    return OnnxEmbedder.load(
        reference,
        device=options.device,
        precision=options.precision,
        workers=options.workers,
        openvino=options.openvino,
    )


def _pin(reference: str) -> str:
    plain, options = split_options(reference)
    return f"{SCHEME}:{find_layout(plain, precision='auto', local_files_only=True).name}{options}"


KIND = EmbedderKind(
    reference="DIR_OR_REPO",
    modules=("onnxruntime",),
    install="pip install askpix",
    load=_load,
    pin=_pin,
    facts=partial(published, SCHEME),
)
