"""Every model that open_clip knows: OpenAI, LAION, DataComp, DFN, MetaCLIP, SigLIP, MobileCLIP, NLLB-CLIP ...

Names are open_clip's: ``MODEL@PRETRAINED``, ``MODEL@FILE``, ``hf-hub:OWNER/NAME[@REVISION]``,
``local-dir:FOLDER`` or a folder. Preprocessing is open_clip's own transform, its geometry in threads and
the rest on the device (a probe at loading compares the two). Weights are safetensors or read with
``weights_only``.
"""

import contextlib
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import check_torchvision, pick_device, pick_dtype
from askpix.retrieval.embedders.base import EmbedderKind, EmbedderOptions
from askpix.retrieval.embedders.torch_base import Arrays, TorchEmbedder, Towers, likelihood_from, same_pixels
from askpix.retrieval.embedders.torch_runner import Tensors, TorchRunner, on_device, split_precision
from askpix.retrieval.model_hub.download import download, download_one_of
from askpix.retrieval.model_hub.languages import flores_code
from askpix.retrieval.model_hub.registry import published
from askpix.retrieval.model_hub.source import pinned, split_pin

SCHEME = "open_clip"
_HUB = "hf-hub:"
_LOCAL = "local-dir:"
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
)
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)


@dataclass(frozen=True, slots=True)
class Named:
    """Arguments for open_clip, and the id that stands for them."""

    model: str
    model_id: str
    pretrained: str | None = None
    tokenizer: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def load_open_clip_embedder(
    reference: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    local_files_only: bool = False,
) -> TorchEmbedder:
    """The model of that name; see the top of this module, and ``load_transformers_embedder`` for the rest."""
    try:
        torch = import_module("torch")
        check_torchvision()
        library = import_module("open_clip")
    except ImportError as error:
        raise ModelUnavailableError(
            f"{SCHEME}:{reference} needs PyTorch and open_clip; pip install 'askpix[torch]'"
        ) from error
    where = pick_device(torch, device)
    loaded_in, to_int8 = split_precision(precision, where)
    if to_int8:
        # Its blocks look at the type of their weights, which int8 layers do not tell.
        raise ModelUnavailableError(
            "open_clip's models do not run in 'int8'; take precision 'bf16' or 'fp32'"
        )
    named = find_named(library, reference, local_files_only=local_files_only)
    # OpenAI's were trained in float16; some of the others did not train in it (ViT-H/14 of LAION).
    family = "clip" if named.pretrained == "openai" else ""
    dtype = pick_dtype(torch, where, loaded_in, family=family)
    with _translated(reference):
        model = library.create_model(
            named.model,
            pretrained=named.pretrained,
            precision={torch.bfloat16: "pure_bf16", torch.float16: "pure_fp16"}.get(dtype, "fp32"),
            device="cpu",
            require_pretrained=True,
            weights_only=True,
            **named.options,
        )
        tokenizer = library.get_tokenizer(named.tokenizer or named.model)
        preprocessing = library.transform.PreprocessCfg(**model.visual.preprocess_cfg)
        transform = library.transform.image_transform_v2(preprocessing, is_train=False)
    likelihood = likelihood_from(model)
    model = on_device(torch, model, where)
    picture, floats = _pictures(torch, transform, where)
    encode = torch.compile(model.encode_image) if compiled else model.encode_image
    side = preprocessing.size
    return TorchEmbedder(
        TorchRunner(torch, device=where, dtype=dtype),
        Towers(
            picture,
            lambda pixels: encode(floats(pixels).to(dtype)),
            _tokens(torch, tokenizer),
            model.encode_text,
        ),
        model_id=named.model_id,
        image_side=side if isinstance(side, int) else max(side),
        likelihood=likelihood,
    )


def _tokens(torch: Any, tokenizer: Any) -> Callable[[list[str]], Tensors]:
    """Texts by the model's own tokenizer. NLLB's wants to be told each text's language, and NLLB-CLIP reads
    its features off that very token (Visheratin 2023); it would take all for English otherwise."""
    inner: Any = getattr(tokenizer, "tokenizer", None)
    if not (callable(getattr(tokenizer, "set_lang_fn", None)) and hasattr(inner, "src_lang")):
        return lambda texts: {"text": tokenizer(texts)}

    def by_language(texts: list[str]) -> Tensors:
        rows = []
        for text in texts:
            # The library's own set_language is undone at each call by transformers 5.
            inner.src_lang = flores_code(text)
            rows.append(tokenizer([text]))
        return {"text": torch.cat(rows)}

    return by_language


def find_named(library: Any, reference: str, *, local_files_only: bool = False) -> Named:
    """Resolve the reference to its files here, pinned. Raises ``ModelUnavailableError``."""
    if reference.startswith(_HUB):
        return _of_hub(library, reference, local_files_only=local_files_only)
    name, _ = split_pin(reference)
    folder = Path(name.removeprefix(_LOCAL)).expanduser()
    if reference.startswith(_LOCAL) or folder.is_dir():
        return _of_folder(library, reference, folder)
    model, _, weights = name.partition("@")
    if model.replace("/", "-") not in library.list_models():
        raise ModelUnavailableError(
            f"open_clip knows no model {model!r} and there is no such folder; `open_clip.list_models()` in "
            "Python lists them, and hf-hub:OWNER/NAME names one on the hub"
        )
    tags = library.list_pretrained_tags_by_model(model.replace("/", "-"))
    if weights in tags:
        return _of_tag(library, reference, model, weights, local_files_only=local_files_only)
    file = Path(weights).expanduser()
    if not weights or not file.is_file():
        known = ", ".join(tags[:6]) + (" ..." if len(tags) > 6 else "")
        raise ModelUnavailableError(
            f"{reference!r} names no weights; write {SCHEME}:{model}@TAG_OR_FILE, with a tag of: "
            f"{known or 'none'}"
        )
    source = pinned(file_reference(reference), file)
    options = {"force_preprocess_cfg": agreed_preprocessing(library, model, tags)}
    return Named(model, f"{SCHEME}:{model}@{source.name}", str(file), options=options)


def file_reference(reference: str) -> str:
    """The part of ``MODEL@FILE[#PIN]`` behind the model."""
    return reference.partition("@")[2]


def agreed_preprocessing(library: Any, model: str, tags: list[str]) -> dict[str, Any]:
    """Return the preprocessing on which all published weights of this architecture agree; empty where they
    differ.

    A file brings no preprocessing, and open_clip would take OpenAI's, also for SigLIP and MobileCLIP.
    """
    names = {f.name for f in fields(library.transform.PreprocessCfg)} - {"size"}
    each = []
    for tag in tags:
        config = library.get_pretrained_cfg(model.replace("/", "-"), tag)
        each.append({k: v for k, v in config.items() if k in names and v is not None})
    return each[0] if each and all(other == each[0] for other in each) else {}


def _of_tag(library: Any, reference: str, model: str, tag: str, *, local_files_only: bool) -> Named:
    config = library.get_pretrained_cfg(model.replace("/", "-"), tag)
    offline = local_files_only or import_module("huggingface_hub").constants.HF_HUB_OFFLINE
    cached = Path("~/.cache/clip").expanduser() / Path(str(config.get("url", ""))).name
    if offline and not config.get("hf_hub") and not cached.is_file():
        raise ModelUnavailableError(
            f"{reference!r} was not downloaded before; connect, or name a file: {SCHEME}:{model}@FILE"
        )
    repository = str(config.get("hf_hub") or "").rstrip("/")
    if (
        repository.count("/") == 1
    ):  # resumed, and with its errors told; the library then finds it in the cache
        download_one_of(repository, _WEIGHTS, local_files_only=local_files_only)
    try:
        with _quiet():
            file = Path(library.download_pretrained(config))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailableError(
            f"cannot get the weights of {reference!r} and they were not downloaded before; connect, or name "
            f"a file: {SCHEME}:{model}@FILE"
        ) from error
    _, pin = split_pin(reference)
    source = pinned(f"{file}#{pin}" if pin else str(file), file)
    # Trained with QuickGELU and run with GELU a model is silently worse; open_clip only warns.
    options = {"force_quick_gelu": bool(config.get("quick_gelu"))}
    return Named(model, f"{SCHEME}:{model}@{tag}#{source.name[-12:]}", tag, options=options)


def _of_hub(library: Any, reference: str, *, local_files_only: bool) -> Named:
    repository = reference.removeprefix(_HUB)
    folder = download(repository, ["*.json", "*.txt", "*.model"], local_files_only=local_files_only)
    if not (folder / "open_clip_config.json").is_file():
        raise ModelUnavailableError(f"{repository!r} is no open_clip model: it has no open_clip_config.json")
    if download_one_of(repository, _WEIGHTS, local_files_only=local_files_only) is None:
        raise ModelUnavailableError(f"{repository!r} has no weights that open_clip reads")
    _refuse_code(library, f"{_LOCAL}{folder}", reference)
    own = any((folder / name).is_file() for name in _TOKENIZERS)
    name = repository.partition("@")[0]
    return Named(
        f"{_LOCAL}{folder}",
        f"{SCHEME}:{_HUB}{name}@{folder.name}",
        tokenizer=None if own else f"{_HUB}{name}",
    )


def _of_folder(library: Any, reference: str, folder: Path) -> Named:
    if not (folder / "open_clip_config.json").is_file():
        raise ModelUnavailableError(
            f"no open_clip model in {str(folder)!r}: there is no open_clip_config.json"
        )
    source = pinned(reference.removeprefix(_LOCAL), folder)
    _refuse_code(library, f"{_LOCAL}{folder}", reference)
    return Named(f"{_LOCAL}{folder}", f"{SCHEME}:{_LOCAL}{source.name}")


def _refuse_code(library: Any, model: str, reference: str) -> None:
    """A configuration may ask for a tokenizer that brings its own code."""
    with _translated(reference):
        options = library.get_model_config(model)["text_cfg"].get("tokenizer_kwargs") or {}
    if options.get("trust_remote_code"):
        raise ModelUnavailableError(f"{reference!r} wants to run code of its own, which Askpix never does")


def _pictures(
    torch: Any, transform: Any, device: str
) -> tuple[Callable[[Image.Image], Arrays], Callable[[Any], Any]]:
    """Return the preprocessing of one image, and the rest of it on the device."""
    *geometry, _, normalize = transform.transforms

    def as_bytes(image: Image.Image) -> Arrays:
        for step in geometry:
            image = step(image)
        return {"pixels": np.asarray(image)}

    mean, std = (
        torch.tensor(v, dtype=torch.float32, device=device).reshape(-1, 1, 1)
        for v in (normalize.mean, normalize.std)
    )

    def floats(pixels: Any) -> Any:
        return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std

    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    probe = Image.fromarray(noise)
    ours = floats(torch.from_numpy(as_bytes(probe)["pixels"][None].copy()).to(device))[0].cpu().numpy()
    if same_pixels(ours, transform(probe).numpy()):
        return as_bytes, floats
    return (lambda image: {"pixels": transform(image).numpy()}), lambda pixels: pixels.float()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """open_clip tells of its steps and failures through the root logger; what matters is raised too."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _translated(reference: str) -> Iterator[None]:
    """Turn what open_clip and torch raise at broken files into one line."""
    safetensors = import_module("safetensors")
    try:
        with _quiet():
            yield
    except pickle.UnpicklingError as error:
        raise ModelUnavailableError(
            f"{reference!r} is a pickle that holds more than weights and is not read: it could run code; "
            "take a safetensors file"
        ) from error
    except (
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        RuntimeError,
        ImportError,
        EOFError,
        StopIteration,
        AssertionError,
        safetensors.SafetensorError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelUnavailableError(f"cannot load {reference!r}: {reason}") from error


def _load(reference: str, options: EmbedderOptions) -> TorchEmbedder:
    return load_open_clip_embedder(
        reference, device=options.device, precision=options.precision, compiled=options.compiled
    )


KIND = EmbedderKind(
    reference="MODEL@PRETRAINED_OR_FILE",
    modules=("torch", "open_clip"),
    install="pip install 'askpix[torch]'",
    load=_load,
    pin=lambda name: find_named(import_module("open_clip"), name, local_files_only=True).model_id,
    facts=partial(published, SCHEME),
)
