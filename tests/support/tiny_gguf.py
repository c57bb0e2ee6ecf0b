"""Tiny vision-language models as llama.cpp takes them: a model file and an image projector of each family.

Its weights are random but for those that say which letter follows which, so that it answers ``SAYS``.
"""

from pathlib import Path

import gguf
import numpy as np
import tokenizers

WIDTH, LAYERS, HEADS, CONTEXT = 32, 2, 2, 8192
TILE, PATCH, SIDE = 28, 14, 56
"""Pixels of a tile and of a patch, and what the longer side of an image is brought to."""
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{{ c.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FAMILIES = {
    # SmolVLM, LLaVA-1.5, InternVL and Qwen2-VL: tensors beside the blocks of the vision transformer.
    "idefics3": {
        "v.patch_embd.bias": (WIDTH,),
        "v.position_embd.weight": (4, WIDTH),
        "mm.model.fc.weight": (WIDTH, WIDTH * 4),
    },
    "mlp": {
        "v.class_embd": (WIDTH,),
        "v.position_embd.weight": (5, WIDTH),
        "v.pre_ln.weight": (WIDTH,),
        "v.pre_ln.bias": (WIDTH,),
        **{f"mm.{layer}.weight": (WIDTH, WIDTH) for layer in (0, 2)},
        **{f"mm.{layer}.bias": (WIDTH,) for layer in (0, 2)},
    },
    "internvl": {
        "v.patch_embd.bias": (WIDTH,),
        "v.class_embd": (WIDTH,),
        "v.position_embd.weight": (5, WIDTH),
        **{f"v.blk.{layer}.ls{side}.weight": (WIDTH,) for layer in range(LAYERS) for side in (1, 2)},
        "mm.model.mlp.0.weight": (WIDTH * 4,),
        "mm.model.mlp.0.bias": (WIDTH * 4,),
        "mm.model.mlp.1.weight": (WIDTH, WIDTH * 4),
        "mm.model.mlp.1.bias": (WIDTH,),
        "mm.model.mlp.3.weight": (WIDTH, WIDTH),
        "mm.model.mlp.3.bias": (WIDTH,),
    },
    "qwen2vl_merger": {
        "v.patch_embd.weight.1": (WIDTH, 3, PATCH, PATCH),
        "mm.0.weight": (WIDTH * 4, WIDTH * 4),
        "mm.0.bias": (WIDTH * 4,),
        "mm.2.weight": (WIDTH, WIDTH * 4),
        "mm.2.bias": (WIDTH,),
    },
}
SAYS = "Cat [1]."
"""No letter twice: each tells the next."""
_EOS = 2
_DICE_SEED, _NOISE, _SURE = 7, 0.02, 8.0


def write_gguf(
    folder: Path,
    *,
    name: str = "TinyVLM-Q4_K_M.gguf",
    projector: str | None = "mmproj-TinyVLM-f16.gguf",
    architecture: str = "llama",
    context: int = CONTEXT,
    chat: str | None = CHAT,
    endless: bool = False,
    family: str = "idefics3",
) -> Path:
    """Write the files into a folder, as a repository on the hub has them; ``projector`` None: none of it.

    ``endless``: it begins its answer again where it would end. ``family``: the projector's kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(_DICE_SEED)
    _write_model(folder / name, dice, architecture, context, chat, endless=endless)
    if projector is not None:
        _write_projector(folder / projector, dice, family)
    return folder


def _write_model(
    path: Path, dice: np.random.Generator, architecture: str, context: int, chat: str | None, *, endless: bool
) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("TinyVLM")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<|im_start|>", "<|im_end|>"]
    special += ["<fake_token_around_image>", "<global-img>", *places]
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = [*special, *letters, "ĊĊ"]
    kinds = [gguf.TokenType.CONTROL] * len(special) + [gguf.TokenType.NORMAL] * (len(letters) + 1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges(["Ċ Ċ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(_EOS)
    writer.add_add_bos_token(False)
    if chat is not None:
        writer.add_chat_template(chat)

    def add(tensor: str, *shape: int) -> None:
        _add(writer, dice, tensor, *shape)

    known, follows = dice.normal(0, _NOISE, (2, len(words), WIDTH)).astype(np.float32)
    known[:, 0] = 1
    said = [words.index("Ġ" if letter == " " else letter) for letter in SAYS]
    for place, word in enumerate(said, start=1):
        known[word, 0], known[word, place] = 0, 1
        follows[word, place - 1] = _SURE
    follows[said[0] if endless else _EOS, len(said)] = _SURE
    writer.add_tensor("token_embd.weight", known)
    writer.add_tensor("output.weight", follows)
    _add_ones(writer, "output_norm.weight")
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            _add_ones(writer, f"blk.{layer}.{norm}.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            add(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
    _finish(writer)


def _write_projector(path: Path, dice: np.random.Generator, family: str) -> None:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(family)
    writer.add_vision_projection_dim(WIDTH)
    writer.add_vision_image_size(TILE)
    writer.add_vision_preproc_image_size(SIDE)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(WIDTH)
    writer.add_vision_feed_forward_length(WIDTH)
    writer.add_vision_block_count(LAYERS)
    writer.add_vision_head_count(HEADS)
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_projector_scale_factor(2)
    writer.add_vision_use_gelu(True)

    def add(tensor: str, *shape: int) -> None:
        _add(writer, dice, tensor, *shape)

    def add_norm(tensor: str) -> None:
        _add_ones(writer, f"{tensor}.weight")
        add(f"{tensor}.bias", WIDTH)

    add("v.patch_embd.weight", WIDTH, 3, PATCH, PATCH)
    for tensor, shape in FAMILIES[family].items():
        add(tensor, *shape)
    for layer in range(LAYERS):
        for norm in ("ln1", "ln2"):
            add_norm(f"v.blk.{layer}.{norm}")
        for part in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
            add(f"v.blk.{layer}.{part}.weight", WIDTH, WIDTH)
            add(f"v.blk.{layer}.{part}.bias", WIDTH)
    add_norm("v.post_ln")
    _finish(writer)


def _add(writer: gguf.GGUFWriter, dice: np.random.Generator, tensor: str, *shape: int) -> None:
    writer.add_tensor(tensor, dice.normal(0, _NOISE, shape).astype(np.float32))


def _add_ones(writer: gguf.GGUFWriter, tensor: str) -> None:
    writer.add_tensor(tensor, np.ones(WIDTH, np.float32))


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
