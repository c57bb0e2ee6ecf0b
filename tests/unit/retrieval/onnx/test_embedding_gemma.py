"""EmbeddingGemma 2 in ONNX, as onnx-community publishes it, against its published recipe."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.embedders.base import EmbedderOptions, open_embedder
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from askpix.retrieval.onnx.text_embedder import open_text_embedder
from tests.support.fake_hub import Hub, Repository, serving
from tests.support.multimodal_models import export_embedding_gemma2, save_embedding_gemma2
from tests.support.parity import distance, pictures
from tests.support.published_recipes import gemma_image

TEXTS = ["a red dog", "", "dog <|image|> total"]
PROMPT = "task : search result | query : "


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("hub") / "embeddinggemma-2-ONNX"
    model, processor, tokenizer = save_embedding_gemma2(folder)
    export_embedding_gemma2(folder)
    (folder / "model.safetensors").unlink()
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": processor.to_dict()}))
    return folder, model, tokenizer


def test_images_and_texts(exported: tuple[Path, Any, Any]) -> None:
    folder, model, tokenizer = exported
    embedder = OnnxEmbedder.load(str(folder), device="cpu")
    assert embedder.dim == 768 and embedder.image_side == 804 and embedder.batch == 1
    with torch.inference_mode():
        for row, image in zip(embedder.embed_images(pictures()), pictures(), strict=True):
            assert distance(row[None], gemma_image(model, image, 280)) < 1e-4
        for row, text in zip(embedder.embed_texts(TEXTS), TEXTS, strict=True):
            given = tokenizer(PROMPT + text.replace("<|image|> ", ""), return_tensors="pt")
            states = model(input_ids=given["input_ids"]).last_hidden_state
            assert distance(row[None], states.mean(dim=1)) < 1e-4
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, 768)


def test_fewer_tokens_and_shorter_vectors(exported: tuple[Path, Any, Any]) -> None:
    folder, model, _ = exported
    embedder = OnnxEmbedder.load(f"{folder}+tokens=70+dim=128", device="cpu", openvino=True)
    assert embedder.model_id.endswith("+fp32+dim=128+tokens=70") and embedder.batch == 4
    shown = embedder.embed_images(pictures())
    with torch.inference_mode():
        for row, image in zip(shown, pictures(), strict=True):
            assert distance(row[None], gemma_image(model, image, 70)[:, :128]) < 1e-4
    again = open_embedder(embedder.model_id, EmbedderOptions(device="cpu"))
    assert np.allclose(again.embed_images(pictures()), shown, atol=1e-5)
    with pytest.raises(ModelUnavailableError, match=r"no \+dim=100; it offers 768"):
        OnnxEmbedder.load(f"{folder}+dim=100", device="cpu")


def test_words_alone(exported: tuple[Path, Any, Any]) -> None:
    """As text embedder: a passage after the document's prompt; its first numbers alone, length one."""
    folder, model, tokenizer = exported
    embedder = open_text_embedder(f"{folder}+fp32+dim=256")
    assert embedder.model_id == f"onnx:{folder}+fp32+dim=256" and embedder.dim == 256
    for prompt in ("title : none | text : ", PROMPT):
        assert prompt in (embedder.recipe.passage_prompt, embedder.recipe.query_prompt)
        with torch.inference_mode():
            given = tokenizer(f"{prompt}a red dog", return_tensors="pt")
            states = model(input_ids=given["input_ids"]).last_hidden_state
        assert distance(embedder.embed(["a red dog"], prompt), states.mean(dim=1)[:, :256]) < 1e-4
    with pytest.raises(ModelUnavailableError, match=r"no \+dim=100; it offers 768, 512, 256, 128"):
        open_text_embedder(f"{folder}+dim=100")
    with pytest.raises(ModelUnavailableError, match=r"no \+tokens=70"):
        open_text_embedder(f"{folder}+tokens=70")


def test_from_a_hub_as_images_and_as_words(
    exported: tuple[Path, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    folder, *_ = exported
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files["onnx/model_quantized.onnx"] = files["onnx/vision_encoder_quantized.onnx"] = b"less exact"
    name = "onnx-community/embeddinggemma-2-ONNX"
    with serving(Hub({name: Repository(files)})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        shown = OnnxEmbedder.load(name, device="cpu")
        read = open_text_embedder(name)
    assert shown.model_id.startswith(f"onnx:{name}@") and shown.model_id.endswith("+fp32")
    assert read.model_id.startswith(f"onnx:{name}@")
    assert read.recipe.passage_prompt == "title : none | text : "
    assert not any("quantized" in asked for asked, _ in hub.asked)


def test_exports_that_cannot_be_known(exported: tuple[Path, Any, Any], tmp_path: Path) -> None:
    copy = shutil.copytree(exported[0], tmp_path / "copy")
    (copy / "processor_config.json").write_text('{"image_processor": {"image_processor_type": "Other"}}')
    with pytest.raises(ModelUnavailableError, match="image processor 'Other'"):
        OnnxEmbedder.load(str(copy), device="cpu")
    shutil.copy(exported[0] / "processor_config.json", copy)
    shutil.copy(copy / "onnx" / "model.onnx", copy / "onnx" / "vision_encoder.onnx")
    with pytest.raises(ModelUnavailableError, match="no vision encoder of EmbeddingGemma 2"):
        OnnxEmbedder.load(str(copy), device="cpu")
