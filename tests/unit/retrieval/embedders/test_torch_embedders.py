"""open_clip and transformers embedders against their library's own path, on tiny random weights."""

import json
import os
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing

from askpix.core.errors import IndexMismatchError, ModelUnavailableError
from askpix.retrieval.embedders.base import EmbedderOptions, Likelihood, open_embedder, same_model
from askpix.retrieval.embedders.open_clip import _tokens, agreed_preprocessing, load_open_clip_embedder
from askpix.retrieval.embedders.torch_base import shaped
from askpix.retrieval.embedders.torch_runner import TorchRunner, best_batch
from askpix.retrieval.embedders.transformers import load_transformers_embedder
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from tests.conftest import ROOT
from tests.support.cli import runner
from tests.support.fake_hub import Hub, Repository, serving
from tests.support.fakes import picture
from tests.support.onnx_exports import export_towers
from tests.support.parity import TEXTS, distance, pictures
from tests.support.two_tower_models import (
    FAMILIES,
    OPEN_CLIP_CONFIG,
    hub_copy,
    save_open_clip,
    save_transformers,
)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp(request.param)
    parts = save_transformers(folder, request.param)
    return request.param, load_transformers_embedder(str(folder), device="cpu"), *parts


def test_transformers_is_as_the_library_makes_it(family: tuple[Any, ...]) -> None:
    name, embedder, model, processor, tokenizer = family
    whole = name.startswith("siglip")
    window = 16 if name == "altclip" else 18
    with torch.inference_mode():
        batch = embedder.embed_images(pictures())
        for number, image in enumerate(pictures()):
            inputs = processor(
                images=[image.convert("RGB")], return_tensors="pt", input_data_format="channels_last"
            )
            alone = embedder.embed_images([image])
            assert distance(alone, model.get_image_features(**inputs).pooler_output) < 1e-4
            assert float(1 - alone[0] @ batch[number]) < 1e-5
        tokens = tokenizer(
            TEXTS,
            padding="max_length" if whole else True,
            max_length=window,
            truncation=True,
            return_tensors="pt",
        )
        if whole or name == "clip":
            tokens.pop("token_type_ids", None)
        if whole:  # trained without one; the published tokenizers give none
            tokens.pop("attention_mask")
        features = model.get_text_features(**tokens)
        texts = embedder.embed_texts(TEXTS)
        assert distance(texts, getattr(features, "pooler_output", features)) < 1e-4
        assert float(1 - embedder.embed_texts(TEXTS[1:2])[0] @ texts[1]) < 1e-5
    assert embedder.embed_images([]).shape == (0, embedder.dim)


def test_transformers_say_how_they_were_trained(family: tuple[Any, ...]) -> None:
    name, embedder, *_ = family
    likelihood = embedder.likelihood
    assert likelihood is not None
    if name.startswith("siglip"):
        assert likelihood.kind == "sigmoid"
        assert likelihood.scale == pytest.approx(np.exp(4.7), rel=1e-4)
        assert likelihood.bias == pytest.approx(-16.5)
    else:
        assert likelihood.kind == "softmax" and likelihood.scale == pytest.approx(1 / 0.07, rel=1e-2)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "int8"])
def test_fewer_bits_stay_near(family: tuple[Any, ...], precision: str) -> None:
    _, embedder, *_ = family
    folder = embedder.model_id.partition(":")[2]
    coarse = load_transformers_embedder(folder, device="cpu", precision=precision)
    for ours, exact in (
        (coarse.embed_images(pictures()), embedder.embed_images(pictures())),
        (coarse.embed_texts(TEXTS), embedder.embed_texts(TEXTS)),
    ):
        assert (ours * exact).sum(1).min() > (0.99 if precision == "int8" else 0.999)


@pytest.mark.parametrize(
    ("siglip", "resize_mode"), [(False, "shortest"), (True, "squash"), (True, "longest")]
)
def test_open_clip_is_as_the_library_makes_it(tmp_path: Path, siglip: bool, resize_mode: str) -> None:
    save_open_clip(tmp_path, siglip=siglip, resize_mode=resize_mode)
    embedder = load_open_clip_embedder(f"local-dir:{tmp_path}", device="cpu")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    model.eval()
    batch = embedder.embed_images(pictures())
    with torch.inference_mode():
        for number, image in enumerate(pictures()):
            alone = embedder.embed_images([image])
            assert distance(alone, model.encode_image(transform(image.convert("RGB"))[None])) < 1e-4
            assert float(1 - alone[0] @ batch[number]) < 1e-5
        assert distance(embedder.embed_texts(TEXTS), model.encode_text(tokenizer(TEXTS))) < 1e-4
    expected = Likelihood("sigmoid", np.exp(2.3), -10.0) if siglip else Likelihood("softmax", 1 / 0.07)
    assert embedder.likelihood is not None and embedder.likelihood.kind == expected.kind
    assert embedder.likelihood.scale == pytest.approx(expected.scale, rel=1e-4)
    assert embedder.likelihood.bias == pytest.approx(expected.bias)


def test_nllb_is_told_each_texts_language(tmp_path: Path) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {token: number for number, token in enumerate(special)}
    made = transformers.NllbTokenizer(vocab=vocabulary, merges=[], src_lang="eng_Latn")
    made.save_pretrained(tmp_path)
    tokenizer = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=24)
    texts = ["a dog on the beach", "ein Hund am Strand", "un chien sur la plage", ""]
    rows = _tokens(torch, tokenizer)(texts)["text"]
    assert rows.shape == (4, 24)
    first = [tokenizer.tokenizer.convert_ids_to_tokens(int(row[0])) for row in rows]
    assert first == ["eng_Latn", "deu_Latn", "fra_Latn", "eng_Latn"]
    # Other tokenizers are asked once for all.
    plain = open_clip.get_tokenizer("ViT-B-32")
    assert torch.equal(_tokens(torch, plain)(texts)["text"], plain(texts))


def test_a_file_of_weights_for_a_named_model(tmp_path: Path) -> None:
    (tmp_path / "tiny-vit.json").write_text(json.dumps(OPEN_CLIP_CONFIG))
    open_clip.add_model_config(tmp_path / "tiny-vit.json")
    model = open_clip.create_model("tiny-vit", pretrained=None).eval()
    file = tmp_path / "tuned.pt"
    torch.save({"state_dict": model.state_dict()}, file)
    embedder = load_open_clip_embedder(f"tiny-vit@{file}", device="cpu")
    assert embedder.model_id.startswith(f"open_clip:tiny-vit@{file}#")
    again = load_open_clip_embedder(embedder.model_id.removeprefix("open_clip:"), device="cpu")
    transform = open_clip.image_transform(32, is_train=False)
    with torch.inference_mode():
        expected = model.encode_image(transform(pictures()[0])[None])
    assert distance(again.embed_images(pictures()[:1]), expected) < 1e-4


def test_a_file_is_fed_as_its_architecture_is() -> None:
    for model, mean in (("ViT-B-16-SigLIP", 0.5), ("MobileCLIP-S1", 0.0)):
        agreed = agreed_preprocessing(open_clip, model, open_clip.list_pretrained_tags_by_model(model))
        assert agreed["mean"][0] == mean


class _Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("broken-in",)


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pt"
    torch.save({"state_dict": {"logit_scale": _Attack()}}, file)
    with pytest.raises(ModelUnavailableError, match="could run code"):
        load_open_clip_embedder(f"ViT-B-32@{file}", device="cpu")
    folder = tmp_path / "clip"
    save_transformers(folder, "clip")
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": _Attack()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match="cannot load"):
        load_transformers_embedder(str(folder), device="cpu")
    assert not (tmp_path / "broken-in").exists()


def test_a_tokenizer_that_brings_code_is_refused(tmp_path: Path) -> None:
    save_open_clip(tmp_path)
    file = tmp_path / "open_clip_config.json"
    config = json.loads(file.read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    file.write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match="run code of its own"):
        load_open_clip_embedder(str(tmp_path), device="cpu")


def test_an_id_names_one_set_of_weights(tmp_path: Path) -> None:
    save_open_clip(tmp_path)
    embedder = load_open_clip_embedder(str(tmp_path), device="cpu")
    assert same_model(f"open_clip:{tmp_path}", embedder.model_id)
    assert same_model(f"open_clip:local-dir:{tmp_path}", embedder.model_id)
    assert not same_model("mini", embedder.model_id)
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\x3f")
    assert not same_model(f"open_clip:{tmp_path}", embedder.model_id)
    with pytest.raises(IndexMismatchError, match="another model"):
        load_open_clip_embedder(embedder.model_id.removeprefix("open_clip:"), device="cpu")


@pytest.mark.parametrize(
    ("embedder_id", "message"),
    [
        ("open_clip:ViT-B-32", "names no weights.*openai"),
        ("open_clip:ViT-B-32@openai", "not downloaded before"),
        ("open_clip:ViT-B-32@nowhere.pt", "names no weights"),
        ("open_clip:NoSuchModel@x", "knows no model"),
        ("open_clip:hf-hub:someone/something", "not downloaded before"),
        ("transformers:someone/something", "not downloaded before"),
        ("transformers:../nowhere/at/all", "neither a directory nor"),
        ("transformers:", "no embedder"),
    ],
)
def test_what_cannot_be_had_is_one_line(embedder_id: str, message: str) -> None:
    with pytest.raises(ModelUnavailableError, match=message) as raised:
        open_embedder(embedder_id, EmbedderOptions())
    assert "\n" not in str(raised.value)


def test_siglip_2_reads_lower_case(tmp_path: Path) -> None:
    """One query vector by torch and by ONNX: of the lower-case text, its end marked, padded to the window.

    The recipe: big_vision tokenises for SigLIP 2 with Gemma's vocabulary, ``lower=True``
    (google-research/big_vision#166; discussion 22 of google/siglip2-base-patch16-224 on the hub). The
    checkpoints of fixed resolution say ``model_type: siglip`` and bring the plain Gemma tokenizer.
    """
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581"]
    vocabulary = {token: number for number, token in enumerate([*marks, *string.ascii_letters])}
    model, _, _ = save_transformers(tmp_path, "siglip")
    tokenizer = transformers.GemmaTokenizer(vocab=vocabulary, merges=[], padding_side="right")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("$A <eos>", None, [("<eos>", 1)])
    model.resize_token_embeddings(len(vocabulary), mean_resizing=False)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    spelled = [vocabulary["\u2581" if letter == " " else letter] for letter in "a red dog"]
    with torch.inference_mode():
        expected = model.get_text_features(torch.tensor([[*spelled, 1, *[0] * (17 - len(spelled))]]))
    by_torch = load_transformers_embedder(str(tmp_path), device="cpu")
    side = {"vision": "onnx/vision_model.onnx", "text": "onnx/text_model.onnx"}
    export_towers(model.eval(), tmp_path, **side, masked=False, side=32)
    by_onnx = OnnxEmbedder.load(str(tmp_path), device="cpu")
    for embedder in (by_torch, by_onnx):
        vectors = embedder.embed_texts(["A Red DOG", "a red dog"])
        assert distance(vectors, expected.pooler_output.expand(2, -1)) < 1e-4


def test_a_missing_tokenizer_package_is_found_out_before_the_weights_come(tmp_path: Path) -> None:
    """SigLIP's published tokenizer (``SiglipTokenizer``, spiece.model) needs sentencepiece."""
    save_transformers(tmp_path / "model", "siglip")
    files = {
        "config.json": (tmp_path / "model" / "config.json").read_bytes(),
        "tokenizer_config.json": b'{"tokenizer_class": "SiglipTokenizer"}',
        "spiece.model": b"a vocabulary",
        "model.safetensors": b"weights" * 5_000,
    }
    shim = (ROOT / "tests" / "support" / "torchvision_on_cpu" / "sitecustomize.py").read_text()
    (tmp_path / "sitecustomize.py").write_text(f"{shim}\nimport sys\nsys.modules['sentencepiece'] = None\n")
    with serving(Hub({"google/siglip": Repository(files)})) as hub:
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        where = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        where["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        model_id = "transformers:google/siglip"
        done = askpix("index", ".", "--embedder", model_id, home=tmp_path, PYTHONPATH=path, **where)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "needs a package that is not installed" in done.stderr and "SentencePiece" in done.stderr
    assert "pip install 'askpix[torch]'" in done.stderr
    sent = {name for name, _ in hub.asked}
    assert "spiece.model" in sent and "model.safetensors" not in sent


def test_a_model_without_two_towers_is_refused(tmp_path: Path) -> None:
    import transformers

    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailableError, match="'bert'"):
        load_transformers_embedder(str(tmp_path), device="cpu")


def test_int8_and_devices_that_are_not_there(tmp_path: Path) -> None:
    save_open_clip(tmp_path)
    with pytest.raises(ModelUnavailableError, match="int8"):
        load_open_clip_embedder(str(tmp_path), device="cpu", precision="int8")
    if not torch.cuda.is_available():
        with pytest.raises(ModelUnavailableError, match="no device 'cuda'"):
            load_open_clip_embedder(str(tmp_path), device="cuda")


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    runner = TorchRunner(torch, device="cpu", dtype=torch.float32, batch=16)
    sizes: list[int] = []

    def forward(values: Any) -> Any:
        sizes.append(len(values))
        if len(values) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return values

    items = [np.full(3, i + 1.0, np.float32) for i in range(20)]
    rows = runner.rows(items, lambda some: {"values": torch.from_numpy(np.stack(some))}, forward, dim=3)
    assert sizes == [16, 8, 4, 4, 4, 4, 4] and rows.shape == (20, 3)

    def never(values: Any) -> Any:
        raise RuntimeError("MPS backend out of memory")

    with pytest.raises(ModelUnavailableError, match="does not hold"):
        runner.rows(items, lambda some: {"values": torch.zeros(len(some), 3)}, never, dim=3)


def test_the_batch_grows_while_it_pays() -> None:
    assert best_batch(lambda n: 1 + n / 1000, start=16, limit=512) == 512
    assert best_batch(lambda n: n / 100, start=16, limit=512) == 16

    def full(n: int) -> float:
        if n > 64:
            raise torch.OutOfMemoryError("out of memory")
        return 1.0

    assert best_batch(full, start=16, limit=512) == 64
    with pytest.raises(RuntimeError, match="other"):
        best_batch(lambda n: (_ for _ in ()).throw(RuntimeError("other")), start=16, limit=32)


def test_strips_are_cut_to_their_middle() -> None:
    assert shaped(Image.new("RGB", (5000, 1))).size == (50, 1)
    assert shaped(Image.new("L", (3, 4000))).size == (3, 150)
    image = Image.new("RGB", (300, 200))
    assert shaped(image) is image


def askpix(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "askpix.api.cli.main", *arguments],
        check=False,
        cwd=ROOT,
        env={**os.environ, "ASKPIX_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("kind", ["transformers", "open_clip"])
def test_a_model_from_the_hubs_cache_end_to_end(tmp_path: Path, kind: str) -> None:
    snapshot = hub_copy(tmp_path / "hf", "someone/tiny")
    if kind == "transformers":
        save_transformers(snapshot, "siglip2")
        model = "transformers:someone/tiny"
    else:
        save_open_clip(snapshot)
        model = "open_clip:hf-hub:someone/tiny"
    images_folder = tmp_path / "pictures"
    images_folder.mkdir()
    for colour in ("red", "green", "blue"):
        picture(colour, colour, (200, 120)).save(images_folder / f"{colour}.png")
    askpix = runner(tmp_path / "home", tmp_path, torch=True)
    cache = {"HF_HOME": str(tmp_path / "hf")}
    report = json.loads(
        askpix("index", images_folder, "--embedder", model, "--ocr", "off", "--json", **cache).stdout
    )
    assert report["added"] == 3
    assert report["embedder"] == f"{model}@{snapshot.name}"
    again = askpix("index", images_folder, "--embedder", model, "--json", **cache)
    assert json.loads(again.stdout)["unchanged"] == 3
    other = askpix("index", images_folder, "--embedder", "mini", code=1, **cache)
    assert "reembed" in other.stderr and model in other.stderr
    found = askpix("search", "--image", images_folder / "red.png", "--all", "--json", **cache)
    hits = json.loads(found.stdout)["hits"]
    assert hits[0]["uri"].endswith("red.png") and hits[0]["why"]["image"] == pytest.approx(1, abs=1e-3)
    words = askpix("search", "a red dog", "--all", "--json", **cache)
    assert len(json.loads(words.stdout)["hits"]) == 3


def test_a_torchvision_for_another_torch_is_one_line(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    done = askpix(
        "index",
        str(tmp_path),
        "--embedder",
        "open_clip:ViT-B-32@openai",
        home=tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "install both from one index" in done.stderr


def test_without_torch_one_line_names_the_extra(tmp_path: Path) -> None:
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text(
        "import sys\n"
        "for name in ('torch', 'open_clip', 'transformers', 'torchvision'):\n"
        "    sys.modules[name] = None\n"
    )
    for model in ("transformers:someone/tiny", "open_clip:ViT-B-32@openai"):
        done = askpix("index", str(tmp_path), "--embedder", model, home=tmp_path, PYTHONPATH=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert "askpix[torch]" in done.stderr


@pytest.mark.parametrize(
    ("model", "side", "window", "dim"),
    [
        ("PE-Core-B-16", 224, 32, 1024),
        ("PE-Core-L-14-336", 336, 32, 1024),
        ("PE-Core-bigG-14-448", 448, 72, 1280),
    ],
)
def test_perception_encoders_are_described_as_published(model: str, side: int, window: int, dim: int) -> None:
    """facebookresearch/perception_models, core/vision_encoder/config.py: PE_VISION_CONFIG, PE_TEXT_CONFIG."""
    config: Any = open_clip.get_model_config(model)
    assert config["vision_cfg"]["image_size"] == side and config["embed_dim"] == dim
    assert config["text_cfg"]["context_length"] == window


def test_a_perception_encoder_by_its_published_recipe(tmp_path: Path) -> None:
    """facebookresearch/perception_models, core/vision_encoder/transforms.py ("squash" to a square, bilinear,
    normalised by 0.5) and tokenizer.py (CLIP's, lower case, cut at the window); apps/pe/README.md: both
    features at length one, logit_scale.exp() times their product.

    The smallest vision tower that is published, a small text tower, the layout of timm/PE-Core-* on the hub.
    """
    torch.manual_seed(0)
    config: Any = open_clip.get_model_config("PE-Core-T-16-384")
    config["text_cfg"] |= {"width": 64, "heads": 2, "layers": 2}
    config["embed_dim"] = 64
    published: Any = open_clip.get_pretrained_cfg("PE-Core-B-16", "meta")
    preprocessing = {name: published[name] for name in ("mean", "std", "interpolation", "resize_mode")}
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing})
    )
    arguments = {name: value for name, value in config.items() if name != "custom_text"}
    model = open_clip.CustomTextCLIP(**arguments).eval()
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, str(tmp_path / "open_clip_model.safetensors"))
    embedder = load_open_clip_embedder(f"local-dir:{tmp_path}", device="cpu")
    window = config["text_cfg"]["context_length"]
    texts = ["A Red dog", "two People on a bench in the rain", "word " * 100]
    with torch.inference_mode():
        for row, image in zip(embedder.embed_images(pictures()), pictures(), strict=True):
            squashed = image.convert("RGB").resize((384, 384), Image.Resampling.BILINEAR)
            pixels = (np.asarray(squashed, np.float32) / 255 - 0.5) / 0.5
            given = torch.tensor(pixels).permute(2, 0, 1)[None]
            assert distance(row[None], model.encode_image(given)) < 1e-4
        for row, text in zip(embedder.embed_texts(texts), texts, strict=True):
            words = open_clip.tokenizer.SimpleTokenizer()
            ids = [words.sot_token_id, *words.encode(text.lower().strip())][: window - 1]
            ids.append(words.eot_token_id)
            ids += [0] * (window - len(ids))
            assert distance(row[None], model.encode_text(torch.tensor([ids]))) < 1e-4
    assert embedder.likelihood == Likelihood("softmax", pytest.approx(1 / 0.07))
