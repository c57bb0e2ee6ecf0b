"""A vision-language model as a second look: is this image what is asked for, yes or no?

The prompt is that of Qwen3-VL-Reranker to the letter, which was trained on it; any other image-text-to-text
model of transformers understands it too. The score is how much likelier "yes" is than "no" as the next token
(a difference of logits), so one forward pass an image and nothing is generated.
"""

import threading
from collections.abc import Sequence
from typing import Any

from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import from_pretrained, import_torch, load_model, pick_device, pick_dtype
from askpix.retrieval.rerankers.base import Candidate

_SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
_INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
_QUERY_CHARACTERS = 1000
_MAX_SIDE = 1280
"""Pixels of the longer side shown: a page stays readable, a photo does not cost ten thousand tokens."""
_MAX_ASPECT = 50


class VlmReranker:
    """A ``Reranker`` of images. Calls from several threads wait for each other."""

    def __init__(
        self, torch: Any, model: Any, processor: Any, *, model_id: str, device: str, answers: tuple[int, int]
    ) -> None:
        self._torch = torch
        self._model = model
        self._processor = processor
        self._device = device
        self.model_id = model_id
        self._yes, self._no = answers
        self._lock = threading.Lock()
        tokenizer = getattr(processor, "tokenizer", processor)
        self._special = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)

    @classmethod
    def load(
        cls, reference: str, *, device: str = "auto", dtype: str = "auto", name: str | None = None
    ) -> "VlmReranker":
        """The model in a directory or hub repository; ``name`` is what to call it.

        Raises ``ModelUnavailableError``.
        """
        torch, transformers = import_torch("a vision-language reranker")
        where = pick_device(torch, device)
        load = transformers.AutoModelForImageTextToText.from_pretrained
        model = load_model(load, reference, device=where, dtype=pick_dtype(torch, where, dtype))
        processor = from_pretrained(transformers.AutoProcessor.from_pretrained, reference)
        if not getattr(processor, "chat_template", None):
            raise ModelUnavailableError(f"{reference!r} has no chat template: it cannot be asked a question")
        answers = _answers(processor.tokenizer, reference)
        return cls(
            torch,
            model,
            processor,
            model_id=f"transformers:{name or reference}",
            device=where,
            answers=answers,
        )

    def scores(self, query: str, candidates: Sequence[Candidate], /) -> list[float | None]:
        """Logit of yes minus logit of no; None where the image cannot be opened."""
        found: list[float | None] = []
        for candidate in candidates:
            image = candidate.open_image()
            found.append(None if image is None else self._score(query, image))
        return found

    def _score(self, query: str, image: Image.Image) -> float:
        asked = f"<Instruct>: {_INSTRUCTION}<Query>:{self._plain(query)}\n<Document>:"
        picture = [{"type": "text", "text": asked}, {"type": "image", "image": _shown(image)}]
        messages = [
            {"role": "system", "content": [{"type": "text", "text": _SYSTEM}]},
            {"role": "user", "content": picture},
        ]
        with self._lock, self._torch.inference_mode():
            inputs = self._processor.apply_chat_template(
                messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            ).to(self._device)
            logits = self._model(**inputs, logits_to_keep=1).logits[0, -1].float()
        return float(logits[self._yes] - logits[self._no])

    def _plain(self, text: str) -> str:
        """Return the text on one line, cut, and without the marks that begin a turn or stand for an image."""
        text = " ".join(text[:_QUERY_CHARACTERS].encode("utf-8", "replace").decode().split())
        for token in self._special:
            text = text.replace(token, " ")
        return text


def _answers(tokenizer: Any, reference: str) -> tuple[int, int]:
    """The tokens of yes and no."""
    ids = [tokenizer.encode(word, add_special_tokens=False) for word in ("yes", "no")]
    if any(len(each) != 1 for each in ids) or ids[0] == ids[1]:
        raise ModelUnavailableError(f"{reference!r} has no single tokens for yes and no: it cannot rerank")
    return ids[0][0], ids[1][0]


def _shown(image: Image.Image) -> Image.Image:
    """The image, no larger than is worth its tokens, and no thinner than processors accept."""
    scale = _MAX_SIDE / max(image.size)
    min_tokens = max(1, max(image.size) // _MAX_ASPECT)
    width, height = (max(side, min_tokens) for side in image.size)
    if scale < 1:
        width = max(1, round(width * scale))
        height = max(1, round(height * scale))
    return image if (width, height) == image.size else image.resize((width, height))
