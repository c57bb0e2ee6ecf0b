"""Tiny vision-language models with random weights and their families' processors, saved as real ones are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers as t

CHAT = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}IMAGE{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
)
LAYERS = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**LAYERS, "num_key_value_heads": 2, "max_position_embeddings": 8192}
EYES = {**LAYERS, "image_size": 28, "patch_size": 14}
SQUARE = {"height": 28, "width": 28}
SEED = 3


def tokenizer(*marks: str, **named: Any) -> Any:
    """Bytes are its letters, so that it reads and writes anything; ``marks`` are tokens of their own."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<|im_start|>", "<|im_end|>"]
    words = {word: number for number, word in enumerate([*special, *letters])}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(words, [], unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    made = t.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        **named,
    )
    made.add_special_tokens({"additional_special_tokens": [*special[4:], *marks]})
    return made


def text_of(kind: str, words: Any, **more: Any) -> dict[str, Any]:
    """A language model's configuration of that kind."""
    return {
        **TEXT,
        "model_type": kind,
        "vocab_size": len(words),
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **more,
    }


def chat(mark: str) -> str:
    """A chat template in which a picture is ``mark``."""
    return CHAT.replace("IMAGE", mark)


def llava(template: str | None = chat("<image>")) -> tuple[Any, Any]:
    words = tokenizer("<image>")
    processor = t.LlavaProcessor(
        t.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=SQUARE), words, patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=template,
    )  # fmt: skip
    config = t.LlavaConfig(
        vision_config={**EYES, "model_type": "clip_vision_model", "projection_dim": 32},
        text_config=text_of("llama", words),
        image_token_index=processor.image_token_id,
        vision_feature_layer=-2,
    )
    return t.LlavaForConditionalGeneration(config), processor


def llava_next() -> tuple[Any, Any]:
    words, pins = tokenizer("<image>"), [[28, 56], [56, 28], [56, 56]]
    images = t.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size=SQUARE, image_grid_pinpoints=pins
    )
    processor = t.LlavaNextProcessor(
        images, words, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=chat("<image>"),
    )  # fmt: skip
    config = t.LlavaNextConfig(
        vision_config={**EYES, "model_type": "clip_vision_model", "projection_dim": 32},
        text_config=text_of("mistral", words),
        image_token_index=processor.image_token_id,
        image_grid_pinpoints=pins,
    )
    return t.LlavaNextForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    words, pins = tokenizer("<image>", "<video>"), [[28, 56], [56, 28], [56, 56]]
    processor = t.LlavaOnevisionProcessor(
        t.LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=pins),
        words,
        t.LlavaOnevisionVideoProcessor(size=SQUARE),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=chat("<image>"),
    )
    config = t.LlavaOnevisionConfig(
        vision_config={**EYES, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=text_of("qwen2", words),
        image_token_index=processor.image_token_id,
        video_token_index=processor.video_token_id,
        image_grid_pinpoints=pins,
    )
    return t.LlavaOnevisionForConditionalGeneration(config), processor


def qwen(kind: str) -> tuple[Any, Any]:
    words = tokenizer("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    side = 16 if kind == "3" else 14
    pixels = (2 * side) ** 2
    images = t.Qwen2VLImageProcessorPil(min_pixels=pixels, max_pixels=9 * pixels, patch_size=side)
    video = t.Qwen3VLVideoProcessor() if kind == "3" else t.Qwen2VLVideoProcessor()
    classes = {
        "2": (t.Qwen2VLProcessor, t.Qwen2VLConfig, t.Qwen2VLForConditionalGeneration),
        "2.5": (t.Qwen2_5_VLProcessor, t.Qwen2_5_VLConfig, t.Qwen2_5_VLForConditionalGeneration),
        "3": (t.Qwen3VLProcessor, t.Qwen3VLConfig, t.Qwen3VLForConditionalGeneration),
    }[kind]
    processor = classes[0](
        images, words, video, chat_template=chat("<|vision_start|><|image_pad|><|vision_end|>")
    )
    number = words.convert_tokens_to_ids
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    text = text_of("qwen", words, rope_parameters=rope)
    text.pop("model_type")
    eyes: dict[str, Any] = {"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": side}
    if kind == "2":
        eyes |= {"embed_dim": 32, "mlp_ratio": 2}
    else:
        eyes |= {"out_hidden_size": 32, "intermediate_size": 32}
    if kind == "2.5":
        eyes |= {"fullatt_block_indexes": [1]}
    if kind == "3":
        eyes |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
        text |= {"head_dim": 16}
    config = classes[1](
        text_config=text,
        vision_config=eyes,
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    return classes[2](config), processor


def internvl() -> tuple[Any, Any]:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tokenizer(*named.values(), extra_special_tokens=named)
    images = t.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = t.InternVLProcessor(
        images, words, t.InternVLVideoProcessor(size=SQUARE), image_seq_length=1,
        chat_template=chat("<IMG_CONTEXT>\n"),
    )  # fmt: skip
    config = t.InternVLConfig(
        vision_config={**EYES, "image_size": [28, 28], "patch_size": [14, 14]},
        text_config=text_of("qwen2", words),
        image_token_id=processor.image_token_id,
        image_seq_length=1,
        downsample_ratio=0.5,
    )
    return t.InternVLForConditionalGeneration(config), processor


def paligemma() -> tuple[Any, Any]:
    words = tokenizer()
    images = t.SiglipImageProcessorPil(size=SQUARE)
    images.image_seq_length = 4
    processor = t.PaliGemmaProcessor(images, words)
    config = t.PaliGemmaConfig(
        vision_config={**EYES, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=text_of("gemma", words, head_dim=16),
        image_token_index=processor.image_token_id,
        projection_dim=32,
    )
    return t.PaliGemmaForConditionalGeneration(config), processor


def idefics(kind: str) -> tuple[Any, Any]:
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    words = tokenizer(
        "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>", *rows
    )
    sizes = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}}
    if kind == "smolvlm":
        processor = t.SmolVLMProcessor(
            t.SmolVLMImageProcessorPil(**sizes),
            words,
            t.SmolVLMVideoProcessor(
                **sizes,
                video_sampling={"fps": 1, "max_frames": 4, "video_size": {"longest_edge": 56}},
            ),
            image_seq_len=4,
            chat_template=chat("<image>"),
        )
        config_class, model = t.SmolVLMConfig, t.SmolVLMForConditionalGeneration
    else:
        processor = t.Idefics3Processor(
            t.Idefics3ImageProcessorPil(**sizes), words, image_seq_len=4, chat_template=chat("<image>")
        )
        config_class, model = t.Idefics3Config, t.Idefics3ForConditionalGeneration
    config = config_class(
        vision_config={**EYES, "image_size": 56},
        text_config=text_of("llama", words),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    return model(config), processor


def gemma3() -> tuple[Any, Any]:
    named = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    words = tokenizer(*named.values(), extra_special_tokens=named)
    processor = t.Gemma3Processor(
        t.Gemma3ImageProcessorPil(size=SQUARE),
        words,
        image_seq_length=1,
        chat_template=chat("<start_of_image>"),
    )
    config = t.Gemma3Config(
        vision_config={**EYES, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=text_of("gemma3_text", words, head_dim=16, sliding_window=512),
        mm_tokens_per_image=1,
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
    )
    return t.Gemma3ForConditionalGeneration(config), processor


def llava_next_video() -> tuple[Any, Any]:
    words, pins = tokenizer("<image>", "<video>"), [[28, 56], [56, 28], [56, 56]]
    processor = t.LlavaNextVideoProcessor(
        t.LlavaNextVideoVideoProcessor(size={"shortest_edge": 28}, crop_size=SQUARE),
        t.LlavaNextImageProcessorPil(size={"shortest_edge": 28}, crop_size=SQUARE, image_grid_pinpoints=pins),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat("<image>").replace(
            "{% else %}{{ c.text }}", "{% elif c.type == 'video' %}<video>{% else %}{{ c.text }}"
        ),
    )
    config = t.LlavaNextVideoConfig(
        vision_config={**EYES, "model_type": "clip_vision_model", "projection_dim": 32},
        text_config=text_of("llama", words),
        image_token_index=processor.image_token_id,
        video_token_index=processor.video_token_id,
        image_grid_pinpoints=pins,
    )
    return t.LlavaNextVideoForConditionalGeneration(config), processor


def phi4_multimodal() -> tuple[Any, Any]:
    named = {"image_token": "<|image|>", "audio_token": "<|audio|>"}
    words = tokenizer(*named.values(), extra_special_tokens=named)
    # Its processor counts 256 tokens a tile whatever the size: tiles are 448 pixels in a tiny one too.
    images = t.Phi4MultimodalImageProcessor(size={"height": 448, "width": 448}, patch_size=14, dynamic_hd=1)
    processor = t.Phi4MultimodalProcessor(
        images, t.Phi4MultimodalFeatureExtractor(), words, chat_template=chat("<|image|>")
    )
    number = words.convert_tokens_to_ids
    text = text_of("", words, vocab_size=len(words), original_max_position_embeddings=8192)
    text.pop("model_type")
    config = t.Phi4MultimodalConfig(
        **text,
        vision_config={**EYES, "image_size": 448, "crop_size": 448, "image_token_id": number("<|image|>")},
        audio_config={
            "hidden_size": 32, "intermediate_size": 32, "num_blocks": 1, "num_attention_heads": 2,
            "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 32,
            "audio_token_id": number("<|audio|>"),
        },
    )  # fmt: skip
    return t.Phi4MultimodalForCausalLM(config), processor


def qwen3_5() -> tuple[Any, Any]:
    words = tokenizer("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    images = t.Qwen2VLImageProcessorPil(min_pixels=1024, max_pixels=9 * 1024, patch_size=16)
    processor = t.Qwen3VLProcessor(
        images, words, t.Qwen3VLVideoProcessor(),
        chat_template=chat("<|vision_start|><|image_pad|><|vision_end|>"),
    )  # fmt: skip
    number = words.convert_tokens_to_ids
    rope = {
        "rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5, "mrope_interleaved": True,
    }  # fmt: skip
    text = text_of(
        "qwen3_5_text", words, head_dim=16, rope_parameters=rope,
        layer_types=["linear_attention", "full_attention"], linear_key_head_dim=8, linear_value_head_dim=8,
        linear_num_key_heads=2, linear_num_value_heads=2,
    )  # fmt: skip
    eyes = {
        "depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 16, "out_hidden_size": 32,
        "intermediate_size": 32, "num_position_embeddings": 16,
    }  # fmt: skip
    config = t.Qwen3_5Config(
        text_config=text,
        vision_config=eyes,
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    return t.Qwen3_5ForConditionalGeneration(config), processor


def gemma4() -> tuple[Any, Any]:
    named = {
        "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>",
        "audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>",
        "video_token": "<|video|>",
    }  # fmt: skip
    words = tokenizer(*named.values(), extra_special_tokens=named)
    images = t.Gemma4ImageProcessorPil(max_soft_tokens=70, patch_size=4, pooling_kernel_size=3)
    processor = t.Gemma4Processor(
        t.Gemma4AudioFeatureExtractor(), images, words, t.Gemma4VideoProcessor(), image_seq_length=70,
        chat_template=chat("<|image|>"),
    )  # fmt: skip
    number = words.convert_tokens_to_ids
    config = t.Gemma4Config(
        vision_config={
            **LAYERS, "num_key_value_heads": 2, "head_dim": 16, "patch_size": 4, "pooling_kernel_size": 3,
        },
        text_config=text_of(
            "gemma4_text", words, head_dim=16, global_head_dim=16, sliding_window=512,
            vocab_size_per_layer_input=len(words), hidden_size_per_layer_input=8,
            layer_types=["sliding_attention", "full_attention"],
        ),
        audio_config=None,
        image_token_id=number("<|image|>"), video_token_id=number("<|video|>"),
        boi_token_id=number("<|image>"), eoi_token_id=number("<image|>"), audio_token_id=number("<|audio|>"),
        boa_token_id=number("<|audio>"), eoa_token_index=number("<audio|>"),
    )  # fmt: skip
    return t.Gemma4ForConditionalGeneration(config), processor


def glm4v(kind: str) -> tuple[Any, Any]:
    marks = ["<|image|>", "<|video|>", "<|begin_of_image|>", "<|end_of_image|>",
             "<|begin_of_video|>", "<|end_of_video|>"]  # fmt: skip
    words = tokenizer(*marks)
    pixels = {"shortest_edge": 2 * 784, "longest_edge": 18 * 784}
    shown = chat("<|begin_of_image|><|image|><|end_of_image|>")
    if kind == "glm4v":
        processor = t.Glm4vProcessor(
            t.Glm4vImageProcessorPil(size=pixels), words, t.Glm4vVideoProcessor(), chat_template=shown
        )
        config_class, model = t.Glm4vConfig, t.Glm4vForConditionalGeneration
    else:
        processor = t.Glm46VProcessor(
            t.Glm46VImageProcessorPil(size=pixels), words, t.Glm46VVideoProcessor(), chat_template=shown
        )
        config_class, model = t.Glm46VConfig, t.Glm46VForConditionalGeneration
    number = words.convert_tokens_to_ids
    rope = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
    }
    text = text_of("glm4v_text", words, rope_parameters=rope)
    config = config_class(
        text_config=text,
        vision_config={
            "model_type": "glm4v_vision", "depth": 2, "hidden_size": 32, "num_heads": 2, "image_size": 56,
            "patch_size": 14, "out_hidden_size": 32, "intermediate_size": 32,
        },
        image_token_id=number("<|image|>"), video_token_id=number("<|video|>"),
        image_start_token_id=number("<|begin_of_image|>"), image_end_token_id=number("<|end_of_image|>"),
        video_start_token_id=number("<|begin_of_video|>"), video_end_token_id=number("<|end_of_video|>"),
    )  # fmt: skip
    return model(config), processor


def lfm2_vl() -> tuple[Any, Any]:
    rows = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 4) for column in range(1, 4)]
    words = tokenizer("<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", *rows)
    images = t.Lfm2VlImageProcessor(
        tile_size=32, encoder_patch_size=8, min_image_tokens=1, max_image_tokens=4, max_tiles=4,
        size={"height": 32, "width": 32},
    )  # fmt: skip
    processor = t.Lfm2VlProcessor(images, words, chat_template=chat("<image>"))
    config = t.Lfm2VlConfig(
        vision_config={
            **LAYERS, "model_type": "siglip2_vision_model", "patch_size": 8, "num_patches": 16,
            "vision_use_head": False,
        },
        text_config=text_of(
            "lfm2", words, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False,
        ),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )  # fmt: skip
    return t.Lfm2VlForConditionalGeneration(config), processor


def minicpm_v4_6() -> tuple[Any, Any]:
    named = {
        "image_token": "<|image_pad|>", "video_token": "<|video_pad|>",
        "image_start_token": "<image>", "image_end_token": "</image>",
        "slice_start_token": "<slice>", "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>",
    }  # fmt: skip
    words = tokenizer(*named.values(), extra_special_tokens=named)
    small = {"scale_resolution": 56, "patch_size": 14, "max_slice_nums": 4}
    processor = t.MiniCPMV4_6Processor(
        t.MiniCPMV4_6ImageProcessorPil(**small), t.MiniCPMV4_6VideoProcessor(**small), words,
        chat_template=chat("<|image_pad|>"),
    )  # fmt: skip
    number = words.convert_tokens_to_ids
    config = t.MiniCPMV4_6Config(
        text_config=text_of("qwen3", words, head_dim=16),
        vision_config={**LAYERS, "image_size": 56, "patch_size": 14, "insert_layer_id": 0},
        insert_layer_id=0,
        image_size=56,
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
    )
    return t.MiniCPMV4_6ForConditionalGeneration(config), processor


def mistral3() -> tuple[Any, Any]:
    words = tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    processor = t.PixtralProcessor(
        t.PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size=14), words, patch_size=14,
        spatial_merge_size=2, chat_template=chat("[IMG]"),
    )  # fmt: skip
    config = t.Mistral3Config(
        vision_config={**EYES, "model_type": "pixtral", "image_size": 56, "head_dim": 16},
        text_config=text_of("mistral", words, head_dim=16),
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
    )
    return t.Mistral3ForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "llava-1.5": llava,
    "llava-1.5 without template": lambda: llava(None),
    "llava-next": llava_next,
    "llava-onevision": llava_onevision,
    "qwen2-vl": lambda: qwen("2"),
    "qwen2.5-vl": lambda: qwen("2.5"),
    "qwen3-vl": lambda: qwen("3"),
    "internvl": internvl,
    "paligemma": paligemma,
    "smolvlm": lambda: idefics("smolvlm"),
    "idefics3": lambda: idefics("idefics3"),
    "gemma3": gemma3,
    "llava-next-video": llava_next_video,
    "phi4-multimodal": phi4_multimodal,
    "qwen3.5": qwen3_5,
    "gemma4": gemma4,
    "glm-4.1v": lambda: glm4v("glm4v"),
    "glm-4.6v": lambda: glm4v("glm46v"),
    "lfm2-vl": lfm2_vl,
    "minicpm-v-4.6": minicpm_v4_6,
    "mistral3": mistral3,
}


def save_vlm(folder: Path, family: str) -> Path:
    """A model of the family in this folder, of the same weights each time."""
    torch.manual_seed(SEED)
    model, processor = FAMILIES[family]()
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
