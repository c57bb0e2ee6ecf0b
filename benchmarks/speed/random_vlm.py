"""Vision-language models of published shapes with random weights: speed does not see weights."""

from importlib import import_module
from typing import Any

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import import_torch, pick_device, pick_dtype
from askpix.generation.generators.vlm import Precision, Vlm

SHAPES = ("llava-1.5-7b", "qwen2-vl-7b", "tiny")


def random_vlm(shape: str, *, device: str = "auto", precision: Precision = "auto") -> Vlm:
    """A model of a published shape with random weights, made on the device: nothing is fetched or written."""
    if shape not in SHAPES:
        raise ModelUnavailableError(f"no shape {shape!r}; there are {', '.join(SHAPES)}")
    torch, transformers = import_torch(f"the shape {shape!r}")
    where = pick_device(torch, device)
    dtype = pick_dtype(torch, where, precision)
    words = _tokenizer(transformers)
    config, processor = (_qwen if shape.startswith("qwen") else _llava)(transformers, words, shape)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(where):
            model = transformers.AutoModelForImageTextToText.from_config(config).eval()
    finally:
        torch.set_default_dtype(usual)
    return Vlm(torch, transformers, model, processor, reference=f"{shape} with random weights")


_MARKS = ("<image>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_CHAT = (
    "{% for m in messages %}{{ m.role }}: {% for c in m.content %}"
    "{% if c.type == 'image' %}IMAGE{% else %}{{ c.text }}{% endif %}{% endfor %}\n{% endfor %}assistant:"
)


def _tokenizer(transformers: Any) -> Any:
    """Letters are its words: it reads and writes anything."""
    tokenizers = import_module("tokenizers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    numbered = {word: number for number, word in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *letters])}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(numbered, [], **_named("unk")))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **_named("pad", "bos", "eos", "unk"))
    words.add_special_tokens({"additional_special_tokens": list(_MARKS)})
    return words


def _named(*marks: str) -> dict[str, str]:
    return {f"{mark}_token": f"<{mark}>" for mark in marks}


def _llava(transformers: Any, words: Any, shape: str) -> tuple[Any, Any]:
    tiny = shape == "tiny"
    side = 28 if tiny else 336
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT.replace("IMAGE", "<image>"),
    )
    eyes = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    }
    text = {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    }
    if tiny:
        eyes = text = {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        }
    config = transformers.LlavaConfig(
        vision_config={**eyes, "model_type": "clip_vision_model", "image_size": side, "patch_size": 14},
        # Eight images of 576 tokens are more than the 4,096 it was trained on; speed does not mind.
        text_config={**text, "model_type": "llama", "vocab_size": 32_064, "max_position_embeddings": 8192},
        image_token_index=processor.image_token_id,
    )
    return config, processor


def _qwen(transformers: Any, words: Any, shape: str) -> tuple[Any, Any]:
    del shape
    processor = transformers.Qwen2VLProcessor(
        transformers.Qwen2VLImageProcessorPil(),
        words,
        transformers.Qwen2VLVideoProcessor(),
        chat_template=_CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    number = words.convert_tokens_to_ids
    config = transformers.Qwen2VLConfig(
        text_config={
            "vocab_size": 152_064,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32_768,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
        },
        vision_config={"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16, "mlp_ratio": 4},
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    return config, processor
