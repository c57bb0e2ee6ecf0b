"""Models of Hugging Face transformers: a directory or a hub repository, loaded without running its code.

Says where a model runs, in which precision, and what a person reads when it cannot be had. Code from a hub is
never run (``trust_remote_code`` is off), and no pickle is read but with ``weights_only``.
"""

import pickle
import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from askpix.core.errors import ModelUnavailableError

_REPO = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_HALF = frozenset({"clip", "chinese_clip", "bert", "xlm-roberta"})
"""Trained in float16, or published for it. Others exceed its 65,504 and give NaN (Gemma above all:
huggingface/transformers#36822)."""

_NO_CLASS = ("trust_remote_code", "does not recognize this architecture")
"""Parts of the errors of transformers for a model that it has no class for: advice to run its code, for
one.
"""


def import_torch(what: str) -> tuple[Any, Any]:
    """``(torch, transformers)``, quiet; ``what`` needs them. Raises ``ModelUnavailableError``."""
    try:
        torch = import_module("torch")
        transformers = import_module("transformers")
    except ImportError as error:
        raise ModelUnavailableError(
            f"{what} needs PyTorch and transformers; pip install 'askpix[torch]'"
        ) from error
    check_torchvision()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return torch, transformers


def check_torchvision() -> None:
    """Raises ``ModelUnavailableError`` when torchvision was built for another torch: it fails at import."""
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"torchvision does not fit the installed torch ({str(error)[:80]}); install both from one index: "
            "https://pytorch.org/get-started"
        ) from error


def pick_device(torch: Any, wanted: str = "auto") -> str:
    """``cuda``, ``mps`` or ``cpu``: the one named, or the best there is. Raises ``ModelUnavailableError``."""
    there = [
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
        "cpu",
    ]
    if wanted == "auto":
        return there[0]
    if wanted.split(":", maxsplit=1)[0] not in there:
        raise ModelUnavailableError(f"no device {wanted!r} on this machine; there is: {', '.join(there)}")
    return wanted


def pick_dtype(torch: Any, device: str, wanted: str = "auto", *, family: str = "") -> Any:
    """The precision named, or the usual one: bfloat16 where a GPU has it, float32 on a CPU.

    On a GPU without it ``family``, a model type of transformers, says whether float16 is safe.
    """
    usual = "bfloat16" if _has_bfloat16(torch, device) else "float16" if family in _HALF else "float32"
    usual = "float32" if device == "cpu" else usual
    names = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "auto": usual}
    name = names.get(wanted, wanted)
    if name not in ("bfloat16", "float16", "float32"):
        raise ModelUnavailableError(f"no precision {wanted!r}; there are bf16, fp16 and fp32")
    return getattr(torch, name)


def _has_bfloat16(torch: Any, device: str) -> bool:
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.startswith("mps") and bool(torch.backends.mps.is_macos_or_newer(14, 0))


def from_pretrained(load: Callable[..., Any], reference: str, **options: Any) -> Any:
    """``load`` (a ``from_pretrained``) on a directory or ``OWNER/NAME[@REVISION]``.

    Raises ``ModelUnavailableError`` when there is no such directory or repository, it cannot be reached, or
    it holds something else.
    """
    folder = Path(reference).expanduser()
    if folder.is_dir():
        name = str(folder)
        revision = None
    elif _REPO.fullmatch(reference):
        name, _, tag = reference.partition("@")
        revision = tag or None
    else:
        raise ModelUnavailableError(f"{reference!r} is neither a directory nor a hub repository OWNER/NAME")
    try:
        return load(name, revision=revision, trust_remote_code=False, **options)
    except _failures() as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, ImportError):
            raise ModelUnavailableError(
                f"{reference!r} needs a package that is not installed ({reason.partition('. ')[0]}); "
                "pip install 'askpix[torch]'"
            ) from error
        if any(words in str(error) for words in _NO_CLASS):
            raise ModelUnavailableError(
                f"{reference!r} needs code that comes with it, which Askpix never runs, or a newer "
                "transformers; take a model that this one has a class for"
            ) from error
        where = "" if folder.is_dir() else "; without a connection name a directory that holds it"
        raise ModelUnavailableError(f"cannot load {reference!r}: {reason}{where}") from error


def load_model(
    load: Callable[..., Any], reference: str, *, device: str, dtype: Any, packed: Any = None, **more: Any
) -> Any:
    """A model for inference on ``device``. Raises ``ModelUnavailableError``, also when weights are missing.

    The library would make missing ones up at random, and say so in a log line. ``packed`` is the library's
    description of how weights become fewer bits as they are loaded; ``more`` goes to ``load`` as it is.
    """
    options = {**more, **({"quantization_config": packed, "device_map": {"": device}} if packed else {})}
    model, told = from_pretrained(
        load, reference, dtype=dtype, weights_only=True, output_loading_info=True, **options
    )
    missing = sorted(told["missing_keys"])
    if missing or told.get("mismatched_keys"):
        raise ModelUnavailableError(
            f"{reference!r} holds no trained weights for {len(missing)} parts of this kind of model "
            f"({', '.join(missing[:2])} ...); it was made for something else"
        )
    return model.eval() if packed else model.eval().to(device)


def _failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that loading a model may raise, whatever its directory holds."""
    broken: tuple[type[Exception], ...] = (
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        RuntimeError,
        ImportError,
        EOFError,
        pickle.UnpicklingError,
    )
    return (*broken, import_module("safetensors").SafetensorError)


def model_type(transformers: Any, reference: str, **more: Any) -> tuple[str, tuple[str, ...]]:
    """Read the model type and the architectures from ``config.json``."""
    config = from_pretrained(transformers.AutoConfig.from_pretrained, reference, **more)
    return str(config.model_type), tuple(getattr(config, "architectures", None) or ())


def check_classes(transformers: Any, reference: str, architectures: tuple[str, ...]) -> None:
    """Raise ``ModelUnavailableError`` for a model whose class the library lacks: it would load another."""
    if own := [each for each in architectures if not hasattr(transformers, each)]:
        raise ModelUnavailableError(
            f"{reference!r} needs code that comes with it ({own[0]}), which Askpix never runs; take a model "
            "that transformers has a class for"
        )
