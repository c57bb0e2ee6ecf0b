"""Embedders that are one model for words and images: EmbeddingGemma 2 and Qwen3-VL-Embedding.

An image becomes tokens, which the text model reads among words; a vector is pooled from all it has read.
Everything follows the published recipes:

- EmbeddingGemma 2 (huggingface.co/docs/transformers/model_doc/embedding_gemma2): an image by itself, without
  a prompt; a query after "task: search result | query: "; mean over the tokens; 768 numbers, or their first
  512, 256 or 128. 280 tokens an image; 70, 140, 560 and 1120 are offered too.
- Qwen3-VL-Embedding (github.com/QwenLM/Qwen3-VL-Embedding, src/models/qwen3_vl_embedding.py and README): a
  chat with an instruction as system message; the state of its last token; 4 to 1800 tokens an image.

Texts are what is looked for among images here, so all of them are encoded as queries.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import from_pretrained
from askpix.retrieval.embedders.torch_base import Arrays, Towers
from askpix.retrieval.embedders.torch_runner import Tensors
from askpix.retrieval.model_hub.options import ModelOptions
from askpix.retrieval.model_hub.prompts import read_prompts

GEMMA = "embedding_gemma2"
QWEN = "qwen3_vl"
MULTIMODAL = (GEMMA, QWEN)
GEMMA_DIMS = (768, 512, 256, 128)
GEMMA_TOKENS = (70, 140, 280, 560, 1120)
GEMMA_QUERY = "task: search result | query: "
_QWEN_DIMS = range(64, 4097)
MAX_TOKENS = 1800
"""An image's in Qwen3-VL-Embedding, where nobody says less."""
_QWEN_TOKENS = range(4, MAX_TOKENS + 1)
_QWEN_IMAGE = "Represent the user's input."
_QWEN_QUERY = "Retrieve images or text relevant to the user's query."
_MIN_TOKENS = 4
_WINDOW = 2048
"""Tokens (characters for Qwen) of a text; both read 8192 tokens and more, and nobody looks for a novel."""


def check_options(family: str, name: str, options: ModelOptions) -> None:
    """Raise ``ModelUnavailableError`` for a size or number of tokens that the family does not offer, and for
    a Qwen3-VL of another training: one that writes, or an embedder with a recipe of its own."""
    if family == GEMMA:
        options.check(name, dims=GEMMA_DIMS, tokens=GEMMA_TOKENS)
        return
    if "qwen3-vl-embedding" not in name.lower().rstrip("/").rsplit("/", 1)[-1]:
        raise ModelUnavailableError(
            f"{name!r} is a {family!r}, not known as an embedder; take Qwen/Qwen3-VL-Embedding-2B (or name "
            "its folder so)"
        )
    options.check(name, dims=_QWEN_DIMS, tokens=_QWEN_TOKENS)


def load_options(transformers: Any, family: str, folder: str) -> dict[str, Any]:
    """Arguments for loading the model: of EmbeddingGemma 2 without the audio tower, 300M of its 740M
    parameters.
    """
    if family != GEMMA:
        return {}
    config = from_pretrained(transformers.AutoConfig.from_pretrained, folder)
    config.audio_config = None
    return {"config": config}


def gemma_towers(
    torch: Any, model: Any, *, processor: Any, tokenizer: Any, folder: Path, options: ModelOptions
) -> Towers:
    """EmbeddingGemma 2 as two towers."""
    config = model.config
    query = (read_prompts(folder) or (GEMMA_QUERY, ""))[0]
    shown = {"max_soft_tokens": options.tokens or processor.max_soft_tokens}
    cells = int(processor.pooling_kernel_size) ** 2
    begin, end = _frame(tokenizer)

    def picture(image: Image.Image) -> Arrays:
        made = processor(images=[image], return_tensors="np", **shown)
        return {name: np.asarray(made[name][0]) for name in ("pixel_values", "image_position_ids")}

    def images(pixel_values: Any, image_position_ids: Any) -> Any:
        counts = (image_position_ids >= 0).all(dim=-1).sum(dim=-1) // cells
        rows = [
            [*begin, config.boi_token_id, *[config.image_token_id] * count, config.eoi_token_id, *end]
            for count in counts.tolist()
        ]
        ids, mask = _padded(torch, rows, pixel_values.device)
        states = model(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=pixel_values.to(model.dtype),
            image_position_ids=image_position_ids,
        ).last_hidden_state
        return _mean(states, mask)[:, : options.dim]

    def texts(input_ids: Any, attention_mask: Any) -> Any:
        states = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return _mean(states, attention_mask)[:, : options.dim]

    clean = _without_marks(tokenizer)

    def tokens(asked: list[str]) -> Tensors:
        made = tokenizer(
            [query + clean(text) for text in asked],
            padding=True,
            truncation=True,
            max_length=_WINDOW,
            return_tensors="pt",
        )
        return {name: made[name] for name in ("input_ids", "attention_mask")}

    return Towers(picture, images, tokens, texts)


def qwen_towers(
    torch: Any, model: Any, *, processor: Any, tokenizer: Any, folder: Path, options: ModelOptions
) -> Towers:
    """Qwen3-VL-Embedding as two towers."""
    mark = model.config.image_token_id
    merged = int(processor.merge_size) ** 2
    pixels = (int(processor.patch_size) * int(processor.merge_size)) ** 2
    most = options.tokens or MAX_TOKENS
    size = {"shortest_edge": min(_MIN_TOKENS, most) * pixels, "longest_edge": most * pixels}

    def chat(instruction: str, content: dict[str, str]) -> str:
        messages = [
            {"role": "system", "content": [{"type": "text", "text": instruction}]},
            {"role": "user", "content": [content]},
        ]
        written: str = tokenizer.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, tokenize=False
        )
        return written

    template = _chat_template(tokenizer, folder)

    around = tokenizer(chat(_QWEN_IMAGE, {"type": "image"}))["input_ids"]
    if around.count(mark) != 1:
        raise ModelUnavailableError(f"the chat template of {str(folder)!r} has no place for an image")
    place = around.index(mark)

    def picture(image: Image.Image) -> Arrays:
        made = processor(images=[image], return_tensors="np", size=size)
        return {"pixel_values": made["pixel_values"], "grid": made["image_grid_thw"][0]}

    def images(pixel_values: Any, grid: Any) -> Any:
        patches = grid.prod(dim=-1)
        rows = [
            [*around[:place], *[mark] * (count // merged), *around[place + 1 :]] for count in patches.tolist()
        ]
        ids, mask = _padded(torch, rows, pixel_values.device)
        flat = torch.cat([own[:count] for own, count in zip(pixel_values, patches.tolist(), strict=True)])
        states = model(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=flat.to(model.dtype),
            image_grid_thw=grid,
            mm_token_type_ids=(ids == mark).int(),
        ).last_hidden_state
        return _last(states, mask)[:, : options.dim]

    def texts(input_ids: Any, attention_mask: Any) -> Any:
        states = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return _last(states, attention_mask)[:, : options.dim]

    clean = _without_marks(tokenizer)

    def tokens(asked: list[str]) -> Tensors:
        # A query of nothing is "NULL" in the published code.
        cut = [clean(text[:_WINDOW]).strip() or "NULL" for text in asked]
        written = [chat(_QWEN_QUERY, {"type": "text", "text": text}) for text in cut]
        ids, mask = _padded(torch, tokenizer(written)["input_ids"], "cpu")
        return {"input_ids": ids, "attention_mask": mask}

    return Towers(picture, images, tokens, texts)


def _chat_template(tokenizer: Any, folder: Path) -> str:
    """The model's own; older repositories keep it beside the tokenizer. Raises ``ModelUnavailableError``."""
    template = getattr(tokenizer, "chat_template", None)
    path = folder / "chat_template.json"
    if not template and path.is_file():
        try:
            template = json.loads(path.read_text("utf-8"))["chat_template"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelUnavailableError(f"cannot read {str(path)!r}: {error}") from error
    if not isinstance(template, str):
        raise ModelUnavailableError(f"{str(folder)!r} has no chat template: it cannot be told what to do")
    return template


def _padded(torch: Any, rows: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    """``(n, longest)`` ids, padded on the right, and which of them are real."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, own in enumerate(rows):
        ids[row, : len(own)] = torch.tensor(own)
        mask[row, : len(own)] = 1
    return ids.to(device), mask.to(device)


def _mean(states: Any, mask: Any) -> Any:
    real = mask.unsqueeze(-1).float()
    return (states.float() * real).sum(dim=1) / real.sum(dim=1).clamp_min(1e-9)


def _last(states: Any, mask: Any) -> Any:
    """The state of each row's last real token, on whichever side it is padded."""
    at = mask.shape[1] - 1 - mask.flip(dims=[1]).argmax(dim=1)
    return states[range(len(states)), at]


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens that the tokenizer puts before and behind every text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    before = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), None)
    if before is None:
        raise ModelUnavailableError(
            "the model's tokenizer changes a text with its marks: it is not known here"
        )
    return whole[:before], whole[before + len(bare) :]


def _without_marks(tokenizer: Any) -> Callable[[str], str]:
    """Take away what begins a turn or stands for an image."""
    special = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)

    def clean(text: str) -> str:
        for token in special:
            text = text.replace(token, " ")
        return text

    return clean
