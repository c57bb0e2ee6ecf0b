"""Precisions of published ONNX files, and which is taken where nobody names one: one rule for all models.

``auto`` is full precision: fp32, then fp16. A quantised file is taken by name alone (``+int8``, ``+q4``):
what it loses differs between models and between the ways of making it. A curated id may name one whose
publisher or whose measured figure is within a point of full precision, and then states the source; no such
figure was found for the files offered today. Those of EmbeddingGemma's model card (MTEB multilingual: 61.15,
Q8_0 60.93) are of its QAT checkpoints in GGUF; its ``model_quantized.onnx`` is made otherwise.
"""

import re
from collections.abc import Iterator

_SUFFIXES = {
    "fp32": ("",),
    "fp16": ("_fp16",),
    "int8": ("_int8", "_quantized", "_uint8"),
    "q4": ("_q4", "_q4f16", "_bnb4"),
}
_AUTO = ("fp32", "fp16")
_NAMED = re.compile(r"\+(fp32|fp16|int8|q4)$")


def split_precision(reference: str) -> tuple[str, str | None]:
    """``(reference, precision)`` of ``REFERENCE[+fp32|+fp16|+int8|+q4]``."""
    match = _NAMED.search(reference)
    return (reference[: match.start()], match[1]) if match else (reference, None)


def suffixes(wanted: str) -> Iterator[tuple[str, str]]:
    """Yield ``(precision, end of the file's name)``, best first; ``wanted`` is ``auto`` or a precision."""
    for precision in _AUTO if wanted == "auto" else (wanted,):
        for suffix in _SUFFIXES.get(precision, ()):
            yield precision, suffix


def none_of(wanted: str, name: str) -> str:
    """Say that a model has no file of the precision wanted, and what to do."""
    if wanted != "auto":
        return f"{name!r} has no {wanted} export"
    return (
        f"{name!r} has no ONNX export in full precision (fp32 or fp16); what a quantised one loses is not "
        f"known here: name it to take it, {name}+int8 or {name}+q4"
    )
