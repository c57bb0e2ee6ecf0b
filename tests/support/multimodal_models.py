"""Tiny embedders that are one model for words and images, random, saved as the published ones are."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from tests.support.onnx_exports import write_graph
from tests.support.tiny_models import word_tokenizer

_QUERY_WORDS = "task search result | query : title none text a red dog total invoice".split()
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {% for c in m.content %}{% if c.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
_LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}


def save_embedding_gemma2(folder: Path) -> tuple[Any, Any, Any]:
    """``(model, processor of images, tokenizer)``: google/embeddinggemma-2, with ears, 768 numbers."""
    torch.manual_seed(0)
    t = transformers
    tokenizer = word_tokenizer([*_QUERY_WORDS, "<|image|>", "<|image>", "<image|>"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>", "<|image>", "<image|>"]})
    ids = tokenizer.convert_tokens_to_ids
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", ids("<bos>")), ("<eos>", ids("<eos>"))]
    )
    text = t.EmbeddingGemma2TextConfig(
        **_LAYERS,
        vocab_size=len(tokenizer),
        num_hidden_layers=2,
        head_dim=16,
        global_head_dim=32,
        hidden_size_per_layer_input=8,
        embedding_dim=768,
        sliding_window=512,
        layer_types=["sliding_attention", "full_attention"],
        pad_token_id=0,
    )
    vision = t.Gemma4VisionConfig(**_LAYERS, num_hidden_layers=2, head_dim=16, position_embedding_size=1024)
    audio = t.Gemma4AudioConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, output_proj_dims=32
    )
    config = t.EmbeddingGemma2Config(
        text_config=text,
        vision_config=vision,
        audio_config=audio,
        image_token_id=ids("<|image|>"),
        boi_token_id=ids("<|image>"),
        eoi_token_id=ids("<image|>"),
        video_token_id=len(tokenizer) + 1,
        audio_token_id=len(tokenizer) + 2,
    )
    model = t.EmbeddingGemma2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some start at zero: nothing would depend on images
            parameter.add_(torch.randn_like(parameter) * 0.05)
    processor = t.Gemma4ImageProcessorPil()
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    prompts = {"Retrieval-query": "task : search result | query : ", "Document": "title : none | text : "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return model, processor, tokenizer


def save_qwen3_vl_embedding(folder: Path) -> tuple[Any, Any, Any]:
    """``(model, processor of images, tokenizer)``: Qwen/Qwen3-VL-Embedding, saved as its generator is."""
    torch.manual_seed(0)
    t = transformers
    words = [*_QUERY_WORDS, *"system user assistant Represent the ' s input . Retrieve images or to".split()]
    tokenizer = word_tokenizer([*words, "NULL", "relevant"], chat_template=CHAT)
    ids = tokenizer.convert_tokens_to_ids
    text = {
        **_LAYERS,
        "num_hidden_layers": 2,
        "head_dim": 16,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    config = t.Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    model = t.Qwen3VLForConditionalGeneration(config).eval()
    processor = t.Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    return model, processor, tokenizer


def export_embedding_gemma2(folder: Path, suffix: str = "") -> None:
    """The same as onnx-community/embeddinggemma-2-ONNX, beside what ``save_embedding_gemma2`` wrote there."""
    load = transformers.AutoModel.from_pretrained
    model = load(folder, attn_implementation="eager").eval()
    image = model.config.image_token_id
    places = torch.full((2, 2520, 2), -1)
    grid = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="xy")
    places[:, :36] = torch.stack(grid, -1).reshape(-1, 2)

    def seen(pixel_values: Any, pixel_position_ids: Any) -> Any:
        tower = model.vision_tower(pixel_values=pixel_values, pixel_position_ids=pixel_position_ids)
        return model.embed_vision(inputs_embeds=tower.last_hidden_state)

    given = {"pixel_values": torch.rand(2, 2520, 768), "pixel_position_ids": places}
    axes = {name: {0: "batch", 1: "patches"} for name in given} | {"image_features": {0: "tokens"}}
    path = folder / "onnx" / f"vision_encoder{suffix}.onnx"
    write_graph(seen, model, path, given, ["image_features"], axes=axes)

    def read(input_ids: Any, attention_mask: Any, **media: Any) -> Any:
        shown = input_ids == image
        words = model.get_input_embeddings()(torch.where(shown, 0, input_ids))
        words = words.masked_scatter(shown.unsqueeze(-1).expand_as(words), media["image_features"])
        words = words + media["video_features"].sum() + media["audio_features"].sum()
        states = model.language_model(inputs_embeds=words, attention_mask=attention_mask).last_hidden_state
        real = attention_mask.unsqueeze(-1).float()
        return torch.nn.functional.normalize((states * real).sum(1) / real.sum(1), dim=1), states

    ids = torch.tensor([[1, image, image, image, image, 2], [1, 12, 13, 14, 2, 0]])
    mask = torch.ones_like(ids)
    mask[1, -1] = 0
    features = {
        f"{kind}_features": torch.rand(4 * (kind == "image"), 32) for kind in ("image", "video", "audio")
    }
    names = ["sentence_embedding", "last_hidden_state"]
    axes = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask", names[1])}
    axes |= {name: {0: name} for name in features} | {names[0]: {0: "batch"}}
    path = folder / "onnx" / f"model{suffix}.onnx"
    write_graph(read, model, path, {"input_ids": ids, "attention_mask": mask, **features}, names, axes=axes)
