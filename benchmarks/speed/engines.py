"""``python -m benchmarks engines``: one image tower in torch, ONNX Runtime and OpenVINO.

Weights are random: the cosines tell how far one strays from torch in fp32, not what search would lose.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from askpix.core.errors import BadQueryError, ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.pretrained import import_torch

BATCH = 16
_KINDS = ("vit-b-32", "siglip-b-16")
Run = Callable[[Any], Any]
Row = dict[str, Any]


def measure_engines(kind: str, folder: Path, *, rounds: int = 5, limit_s: float = 300.0) -> list[Row]:
    """Images/s at batch 16 of every engine and precision that is installed, in turn on the same batch.

    Each row: ``engine``, ``precision``, ``per_s`` (median), ``ratio`` to torch in fp32 (median over turns),
    ``cpu_ratio`` the same by this process's CPU seconds, and ``cosine`` to it (the worst image). There are
    fewer turns where ``limit_s`` is over, one at least. ``folder`` is for the exports, about 1 GB.
    """
    if kind not in _KINDS:
        raise BadQueryError(f"no random model {kind!r}; there are: {', '.join(_KINDS)}")
    torch, tower = _tower(kind)
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((BATCH, 3, 224, 224)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporters and quantisers of all three warn of their own future
        engines = {
            **_torch_engines(torch, tower),
            **_onnx_engines(torch, tower, pixels, folder),
        }
        exact = _unit(engines["torch", "fp32"](pixels))
        cosines = {name: float((_unit(run(pixels)) * exact).sum(1).min()) for name, run in engines.items()}
        rates: dict[tuple[str, str], list[tuple[float, float]]] = {name: [] for name in engines}
        until = time.perf_counter() + limit_s
        for turn in range(rounds):
            started = time.perf_counter()
            for name, run in engines.items():
                began = time.perf_counter()
                cpu = time.process_time()
                run(pixels)
                took = time.perf_counter() - began
                worked = time.process_time() - cpu
                rates[name].append((BATCH / took, BATCH / max(1e-6, worked)))
            if turn + 1 < rounds and time.perf_counter() + (time.perf_counter() - started) > until:
                break
    base = rates["torch", "fp32"]
    return [
        {
            "model": kind,
            "engine": name[0],
            "precision": name[1],
            "per_s": median(rate for rate, _ in turns),
            "ratio": median(a / b for (a, _), (b, _) in zip(turns, base, strict=True)),
            "cpu_ratio": median(a / b for (_, a), (_, b) in zip(turns, base, strict=True)),
            "cosine": cosines[name],
        }
        for name, turns in rates.items()
    ]


def _tower(kind: str) -> tuple[Any, Any]:
    """``(torch, module)``: pixels to features, random weights."""
    torch, transformers = import_torch(repr(kind))
    torch.manual_seed(0)
    if kind == "vit-b-32":
        vision = transformers.CLIPVisionConfig()
        vision.projection_dim = 512
        inner = transformers.CLIPVisionModelWithProjection(vision)
        name = "image_embeds"
    else:
        inner = transformers.SiglipVisionModel(transformers.SiglipVisionConfig())
        name = "pooler_output"

    class Tower(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: Any) -> Any:
            return getattr(self.inner(pixel_values=pixels), name)

    return torch, Tower().eval()


def _torch_engines(torch: Any, tower: Any) -> dict[tuple[str, str], Run]:
    from copy import deepcopy

    from askpix.retrieval.embedders.torch_runner import quantized

    def runner(model: Any, dtype: Any) -> Run:
        def run(pixels: Any) -> Any:
            with torch.inference_mode():
                return model(torch.from_numpy(pixels).to(dtype)).float().numpy()

        return run

    engines = {
        ("torch", "fp32"): runner(tower, torch.float32),
        ("torch", "bf16"): runner(deepcopy(tower).to(torch.bfloat16), torch.bfloat16),
    }
    with suppress(ModelUnavailableError):  # a torch that dropped it
        engines["torch", "int8"] = runner(quantized(torch, deepcopy(tower)), torch.float32)
    return engines


def _onnx_engines(torch: Any, tower: Any, pixels: Any, folder: Path) -> dict[tuple[str, str], Run]:
    """ONNX Runtime, and OpenVINO where it is installed, on an export of the tower."""
    import onnxruntime

    path = folder / "tower.onnx"
    torch.backends.mha.set_fastpath_enabled(False)
    torch.onnx.export(
        tower,
        (torch.from_numpy(pixels),),
        str(path),
        dynamo=False,
        input_names=["pixels"],
        output_names=["features"],
    )

    def runtime(file: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda batch: session.run(None, {"pixels": batch})[0]

    engines = {("ONNX Runtime", "fp32"): runtime(path)}
    if find_spec("onnx") is not None:
        quantization = import_module("onnxruntime.quantization")
        small = folder / "tower-int8.onnx"
        quantization.quantize_dynamic(
            str(path), str(small), weight_type=quantization.QuantType.QUInt8, op_types_to_quantize=["MatMul"]
        )
        engines["ONNX Runtime", "int8"] = runtime(small)
    if find_spec("openvino") is not None:
        openvino = import_module("openvino")
        core = openvino.Core()

        def compiled(file: Path, precision: str) -> Run:
            hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
            model = core.compile_model(str(file), "CPU", hints)
            return lambda batch: model(batch)[0]

        engines["OpenVINO", "fp32"] = compiled(path, "f32")
        engines["OpenVINO", "bf16"] = compiled(path, "bf16")
        if find_spec("nncf") is not None:
            small = folder / "tower-int8.xml"
            openvino.save_model(_openvino_int8(openvino, path, pixels), str(small))
            engines["OpenVINO", "int8"] = compiled(small, "f32")
    return engines


def _openvino_int8(openvino: Any, path: Path, pixels: Any) -> Any:
    """Weights and activations in int8, as OpenVINO's own tool makes them of transformers (NNCF)."""
    import logging

    nncf = import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # where its progress bars belong
        return nncf.quantize(
            openvino.Core().read_model(str(path)),
            nncf.Dataset([pixels]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=1,
        )


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def engines_command(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[vit-b-32|siglip-b-16]...", help="Default: both."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Engines take turns this often.")] = 5,
    limit: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="About so long for each.")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Torch, ONNX Runtime and OpenVINO on this CPU, by precision, on random weights."""
    import tempfile

    from askpix.api.console.render import print_json, say
    from askpix.evaluation.performance.speed import machine

    rows = []
    for kind in kinds or _KINDS:
        with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
            rows += measure_engines(kind, Path(work), rounds=rounds, limit_s=limit)
    if as_json:
        print_json({"machine": machine("torch", "onnxruntime"), "engines": rows})
        return
    for row in rows:
        say(
            f"{row['model']:12} {row['engine']:13} {row['precision']:5} {row['per_s']:6.1f} images/s, "
            f"{row['ratio']:.2f} of torch fp32 ({row['cpu_ratio']:.2f} by CPU time), "
            f"cosine {row['cosine']:.4f}",
        )
