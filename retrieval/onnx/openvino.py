"""A published graph on OpenVINO, computed in bf16: about twice as fast as ONNX Runtime in fp32.

Only where the processor multiplies bf16 itself (AVX512-BF16, AMX); elsewhere it would be slower, and in fp32
the two engines are alike (ViT-B/32 and EfficientNet, one core a call, `python -m benchmarks engines`). The
vectors are those of fp32 within 1e-4 cosine distance, less than rounding to int8 moves them.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from askpix.core.errors import ModelUnavailableError

_log = logging.getLogger(__name__)
_TYPES = {
    **{"f32": "float", "f16": "float16", "f64": "double", "boolean": "bool"},
    **{"i8": "int8", "u8": "uint8", "i32": "int32", "i64": "int64"},
}
"""OpenVINO's names of types as ONNX Runtime writes them."""

_TABLE = threading.Lock()


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as ``onnxruntime.NodeArg`` tells it; None in ``shape`` is a size that is free."""

    name: str
    type: str
    shape: list[int | None]


class OpenVinoSession:
    """The part of ``onnxruntime.InferenceSession`` that we use. Thread-safe: ``workers`` calls compute at
    once.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._own = threading.local()

    def get_inputs(self) -> list[Port]:
        return [_port(each) for each in self._compiled.inputs]

    def get_outputs(self) -> list[Port]:
        return [_port(each) for each in self._compiled.outputs]

    def run(self, outputs: Sequence[str] | None, feed: Mapping[str, Any], /) -> list[Any]:
        """Arrays of the named outputs; the caller's own, no later call writes into them."""
        if not hasattr(self._own, "request"):  # a request computes one thing at a time
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer(dict(feed), share_inputs=True)
        names = outputs if outputs is not None else [each.name for each in self.get_outputs()]
        return [found[name] for name in names]


def computes_bf16() -> bool:
    """Return whether OpenVINO is installed and this processor multiplies bf16 by itself."""
    return find_spec("openvino") is not None and "BF16" in _capabilities()


def open_bf16(path: Path, *, workers: int, threads: int) -> OpenVinoSession:
    """``path`` for ``workers`` callers of ``threads`` cores each. Raises ``ModelUnavailableError``."""
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
        "ENABLE_CPU_PINNING": False,  # the decoders need the same cores
    }
    try:
        core = _library().Core()
        return OpenVinoSession(core.compile_model(core.read_model(str(path)), "CPU", hints))
    except Exception as error:
        # It raises RuntimeError and what its parts raise; any of them means that this graph cannot run here.
        reason = " ".join(str(error).split())[:200]
        raise ModelUnavailableError(f"OpenVINO cannot load {path.name!r}: {reason}") from error


def _library() -> Any:
    """OpenVINO, its table of types made: two threads that make it at once wait for each other for ever, one
    with the table's lock and one with Python's."""
    with _TABLE:
        openvino = import_module("openvino")
        openvino.Type.f32.to_dtype()
        return openvino


@cache
def _capabilities() -> tuple[str, ...]:
    try:
        return tuple(_library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    except Exception as error:  # noqa: BLE001 - a broken installation is one that cannot
        _log.info("OpenVINO cannot be used: %s", error)
        return ()


def _port(port: Any) -> Port:
    kind = port.get_element_type().get_type_name()
    shape = [None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]
    return Port(port.get_any_name(), f"tensor({_TYPES.get(kind, kind)})", shape)
