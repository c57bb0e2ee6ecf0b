"""SigLIP 2 NaFlex as an ONNX export against transformers' own path, on tiny random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from askpix.retrieval.onnx.naflex import fitting_size, from_naflex
from tests.support.onnx_exports import export_naflex
from tests.support.parity import TEXTS as FEW
from tests.support.parity import distance, pictures
from tests.support.two_tower_models import save_transformers


@pytest.fixture(scope="module")
def naflex(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("naflex")
    model, processor, _ = save_transformers(folder, "siglip2")
    # Letters in the family's own tokenizer, which pads on the right as the published files say.
    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", *"abcdefghijklmnopqrstuvwxyzAB"]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = transformers.Siglip2Tokenizer(vocab=vocabulary, merges=[], padding_side="right")
    tokenizer.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    export_naflex(model, folder)
    return folder, model, processor, tokenizer


TEXTS = [*FEW, "A Red DOG", "ABba"]


def test_it_is_as_transformers_makes_it(naflex: tuple[Any, ...]) -> None:
    folder, model, processor, tokenizer = naflex
    embedder = OnnxEmbedder.load(str(folder), device="cpu")
    batch = embedder.embed_images(pictures())
    with torch.inference_mode():
        for number, image in enumerate(pictures()):
            inputs = processor(
                images=[image.convert("RGB")], return_tensors="pt", input_data_format="channels_last"
            )
            exact = model.get_image_features(**inputs).pooler_output
            assert distance(batch[number : number + 1], exact) < 1e-3
            assert float(1 - embedder.embed_images([image])[0] @ batch[number]) < 1e-5
        tokens = tokenizer(TEXTS, padding="max_length", max_length=18, truncation=True, return_tensors="pt")
        features = model.get_text_features(input_ids=tokens["input_ids"]).pooler_output
        assert distance(embedder.embed_texts(TEXTS), features) < 1e-3
    assert embedder.likelihood.kind == "sigmoid"
    # Different shapes are seen: a wide and a tall picture of the same stripes are not one.
    assert float(batch[0] @ batch[1]) < 0.9999


@pytest.mark.parametrize("size", [(201, 97), (61, 333), (3, 5), (32, 32), (1, 20_000), (5000, 7), (1, 1)])
def test_patches_are_the_librarys(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    processor = transformers.Siglip2ImageProcessorPil(patch_size=16, max_num_patches=256)
    theirs = processor(images=[image], return_tensors="np", input_data_format="channels_last")
    ours = from_naflex(processor.to_dict()).prepare(image)
    assert ours["spatial_shapes"].tolist() == theirs["spatial_shapes"][0].tolist()
    np.testing.assert_array_equal(ours["pixel_attention_mask"], theirs["pixel_attention_mask"][0])
    np.testing.assert_allclose(ours["pixel_values"], theirs["pixel_values"][0], atol=2e-3)


def test_no_shape_is_over_the_budget() -> None:
    for height in (1, 9, 100, 3000, 20_000):
        for width in (1, 33, 640, 4096, 20_000):
            tall, wide = fitting_size(height, width, 16, 256)
            assert tall % 16 == wide % 16 == 0 and 1 <= (tall // 16) * (wide // 16) <= 256


def test_broken_budgets_are_one_line() -> None:
    with pytest.raises(ModelUnavailableError, match="asks for a size"):
        from_naflex({"patch_size": 0})
    with pytest.raises(ModelUnavailableError, match="asks for a size"):
        from_naflex({"max_num_patches": 10**9})


def test_patches_for_a_graph_that_takes_images(naflex: tuple[Any, ...], tmp_path: Path) -> None:
    folder, *_ = naflex
    for part in folder.iterdir():
        if part.is_file():
            (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / "onnx").mkdir()
    for tower in ("vision", "text"):
        (tmp_path / "onnx" / f"{tower}_model.onnx").write_bytes(
            (folder / "onnx" / "text_model.onnx").read_bytes()
        )
    with pytest.raises(ModelUnavailableError, match="takes whole images"):
        OnnxEmbedder.load(str(tmp_path), device="cpu")
