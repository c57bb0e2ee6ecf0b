"""EmbeddingGemma 2 as published in ONNX: an image becomes soft tokens, which the text model reads as words.

Two graphs (onnx-community/embeddinggemma-2-ONNX), run as transformers.js 4.3 does (models/embedding_gemma2):

    onnx/vision_encoder*.onnx   pixel_values, pixel_position_ids -> image_features (tokens of all images, dim)
    onnx/model*.onnx            input_ids, attention_mask, image_features ... -> sentence_embedding

An image is embedded by itself, without a prompt; texts are what is looked for among images here, and get the
prompt of a query. OpenVINO runs these graphs to another result (they hold operators of ONNX Runtime's own),
so it is never used for them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import Embedder, unit
from askpix.retrieval.model_hub.options import ModelOptions
from askpix.retrieval.onnx.export_layout import Layout
from askpix.retrieval.onnx.preprocess import normalized, whole_number
from askpix.retrieval.onnx.session import NUMBERS, RUN_ERRORS, Session
from askpix.retrieval.onnx.text_embedder import TextEncoder, open_graph, read_recipe

MODEL_TYPE = "embedding_gemma2"
_DIMS = (768, 512, 256, 128)
_TOKENS = (70, 140, 280, 560, 1120)
_PROCESSORS = ("Gemma4ImageProcessor", "Gemma4ImageProcessorFast", "Gemma4ImageProcessorPil")
_TEXT_TOKENS = 2048
_MAX_ASPECT = 50


@dataclass(frozen=True, slots=True)
class SoftTokens:
    """Preprocessing of images: patches of ``patch`` pixels, ``pooled`` by ``pooled`` of them to a token."""

    patch: int
    pooled: int
    most: int
    resample: Image.Resampling
    rescale: float

    @property
    def side(self) -> int:
        """Pixels of the shorter side that are made use of."""
        return math.ceil(self.patch * self.pooled * math.sqrt(self.most))

    def prepare(self, image: Image.Image) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
        """``(patches, 3 * patch ** 2)`` pixels, ``(patches, 2)`` columns and rows, and how many tokens."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        cell = self.patch * self.pooled
        wide, high = self._cells(_middle(image))
        image = _middle(image).resize((wide * cell, high * cell), self.resample)
        values = normalized(image, self.rescale, (0.0,) * 3, (1.0,) * 3)
        rows = high * self.pooled
        columns = wide * self.pooled
        cut = values.reshape(rows, self.patch, columns, self.patch, 3).transpose(0, 2, 1, 3, 4)
        room = self.most * self.pooled**2
        pixels = np.zeros((room, 3 * self.patch**2), np.float32)
        pixels[: rows * columns] = cut.reshape(rows * columns, -1)
        places = np.full((room, 2), -1, np.int64)
        places[: rows * columns] = np.stack(np.meshgrid(range(columns), range(rows)), -1).reshape(-1, 2)
        return pixels, places, wide * high

    def _cells(self, image: Image.Image) -> tuple[int, int]:
        """(columns, rows) of tokens: the most within the budget that keep the aspect, whole cells each."""
        factor = math.sqrt(self.most / (image.width * image.height))
        wide, high = (math.floor(factor * side) for side in image.size)
        if high == 0:
            return min(image.width // image.height, self.most), 1
        if wide == 0:
            return 1, min(image.height // image.width, self.most)
        return wide, high


class OnnxGemmaEmbedder(Embedder):
    """EmbeddingGemma 2 from a published export. Thread-safe."""

    def __init__(
        self, vision: Session, text: Session, layout: Layout, options: ModelOptions, *, workers: int
    ) -> None:
        self.model_id = f"onnx:{layout.name}{options}"
        self.workers = workers
        options.check(layout.name, dims=_DIMS, tokens=_TOKENS)
        self._dim = options.dim
        self._pixels = _soft_tokens(layout, options)
        self.image_side = self._pixels.side
        # Attention over the patches of one image fills a core's share of memory.
        self.batch = max(1, _TOKENS[2] // self._pixels.most)
        opened: Any = vision
        self._vision = vision
        self._inputs = {item.name: item for item in opened.get_inputs()}
        if set(self._inputs) != {"pixel_values", "pixel_position_ids"}:
            raise ModelUnavailableError(
                f"{layout.vision.name!r} takes {', '.join(self._inputs)}: that is no vision encoder of "
                "EmbeddingGemma 2"
            )
        recipe = read_recipe(layout.folder, name=layout.title())
        self._graph = open_graph(text, layout.folder, name=layout.text.name, max_tokens=_TEXT_TOKENS)
        config = layout.model_config()
        marks: list[Any] = [config.get(f"{name}_token_id") for name in ("image", "boi", "eoi")]
        if not all(isinstance(mark, int) for mark in marks):
            raise ModelUnavailableError(f"{layout.name!r} does not say which tokens stand for an image")
        self._image, self._begin, self._end = marks
        frame = self._graph.tokenizer.encode("").ids  # <bos> and <eos>
        self._before = frame[:1]
        self._behind = frame[1:]
        self._prompt = recipe.query_prompt
        self._words = TextEncoder(self._graph, recipe, dim=options.dim)
        side = self.image_side
        self.dim = int(self._shown([Image.new("RGB", (side, side), "gray")]).shape[1])
        options.check_dim(layout.name, self.dim)
        if self._said(["a dog"]).shape[1] != self.dim:
            raise ModelUnavailableError(f"{self.model_id!r} has no images and texts in one space")

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        """``(len(images), dim)`` from upright RGB images of any size."""
        parts = [images[at : at + self.batch] for at in range(0, len(images), self.batch)]
        rows = [self._shown(part) for part in parts]
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` in the space of the images, as queries; longer ones are cut."""
        return self._said(texts) if texts else np.zeros((0, self.dim), np.float32)

    def _said(self, texts: Sequence[str]) -> Vectors:
        return self._words.embed(texts, self._prompt)

    def _shown(self, images: Sequence[Image.Image]) -> Vectors:
        prepared = [self._pixels.prepare(image) for image in images]
        values, places = (np.stack([one[part] for one in prepared]) for part in (0, 1))
        feed = {
            name: each.astype(NUMBERS.get(self._inputs[name].type, each.dtype))
            for name, each in (("pixel_values", values), ("pixel_position_ids", places))
        }
        tokens = [
            [*self._before, self._begin, *[self._image] * count, self._end, *self._behind]
            for _, _, count in prepared
        ]
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        try:
            features = np.asarray(self._vision.run(["image_features"], feed)[0])
            found = self._graph.run(ids, mask, {"image_features": features})
        except RUN_ERRORS as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelUnavailableError(f"{self.model_id!r} cannot be run: {reason}") from error
        if found.ndim != 2 or not np.isfinite(found).all():
            raise ModelUnavailableError(
                f"the vectors of {self.model_id!r} are no numbers; take another precision"
            )
        return unit(found[:, : self._dim])


def _soft_tokens(layout: Layout, options: ModelOptions) -> SoftTokens:
    """Read ``processor_config.json``, or the older file beside it. Raises ``ModelUnavailableError``."""
    config: Any = layout.config("processor_config.json").get("image_processor")
    config = config if isinstance(config, Mapping) else layout.config("preprocessor_config.json")
    name = config.get("image_processor_type")
    if name not in _PROCESSORS:
        raise ModelUnavailableError(f"how the image processor {name!r} prepares images is not known here")
    if config.get("do_normalize"):
        raise ModelUnavailableError("an export of EmbeddingGemma 2 that normalises pixels is not known here")
    return SoftTokens(
        patch=whole_number(config.get("patch_size", 16)),
        pooled=whole_number(config.get("pooling_kernel_size", 3)),
        most=options.tokens or whole_number(config.get("max_soft_tokens", 280)),
        resample=Image.Resampling(int(config.get("resample", 3))),
        rescale=float(config.get("rescale_factor", 1 / 255)),
    )


def _middle(image: Image.Image) -> Image.Image:
    """The image; of a strip, its middle."""
    width, height = (min(side, _MAX_ASPECT * min(image.size)) for side in image.size)
    left = (image.width - width) // 2
    top = (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
