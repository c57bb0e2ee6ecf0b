"""`askpix classify` and tags at indexing with saved models, by the command: their own probabilities."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.retrieval.classification.prompt_templates import IMAGENET
from tests.support.fakes import picture
from tests.support.onnx_exports import export_towers
from tests.support.two_tower_models import save_open_clip, save_transformers

LABELS = ("red dog", "invoice", "total page")
COLOURS = ("red", "green", "blue")
TEMPLATE = "a photo of a {}"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("ASKPIX_DEVICE", "cpu")
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in COLOURS:
        picture(colour, colour, (90, 60)).save(folder / f"{colour}.png")
    return folder


@pytest.fixture(scope="module", params=["clip", "siglip", "siglip2"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, *save_transformers(folder, request.param)


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def classified(photos: Path, model: str, *more: str) -> dict[str, dict[str, float]]:
    """By colour of the picture: label -> probability."""
    rows = run("classify", str(photos), "--labels", ",".join(LABELS), "--embedder", model, *more)
    assert len(rows) == len(COLOURS)
    found = {}
    for row in rows:
        order = [item["probability"] for item in row["labels"]]
        assert order == sorted(order, reverse=True)
        found[Path(row["path"]).stem] = {item["label"]: item["probability"] for item in row["labels"]}
    return found


def library_logits(photos: Path, saved: tuple[Any, ...], sentences: list[str]) -> Any:
    """``logits_per_image`` of the library's own forward pass: three pictures by the sentences."""
    name, _, model, processor, tokenizer = saved
    images = [Image.open(photos / f"{colour}.png").convert("RGB") for colour in COLOURS]
    inputs = processor(images=images, return_tensors="pt", input_data_format="channels_last")
    tokens = tokenizer(
        sentences,
        padding=True if name == "clip" else "max_length",
        max_length=18,
        truncation=True,
        return_tensors="pt",
    )
    tokens.pop("token_type_ids", None)
    if name != "clip":
        tokens.pop("attention_mask", None)
    with torch.inference_mode():
        return model(**inputs, **tokens)


def probabilities(kind: str, logits: Any) -> Any:
    return (logits.softmax(1) if kind == "clip" else logits.sigmoid()).numpy()


def test_probabilities_are_the_librarys(photos: Path, saved: tuple[Any, ...]) -> None:
    name, folder, *_ = saved
    found = classified(photos, f"transformers:{folder}", "--template", TEMPLATE)
    sentences = [TEMPLATE.replace("{}", label) for label in LABELS]
    exact = probabilities(name, library_logits(photos, saved, sentences).logits_per_image)
    ours = np.array([[found[colour][label] for label in LABELS] for colour in COLOURS])
    np.testing.assert_allclose(ours, exact, atol=1e-4)
    if name == "clip":
        np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-4)
    else:
        assert np.abs(ours.sum(axis=1) - 1).min() > 0.1  # each label is judged alone


def test_the_ensemble_is_the_mean_of_eighty_sentences(photos: Path, saved: tuple[Any, ...]) -> None:
    name, folder, model, *_ = saved
    found = classified(photos, f"transformers:{folder}", "--templates", "imagenet")
    sentences = [template.replace("{}", label) for label in LABELS for template in IMAGENET]
    assert len(sentences) == 240
    out = library_logits(photos, saved, sentences)
    texts = out.text_embeds.reshape(len(LABELS), len(IMAGENET), -1).mean(1)
    texts /= texts.norm(dim=1, keepdim=True)
    with torch.inference_mode():
        logits = out.image_embeds @ texts.T * model.logit_scale.exp()
        logits = logits + model.logit_bias if hasattr(model, "logit_bias") else logits
    ours = np.array([[found[colour][label] for label in LABELS] for colour in COLOURS])
    np.testing.assert_allclose(ours, probabilities(name, logits), atol=1e-4)


@pytest.mark.parametrize("siglip", [False, True])
def test_open_clip_models_say_how_they_were_trained(photos: Path, tmp_path: Path, siglip: bool) -> None:
    save_open_clip(tmp_path / "model", siglip=siglip, resize_mode="squash")
    found = classified(photos, f"open_clip:local-dir:{tmp_path / 'model'}")
    sums = [sum(by_label.values()) for by_label in found.values()]
    if siglip:
        assert max(sums) < 0.99  # scale 10, bias -10: nothing is likely by itself
    else:
        assert sums == pytest.approx([1.0] * 3, abs=1e-4)


@pytest.mark.parametrize("saved", ["clip", "siglip"], indirect=True)
def test_an_export_answers_as_its_model_does(photos: Path, saved: tuple[Any, ...], tmp_path: Path) -> None:
    name, folder, model, *_ = saved
    for part in folder.glob("*.json"):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    # As an exporter writes what single towers lack.
    config = json.loads((tmp_path / "config.json").read_text())
    config["logit_scale"] = model.logit_scale.item()
    if name == "siglip":
        config["logit_bias"] = model.logit_bias.item()
    (tmp_path / "config.json").write_text(json.dumps(config))
    export_towers(
        model,
        tmp_path,
        vision="onnx/vision_model.onnx",
        text="onnx/text_model.onnx",
        masked=name == "clip",
        side=32,
    )
    by_export = classified(photos, f"onnx:{tmp_path}")
    by_torch = classified(photos, f"transformers:{folder}")
    for colour in COLOURS:
        for label in LABELS:
            assert by_export[colour][label] == pytest.approx(by_torch[colour][label], abs=2e-3)


@pytest.mark.parametrize("saved", ["clip", "siglip"], indirect=True)
def test_images_are_tagged_at_indexing(photos: Path, saved: tuple[Any, ...]) -> None:
    name, folder, *_ = saved
    model = ("--embedder", f"transformers:{folder}")
    index = ("index", str(photos), *model, "--ocr", "off")
    label, threshold = LABELS[1], 0.5
    if name == "siglip":  # the same sigmoid as classify's: known beforehand
        by_colour = {colour: found[label] for colour, found in classified(photos, model[1]).items()}
        threshold = float(np.mean(sorted(by_colour.values())[-2:]))
    tags = ("--tags", ",".join(LABELS), "--tag-threshold", str(threshold))
    assert run(*index, *tags)["added"] == 3
    tagged = with_tag(label)
    if name == "siglip":
        assert tagged == {colour for colour, p in by_colour.items() if p >= threshold} != set()
    # A later picture is held against the same vocabulary, without naming it again.
    for colour in COLOURS:
        picture(colour, colour, (90, 60)).save(photos / f"{colour}-again.bmp")
    Image.open(photos / "red.png").resize((45, 30)).save(photos / "small.png")
    assert run(*index)["added"] >= 1
    assert with_tag(label) >= tagged
    run(*index, "--no-tags")
    assert with_tag(label) == set()


def with_tag(label: str) -> set[str]:
    return {Path(hit["uri"]).stem for hit in run("search", "--tag", label, "--all", "--no-collapse")["hits"]}


def test_a_model_that_is_not_there_is_one_line(photos: Path) -> None:
    done = CliRunner().invoke(
        app, ["classify", str(photos), "--labels", "a,b", "--embedder", "onnx:/nowhere/at/all"]
    )
    assert done.exit_code == 1
    assert "Traceback" not in done.output
