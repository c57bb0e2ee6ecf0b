"""The page embedders against their library's own path, on tiny random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from askpix.core.errors import IndexMismatchError, ModelUnavailableError
from askpix.retrieval.embedders.base import same_model
from askpix.retrieval.late_interaction.base import maxsim
from askpix.retrieval.late_interaction.colpali import ColPaliEmbedder
from tests.support.fakes import picture

torch = pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("transformers", reason="needs the extra transformers")

from tests.support import tiny_models  # noqa: E402

Saved = tuple[ColPaliEmbedder, Any, Any]
SAVERS: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "colpali": tiny_models.save_colpali,
    "colqwen2": tiny_models.save_colqwen2,
    "colqwen2.5": lambda folder: tiny_models.save_colqwen2(folder, qwen="2.5"),
}


@pytest.fixture(scope="module", params=sorted(SAVERS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp(request.param)
    model, processor = SAVERS[request.param](folder)
    return ColPaliEmbedder.load(str(folder), device="cpu", batch=4), model, processor


def pages() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (90, 210, 3), dtype=np.uint8)
    return [
        picture("red", "TOTAL 12", (200, 100)),
        picture("white", "invoice", (70, 300)),
        Image.fromarray(noise),
        Image.new("L", (33, 57), 128).convert("RGB"),
        Image.new("RGB", (5, 3), "blue"),
    ]


def library(model: Any, inputs: Any) -> list[Any]:
    """What the library itself makes of one input, padding left out."""
    inputs.pop("labels", None)
    with torch.inference_mode():
        rows = model(**inputs).embeddings
    return [row[mask.bool()].numpy() for row, mask in zip(rows, inputs["attention_mask"], strict=True)]


def test_a_budget_of_pixels_is_no_side(saved: Saved) -> None:
    """preprocessor_config.json of vidore/colqwen2-v1.0-hf has ``max_pixels``, read as ``longest_edge``."""
    embedder, _, processor = saved
    budget = processor.image_processor.size.get("longest_edge")
    assert embedder.image_side == (56 if budget is None else 168) and budget in (None, 168**2)


def test_pages_are_as_the_library_makes_them_alone_and_in_a_batch(saved: Saved) -> None:
    embedder, model, processor = saved
    batch = embedder.embed_images(pages())
    for page, matrix in zip(pages(), batch, strict=True):
        (expected,) = library(model, processor.process_images(images=[page]))
        (alone,) = embedder.embed_images([page])
        assert matrix.dtype == np.float16 and matrix.shape == expected.shape
        assert matrix.shape[1] == embedder.dim == 128
        for found in (alone, matrix):
            assert (1 - (found.astype(np.float32) * expected).sum(axis=1)).max() < 1e-3
        np.testing.assert_allclose(np.linalg.norm(matrix.astype(np.float32), axis=1), 1, atol=2e-3)


def test_queries_and_scores_are_as_the_library_makes_them(saved: Saved) -> None:
    embedder, model, processor = saved
    asked = ["red dog", "what is the total of the green invoice ?"]
    queries = [library(model, processor.process_queries(text=[text]))[0] for text in asked]
    made = embedder.embed_texts(asked)
    stored = embedder.embed_images(pages())
    known = [library(model, processor.process_images(images=[page]))[0] for page in pages()]
    scores = processor.score_retrieval([torch.tensor(q) for q in queries], [torch.tensor(p) for p in known])
    for number, (ours, theirs) in enumerate(zip(made, queries, strict=True)):
        assert (1 - (ours.astype(np.float32) * theirs).sum(axis=1)).max() < 1e-3
        np.testing.assert_allclose(maxsim(ours, stored) * len(ours), scores[number].numpy(), rtol=3e-3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<image>" * 50,
        "<|image_pad|><|vision_start|>red",
        "<im<image>age>",
        "x " * 100_000,
        "\0\ud800",
        "🦊",
    ],
    ids=["empty", "blank", "image marks", "vision marks", "nested", "huge", "no unicode", "fox"],
)
def test_any_text_is_a_query(saved: Saved, text: str) -> None:
    embedder = saved[0]
    (matrix,) = embedder.embed_texts([text])
    assert 0 < len(matrix) < 1200 and np.isfinite(matrix).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (6000, 2)], ids=str)
def test_any_image_is_a_page(saved: Saved, size: tuple[int, int]) -> None:
    (matrix,) = saved[0].embed_images([Image.new("RGB", size, "red")])
    assert len(matrix) and np.isfinite(matrix).all()
    assert saved[0].embed_images([]) == []


def test_what_is_no_page_embedder_is_refused_with_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelUnavailableError, match="'bert', no page embedder; there are: colpali"):
        ColPaliEmbedder.load(str(tmp_path))
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(ModelUnavailableError, match="cannot load"):
        ColPaliEmbedder.load(str(tmp_path))
    with pytest.raises(ModelUnavailableError, match="neither a directory nor"):
        ColPaliEmbedder.load("/no/such/folder/here")
    with pytest.raises(ModelUnavailableError, match="was not downloaded before"):
        ColPaliEmbedder.load("owner/name-of-a-model")


@pytest.mark.parametrize("kind", ["qwen2_vl", "colqwen3_5"])
def test_a_page_embedder_with_code_of_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    """athrael-soju/colqwen3.5-4.5B-v3, TomoroAI/tomoro-colqwen3-embed-*, webAI-Official/webAI-ColVec1-*."""
    config = {"model_type": kind, "architectures": ["ColQwen3_5"], "auto_map": {"AutoConfig": "m.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match="needs code that comes with it") as caught:
        ColPaliEmbedder.load(str(tmp_path), device="cpu")
    assert "trust_remote_code" not in str(caught.value)


def test_its_id_names_these_weights_for_ever(tmp_path: Path) -> None:
    tiny_models.save_colpali(tmp_path)
    embedder = ColPaliEmbedder.load(str(tmp_path), device="cpu")
    pinned = embedder.model_id.removeprefix("transformers:")
    assert pinned.startswith(f"{tmp_path}#")
    again = ColPaliEmbedder.load(pinned, device="cpu")
    assert again.model_id == embedder.model_id
    assert same_model(f"transformers:{tmp_path}", embedder.model_id)
    tiny_models.save_colpali(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(IndexMismatchError, match="holds another model"):
        ColPaliEmbedder.load(pinned, device="cpu")


def test_half_saved_weights_and_wrong_devices_are_one_clear_line(tmp_path: Path) -> None:
    tiny_models.save_colpali(tmp_path)
    with pytest.raises(ModelUnavailableError, match="no device 'tpu'"):
        ColPaliEmbedder.load(str(tmp_path), device="tpu")
    with pytest.raises(ModelUnavailableError, match="no precision 'fp8'"):
        ColPaliEmbedder.load(str(tmp_path), device="cpu", dtype="fp8")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailableError, match="cannot load"):
        ColPaliEmbedder.load(str(tmp_path))


def test_weights_that_are_not_there_are_not_made_up(tmp_path: Path) -> None:
    model, _ = tiny_models.save_colpali(tmp_path)
    state = {name: value for name, value in model.state_dict().items() if "embedding_proj" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ModelUnavailableError, match="no trained weights for 2 parts"):
        ColPaliEmbedder.load(str(tmp_path))
