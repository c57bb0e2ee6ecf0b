"""CLIP, SigLIP and SigLIP 2 as ONNX exports: full models without torch, on CPU, CUDA or CoreML.

What goes in and comes out is read from the graphs, since exports differ in names, types and fixed sizes;
how pictures and texts are prepared is read from the configuration files beside them.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer

from core.errors import ModelUnavailableError
from core.machine import usable_cores
from core.types import Vectors
from retrieval.embedder import Likelihood
from retrieval.onnx_layout import Layout, find_layout
from retrieval.onnx_session import open_session
from retrieval.pixels import Pixels, from_open_clip, from_preprocessor

SCHEME = "onnx"
_IMAGE_OUT = (
    "image_embeds",
    "image_features",
    "pooler_output",
    "sentence_embedding",
    "embedding",
    "embeddings",
)
_TEXT_OUT = ("text_embeds", "text_features", "pooler_output", "sentence_embedding", "embedding", "embeddings")
_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider",),
    "mps": ("CoreMLExecutionProvider",),
    "cpu": (),
    "auto": ("CUDAExecutionProvider", "CoreMLExecutionProvider"),
}
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_CLIP_SCALE = 100.0
"""exp(logit_scale) of CLIP models: it is kept at or below 100, and all published ones reached it (Radford et
al. 2021, section 2.5). Exports of single towers do not carry it."""
_BATCH = 16


class OnnxEmbedder:
    """An ``Embedder`` from a published export. Thread-safe."""

    def __init__(
        self,
        vision: "_Tower",
        text: "_Tower",
        pixels: Pixels,
        words: "_Words",
        *,
        model_id: str,
        workers: int,
        likelihood: Likelihood | None,
    ) -> None:
        self.model_id, self.workers, self.likelihood = model_id, workers, likelihood
        self.image_side = pixels.side
        self._vision, self._text, self._pixels, self._words = vision, text, pixels, words
        probe = self.embed_images([Image.new("RGB", (pixels.side, pixels.side), "gray")])
        self.dim = int(probe.shape[1])
        if self.embed_texts(["a photo"]).shape != (1, self.dim):
            raise ModelUnavailableError(
                f"{model_id!r} gives pictures and texts different numbers of features"
            )

    @classmethod
    def load(
        cls,
        reference: str,
        *,
        device: str = "auto",
        precision: str = "auto",
        workers: int | None = None,
        local_files_only: bool = False,
    ) -> "OnnxEmbedder":
        """The export in a folder or hub repository ``OWNER/NAME[@REVISION][+fp32|+fp16|+int8|+q4]``.

        Raises ``ModelUnavailableError`` and ``IndexMismatchError``; see ``find_layout``.
        """
        layout = find_layout(reference, precision=precision, local_files_only=local_files_only)
        providers = _providers(device)
        on_gpu = len(providers) > 1
        count = 1 if on_gpu else workers or usable_cores()
        try:
            vision = _Tower(layout.vision, providers, _IMAGE_OUT, threads=0 if on_gpu else 1)
            text = _Tower(layout.text, providers, _TEXT_OUT, threads=0)
            return cls(
                vision,
                text,
                _pixels(layout),
                _Words(layout, text),
                model_id=f"{SCHEME}:{layout.name}",
                workers=count,
                likelihood=_likelihood(layout),
            )
        except ModelUnavailableError:
            raise
        except Exception as error:
            # ONNX Runtime's exceptions have no common base class; any of them means that this cannot run.
            reason = " ".join(str(error).split())[:200]
            raise ModelUnavailableError(f"cannot embed with {reference!r}: {reason}") from error

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), dim)`` from upright RGB pictures of any size."""
        rows = []
        for start in range(0, len(images), _BATCH):
            part = np.stack([self._pixels(image) for image in images[start : start + _BATCH]])
            rows.append(self._vision.run({"pixel_values": part}))
        return _unit(np.concatenate(rows)) if rows else np.zeros((0, self.dim), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` in the space of the pictures; texts longer than the window are cut."""
        rows = []
        for start in range(0, len(texts), _BATCH):
            rows.append(self._text.run(self._words(texts[start : start + _BATCH])))
        return _unit(np.concatenate(rows)) if rows else np.zeros((0, self.dim), np.float32)


class _Tower:
    """One graph: takes what it asks for of what it is given, in its own types, and gives its features."""

    def __init__(self, path: Path, providers: Sequence[str], outputs: Sequence[str], *, threads: int) -> None:
        opened: Any = open_session(path, threads=threads, providers=providers)
        self.session = opened
        self.inputs = {item.name: item for item in self.session.get_inputs()}
        names = [item.name for item in self.session.get_outputs()]
        flat = [item.name for item in self.session.get_outputs() if len(item.shape or ()) == 2]
        chosen = [name for name in outputs if name in names] or flat or names
        if not chosen:
            raise ModelUnavailableError(f"{path.name!r} gives nothing that could be an embedding")
        self._output = chosen[0]
        first = next(iter(self.inputs.values())).shape[0]
        self._one_at_a_time = isinstance(first, int) and first == 1

    def length(self, name: str) -> int | None:
        """The fixed second size of an input; None when it is free or the input is not there."""
        shape = self.inputs[name].shape if name in self.inputs else []
        return shape[1] if len(shape) > 1 and isinstance(shape[1], int) else None

    def run(self, feed: dict[str, Any]) -> Vectors:
        """``(n, dim)`` from named arrays of ``n`` rows each."""
        count = len(next(iter(feed.values())))
        given = self._fitted(feed, count)
        if self._one_at_a_time and count > 1:
            single = [{name: rows[i : i + 1] for name, rows in given.items()} for i in range(count)]
            found = np.concatenate([self.session.run([self._output], each)[0] for each in single])
        else:
            found = self.session.run([self._output], given)[0]
        found = np.asarray(found, np.float32)
        if found.ndim == 3:
            found = found[:, 0]
        if found.ndim != 2 or len(found) != count:
            raise ModelUnavailableError(
                f"the model's {self._output!r} has the shape {found.shape}: no embedding"
            )
        if not np.isfinite(found).all():
            raise ModelUnavailableError(
                "the model's embeddings are not numbers; take another precision of it"
            )
        return found

    def _fitted(self, feed: dict[str, Any], count: int) -> dict[str, Any]:
        """By name, or by being the only one; what a graph of both towers wants besides is filled with one
        blank, which costs nothing to the result."""
        names = list(self.inputs)
        if len(feed) == 1 and len(names) == 1:
            feed = {names[0]: next(iter(feed.values()))}
        if not set(feed) & set(names):
            raise ModelUnavailableError(f"cannot embed with a graph that takes {', '.join(names)}")
        given = {}
        for name, item in self.inputs.items():
            kind = _TYPES.get(item.type, np.int32 if item.type == "tensor(int32)" else np.int64)
            if name in feed:
                given[name] = feed[name].astype(kind)
                continue
            sizes = [size if isinstance(size, int) else None for size in item.shape]
            if len(sizes) == 4:
                shape = (1 if sizes[0] is None else sizes[0], *(size or 224 for size in sizes[1:]))
                given[name] = np.zeros(shape, kind)
            elif name in ("attention_mask", "input_ids"):
                given[name] = np.ones((sizes[0] or 1, sizes[1] or 2), kind)
            else:
                given[name] = np.zeros((count, *(size or 1 for size in sizes[1:])), kind)
        return given


class _Words:
    """Texts into token ids as the model's own tokenizer makes them."""

    def __init__(self, layout: Layout, tower: _Tower) -> None:
        path = layout.find("tokenizer.json", "textual/tokenizer.json", "onnx/tokenizer.json")
        if path is None:
            raise ModelUnavailableError(
                f"{str(layout.folder)!r} has no tokenizer.json; save it as a fast tokenizer"
            )
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelUnavailableError(f"cannot read {str(path)!r}: {str(error)[:200]}") from error
        config = layout.config("config.json", "textual/config.json")
        about = layout.config("tokenizer_config.json", "textual/tokenizer_config.json")
        inside = config.get("text_config") or (config.get("model_cfg") or {}).get("text_cfg") or {}
        siglip = (
            "siglip" in str(config.get("model_type", ""))
            or "siglip" in str(about.get("tokenizer_class", "")).lower()
        )
        lengths = [
            inside.get("max_position_embeddings"),
            inside.get("context_length"),
            about.get("model_max_length"),
        ]
        known = [n for n in lengths if isinstance(n, int) and 1 < n < 100_000]
        fixed = tower.length("input_ids") or tower.length(next(iter(tower.inputs)))
        # transformers' defaults where the files say nothing: 64 for SigLIP, 77 for CLIP.
        self._length = fixed or min(known or [64 if siglip else 77])
        self._full = bool(fixed) or siglip or "attention_mask" not in tower.inputs
        self._lower = bool(about.get("do_lower_case")) and "Lowercase" not in str(self._tokenizer.normalizer)
        self._names = set(tower.inputs)
        pad = about.get("pad_token") or about.get("eos_token") or ""
        pad = pad.get("content", "") if isinstance(pad, dict) else pad
        token = self._tokenizer.token_to_id(pad) if isinstance(pad, str) and pad else None
        own = (self._tokenizer.padding or {}).get("pad_id")
        stated = inside.get("pad_token_id")
        self._pad = next((n for n in (token, own, stated) if isinstance(n, int) and n >= 0), 0)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._length)
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> dict[str, Any]:
        """``{"input_ids", "attention_mask"}``, ``(n, length)`` each."""
        clean = [text[: 40 * self._length].encode("utf-8", "replace").decode("utf-8") for text in texts]
        clean = [text.lower() for text in clean] if self._lower else clean
        with self._lock:
            tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]
        width = self._length if self._full else max(1, *map(len, tokens))
        ids = np.full((len(tokens), width), self._pad, np.int64)
        mask = np.zeros((len(tokens), width), np.int64)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        feed = {"input_ids": ids, "attention_mask": mask}
        wanted = {name: rows for name, rows in feed.items() if name in self._names}
        return wanted or {"input_ids": ids}


def _pixels(layout: Layout) -> Pixels:
    config = layout.config("preprocessor_config.json", "onnx/preprocessor_config.json")
    if config:
        return from_preprocessor(config)
    config = layout.config("visual/preprocess_cfg.json", "preprocess_cfg.json", "open_clip_config.json")
    config = config.get("preprocess_cfg", config)
    if not config:
        raise ModelUnavailableError(
            f"{str(layout.folder)!r} does not say how pictures are prepared (preprocessor_config.json)"
        )
    return from_open_clip(config)


def _likelihood(layout: Layout) -> Likelihood | None:
    """From the configuration; CLIP's is known without. SigLIP's numbers differ by model: None, where the
    files do not have them."""
    config = layout.config("config.json")
    scale, bias = config.get("logit_scale"), config.get("logit_bias")
    if "siglip" in str(config.get("model_type", "")):
        if isinstance(scale, int | float) and isinstance(bias, int | float):
            return Likelihood("sigmoid", float(np.exp(scale)), float(bias))
        return None
    return Likelihood("softmax", float(np.exp(scale)) if isinstance(scale, int | float) else _CLIP_SCALE)


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


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
