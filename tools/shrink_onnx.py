"""Smaller ONNX files that compute nearly the same: weights stored as fp16 or int8, widened at load."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def store_as_fp16(path: Path) -> None:
    """Weights become fp16 with a Cast to fp32 behind them, which ONNX Runtime folds at load; biases stay."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
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
            position = list(model.graph.node).index(user)
            model.graph.node.remove(user)
            nodes = [
                helper.make_node("Gather", [f"{name}.int8", rows], [f"{result}.int8"]),
                helper.make_node("Gather", [f"{name}.scale", rows], [f"{result}.scale"]),
                helper.make_node("Cast", [f"{result}.int8"], [f"{result}.wide"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{result}.wide", f"{result}.scale"], [result]),
            ]
        else:
            position = 0
            nodes = [
                helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]),
            ]
        for offset, node in enumerate(nodes):
            model.graph.node.insert(position + offset, node)
    onnx.checker.check_model(model)
    onnx.save(model, out)
