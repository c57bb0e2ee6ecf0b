"""The precision that a model runs in."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from askpix.core.pretrained import pick_dtype


def machine(*, bfloat16: bool) -> Any:
    """What ``pick_dtype`` asks of torch, on a GPU with or without bfloat16."""
    return SimpleNamespace(
        bfloat16="bfloat16",
        float16="float16",
        float32="float32",
        cuda=SimpleNamespace(device=nullcontext, is_bf16_supported=lambda including_emulation: bfloat16),
        backends=SimpleNamespace(mps=SimpleNamespace(is_macos_or_newer=lambda major, minor: bfloat16)),
    )


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_float16_is_for_families_that_fit_its_range(device: str) -> None:
    """PyTorch has bfloat16 on CUDA of compute capability 8.0 and on MPS of macOS 14 (its own checks; what
    it emulates on older cards is slow). Float16 overflows in Gemma: huggingface/transformers#36822."""
    new, old = machine(bfloat16=True), machine(bfloat16=False)
    for family in ("", "siglip", "colpali", "qwen2_vl", "clip"):
        assert pick_dtype(new, device, family=family) == "bfloat16"
        assert pick_dtype(old, device, family=family) == ("float16" if family == "clip" else "float32")
        assert pick_dtype(old, device, "fp16", family=family) == "float16"
        assert pick_dtype(old, "cpu", family=family) == pick_dtype(new, "cpu", family=family) == "float32"
