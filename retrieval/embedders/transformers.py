"""CLIP, SigLIP, SigLIP 2 and their kin through transformers: models with two towers (``multimodal``: of one).

Preprocessing and tokens are the library's own (its Pillow processors, whose results do not depend on what
else is installed), with two changes: images are prepared in threads, and bytes become normalised
floats on the device. A probe at loading compares the two ways; where they differ the library's way is taken.
"""

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import (
    from_pretrained,
    import_torch,
    load_model,
    model_type,
    pick_device,
    pick_dtype,
)
from askpix.retrieval.embedders.base import EmbedderKind, EmbedderOptions
from askpix.retrieval.embedders.multimodal import (
    GEMMA,
    MAX_TOKENS,
    MULTIMODAL,
    check_options,
    gemma_towers,
    load_options,
    qwen_towers,
)
from askpix.retrieval.embedders.torch_base import Arrays, TorchEmbedder, Towers, likelihood_from, same_pixels
from askpix.retrieval.embedders.torch_runner import (
    USUAL_BATCH,
    Tensors,
    TorchRunner,
    on_device,
    quantized,
    split_precision,
)
from askpix.retrieval.model_hub.options import split_options
from askpix.retrieval.model_hub.registry import published
from askpix.retrieval.model_hub.source import find_description, find_model

SCHEME = "transformers"
_FEW = 4
"""Images at once of models that read some 300 to 1800 tokens of each."""
_SIGLIP = ("siglip", "siglip2")
"""Learned from lower-case texts padded to the whole window, without a mask: their published tokenizers give
none (Zhai et al. 2023). That of SigLIP 2's fixed resolutions, Gemma's, leaves capitals, which training did
not (google-research/big_vision#166). A fine-tune that was saved with another tokenizer is run alike."""


def load_transformers_embedder(
    reference: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    local_files_only: bool = False,
) -> TorchEmbedder:
    """The model in a directory or hub repository ``OWNER/NAME[@REVISION]``, where it offers a choice with
    ``+dim=N`` and ``+tokens=N`` behind it (``multimodal``).

    ``precision``: ``fp32``, ``bf16``, ``fp16``, on a CPU ``int8``, or ``auto`` for what the device is usually
    run in. ``compiled`` lets ``torch.compile`` build the image tower at its first batch. Code that comes with
    a model is never run. Raises ``ModelUnavailableError``, and ``IndexMismatchError`` for a directory whose
    files are not those its pin names.
    """
    torch, transformers = import_torch(f"{SCHEME}:{reference}")
    where = pick_device(torch, device)
    loaded_in, to_int8 = split_precision(precision, where)
    plain, options = split_options(reference)
    described = find_description(plain, local_files_only=local_files_only)
    folder = str(described.path)
    family = model_type(transformers, folder)[0]
    whole = family in MULTIMODAL
    if whole:
        check_options(family, described.name.partition("@")[0], options)
    else:
        options.check(plain)
    tokenizer = from_pretrained(transformers.AutoTokenizer.from_pretrained, folder, local_files_only=True)
    dtype = pick_dtype(torch, where, loaded_in, family=family)
    if whole and (to_int8 or dtype is torch.float16):
        raise ModelUnavailableError(f"{reference!r} runs in 'bf16' or 'fp32' only; set ASKPIX_PRECISION so")
    source = find_model(described.name, local_files_only=local_files_only)
    more = load_options(transformers, family, folder)
    model = load_model(transformers.AutoModel.from_pretrained, folder, device="cpu", dtype=dtype, **more)
    for name in () if whole else ("get_image_features", "get_text_features"):
        if not hasattr(model, name):
            raise ModelUnavailableError(
                f"{reference!r} is a {model.config.model_type!r}, which has no {name}: it cannot search"
            )
    likelihood = likelihood_from(model)
    model = on_device(torch, quantized(torch, model) if to_int8 else model, where)
    processor = from_pretrained(
        transformers.AutoImageProcessor.from_pretrained, folder, backend="pil", local_files_only=True
    )
    runner = TorchRunner(torch, device=where, dtype=dtype, batch=_FEW if whole else USUAL_BATCH)
    if whole:
        towers = gemma_towers if family == GEMMA else qwen_towers
        made = TorchEmbedder(
            runner,
            towers(
                torch,
                model,
                processor=processor,
                tokenizer=tokenizer,
                folder=described.path,
                options=options,
            ),
            model_id=f"{SCHEME}:{source.name}{options}",
            image_side=side_of(processor, options.tokens),
            likelihood=None,
        )
        options.check_dim(plain, made.dim)
        return made
    picture, floats = _pictures(torch, processor, where)
    encode = torch.compile(model.get_image_features) if compiled else model.get_image_features

    def images(pixel_values: Any, **others: Any) -> Any:
        values = floats(pixel_values).to(dtype)
        if "pixel_attention_mask" in others and values.dim() == 3:
            values = values * others["pixel_attention_mask"].unsqueeze(-1).to(dtype)
        return _features(encode(pixel_values=values, **others))

    def texts(**tokens: Any) -> Any:
        return _features(model.get_text_features(**tokens))

    return TorchEmbedder(
        runner,
        Towers(picture, images, _tokens(model, tokenizer), texts),
        model_id=f"{SCHEME}:{source.name}",
        image_side=side_of(processor),
        likelihood=likelihood,
    )


def _features(output: Any) -> Any:
    """``(n, dim)``: newer versions wrap it."""
    features = getattr(output, "pooler_output", output)
    if getattr(features, "ndim", 0) != 2:
        raise ModelUnavailableError(
            "the model gives features of many parts, not one for each; it cannot search"
        )
    return features


def _pictures(
    torch: Any, processor: Any, device: str
) -> tuple[Callable[[Image.Image], Arrays], Callable[[Any], Any]]:
    """Return the preprocessing of one image, and the rest of it, to its ``pixel_values``, on the device."""

    def library(image: Image.Image, **options: Any) -> Arrays:
        made = processor(images=[image], return_tensors="np", input_data_format="channels_last", **options)
        return {name: np.asarray(values[0]) for name, values in made.items()}

    def as_bytes(image: Image.Image) -> Arrays:
        return library(image, do_rescale=False, do_normalize=False)

    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    probe = Image.fromarray(noise)
    raw = as_bytes(probe)["pixel_values"]
    whole = library(probe)["pixel_values"]
    if raw.dtype == np.uint8:
        floats = _normaliser(torch, processor, raw.ndim, raw.shape[-1], device)
        mask = library(probe).get("pixel_attention_mask")
        ours = floats(torch.from_numpy(raw[None]).to(device))[0].cpu().numpy()
        if mask is not None and raw.ndim == 2:
            ours = ours * mask[:, None]
        if same_pixels(ours, whole):
            return as_bytes, floats
    return library, lambda values: values.float()


def _normaliser(torch: Any, processor: Any, ndim: int, width: int, device: str) -> Callable[[Any], Any]:
    """``(x * rescale - mean) / std``, for channels first or (NaFlex) for patches of interleaved channels."""
    factor = float(processor.rescale_factor) if processor.do_rescale else 1.0
    mean = np.zeros(3)
    std = np.ones(3)
    if processor.do_normalize:
        mean, std = (
            np.broadcast_to(np.asarray(v, float), 3) for v in (processor.image_mean, processor.image_std)
        )
    shape = (3, 1, 1) if ndim == 3 else (-1,)
    slope, offset = (
        torch.tensor(
            (row.reshape(shape) if ndim == 3 else np.tile(row, max(1, width // 3))).copy(),
            dtype=torch.float32,
            device=device,
        )
        for row in (factor / std, -mean / std)
    )
    return lambda values: values.float() * slope + offset


def _tokens(model: Any, tokenizer: Any) -> Callable[[list[str]], Tensors]:
    """Texts as the family's own processor tokenises them."""
    config = getattr(model.config, "text_config", model.config)
    siglip = model.config.model_type in _SIGLIP
    kind = str(getattr(config, "model_type", ""))
    window = int(getattr(config, "max_position_embeddings", 0) or 512)
    if "roberta" in kind or kind.startswith("altclip"):
        window -= 2  # positions start behind the padding's
    window = min(window, int(tokenizer.model_max_length))
    takes = set(inspect.signature(type(model).get_text_features).parameters)
    takes -= {"attention_mask"} if siglip else set()

    def tokens(texts: list[str]) -> Tensors:
        made = tokenizer(
            [text.lower() for text in texts] if siglip else texts,
            padding="max_length" if siglip else True,
            max_length=window,
            truncation=True,
            return_tensors="pt",
        )
        return {name: values for name, values in made.items() if name in takes}

    return tokens


def side_of(processor: Any, tokens: int | None = None) -> int:
    """Pixels of the shorter side that the processor still makes use of; ``tokens`` at most an image."""
    if getattr(processor, "max_soft_tokens", None):
        cell = int(processor.patch_size) * int(processor.pooling_kernel_size)
        return math.ceil(cell * math.sqrt(tokens or int(processor.max_soft_tokens)))
    if getattr(processor, "merge_size", None):
        cell = int(processor.patch_size) * int(processor.merge_size)
        return math.ceil(cell * math.sqrt(tokens or MAX_TOKENS))
    if getattr(processor, "max_num_patches", None):
        patch = processor.patch_size
        patch = patch if isinstance(patch, int) else max(patch.values())
        return math.ceil(patch * math.sqrt(processor.max_num_patches))
    size = processor.size
    sides = [int(size.get(k) or 0) for k in ("height", "width", "shortest_edge", "longest_edge")]
    return max(sides) or 224


def _load(reference: str, options: EmbedderOptions) -> TorchEmbedder:
    return load_transformers_embedder(
        reference, device=options.device, precision=options.precision, compiled=options.compiled
    )


def _pin(reference: str) -> str:
    plain, options = split_options(reference)
    return f"{SCHEME}:{find_model(plain, local_files_only=True).name}{options}"


KIND = EmbedderKind(
    reference="DIR_OR_REPO",
    modules=("torch", "transformers"),
    install="pip install 'askpix[torch]'",
    load=_load,
    pin=_pin,
    facts=partial(published, SCHEME),
)
