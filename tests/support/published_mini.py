"""The bundled embedder as people publish one: two graphs in ONNX, so that a hub here has a working model.

Its tokenizer turns the sample captions of other languages into the English ones: it stands in for a model
that learned them, which no package carries.
"""

import json
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, normalizers

from askpix.api.demo import samples
from askpix.retrieval.onnx.mini import DIM, MAX_TOKENS, SIDE, TEMPERATURE
from askpix.retrieval.weights import weight_file


@cache
def published_mini(*, transformers: bool = False, broken: bool = False) -> dict[str, bytes]:
    """Return the files of a repository by name: in Immich's layout, or as exported from ``transformers``.

    ``broken``: with the classes of another classifier, as weights that somebody mixed up.
    """
    mean, std = [127 / 255] * 3, [128 / 255] * 3
    config = {
        "model_type": "clip",
        "embed_dim": DIM,
        "vision_cfg": {"image_size": SIDE},
        "text_cfg": {"context_length": MAX_TOKENS, "vocab_size": 30522},
    }
    about = {"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]", "model_max_length": MAX_TOKENS}
    common = {
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "config.json": json.dumps(config).encode(),
    }
    tokenizer = {"tokenizer.json": _tokenizer(), "tokenizer_config.json": json.dumps(about).encode()}
    image, text = _image_graph(broken), _text_graph()
    if transformers:
        processor = {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": {"height": SIDE, "width": SIDE},
            "resample": 3,
            "do_center_crop": False,
            "image_mean": mean,
            "image_std": std,
        }
        return {
            **common,
            **tokenizer,
            "preprocessor_config.json": json.dumps(processor).encode(),
            "onnx/vision_model.onnx": image,
            "onnx/text_model.onnx": text,
        }
    preprocessing = {
        "size": [SIDE, SIDE],
        "mode": "RGB",
        "mean": mean,
        "std": std,
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "fill_color": 0,
    }
    return {
        **common,
        **{f"textual/{name}": data for name, data in tokenizer.items()},
        "visual/preprocess_cfg.json": json.dumps(preprocessing).encode(),
        "visual/model.onnx": image,
        "textual/model.onnx": text,
    }


def _image_graph(broken: bool) -> bytes:
    """The classifier, then the mean of the classes by its probabilities."""
    classes = np.load(weight_file("imagenet-classes.npy"), allow_pickle=False).astype(np.float32)
    if broken:
        classes = np.roll(classes, 311, axis=0)
    model = onnx.load(str(weight_file("efficientnet-lite2.onnx")))
    given = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.float32(TEMPERATURE), "temperature"))
    model.graph.initializer.append(numpy_helper.from_array(classes - classes.mean(axis=0), "classes"))
    model.graph.node.extend(
        [
            helper.make_node("Div", [given, "temperature"], ["cooled"]),
            helper.make_node("Softmax", ["cooled"], ["probabilities"], axis=1),
            helper.make_node("MatMul", ["probabilities", "classes"], ["embedding"]),
        ]
    )
    return _with_output(model)


def _text_graph() -> bytes:
    """MiniLM, less what all classes share."""
    classes = np.load(weight_file("imagenet-classes.npy"), allow_pickle=False).astype(np.float32)
    model = onnx.load(str(weight_file("minilm.onnx")))
    given = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(classes.mean(axis=0), "mean_class"))
    model.graph.node.append(helper.make_node("Sub", [given, "mean_class"], ["embedding"]))
    return _with_output(model)


def _with_output(model: onnx.ModelProto) -> bytes:
    del model.graph.output[:]
    shape = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIM])
    model.graph.output.append(shape)
    return bytes(model.SerializeToString())


def _tokenizer() -> bytes:
    tokenizer = Tokenizer.from_file(str(weight_file("minilm.tokenizer.json")))
    photos, _ = samples()
    known = [
        normalizers.Replace(caption, photo.captions["en"])
        for photo in photos
        for language, caption in photo.captions.items()
        if language != "en"
    ]
    tokenizer.normalizer = normalizers.Sequence([*known, tokenizer.normalizer])
    return tokenizer.to_str().encode()
