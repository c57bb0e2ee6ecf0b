"""What exports of CLIP and SigLIP differ in: outputs, fixed batches, cleaning, training, odd pictures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.onnx.export_layout import find_layout
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from askpix.retrieval.onnx.preprocess import from_open_clip, from_preprocessor
from askpix.retrieval.onnx.tokenizer import Words, canonical, cleaner
from tests.conftest import ROOT
from tests.support.onnx_exports import export_towers, free, pixel_values, token_ids, write_graph
from tests.support.parity import TEXTS, pictures
from tests.support.two_tower_models import save_transformers

SIDE = 32


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, OnnxEmbedder]:
    folder = tmp_path_factory.mktemp("clip")
    model, *_ = save_transformers(folder, "clip")
    export_towers(
        model, folder, vision="onnx/vision_model.onnx", text="onnx/text_model.onnx", masked=False, side=SIDE
    )
    return folder, model, OnnxEmbedder.load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, OnnxEmbedder]:
    folder = tmp_path_factory.mktemp("siglip")
    model, *_ = save_transformers(folder, "siglip")
    export_towers(
        model, folder, vision="onnx/vision_model.onnx", text="onnx/text_model.onnx", masked=False, side=SIDE
    )
    return folder, model, OnnxEmbedder.load(str(folder), device="cpu")


def plain_copy(folder: Path, to: Path) -> Path:
    """The configuration without the graphs."""
    to.mkdir()
    for part in folder.glob("*.json"):
        shutil.copy(part, to)
    return to


def agrees(found: OnnxEmbedder, exact: OnnxEmbedder) -> None:
    assert (found.embed_images(pictures()) * exact.embed_images(pictures())).sum(1).min() > 0.9999
    assert (found.embed_texts(TEXTS) * exact.embed_texts(TEXTS)).sum(1).min() > 0.9999


def write_vision(model: Any, folder: Path, order: list[str], *, rows: int = 2, fixed: bool = False) -> None:
    """A vision tower that gives these of its outputs."""

    def run(pixel_values: Any) -> Any:
        inner = model.vision_model(pixel_values=pixel_values)
        outputs = {
            "last_hidden_state": inner.last_hidden_state,
            "pooler_output": inner.pooler_output,
            "image_embeds": model.visual_projection(inner.pooler_output),
        }
        outputs["logits"] = outputs["image_embeds"] * 3
        outputs["output_0"], outputs["output_1"] = outputs["last_hidden_state"], outputs["image_embeds"]
        outputs["embeddings"] = outputs["last_hidden_state"]
        return tuple(outputs[name] for name in order)

    axes = {} if fixed else free("pixel_values", *order)
    path = folder / "onnx" / "vision_model.onnx"
    write_graph(run, model, path, {"pixel_values": pixel_values(rows)}, order, axes=axes)


def write_text(model: Any, folder: Path, order: list[str], *, rows: int = 2, fixed: bool = False) -> None:
    def run(input_ids: Any) -> Any:
        inner = model.text_model(input_ids=input_ids)
        outputs = {
            "last_hidden_state": inner.last_hidden_state,
            "pooler_output": inner.pooler_output,
            "text_embeds": model.text_projection(inner.pooler_output),
        }
        outputs["output_1"] = outputs["text_embeds"]
        return tuple(outputs[name] for name in order)

    axes = {} if fixed else free("input_ids", *order)
    path = folder / "onnx" / "text_model.onnx"
    write_graph(run, model, path, {"input_ids": token_ids(rows)}, order, axes=axes)


@pytest.mark.parametrize(
    ("vision", "text"),
    [
        (["last_hidden_state", "pooler_output", "image_embeds"], ["text_embeds", "last_hidden_state"]),
        (["pooler_output", "image_embeds", "logits"], ["pooler_output", "text_embeds"]),
        (["output_0", "output_1"], ["last_hidden_state", "output_1"]),
        (
            ["embeddings", "pooler_output", "image_embeds"],
            ["last_hidden_state", "pooler_output", "text_embeds"],
        ),
    ],
)
def test_the_embedding_is_found_among_outputs(
    clip: tuple[Any, ...], tmp_path: Path, vision: list[str], text: list[str]
) -> None:
    folder, model, exact = clip
    copy = plain_copy(folder, tmp_path / "model")
    write_vision(model, copy, vision)
    write_text(model, copy, text)
    agrees(OnnxEmbedder.load(str(copy), device="cpu"), exact)


@pytest.mark.parametrize(
    ("vision", "text", "words"),
    [
        (["last_hidden_state"], ["text_embeds"], "no embedding of a whole image, only last_hidden_state"),
        (["logits", "last_hidden_state"], ["text_embeds"], "no embedding of a whole image"),
        (
            ["pooler_output"],
            ["text_embeds"],
            "different numbers of features .pooler_output 32; text_embeds 24",
        ),
    ],
)
def test_outputs_that_are_no_embedding_are_refused(
    clip: tuple[Any, ...], tmp_path: Path, vision: list[str], text: list[str], words: str
) -> None:
    folder, model, _ = clip
    copy = plain_copy(folder, tmp_path / "model")
    write_vision(model, copy, vision)
    write_text(model, copy, text)
    with pytest.raises(ModelUnavailableError, match=words):
        OnnxEmbedder.load(str(copy), device="cpu")


@pytest.mark.parametrize("rows", [1, 4])
def test_graphs_of_a_fixed_batch(clip: tuple[Any, ...], tmp_path: Path, rows: int) -> None:
    folder, model, exact = clip
    copy = plain_copy(folder, tmp_path / "model")
    write_vision(model, copy, ["image_embeds"], rows=rows, fixed=True)
    write_text(model, copy, ["text_embeds"], rows=rows, fixed=True)
    found = OnnxEmbedder.load(str(copy), device="cpu")
    agrees(found, exact)  # six pictures, four texts: one batch is not full
    many = [*pictures(), *pictures()][:9]
    assert found.embed_images(many).shape == (9, exact.dim)
    np.testing.assert_allclose(found.embed_images(many[:1]), exact.embed_images(many[:1]), atol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_a_trace_that_kept_its_batch(clip: tuple[Any, ...], tmp_path: Path, rows: int) -> None:
    folder, model, exact = clip
    copy = plain_copy(folder, tmp_path / "model")

    def run(pixel_values: Any) -> Any:
        features = model.get_image_features(pixel_values=pixel_values).pooler_output
        return features.reshape(rows, 24)  # as an exporter freezes ``x.view(batch, -1)``

    write_graph(
        run,
        model,
        copy / "onnx" / "vision_model.onnx",
        {"pixel_values": pixel_values(rows)},
        ["image_embeds"],
        axes=free("pixel_values"),
    )
    write_text(model, copy, ["text_embeds"])
    agrees(OnnxEmbedder.load(str(copy), device="cpu"), exact)


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("named", [True, False])
def test_both_towers_in_one_graph(
    request: pytest.FixtureRequest, tmp_path: Path, family: str, named: bool
) -> None:
    folder, model, exact = request.getfixturevalue(family)
    copy = plain_copy(folder, tmp_path / "model")

    def run(input_ids: Any, pixel_values: Any) -> Any:
        out = model(input_ids=input_ids, pixel_values=pixel_values)
        return out.logits_per_image, out.text_embeds, out.image_embeds

    names = ["logits_per_image", "text_embeds", "image_embeds"] if named else ["out_0", "out_1", "out_2"]
    axes = {**free("input_ids", names[1], axis="texts"), **free("pixel_values", names[2], axis="images")}
    write_graph(
        run,
        model,
        copy / "model.onnx",
        {"input_ids": token_ids(3), "pixel_values": pixel_values(2)},
        names,
        axes=axes,
    )
    found = OnnxEmbedder.load(str(copy), device="cpu")
    agrees(found, exact)
    if not named:
        return
    # The graph's logits tell what the towers alone do not: its own scale and bias.
    if family == "siglip":
        assert found.likelihood.kind == "sigmoid"
        assert found.likelihood.scale == pytest.approx(np.exp(4.7), rel=0.01)
        assert found.likelihood.bias == pytest.approx(-16.5, rel=0.01)
    else:
        assert found.likelihood.kind == "softmax"
        assert found.likelihood.scale == pytest.approx(model.logit_scale.detach().exp().item(), rel=0.01)


def immich(folder: Path, to: Path, config: dict[str, Any], *, squash: bool) -> Path:
    """The same towers in Immich's layout with open_clip's configuration."""
    for tower, new in (("vision", "visual"), ("text", "textual")):
        (to / new).mkdir(parents=True)
        shutil.copy(folder / "onnx" / f"{tower}_model.onnx", to / new / "model.onnx")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, to / "textual" / file)
    (to / "config.json").write_text(json.dumps(config))
    preprocess = {
        "size": [SIDE, SIDE],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash" if squash else "shortest",
    }
    (to / "visual" / "preprocess_cfg.json").write_text(json.dumps(preprocess))
    return to


CANONICAL = {"context_length": 18, "tokenizer_kwargs": {"clean": "canonicalize"}}


def test_siglip_in_immichs_layout(siglip: tuple[Any, ...], tmp_path: Path) -> None:
    folder, _, exact = siglip
    config = {
        "init_logit_bias": -10,
        "vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_224"},
        "text_cfg": CANONICAL,
    }
    copy = immich(folder, tmp_path / "ViT-B-16-SigLIP__webli", config, squash=True)
    found = OnnxEmbedder.load(str(copy), device="cpu")
    assert found.likelihood is not None
    assert (found.likelihood.kind, round(found.likelihood.bias, 2)) == ("sigmoid", -12.93)
    assert (found.embed_images(pictures()) * exact.embed_images(pictures())).sum(1).min() > 0.999
    # Cleaned as open_clip does it for these models.
    same = found.embed_texts(["A Red, dog!", "a_red   DOG", "a red dog"])
    np.testing.assert_allclose(same[:2], same[[2, 2]], atol=1e-5)
    np.testing.assert_allclose(same[2:], exact.embed_texts(["a red dog"]), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "config", "kind", "bias"),
    [
        ("ViT-SO400M-14-SigLIP-384__webli", {"text_cfg": {}}, "sigmoid", -16.55),
        ("ViT-B-16-SigLIP2__webli", {"init_logit_bias": -10}, "sigmoid", -16.77),
        ("mine", {"init_logit_bias": -10, "logit_scale": 4.0, "logit_bias": -8.0}, "sigmoid", -8.0),
        ("ViT-B-32__openai", {"embed_dim": 24, "text_cfg": {}}, "softmax", 0.0),
        ("siglip-lookalike", {"model_type": "clip"}, "softmax", 0.0),
    ],
)
def test_training_is_told_by_any_mark(
    clip: tuple[Any, ...], tmp_path: Path, name: str, config: dict[str, Any], kind: str, bias: float
) -> None:
    folder, *_ = clip
    found = OnnxEmbedder.load(str(immich(folder, tmp_path / name, config, squash=False)), device="cpu")
    assert found.likelihood is not None
    assert (found.likelihood.kind, round(found.likelihood.bias, 2)) == (kind, bias)
    if name == "mine":
        assert found.likelihood.scale == pytest.approx(np.exp(4.0))


@pytest.mark.parametrize(
    "text",
    [
        "A Red, dog!",
        "a_red   DOG",
        "caf\u00e9 &amp; cr\u00e8me",
        "",
        "  ",
        "***",
        "\u6f22\u5b57 TEST",
        "{}-{}",
        "don't",
    ],
)
def test_cleaning_is_as_open_clip_does_it(text: str) -> None:
    for kind in ("canonicalize", "lower", "whitespace"):
        ours = cleaner({"tokenizer_kwargs": {"clean": kind}}, {}, siglip=False, lower=False)
        assert ours(text) == open_clip.tokenizer.get_clean_fn(kind)(text)
    assert canonical(canonical(text)) == canonical(text)


def test_cleaning_is_as_transformers_does_it() -> None:
    about = {"tokenizer_class": "SiglipTokenizer"}
    assert cleaner({}, about, siglip=True, lower=False)("A Red_Dog,  It's!") == "a reddog its"
    assert cleaner({}, {}, siglip=True, lower=True)("A Dog!") == "a dog!"
    assert cleaner({}, {}, siglip=False, lower=False)("A Dog!") == "A Dog!"
    assert cleaner({}, {"do_lower_case": True}, siglip=False, lower=False)("A Dog!") == "a dog!"


@pytest.mark.parametrize(
    "size", [(30, 3000), (3000, 31), (24, 24), (7, 900), (1, 3000), (3001, 1), (2, 3999)]
)
def test_strips_give_the_same_pixels_as_resizing_all(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    pixels = from_open_clip({"size": 24, "mean": [0] * 3, "std": [1] * 3})
    wide, high = (24 if side == min(size) else int(24 * max(size) / min(size)) for side in size)
    whole = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = (wide - 24) // 2, (high - 24) // 2
    exact = np.asarray(whole.crop((left, top, left + 24, top + 24)), np.float32) / 255
    assert np.abs(pixels(image) - exact.transpose(2, 0, 1)).max() <= 1.01 / 255


def test_a_strip_takes_no_memory() -> None:
    code = (
        "import resource\nfrom PIL import Image\n"
        "from askpix.retrieval.onnx.preprocess import from_preprocessor\n"
        "p = from_preprocessor({'image_processor_type': 'CLIPImageProcessor', 'crop_size': 224,\n"
        "    'size': {'shortest_edge': 224}, 'do_center_crop': True, 'image_mean': 0.5, 'image_std': 0.5})\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for size in ((1, 20000), (20000, 1), (3, 65000)):\n"
        "    assert p(Image.new('RGB', size, 'red')).shape == (3, 224, 224)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60  # megabytes; resizing all of it took 4,500


def test_preprocessing_without_one_size_is_refused() -> None:
    with pytest.raises(ModelUnavailableError, match="images of different sizes"):
        from_preprocessor({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 24}})
    with pytest.raises(ModelUnavailableError, match="images of different sizes"):
        from_preprocessor({"feature_extractor_type": "CLIPFeatureExtractor", "do_resize": False})


def test_fp16_graphs_run(clip: tuple[Any, ...], tmp_path: Path) -> None:
    folder, model, exact = clip
    copy = plain_copy(folder, tmp_path / "model")

    def images(pixel_values: Any) -> Any:
        return model.get_image_features(pixel_values=pixel_values.float()).pooler_output.half()

    given = {"pixel_values": torch.zeros(2, 3, SIDE, SIDE, dtype=torch.float16)}
    path = copy / "onnx" / "vision_model_fp16.onnx"
    write_graph(images, model, path, given, ["image_embeds"], axes=free("pixel_values", "image_embeds"))

    def texts(input_ids: Any) -> Any:
        return model.get_text_features(input_ids=input_ids.long()).pooler_output.half()

    ids = {"input_ids": token_ids().int()}
    path = copy / "onnx" / "text_model_fp16.onnx"
    write_graph(texts, model, path, ids, ["text_embeds"], axes=free("input_ids", "text_embeds"))
    found = OnnxEmbedder.load(str(copy), device="cpu")
    assert found.model_id.endswith("+fp16")
    assert (found.embed_images(pictures()) * exact.embed_images(pictures())).sum(1).min() > 0.999
    assert (found.embed_texts(TEXTS) * exact.embed_texts(TEXTS)).sum(1).min() > 0.999


def test_nllb_is_told_each_texts_language(tmp_path: Path) -> None:
    """The recipe: open_clip's HFTokenizer with ``set_language`` (open_clip/tokenizer.py), and Visheratin
    2023, "NLLB-CLIP": the first token is the language's. Immich's exports bring the tokenizer as saved here.
    """
    for folder in ("visual", "textual"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.onnx").touch()
    letters = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {token: number for number, token in enumerate(letters)}
    made = transformers.NllbTokenizer(vocab=vocabulary, merges=[], src_lang="eng_Latn")
    made.save_pretrained(tmp_path / "textual")
    library = open_clip.tokenizer.HFTokenizer(str(tmp_path / "textual"), context_length=24)
    tower: Any = SimpleNamespace(inputs={"text": None}, length=lambda name: 24 if name == "text" else None)
    words = Words(find_layout(str(tmp_path), precision="auto"), tower)
    texts = {
        "a dog on the beach": "eng_Latn",
        "ein hund am strand mit einem ball und noch einem": "deu_Latn",
        "un chien sur la plage": "fra_Latn",
        "": "eng_Latn",
    }
    rows = words(list(texts))["input_ids"]
    for row, (text, language) in zip(rows, texts.items(), strict=True):
        library.tokenizer.src_lang = language
        assert row.tolist() == library([text])[0].tolist()
        assert library.tokenizer.convert_ids_to_tokens(int(row[0])) == language
    path = tmp_path / "textual" / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": None}))
    with pytest.raises(ModelUnavailableError, match="take all for English"):
        Words(find_layout(str(tmp_path), precision="auto"), tower)
