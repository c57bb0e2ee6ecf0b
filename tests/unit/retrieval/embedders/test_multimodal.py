"""EmbeddingGemma 2 and Qwen3-VL-Embedding against their published recipes, on tiny random weights."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.embedders.base import EmbedderOptions, open_embedder, same_model
from askpix.retrieval.embedders.transformers import load_transformers_embedder
from tests.support.multimodal_models import save_embedding_gemma2, save_qwen3_vl_embedding
from tests.support.parity import distance, pictures
from tests.support.published_recipes import gemma_image

TEXTS = ["a red dog", "invoice total", ""]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("hub") / "embeddinggemma-2"
    return folder, *save_embedding_gemma2(folder)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("hub") / "Qwen3-VL-Embedding-2B"
    return folder, *save_qwen3_vl_embedding(folder)


def test_embedding_gemma_2(gemma: tuple[Any, ...]) -> None:
    folder, model, _, tokenizer = gemma
    embedder = load_transformers_embedder(str(folder), device="cpu")
    assert embedder.dim == 768 and embedder.likelihood is None and embedder.image_side == 804
    with torch.inference_mode():
        batch = embedder.embed_images(pictures())
        for row, image in zip(batch, pictures(), strict=True):
            assert distance(row[None], gemma_image(model, image, 280)) < 1e-4
        for row, text in zip(embedder.embed_queries(TEXTS), TEXTS, strict=True):
            given = tokenizer(f"task : search result | query : {text}", return_tensors="pt")
            states = model(input_ids=given["input_ids"]).last_hidden_state
            assert distance(row[None], states.mean(dim=1)) < 1e-4
    assert np.abs(batch[0] - batch[3]).max() > 1e-3, "images are looked at"


def test_embedding_gemma_2_shorter_and_with_fewer_tokens(gemma: tuple[Any, ...]) -> None:
    folder, model, *_ = gemma
    embedder = load_transformers_embedder(f"{folder}+tokens=70+dim=256", device="cpu")
    assert embedder.model_id.endswith("+dim=256+tokens=70") and embedder.dim == 256
    with torch.inference_mode():
        for image in pictures():
            expected = gemma_image(model, image, 70)[:, :256]
            assert distance(embedder.embed_images([image]), expected) < 1e-4
    again = open_embedder(embedder.model_id, EmbedderOptions(device="cpu"))
    assert np.allclose(again.embed_queries(TEXTS), embedder.embed_queries(TEXTS), atol=1e-6)
    assert same_model(f"transformers:{folder}+dim=256+tokens=70", embedder.model_id)
    assert not same_model(f"transformers:{folder}", embedder.model_id)


def test_marks_in_a_text_are_no_images(gemma: tuple[Any, ...], qwen: tuple[Any, ...]) -> None:
    for folder, mark in ((gemma[0], "<|image|>"), (qwen[0], "<|image_pad|>")):
        embedder = load_transformers_embedder(str(folder), device="cpu")
        plain, marked = embedder.embed_texts(["a red dog", f"a {mark} red dog"])
        assert np.allclose(plain, marked, atol=1e-5)


def qwen_pixels(image: Image.Image, limit: int) -> tuple[Any, Any]:
    """qwen_vl_utils' ``smart_resize`` (factor 32, to ``limit`` cells), then Qwen2VLImageProcessor's patches.

    Of 16 pixels, each twice in time, cells of 2 by 2 of them together, colours first; (x - 0.5) / 0.5.
    """
    factor = 32
    w, h = (max(factor, round(each / factor) * factor) for each in image.size)
    if w * h > limit * factor**2:
        beta = math.sqrt(image.width * image.height / (limit * factor**2))
        w, h = (max(factor, math.floor(each / beta / factor) * factor) for each in image.size)
    elif w * h < 4 * factor**2:
        beta = math.sqrt(4 * factor**2 / (image.width * image.height))
        w, h = (math.ceil(each * beta / factor) * factor for each in image.size)
    shown = image.convert("RGB").resize((w, h), Image.Resampling.BICUBIC)
    pixels = (np.asarray(shown, np.float32) / 255 - 0.5) / 0.5
    rows, columns = h // 16, w // 16
    patches = []
    for cell_y in range(0, rows, 2):
        for cell_x in range(0, columns, 2):
            for y, x in (
                (cell_y, cell_x),
                (cell_y, cell_x + 1),
                (cell_y + 1, cell_x),
                (cell_y + 1, cell_x + 1),
            ):
                patch = pixels[y * 16 : y * 16 + 16, x * 16 : x * 16 + 16].transpose(2, 0, 1)
                patches.append(np.stack([patch, patch], axis=1).ravel())
    return torch.tensor(np.stack(patches)), torch.tensor([[1, rows, columns]])


def qwen_state(model: Any, tokenizer: Any, instruction: str, content: str, **shown: Any) -> Any:
    """github.com/QwenLM/Qwen3-VL-Embedding: system message, user message, the assistant's turn opened; the
    state of the last token."""
    said = (
        f"<|im_start|>system {instruction}<|im_end|><|im_start|>user {content}<|im_end|><|im_start|>assistant"
    )
    ids = tokenizer(said, return_tensors="pt")["input_ids"]
    if shown:
        shown["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
    return model.model(input_ids=ids, attention_mask=torch.ones_like(ids), **shown).last_hidden_state[:, -1]


@pytest.mark.parametrize("options", ["", "+tokens=16"])
def test_qwen3_vl_embedding(qwen: tuple[Any, ...], options: str) -> None:
    folder, model, _, tokenizer = qwen
    embedder = load_transformers_embedder(f"{folder}{options}", device="cpu")
    with torch.inference_mode():
        for row, image in zip(embedder.embed_images(pictures()), pictures(), strict=True):
            values, grid = qwen_pixels(image, 16 if options else 1800)
            count = int(grid.prod()) // 4
            content = f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>"
            expected = qwen_state(
                model,
                tokenizer,
                "Represent the user's input.",
                content,
                pixel_values=values,
                image_grid_thw=grid,
            )
            assert distance(row[None], expected) < 1e-4
        for row, text in zip(embedder.embed_queries(TEXTS), TEXTS, strict=True):
            asked = "Retrieve images or text relevant to the user's query."
            assert distance(row[None], qwen_state(model, tokenizer, asked, text or "NULL")) < 1e-4
    assert embedder.model_id.endswith(options)


def test_what_they_do_not_offer(gemma: tuple[Any, ...], qwen: tuple[Any, ...], tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"no \+dim=300; it offers 768, 512, 256, 128"):
        load_transformers_embedder(f"{gemma[0]}+dim=300", device="cpu")
    with pytest.raises(ModelUnavailableError, match=r"no \+tokens=100"):
        load_transformers_embedder(f"{gemma[0]}+tokens=100", device="cpu")
    with pytest.raises(ModelUnavailableError, match=r"no \+dim=20; it offers 64 to 4096"):
        load_transformers_embedder(f"{qwen[0]}+dim=20", device="cpu")
    with pytest.raises(ModelUnavailableError, match=r"no \+dim=64; its vectors have 32 numbers"):
        load_transformers_embedder(f"{qwen[0]}+dim=64", device="cpu")
    for precision in ("fp16", "int8"):  # huggingface.co/google/embeddinggemma-2: float16 is not supported
        with pytest.raises(ModelUnavailableError, match="'bf16' or 'fp32' only"):
            load_transformers_embedder(str(gemma[0]), device="cpu", precision=precision)
    plain = tmp_path / "Qwen3-VL-2B-Instruct"
    plain.symlink_to(qwen[0])
    with pytest.raises(ModelUnavailableError, match="not known as an embedder; take"):
        load_transformers_embedder(str(plain), device="cpu")
