"""ColPali, ColQwen2, ColQwen2.5, ColModernVBert through transformers' own classes: pages into many vectors.

Preprocessing, prompts and query suffix are those of the model's own processor. Models that transformers has
no class for (ColSmol, ColQwen3, ColQwen3.5, ColVec, Nemotron ColEmbed) need code from elsewhere, and are
refused.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import (
    check_classes,
    from_pretrained,
    import_torch,
    load_model,
    model_type,
    pick_device,
    pick_dtype,
)
from askpix.retrieval.model_hub.source import find_model
from askpix.retrieval.stores.pages import Matrix

CLASSES = {
    "colpali": "ColPaliForRetrieval",
    "colqwen2": "ColQwen2ForRetrieval",  # ColQwen2.5 too: it says so in its vlm_config
    "colmodernvbert": "ColModernVBertForRetrieval",
}
_QUERY_CHARACTERS = 1000
"""The models learned from questions of some 50 tokens; a whole text as query only costs time."""
_MAX_ASPECT = 50
"""Longer strips are padded: the processor of ColQwen2 refuses more than 200, and no page is so."""


class ColPaliEmbedder:
    """A ``LateEmbedder``. Calls from several threads wait for each other."""

    def __init__(
        self, torch: Any, model: Any, processor: Any, *, model_id: str, device: str, batch: int
    ) -> None:
        self._torch = torch
        self._model = model
        self._processor = processor
        self._device = device
        self.model_id = model_id
        self.batch = batch
        self.dim = int(model.config.embedding_dim)
        self.image_side = _side(processor.image_processor)
        # The fast tokenizers change their settings in place.
        self._lock = threading.Lock()
        self._special = sorted(set(processor.tokenizer.all_special_tokens), key=len, reverse=True)

    @classmethod
    def load(
        cls, reference: str, *, device: str = "auto", dtype: str = "auto", batch: int | None = None
    ) -> "ColPaliEmbedder":
        """The model in a directory or hub repository ``OWNER/NAME[@REVISION]``; its id is pinned.

        ``batch`` is how many pages run at once (default: 8 on a GPU, 1 elsewhere, where more gains nothing).
        Raises ``ModelUnavailableError`` (transformers is missing, no such model, another kind of model) and
        ``IndexMismatchError`` (a directory whose files are not those its pin names).
        """
        torch, transformers = import_torch("page retrieval by late interaction")
        source = find_model(reference)
        folder = str(source.path)
        kind, architectures = model_type(transformers, folder)
        if kind not in CLASSES:
            check_classes(transformers, reference, architectures)
            raise ModelUnavailableError(
                f"{reference!r} is a {kind!r}, no page embedder; there are: {', '.join(CLASSES)}"
            )
        where = pick_device(torch, device)
        load = getattr(transformers, CLASSES[kind]).from_pretrained
        model = load_model(load, folder, device=where, dtype=pick_dtype(torch, where, dtype))
        # One backend everywhere: with and without torchvision the same page gets the same vectors.
        processor = from_pretrained(transformers.AutoProcessor.from_pretrained, folder, backend="pil")
        return cls(
            torch,
            model,
            processor,
            model_id=f"transformers:{source.name}",
            device=where,
            batch=batch or (1 if where == "cpu" else 8),
        )

    def embed_images(self, images: Sequence[Image.Image], /) -> list[Matrix]:
        """``(n_i, dim)`` for each upright RGB image: its patches and the tokens of the model's prompt."""
        return self._in_batches([_page_shaped(image) for image in images], "images")

    def embed_texts(self, texts: Sequence[str], /) -> list[Matrix]:
        """``(n_i, dim)`` for each query: its tokens and the model's suffix."""
        return self._in_batches([self._plain(text) for text in texts], "text")

    def _plain(self, text: str) -> str:
        """Cut, and without the marks that tell the model where an image stands."""
        text = text[:_QUERY_CHARACTERS].encode("utf-8", "replace").decode()  # half characters stop tokenizers
        for token in self._special:
            text = text.replace(token, " ")
        return text

    def _in_batches(self, items: list[Any], name: str) -> list[Matrix]:
        found: list[Matrix] = []
        with self._lock, self._torch.inference_mode():
            process = self._processor.process_images if name == "images" else self._processor.process_queries
            for start in range(0, len(items), self.batch):
                inputs = process(**{name: items[start : start + self.batch]}).to(self._device)
                inputs.pop("labels", None)  # ColPali's processor makes them for training
                vectors = self._model(**inputs).embeddings
                kept = inputs["attention_mask"].bool()
                found += [
                    np.ascontiguousarray(rows[mask].float().cpu().numpy(), np.float16)
                    for rows, mask in zip(vectors, kept, strict=True)
                ]
        return found


def _side(processor: Any) -> int:
    """Pixels of the shorter side beyond which the processor throws detail away."""
    size = processor.size
    if getattr(processor, "merge_size", None):  # Qwen's: "longest_edge" is a budget of pixels, of any shape
        return math.isqrt(int(size["longest_edge"]))
    return (
        max(int(size.get(key) or 0) for key in ("height", "width", "longest_edge", "shortest_edge")) or 1024
    )


def _page_shaped(image: Image.Image) -> Image.Image:
    """The image; a strip on a white ground that is not quite so long."""
    longer = max(image.size)
    shorter = min(image.size)
    if longer <= _MAX_ASPECT * shorter:
        return image
    width, height = (max(side, math.ceil(longer / _MAX_ASPECT)) for side in image.size)
    ground = Image.new("RGB", (width, height), "white")
    ground.paste(image)
    return ground
