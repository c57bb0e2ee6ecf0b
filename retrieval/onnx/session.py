"""ONNX Runtime sessions the way Askpix runs them: as many threads as asked for, and none that spin."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from askpix.core.errors import ModelUnavailableError

RUN_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    RuntimeError,
    *(
        kind
        for kind in vars(native).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception
    ),
)
"""Exceptions of ``run`` for inputs that a graph cannot take; ONNX Runtime's own have no common base class."""

NUMBERS: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""numpy's types of what a graph's inputs are declared to be."""


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that we use."""

    def run(self, outputs: Sequence[str] | None, feed: Mapping[str, Any], /) -> list[Any]: ...


def open_session(
    path: Path, *, threads: int, providers: Sequence[str] = ("CPUExecutionProvider",)
) -> Session:
    """A session of the model at ``path``. Thread-safe: several threads may call ``run`` at once.

    With ``threads=1`` each call stays on its caller's thread, so that N callers use N cores and no thread
    pool burns time between them. Raises ``ModelUnavailableError``.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle workers of the pool would otherwise spin and take the cores from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session: Session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:
        # Its exceptions have no common base class; any of them means that this model cannot run.
        raise ModelUnavailableError(
            f"cannot load {path.name!r}: {' '.join(str(error).split())[:200]}"
        ) from error
    return session
