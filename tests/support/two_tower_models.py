"""Tiny two-tower models with random weights, saved the way their libraries save real ones."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
import transformers
from safetensors.torch import save_file

from tests.support.tiny_models import word_tokenizer

_LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_LAYERS, "image_size": 32, "patch_size": 8}
_SQUARE = {"height": 32, "width": 32}
_CROPPED = {"size": {"shortest_edge": 32}, "crop_size": _SQUARE}
FAMILIES = ("clip", "siglip", "siglip2", "metaclip_2", "chinese_clip", "altclip")
OPEN_CLIP_CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def save_transformers(folder: Path, family: str) -> tuple[Any, Any, Any]:
    """``(model, image processor, tokenizer)`` as saved; ``siglip2`` is NaFlex."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    text = {
        **_LAYERS,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 18,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    t = transformers
    towers = {"text_config": text, "vision_config": _VISION}
    if family == "siglip":
        config, processor = t.SiglipConfig(**towers), t.SiglipImageProcessorPil(size=_SQUARE)
    elif family == "siglip2":
        towers["vision_config"] = {**_LAYERS, "num_patches": 16, "patch_size": 8}
        config, processor = (
            t.Siglip2Config(**towers),
            t.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16),
        )
    else:
        if family == "altclip":
            text["project_dim"] = 24
        config = {
            "clip": t.CLIPConfig,
            "metaclip_2": t.MetaClip2Config,
            "chinese_clip": t.ChineseCLIPConfig,
            "altclip": t.AltCLIPConfig,
        }[family](**towers, projection_dim=24)
        chinese = {"size": _SQUARE, "crop_size": _SQUARE}
        processor = (
            t.ChineseCLIPImageProcessorPil(**chinese)
            if family == "chinese_clip"
            else t.CLIPImageProcessorPil(**_CROPPED)
        )
    model = t.AutoModel.from_config(config).eval()
    if hasattr(model, "logit_bias"):
        with torch.no_grad():
            model.logit_scale.fill_(4.7)
            model.logit_bias.fill_(-16.5)
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    # The library takes the family's own class for some, whatever was saved.
    return model, processor, t.AutoTokenizer.from_pretrained(folder)


def save_open_clip(folder: Path, *, siglip: bool = False, resize_mode: str = "shortest") -> Any:
    """The model as saved: ``open_clip_config.json`` and ``open_clip_model.safetensors``."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(OPEN_CLIP_CONFIG)
    if siglip:
        config |= {"init_logit_scale": 2.3, "init_logit_bias": -10.0}
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": resize_mode} if siglip else {}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing})
    )
    model = open_clip.CLIP(**config).eval()
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    return model


def hub_copy(home: Path, repository: str, commit: str = "0123456789abcdef0123456789abcdef01234567") -> Path:
    """An empty snapshot folder of a repository in a hub cache below ``home`` (``HF_HOME``)."""
    top = home / "hub" / f"models--{repository.replace('/', '--')}"
    (top / "refs").mkdir(parents=True)
    (top / "refs" / "main").write_text(commit)
    snapshot = top / "snapshots" / commit
    snapshot.mkdir(parents=True)
    return snapshot
