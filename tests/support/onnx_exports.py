"""Tiny two-tower models as ONNX files, in the ways that people export real ones."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

TOKENS = 18


def write_graph(
    run: Callable[..., Any],
    model: Any,
    path: Path,
    given: Mapping[str, Any],
    outputs: Sequence[str],
    *,
    axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """``run(**given)`` of ``model`` as a graph; ``axes`` of inputs and outputs are free, the others fixed."""

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return run(**dict(zip(given, inputs, strict=True)))

    path.parent.mkdir(parents=True, exist_ok=True)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it has no ONNX operator
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of itself
            torch.onnx.export(
                Whole().eval(),
                tuple(given.values()),
                str(path),
                input_names=list(given),
                output_names=list(outputs),
                dynamic_axes={name: dict(free) for name, free in (axes or {}).items()},
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def free(*names: str, axis: str = "batch") -> dict[str, dict[int, str]]:
    """These inputs and outputs with as many rows as one likes."""
    return {name: {0: axis} for name in names}


def pixel_values(rows: int = 2, side: int = 32) -> Any:
    return torch.zeros(rows, 3, side, side)


def token_ids(rows: int = 2) -> Any:
    return torch.ones(rows, TOKENS, dtype=torch.long)


def export_towers(model: Any, folder: Path, *, vision: str, text: str, masked: bool, side: int) -> None:
    """The two towers by themselves, giving just their features."""
    write_graph(
        lambda pixel_values: model.get_image_features(pixel_values=pixel_values).pooler_output,
        model,
        folder / vision,
        {"pixel_values": pixel_values(side=side)},
        ["image_embeds"],
        axes=free("pixel_values", "image_embeds"),
    )
    given = {"input_ids": token_ids()}
    if masked:
        given["attention_mask"] = torch.ones_like(given["input_ids"])
    axes = {0: "batch", 1: "tokens"} if masked else {0: "batch"}
    write_graph(
        lambda **tokens: model.get_text_features(**tokens).pooler_output,
        model,
        folder / text,
        given,
        ["text_embeds"],
        axes={**dict.fromkeys(given, axes), **free("text_embeds")},
    )


def export_naflex(model: Any, folder: Path) -> None:
    """SigLIP 2 NaFlex: patches, mask and shapes in, any shape at run time.

    The library's loop over pictures would be frozen into the graph, so its antialiased bilinear stretch of
    the grid of positions is written as two products with weights made from the shapes.
    """
    vision, text = model.vision_model, model.text_model
    side = int(vision.embeddings.position_embedding_size)
    grid = vision.embeddings.position_embedding.weight.detach().reshape(side, side, -1)

    def weights(sizes: Any, limit: int) -> Any:
        """``(n, limit, side)``: how much of each of the ``side`` rows the i-th of ``sizes[n]`` rows takes."""
        scale = side / sizes.float()[:, None, None]
        support = scale.clamp(min=1.0)
        centre = (torch.arange(limit)[None, :, None] + 0.5) * scale
        away = (torch.arange(side)[None, None, :] + 0.5 - centre) / support
        parts = (1 - away.abs()).clamp(min=0.0)
        return parts / parts.sum(dim=2, keepdim=True).clamp(min=1e-9)

    def features(pixel_values: Any, pixel_attention_mask: Any, spatial_shapes: Any) -> Any:
        limit = vision.embeddings.num_patches
        patches = vision.embeddings.patch_embedding(pixel_values)
        rows, columns = spatial_shapes[:, 0], spatial_shapes[:, 1]
        tall, wide = weights(rows, limit), weights(columns, limit)
        index = torch.arange(limit)[None, :]
        at_row = torch.minimum(index // columns[:, None], rows[:, None] - 1)
        at_column = index % columns[:, None]
        down = torch.gather(tall, 1, at_row[..., None].expand(-1, -1, side))
        across = torch.gather(wide, 1, at_column[..., None].expand(-1, -1, side))
        positions = torch.einsum("nkr,nkc,rcd->nkd", down, across, grid)
        hidden = patches + positions
        hide = (1 - pixel_attention_mask[:, None, None, :].float()) * -1e9
        for layer in vision.encoder.layers:
            hidden = layer(hidden, hide.expand(-1, 1, limit, limit))
        head, last = vision.head, vision.post_layernorm(hidden)
        probe = head.probe.repeat(pixel_values.shape[0], 1, 1)
        seen = head.attention(probe, last, last, key_padding_mask=pixel_attention_mask == 0)[0]
        return (seen + head.mlp(head.layernorm(seen)))[:, 0], last

    patch = int(vision.config.patch_size)
    count = int(vision.embeddings.num_patches)
    shapes = torch.tensor([[4, 4], [2, 8]])
    given = {
        "pixel_values": torch.zeros(2, count, 3 * patch**2),
        "pixel_attention_mask": torch.ones(2, count, dtype=torch.int64),
        "spatial_shapes": shapes,
    }
    write_graph(
        lambda **inputs: features(**inputs)[::-1],
        model,
        folder / "onnx" / "vision_model.onnx",
        given,
        ["last_hidden_state", "pooler_output"],
        axes=free(*given, "last_hidden_state", "pooler_output"),
    )
    write_graph(
        lambda input_ids: text(input_ids=input_ids).pooler_output,
        model,
        folder / "onnx" / "text_model.onnx",
        {"input_ids": token_ids()},
        ["pooler_output"],
        axes=free("input_ids", "pooler_output"),
    )
