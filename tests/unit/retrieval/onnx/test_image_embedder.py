"""Published ONNX layouts of CLIP and SigLIP against transformers, on tiny random weights exported here."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.core.errors import IndexMismatchError, ModelUnavailableError
from askpix.retrieval.embedders.base import EmbedderOptions, Likelihood, open_embedder, same_model
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from askpix.retrieval.onnx.preprocess import from_open_clip, from_preprocessor
from tests.support.fakes import picture
from tests.support.onnx_exports import export_towers, free, write_graph
from tests.support.parity import TEXTS, distance, pictures
from tests.support.two_tower_models import hub_copy, save_transformers

FAMILIES = ("clip", "siglip")


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp(f"{request.param}-export")
    model, processor, tokenizer = save_transformers(folder, request.param)
    side = processor.size.get("height") or processor.crop_size["height"]
    export_towers(
        model.eval(),
        folder,
        vision="onnx/vision_model.onnx",
        text="onnx/text_model.onnx",
        masked=request.param == "clip",
        side=side,
    )
    return request.param, folder, model, processor, tokenizer


def test_it_is_as_transformers_makes_it(exported: tuple[Any, ...]) -> None:
    name, folder, model, processor, tokenizer = exported
    embedder = OnnxEmbedder.load(str(folder), device="cpu")
    with torch.inference_mode():
        batch = embedder.embed_images(pictures())
        for number, image in enumerate(pictures()):
            inputs = processor(
                images=[image.convert("RGB")], return_tensors="pt", input_data_format="channels_last"
            )
            assert (
                distance(batch[number : number + 1], model.get_image_features(**inputs).pooler_output) < 1e-3
            )
            alone = embedder.embed_images([image])
            assert float(1 - alone[0] @ batch[number]) < 1e-5
        tokens = tokenizer(
            TEXTS,
            padding="max_length" if name == "siglip" else True,
            max_length=18,
            truncation=True,
            return_tensors="pt",
        )
        takes = ("input_ids", "attention_mask") if name == "clip" else ("input_ids",)
        features = model.get_text_features(**{key: tokens[key] for key in takes}).pooler_output
        texts = embedder.embed_texts(TEXTS)
        assert distance(texts, features) < 1e-3
        assert float(1 - embedder.embed_texts(TEXTS[1:2])[0] @ texts[1]) < 1e-5
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, embedder.dim)


def test_what_is_known_of_its_training(exported: tuple[Any, ...]) -> None:
    name, folder, *_ = exported
    likelihood = OnnxEmbedder.load(str(folder), device="cpu").likelihood
    if name == "clip":
        assert likelihood == Likelihood("softmax", 100.0)
    else:  # single towers do not tell: what published SigLIPs have
        assert likelihood == Likelihood("sigmoid", 117.330765, -12.932437)


def test_int8_is_taken_when_asked_for_and_stays_near(exported: tuple[Any, ...], tmp_path: Path) -> None:
    _, folder, *_ = exported
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    full = OnnxEmbedder.load(str(copy), device="cpu")
    assert full.model_id.endswith("+fp32")
    for tower in ("vision", "text"):
        path = copy / "onnx" / f"{tower}_model.onnx"
        quantize_dynamic(path, path.with_name(f"{tower}_model_quantized.onnx"), weight_type=QuantType.QUInt8)
    small = OnnxEmbedder.load(str(copy), device="cpu", precision="int8")
    assert small.model_id.endswith("+int8")
    near = (small.embed_images(pictures()) * full.embed_images(pictures())).sum(axis=1)
    assert near.min() > 0.98
    # The id names the precision, so a collection always opens with the same file.
    again = OnnxEmbedder.load(small.model_id.partition(":")[2], device="cpu")
    assert again.model_id == small.model_id
    with pytest.raises(ModelUnavailableError, match="no fp16 export; it has onnx/"):
        OnnxEmbedder.load(str(copy), device="cpu", precision="fp16")


def test_immichs_layout(exported: tuple[Any, ...], tmp_path: Path) -> None:
    name, folder, *_ = exported
    for tower, new in (("vision", "visual"), ("text", "textual")):
        (tmp_path / new).mkdir()
        shutil.copy(folder / "onnx" / f"{tower}_model.onnx", tmp_path / new / "model.onnx")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, tmp_path / "textual" / file)
    shutil.copy(folder / "config.json", tmp_path / "config.json")
    given = json.loads((folder / "preprocessor_config.json").read_text())
    side = (given.get("crop_size") or given["size"])["height"]
    preprocess = {
        "size": [side, side],
        "mean": given["image_mean"],
        "std": given["image_std"],
        "interpolation": "bicubic",
        "resize_mode": "shortest" if name == "clip" else "squash",
    }
    (tmp_path / "visual" / "preprocess_cfg.json").write_text(json.dumps(preprocess))
    theirs = OnnxEmbedder.load(str(tmp_path), device="cpu")
    ours = OnnxEmbedder.load(str(folder), device="cpu")
    near = (theirs.embed_images(pictures()) * ours.embed_images(pictures())).sum(axis=1)
    assert near.min() > 0.999
    assert (theirs.embed_texts(TEXTS) * ours.embed_texts(TEXTS)).sum(axis=1).min() > 0.9999


def test_a_graph_takes_bytes(exported: tuple[Any, ...], tmp_path: Path) -> None:
    """The recipe: immich-app/ml-models, ``fuse_visual_input`` in immich_model/onnx/transforms.py, which makes
    ``main_graph (uint8[batch,224,224,3] image)`` (ci/graphs/ViT-B-32__openai/visual.txt): cast, transposed,
    normalised inside; resized and cropped outside."""
    _, folder, model, processor, _ = exported
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    mean, std = (
        torch.tensor(each).reshape(1, 3, 1, 1) for each in (processor.image_mean, processor.image_std)
    )

    def encode(image: Any) -> Any:
        values = (image.float().permute(0, 3, 1, 2) / 255 - mean) / std
        return model.get_image_features(pixel_values=values).pooler_output

    vision = copy / "onnx" / "vision_model.onnx"
    given = {"image": torch.zeros(2, 32, 32, 3, dtype=torch.uint8)}
    axes = free("image", "image_embedding")
    write_graph(encode, model, vision, given, ["image_embedding"], axes=axes)
    ours = OnnxEmbedder.load(str(copy), device="cpu").embed_images(pictures())
    with torch.inference_mode():
        for row, image in zip(ours, pictures(), strict=True):
            inputs = processor(
                images=[image.convert("RGB")], return_tensors="pt", input_data_format="channels_last"
            )
            assert distance(row[None], model.get_image_features(**inputs).pooler_output) < 1e-3
    given = {"image": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)}
    write_graph(lambda image: encode(image.permute(0, 2, 3, 1)), model, vision, given, ["e"])
    with pytest.raises(ModelUnavailableError, match=r"takes bytes of shape \[2, 3, 32, 32\]"):
        OnnxEmbedder.load(str(copy), device="cpu")


def test_changed_files_are_another_model(exported: tuple[Any, ...], tmp_path: Path) -> None:
    _, folder, *_ = exported
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    model_id = OnnxEmbedder.load(str(copy), device="cpu").model_id
    assert same_model(f"onnx:{copy}", model_id)
    assert open_embedder(model_id, EmbedderOptions(device="cpu")).model_id == model_id
    config = copy / "preprocessor_config.json"
    config.write_text(config.read_text().replace("0.5", "0.4") + "\n")
    with pytest.raises(IndexMismatchError, match="holds another model"):
        open_embedder(model_id, EmbedderOptions(device="cpu"))


def preprocessor(text: str) -> Any:
    named = text.replace("{", '{"image_processor_type": "CLIPImageProcessor", ', 1)
    return lambda folder: (folder / "preprocessor_config.json").write_text(named)


def processor(name: str | None) -> Any:
    def rename(folder: Path) -> None:
        path = folder / "preprocessor_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "image_processor_type": name}))

    return rename


def one_tower(folder: Path) -> None:
    shutil.copy(folder / "onnx" / "text_model.onnx", folder / "onnx" / "vision_model.onnx")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: shutil.rmtree(f / "onnx"), "holds no ONNX export"),
        (lambda f: (f / "onnx" / "text_model.onnx").unlink(), "it has onnx/vision_model.onnx"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot read"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "how images are prepared"),
        (preprocessor('{"size": {"height": 1e9, "width": 5}}'), "asks for a size"),
        (preprocessor('{"size": {"height": 8, "width": 8}, "image_mean": "x"}'), "three numbers"),
        (preprocessor('{"size": {"height": 8, "width": 8}}'), "None where three numbers"),
        (preprocessor('{"do_normalize": false}'), "asks for a size of None"),
        (processor("EfficientNetImageProcessor"), "image processor 'EfficientNetImageProcessor'"),
        (processor(None), "image processor None"),
        (preprocessor('{"max_num_patches": 256}'), "NaFlex"),
        (preprocessor('{"size": {"shortest_edge": 32}}'), "different sizes"),
        (preprocessor("[1, 2]"), "no JSON object"),
        (lambda f: (f / "onnx" / "vision_model.onnx").write_bytes(b"\x08\x01"), "cannot load"),
        (one_tower, "cannot embed"),
    ],
)
def test_broken_folders_are_one_line(
    exported: tuple[Any, ...], tmp_path: Path, spoil: Any, words: str
) -> None:
    _, folder, *_ = exported
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    spoil(copy)
    with pytest.raises(ModelUnavailableError, match=words) as caught:
        OnnxEmbedder.load(str(copy), device="cpu")
    assert "\n" not in str(caught.value)


def test_what_is_nowhere_and_what_cannot_run_here() -> None:
    with pytest.raises(ModelUnavailableError, match="neither a folder nor a hub repository"):
        OnnxEmbedder.load("no such thing")
    with pytest.raises(ModelUnavailableError, match="was not downloaded before"):
        OnnxEmbedder.load("someone/nothing", local_files_only=True)


def test_preprocessing_is_read_and_not_assumed() -> None:
    clip = from_preprocessor(
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 30},
            "do_center_crop": True,
            "crop_size": 24,
            "image_mean": [0, 0, 0],
            "image_std": [1, 1, 1],
            "resample": 2,
        }
    )
    assert (clip.resize, clip.size, clip.crop) == ("shortest", (30, 30), (24, 24))
    assert clip.resample == Image.Resampling.BILINEAR
    made = clip(picture("red", size=(100, 40)))
    assert made.shape == (3, 24, 24) and made.dtype == np.float32
    assert made[0].min() == pytest.approx(1) and made[2].max() == pytest.approx(0)
    named = {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 12}}
    raw = from_preprocessor({**named, "do_rescale": False, "do_normalize": False})
    assert raw(picture("red")).shape == (3, 8, 12) and raw(picture("red"))[0].max() == 255
    padded = from_open_clip(
        {"size": 16, "resize_mode": "longest", "mean": [0] * 3, "std": [1] * 3, "fill_color": 255}
    )
    assert padded(picture("black", size=(100, 50)))[0, 0, 0] == pytest.approx(1)
    with pytest.raises(ModelUnavailableError, match="resizes by 'wild'"):
        from_open_clip({"size": 16, "resize_mode": "wild"})


def test_jina_clip_is_fed_as_its_own_processor_does() -> None:
    """The recipe: processing_clip.py and transform.py of jinaai/jina-clip-implementation on the hub, a copy
    of open_clip's transform; the configuration is that of jina-clip-v2, at a smaller size."""
    config = {
        "image_processor_type": "JinaCLIPImageProcessor",
        "auto_map": {"AutoImageProcessor": "jinaai/jina-clip-implementation--processing_clip"},
        "size": 32,
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "resize_mode": "shortest",
        "interpolation": "bicubic",
        "fill_color": 0,
    }
    pixels = from_preprocessor(config)
    for image in (each.convert("RGB") for each in pictures()):
        width, height = (max(1, int(32 * side / min(image.size))) for side in image.size)
        left, top = (width - 32) // 2, (height - 32) // 2
        cut = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 32, top + 32))
        expected = (np.asarray(cut) / 255 - config["mean"]) / config["std"]
        np.testing.assert_allclose(pixels(image), expected.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("place", ["folder", "hub"])
def test_index_search_and_classify_by_the_command(
    exported: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    _, folder, *_ = exported
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model, name = f"onnx:{folder}", ""
    if place == "hub":
        snapshot = hub_copy(tmp_path / "hf", "someone/tiny-onnx")
        shutil.copytree(folder, snapshot, dirs_exist_ok=True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        model, name = "onnx:someone/tiny-onnx", snapshot.name
    photos = tmp_path / "photos"
    photos.mkdir()
    for colour in ("red", "green", "blue"):
        picture(colour, colour, (200, 120)).save(photos / f"{colour}.png")
    runner = CliRunner()
    done = runner.invoke(app, ["index", str(photos), "--embedder", model, "--ocr", "off", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["embedder"].startswith(f"{model}@{name}" if name else f"{model}#")
    again = runner.invoke(app, ["index", str(photos), "--embedder", model, "--ocr", "off", "--json"])
    assert json.loads(again.stdout)["unchanged"] == 3, again.output
    found = runner.invoke(app, ["search", "--image", str(photos / "red.png"), "--all", "--json"])
    assert json.loads(found.stdout)["hits"][0]["uri"].endswith("red.png"), found.output
    labelled = runner.invoke(app, ["classify", str(photos), "--labels", "a,b", "--embedder", model, "--json"])
    assert len(json.loads(labelled.stdout)) == 3, labelled.output
