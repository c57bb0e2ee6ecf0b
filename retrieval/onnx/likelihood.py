"""Likelihood of an export: softmax (CLIP) or sigmoid (SigLIP), and its two numbers.

They are looked for in ``config.json`` (``logit_scale``, ``logit_bias``); in a graph of both towers, whose
logits tell them; in what is known of published weights; else they are what models of the family end up with.
Single towers hold neither, and open_clip's ``init_logit_bias`` is where training began, not its end.
"""

import math
from typing import Any

import numpy as np

from askpix.retrieval.embedders.base import Likelihood
from askpix.retrieval.onnx.export_layout import Layout
from askpix.retrieval.onnx.tower import Feed, Tower

_CLIP = Likelihood("softmax", 100.0)
"""exp(logit_scale) is kept at or below 100, and all published CLIPs reached it (Radford et al. 2021, 2.5)."""
_SIGLIP = (
    # what its name has, exp(logit_scale), logit_bias: as in the published checkpoints (so400m also: open_clip
    # issue 746). The bias hardly differs within a family, so the first that fits serves its other sizes.
    (("siglip2", "naflex"), math.exp(4.747554), -16.776989),
    (("siglip2",), 112.6689, -16.771725),
    (("so400m",), 112.33287, -16.546421),
    ((), 117.330765, -12.932437),  # siglip-base-patch16-224
)
_CLOSE = 0.02
"""Largest distance of logits from a straight line that is taken for scale and bias."""


def find_likelihood(layout: Layout, vision: Tower, text: Tower, pictures: Feed, texts: Feed) -> Likelihood:
    """Find the likelihood of towers with their outputs chosen; ``pictures`` and ``texts`` are two rows
    each.
    """
    siglip = layout.is_siglip()
    config = layout.config("config.json")
    scale = _number(config.get("logit_scale"))
    bias = _number(config.get("logit_bias"))
    if scale is not None and (bias is not None or not siglip):
        # Models keep the logarithm, which is below 5; some exporters write it out.
        factor = math.exp(scale) if scale < 10 else scale
        return Likelihood("sigmoid", factor, bias or 0.0) if siglip else Likelihood("softmax", factor)
    if layout.vision == layout.text:
        told = _of_graph(vision, text, {**pictures, **texts}, siglip=siglip)
        if told is not None:
            return told
    if not siglip:
        return _CLIP
    name = f"{layout.title()} {'siglip2' if layout.is_siglip2() else ''}"
    factor, offset = next((s, b) for words, s, b in _SIGLIP if all(word in name for word in words))
    return Likelihood("sigmoid", factor, offset)


def _of_graph(vision: Tower, text: Tower, feed: Feed, *, siglip: bool) -> Likelihood | None:
    """The line through a graph's logits over its cosines; None where it has none or they are no line."""
    logits = next((name for name in vision.outputs if "logits_per_image" in name.lower()), None)
    if logits is None or vision.fixed_rows not in (None, 2) or set(feed) != set(vision.inputs):
        return None
    found = vision.outputs_of(feed, [logits, vision.output, text.output])
    shown, said = (_unit(found[name]) for name in (vision.output, text.output))
    cosines = (shown @ said.T).ravel()
    given = np.asarray(found[logits], np.float64).ravel()
    if given.shape != cosines.shape or np.ptp(cosines) < 1e-4:
        return None
    columns = [cosines, np.ones_like(cosines)] if siglip else [cosines]
    (factor, *rest), *_ = np.linalg.lstsq(np.stack(columns, 1), given, rcond=None)
    offset = float(rest[0]) if rest else 0.0
    if factor <= 0 or np.abs(factor * cosines + offset - given).max() > _CLOSE * (1 + np.ptp(given)):
        return None
    return Likelihood("sigmoid", float(factor), offset) if siglip else Likelihood("softmax", float(factor))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _unit(rows: Any) -> Any:
    rows = np.asarray(rows, np.float64).reshape(len(rows), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
