"""Tiny embedders that are one model for words and images, random, saved as the published ones are."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

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
