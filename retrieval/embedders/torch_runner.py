"""A torch model at work: batches of a size that fits, prepared on all cores while the device computes.

The same code serves CUDA, MPS and the CPU. On CUDA a batch is put into pinned memory and sent without
waiting, so the next one is prepared meanwhile; images travel as bytes and become floats over there.
"""

import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from askpix.core.errors import ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.types import Vectors

_log = logging.getLogger(__name__)
Item = TypeVar("Item")
Tensors = Mapping[str, Any]

USUAL_BATCH = 16
"""Usual batch size; on a CPU larger ones gain little (measured with ViT-B/32 and SigLIP B/16)."""
LARGEST_BATCH = 512
_WORTH = 1.05
_IN_A_BLOCK = re.compile(r"\.layers?\.\d")
"""Patch embeddings and projections are little work and where rounding hurts."""
_FULL = ("out of memory", "can't allocate memory")


class TorchRunner:
    """Runs one model's towers on one device. Thread-safe; one batch computes at a time on a CPU."""

    workers = 2
    """Number of threads: one prepares while the other computes."""

    def __init__(self, torch: Any, *, device: str, dtype: Any, batch: int = USUAL_BATCH) -> None:
        self.torch = torch
        self.device = device
        self.dtype = dtype
        self.batch = batch
        self._cuda = device.startswith("cuda")
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(usable_cores(), thread_name_prefix="prepare")

    def rows(
        self,
        items: Sequence[Item],
        prepare: Callable[[Sequence[Item]], Tensors],
        forward: Callable[..., Any],
        *,
        dim: int,
        times: int = 1,
    ) -> Vectors:
        """``(len(items), dim)``, rows of length one.

        ``prepare`` makes CPU tensors of some items; ``forward`` takes them by name on the device and returns
        ``(n, dim)``. ``times`` as many items go at once as images would. A batch that does not fit is
        halved, and so are those after it. Raises ``ModelUnavailableError`` when not even one item fits.
        """
        found: list[Any] = []
        done = 0
        size = self.batch * times
        with self.torch.inference_mode():
            while done < len(items):
                chunk = items[done : done + size]
                inputs = prepare(chunk)
                try:
                    with self._lock:
                        rows = forward(**self._sent(inputs)).float()
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    size = self._halved(len(chunk), error)
                    self.batch = min(self.batch, max(1, size // times))
                    continue
                found.append(rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12))
                done += len(chunk)
            if not found:
                return np.empty((0, dim), np.float32)
            vectors: Vectors = np.ascontiguousarray(self.torch.cat(found).cpu().numpy(), np.float32)
        return vectors

    def map(self, work: Callable[[Item], Any], items: Sequence[Item]) -> list[Any]:
        """``work`` on each item, on all cores."""
        return [work(items[0])] if len(items) == 1 else list(self._threads.map(work, items))

    def grow(self, run: Callable[[int], Any]) -> None:
        """Take the batch size at which ``run(n)`` passes most items a second, on CUDA."""
        if self._cuda:
            self.batch = best_batch(self._timed(run), start=USUAL_BATCH, limit=LARGEST_BATCH)
            self.torch.cuda.empty_cache()

    def _timed(self, run: Callable[[int], Any]) -> Callable[[int], float]:
        cuda = self.torch.cuda

        def seconds(count: int) -> float:
            run(count)  # warm: kernels are chosen at the first run of a size
            began = cuda.Event(enable_timing=True)
            ended = cuda.Event(enable_timing=True)
            began.record()
            run(count)
            ended.record()
            cuda.synchronize()
            return float(began.elapsed_time(ended)) / 1000

        return seconds

    def _sent(self, inputs: Tensors) -> dict[str, Any]:
        if self._cuda:
            return {k: v.pin_memory().to(self.device, non_blocking=True) for k, v in inputs.items()}
        return {k: v.to(self.device) for k, v in inputs.items()}

    def _halved(self, count: int, error: BaseException) -> int:
        if count == 1:
            raise ModelUnavailableError(
                f"the memory of {self.device!r} does not hold the model and one item; take a smaller model, "
                "or another device or precision"
            ) from error
        if self._cuda:
            self.torch.cuda.empty_cache()
        _log.info("%s has no memory for a batch of %d: trying half of it", self.device, count)
        return count // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch or Python reports that there is no memory left: each device in its own words."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _FULL)


def best_batch(seconds: Callable[[int], float], *, start: int, limit: int) -> int:
    """The smallest of ``start, 2 start, ...`` beyond which throughput grows by less than 5 %.

    ``seconds(n)`` is how long a batch of n takes; it may raise that memory is out, which ends the search.
    """
    best = start
    rate = 0.0
    size = start
    while size <= limit:
        try:
            reached = size / seconds(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        if reached < rate * _WORTH:
            break
        best = size
        rate = reached
        size = 2 * size
    return best


def split_precision(wanted: str, device: str) -> tuple[str, bool]:
    """``(precision to load in, whether linear layers become int8 then)``; int8 is for CPUs."""
    if wanted != "int8":
        return wanted, False
    if device != "cpu":
        raise ModelUnavailableError(f"precision 'int8' is for the CPU, not {device!r}; take 'bf16' or 'fp16'")
    return "fp32", True


def quantized(torch: Any, model: Any) -> Any:
    """The linear layers of the transformer blocks in int8, their inputs quantised as they come.

    Raises ``ModelUnavailableError`` with a torch that no longer does it: it has announced to drop it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            linear = {
                name
                for name, module in model.named_modules()
                if type(module) is torch.nn.Linear and _IN_A_BLOCK.search(name)
            }
            return torch.ao.quantization.quantize_dynamic(model, linear, dtype=torch.qint8)
    except (AttributeError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"torch {torch.__version__} cannot run this model in int8 here; take precision 'bf16', or an "
            "ONNX export of the model in int8"
        ) from error


def on_device(torch: Any, model: Any, device: str) -> Any:
    """The model for inference on its device; convolutions get the layout that GPUs are fast with."""
    model = model.eval().to(device)
    if device == "cpu":
        # Parameters that ask for no gradient send torch.nn.MultiheadAttention through its "fast path", which
        # is slower by 6 %: 1,073 ms of CPU against 1,016 for 16 texts in ViT-B/32, in turn (torch 2.13).
        return model
    return model.requires_grad_(False).to(memory_format=torch.channels_last)
