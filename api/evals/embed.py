"""Benchmark ``askpix bench embed``: our embedders, and the loops written by hand around each library."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from askpix.api.models.loader import embedder_options
from askpix.api.settings import Settings
from askpix.core.errors import BadQueryError, ModelUnavailableError
from askpix.core.pretrained import check_torchvision
from askpix.evaluation.performance.embedding import BATCHES, BatchSpeed, measure_embedding
from askpix.retrieval.embedders.base import open_embedder

if TYPE_CHECKING:
    from PIL import Image

    from askpix.retrieval.embedders.base import Embedder

_OPEN_CLIP = {"vit-b-32": "ViT-B-32", "vit-l-14": "ViT-L-14"}
RANDOM = (*_OPEN_CLIP, "siglip-b-16")
TEXTS = (
    "a dog on the beach",
    "two people on a bench in the rain",
    "a receipt from a restaurant with the total",
    "a red bicycle leaning against a brick wall",
)
_WORDS = "a the on in of with dog beach people bench rain receipt red wall".split()

Embed = Callable[[Sequence[Any]], Any]


def measure_embedder(
    embedder_id: str,
    settings: Settings,
    images: Sequence[Image.Image],
    *,
    rounds: int = 5,
    batches: Sequence[int] = BATCHES,
    seconds: float = 1.0,
    limit_s: float = 300.0,
    on_row: Callable[[BatchSpeed], None] | None = None,
) -> list[BatchSpeed]:
    """Images, then texts, of this embedder beside its bare library, in about ``limit_s``.

    Raises ``ModelUnavailableError``.
    """
    kind, _, _ = embedder_id.partition(":")
    loops = {"transformers": bare_transformers, "open_clip": bare_open_clip, "onnx": bare_onnx}
    if kind not in loops:
        raise BadQueryError(f"no bare loop for {embedder_id!r}; there are loops for {' and '.join(loops)}")
    embedder = open_embedder(embedder_id, embedder_options(settings))
    bare_images, bare_texts = loops[kind](embedder_id, settings)
    turns: dict[str, Any] = {"rounds": rounds, "batches": batches, "least_s": seconds, "on_row": on_row}
    # Images are most of the work.
    shares = (0.75 * limit_s, 0.25 * limit_s)
    return [
        *measure_embedding(
            "pictures", as_indexing(embedder, kind), bare_images, images, **turns, most_s=shares[0]
        ),
        *measure_embedding("texts", embedder.embed_texts, bare_texts, TEXTS, **turns, most_s=shares[1]),
    ]


def as_indexing(embedder: Embedder, kind: str) -> Embed:
    """``embed_images`` as indexing calls it: ONNX graphs run on one core each, for several threads at once;
    torch takes all cores by itself."""
    if kind != "onnx" or embedder.workers == 1:
        return embedder.embed_images
    pool = ThreadPoolExecutor(embedder.workers)

    def embed(images: Sequence[Any]) -> Any:
        size = -(-len(images) // embedder.workers)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate(list(pool.map(embedder.embed_images, parts)))

    return embed


def bare_onnx(embedder_id: str, settings: Settings) -> tuple[Embed, Embed]:
    """The loop of ONNX Runtime's examples: transformers' processor and tokenizer, a session of all cores."""
    onnxruntime = import_module("onnxruntime")
    transformers = import_module("transformers")
    from askpix.retrieval.onnx.export_layout import find_layout

    layout = find_layout(embedder_id.partition(":")[2], precision=settings.precision)
    processor = transformers.AutoImageProcessor.from_pretrained(layout.folder, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(layout.folder)
    whole = layout.is_siglip()
    window = layout.text_config().get("max_position_embeddings")

    def runner(path: Path) -> Callable[[Any], Any]:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = {item.name for item in session.get_inputs()}
        wanted = next(item.name for item in session.get_outputs() if item.name != "last_hidden_state")

        def run(inputs: Any) -> Any:
            rows = session.run([wanted], {name: value for name, value in inputs.items() if name in names})[0]
            return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

        return run

    see = runner(layout.vision)
    read = runner(layout.text)

    def images(batch: Sequence[Any]) -> Any:
        return see(processor(images=list(batch), return_tensors="np"))

    def texts(batch: Sequence[Any]) -> Any:
        padding = "max_length" if whole else True
        return read(
            tokenizer(list(batch), padding=padding, max_length=window, truncation=True, return_tensors="np")
        )

    return images, texts


def bare_transformers(embedder_id: str, settings: Settings) -> tuple[Embed, Embed]:
    """The loop of transformers' own examples: its processor, then its model."""
    torch = import_module("torch")
    transformers = import_module("transformers")
    from askpix.core.pretrained import model_type, pick_device, pick_dtype
    from askpix.retrieval.model_hub.source import find_model

    device = pick_device(torch, settings.device)
    folder = find_model(embedder_id.partition(":")[2]).path
    family, _ = model_type(transformers, str(folder))
    dtype = pick_dtype(torch, device, settings.precision, family=family)
    model = transformers.AutoModel.from_pretrained(folder, dtype=dtype).eval().to(device)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    whole = model.config.model_type.startswith("siglip")
    window = model.config.text_config.max_position_embeddings

    def finished(features: Any) -> Any:
        rows = getattr(features, "pooler_output", features).float()
        return (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()

    def images(batch: Sequence[Any]) -> Any:
        with torch.inference_mode():
            inputs = processor(images=list(batch), return_tensors="pt").to(device)
            pixels = inputs.pop("pixel_values").to(dtype)
            return finished(model.get_image_features(pixel_values=pixels, **inputs))

    def texts(batch: Sequence[Any]) -> Any:
        with torch.inference_mode():
            inputs = tokenizer(
                list(batch),
                padding="max_length" if whole else True,
                max_length=window,
                truncation=True,
                return_tensors="pt",
            ).to(device)
            inputs.pop("token_type_ids", None)
            if whole:  # its published tokenizers give none
                inputs.pop("attention_mask", None)
            return finished(model.get_text_features(**inputs))

    return images, texts


def bare_open_clip(embedder_id: str, settings: Settings) -> tuple[Embed, Embed]:
    """The loop of open_clip's README: its transform image by image, then its model."""
    open_clip = import_module("open_clip")
    torch = import_module("torch")
    from askpix.core.pretrained import pick_device, pick_dtype
    from askpix.retrieval.embedders.open_clip import find_named

    device = pick_device(torch, settings.device)
    named = find_named(open_clip, embedder_id.partition(":")[2])
    family = "clip" if named.pretrained == "openai" else ""
    dtype = pick_dtype(torch, device, settings.precision, family=family)
    precision = {torch.bfloat16: "pure_bf16", torch.float16: "pure_fp16"}.get(dtype, "fp32")
    model, _, transform = open_clip.create_model_and_transforms(
        named.model, pretrained=named.pretrained, precision=precision, device=device, **named.options
    )
    tokenizer = open_clip.get_tokenizer(named.tokenizer or named.model)
    model.eval()

    def finished(rows: Any) -> Any:
        rows = rows.float()
        return (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()

    def images(batch: Sequence[Any]) -> Any:
        with torch.inference_mode():
            pixels = torch.stack([transform(image) for image in batch]).to(device, dtype)
            return finished(model.encode_image(pixels))

    def texts(batch: Sequence[Any]) -> Any:
        with torch.inference_mode():
            return finished(model.encode_text(tokenizer(list(batch)).to(device)))

    return images, texts


def save_random(folder: Path, kind: str) -> str:
    """A model of real size with random weights in ``folder``; its embedder id. Speed does not see weights.

    ``vit-b-32`` and ``vit-l-14`` are open_clip's, ``siglip-b-16`` is SigLIP B/16 in transformers (small
    tokenizer).
    """
    if kind not in RANDOM:
        raise BadQueryError(f"no random model {kind!r}; there are: {', '.join(RANDOM)}")
    try:
        check_torchvision()
        open_clip = import_module("open_clip")
        transformers = import_module("transformers")
        import tokenizers
        from safetensors.torch import save_file
    except ImportError as error:
        raise ModelUnavailableError(f"{kind!r} needs torch; pip install 'askpix[torch]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    if kind in _OPEN_CLIP:
        config = open_clip.get_model_config(_OPEN_CLIP[kind])
        model = open_clip.CLIP(**config)
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights, str(folder / "open_clip_model.safetensors"))
        return f"open_clip:{folder}"
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *_WORDS])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    marks = {"pad_token": "<pad>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **marks).save_pretrained(folder)
    transformers.logging.disable_progress_bar()
    transformers.SiglipImageProcessorPil(size={"height": 224, "width": 224}).save_pretrained(folder)
    transformers.SiglipModel(transformers.SiglipConfig()).save_pretrained(folder)
    return f"transformers:{folder}"
