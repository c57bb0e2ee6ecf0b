"""Tiny models with random weights, saved the way their libraries save real ones."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

_SPECIAL = (
    "<pad> <bos> <eos> <unk> <image> <|image_pad|> <|video_pad|> <|vision_start|> <|vision_end|> <|im_start|>"
    " <|im_end|> <|endoftext|>"
).split()
_WORDS = (
    "Question Query user assistant system : , . ? Describe the image a red green blue total invoice dog yes"
    " no of what is"
).split()


def word_tokenizer(words: Sequence[str] = _WORDS, **named: Any) -> Any:
    """One token a word of ``words``."""
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *words])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=_SPECIAL[4:],
        **named,
    )


def save_colpali(folder: Path) -> tuple[Any, Any]:
    """A ColPali of 16 patches: ``(model, processor)`` as saved."""
    torch.manual_seed(0)
    images = transformers.SiglipImageProcessorPil(size={"height": 56, "width": 56})
    images.image_seq_length = 16
    processor = transformers.ColPaliProcessor(image_processor=images, tokenizer=word_tokenizer())
    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **common,
        "model_type": "gemma",
        "num_key_value_heads": 1,
        "head_dim": 16,
        "vocab_size": len(processor.tokenizer),
        "pad_token_id": 0,
    }
    vision = {
        **common,
        "model_type": "siglip_vision_model",
        "image_size": 56,
        "patch_size": 14,
        "projection_dim": 32,
        "vision_use_head": False,
    }
    both = transformers.PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
    )
    model = transformers.ColPaliForRetrieval(transformers.ColPaliConfig(vlm_config=both, embedding_dim=128))
    return _saved(folder, model, processor)


def save_colqwen2(folder: Path, *, qwen: str = "2") -> tuple[Any, Any]:
    """A ColQwen2 or (``qwen="2.5"``) ColQwen2.5 of 4 to 36 patches: ``(model, processor)`` as saved."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    images = transformers.Qwen2VLImageProcessorPil(min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 36)
    processor = transformers.ColQwen2Processor(image_processor=images, tokenizer=tokenizer)
    both = qwen_config(tokenizer, qwen=qwen)
    model = transformers.ColQwen2ForRetrieval(transformers.ColQwen2Config(vlm_config=both, embedding_dim=128))
    return _saved(folder, model, processor)


def qwen_config(tokenizer: Any, *, qwen: str) -> Any:
    """A tiny Qwen2-VL or Qwen2.5-VL."""
    number = tokenizer.convert_tokens_to_ids
    marks = {
        "image_token_id": number("<|image_pad|>"),
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
    }
    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
        "max_position_embeddings": 2048,
        "bos_token_id": number("<bos>"),
        "eos_token_id": number("<eos>"),
    }
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 14}
    if qwen == "2.5":
        vision |= {"out_hidden_size": 32, "intermediate_size": 64, "fullatt_block_indexes": [1]}
        return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **marks)
    return transformers.Qwen2VLConfig(
        text_config=text, vision_config={**vision, "embed_dim": 32, "mlp_ratio": 2}, **marks
    )


def _saved(folder: Path, model: Any, processor: Any) -> tuple[Any, Any]:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}{% for c in m.content %}{% if c.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)


def save_qwen_vlm(folder: Path) -> tuple[Any, Any]:
    """A Qwen2-VL that writes: ``(model, processor)`` as saved."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    images = transformers.Qwen2VLImageProcessorPil(min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 36)
    video = transformers.Qwen2VLVideoProcessor()
    processor = transformers.Qwen2VLProcessor(
        image_processor=images, tokenizer=tokenizer, video_processor=video, chat_template=CHAT
    )
    model = transformers.Qwen2VLForConditionalGeneration(qwen_config(tokenizer, qwen="2"))
    return _saved(folder, model, processor)


def save_cross_encoder(folder: Path, *, labels: int = 1) -> tuple[Any, Any]:
    """A BERT over pairs of texts: ``(model, tokenizer)`` as saved."""
    torch.manual_seed(0)
    words = ["[CLS]", "[SEP]", *_WORDS]
    tokenizer = word_tokenizer(
        words,
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    first, second = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", first), ("[SEP]", second)],
    )
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        num_labels=labels,
        initializer_range=0.5,
        pad_token_id=0,
    )
    return _saved(folder, transformers.BertForSequenceClassification(config), tokenizer)


def export_cross_encoder(folder: Path) -> None:
    """The same as ONNX, beside what ``save_cross_encoder`` wrote there."""
    model = transformers.BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones(2, 7, dtype=torch.long) for _ in names)

    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits

    axes = {name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            Bare().eval(),
            example,
            str(folder / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            dynamo=False,
        )
