"""Layouts of published ONNX exports of CLIP and SigLIP, and which of their precisions to take.

    onnx/vision_model*.onnx + onnx/text_model*.onnx    Xenova, onnx-community (or without the folder)
    visual/model*.onnx + textual/model*.onnx           Immich, with open_clip's preprocess_cfg.json
    onnx/model*.onnx                                   optimum: both towers in one
    onnx/vision_encoder*.onnx + onnx/model*.onnx       EmbeddingGemma 2: the second reads the first's tokens

The ``*`` is the precision: nothing for fp32, ``_fp16``, ``_int8`` ... (``precisions``).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askpix.core.errors import IndexMismatchError, ModelUnavailableError
from askpix.retrieval.model_hub.download import download
from askpix.retrieval.model_hub.source import Source, split_pin
from askpix.retrieval.onnx.precisions import none_of, split_precision, suffixes

_PAIRS = (
    ("onnx/vision_model{}.onnx", "onnx/text_model{}.onnx"),
    ("vision_model{}.onnx", "text_model{}.onnx"),
    ("visual/model{}.onnx", "textual/model{}.onnx"),
    ("visual/{}model.onnx", "textual/{}model.onnx"),
    ("onnx/vision_encoder{}.onnx", "onnx/model{}.onnx"),
    ("onnx/model{}.onnx", "onnx/model{}.onnx"),
    ("model{}.onnx", "model{}.onnx"),
)
_REPO = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_BLOCK = 2**20
_MAX_CONFIG = 2**22
_GEMMA = 256_000
"""Tokens of SigLIP 2's vocabulary; SigLIP has 32,000."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a model. ``vision`` and ``text`` are the same file where both towers are in one."""

    folder: Path
    name: str
    """Name for an id: pinned, with its precision."""
    vision: Path
    text: Path
    precision: str

    def config(self, *names: str) -> dict[str, Any]:
        """The first of these JSON files that is there; an empty object when there is none."""
        for name in names:
            path = self.folder / name
            if path.is_file():
                return read_json(path)
        return {}

    def find(self, *names: str) -> Path | None:
        """The first of these files that is there."""
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)

    def model_config(self) -> Mapping[str, Any]:
        """transformers' ``config.json``, or open_clip's model configuration, wherever it stands."""
        given = self.config("config.json", "open_clip_config.json", "textual/config.json")
        inner = given.get("model_cfg")
        return inner if isinstance(inner, dict) else given

    def text_config(self) -> Mapping[str, Any]:
        """Configuration of the text tower; empty where there is none."""
        config = self.model_config()
        inner = config.get("text_config") or config.get("text_cfg")
        return inner if isinstance(inner, dict) else {}

    def title(self) -> str:
        """Name of the model: its repository or folder, in lower case."""
        plain = re.split("[@#]", self.name.lower(), maxsplit=1)[0]
        return plain.rstrip("/").rsplit("/", 1)[-1]

    def is_siglip(self) -> bool:
        """True if it was trained with the sigmoid loss, by any of the marks that files bear."""
        config = self.model_config()
        if config.get("model_type"):
            return "siglip" in str(config["model_type"]).lower()
        about = self.config("tokenizer_config.json", "textual/tokenizer_config.json")
        vision = config.get("vision_cfg")
        timm = vision.get("timm_model_name", "") if isinstance(vision, dict) else ""
        return (
            config.get("init_logit_bias") is not None
            or "siglip" in str(about.get("tokenizer_class", "")).lower()
            or "siglip" in str(timm).lower()
            or "siglip" in self.title()
        )

    def is_siglip2(self) -> bool:
        """True if it is of the second family, which has Gemma's vocabulary."""
        return self.is_siglip() and (
            self.model_config().get("model_type") == "siglip2"
            or self.text_config().get("vocab_size") == _GEMMA
            or "siglip2" in self.title()
        )


def find_layout(reference: str, *, precision: str, local_files_only: bool = False) -> Layout:
    """The model in a folder, or the hub's copy of ``OWNER/NAME[@REVISION]``; ``+int8`` and the like behind
    it name a precision, else ``precision`` does; see ``precisions`` for what ``auto`` is.

    Raises ``ModelUnavailableError`` (nothing there, no such precision) and ``IndexMismatchError`` (a folder
    whose files are not what its pin says).
    """
    plain, named = split_precision(reference)
    unpinned, pin = split_pin(plain)
    wanted = named or {"bf16": "fp16"}.get(precision, precision)
    folder = Path(unpinned).expanduser()
    if folder.is_dir():
        vision, text, taken = _chosen(folder, wanted, unpinned)
        found = _fingerprint(folder, vision, text)
        if pin not in (None, found):
            raise IndexMismatchError(
                f"{str(folder)!r} holds another model ({found}) than the collection was made with ({pin}); "
                "put the old files back, or `askpix collections reembed` with this one"
            )
        return Layout(folder, f"{folder.resolve()}#{found}+{taken}", vision, text, taken)
    if not _REPO.fullmatch(unpinned):
        raise ModelUnavailableError(f"{unpinned!r} is neither a folder nor a hub repository OWNER/NAME")
    source = _downloaded(unpinned, wanted, local_files_only)
    vision, text, taken = _chosen(source.path, wanted, unpinned)
    return Layout(source.path, f"{source.name}+{taken}", vision, text, taken)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON in a small file. Raises ``ModelUnavailableError``."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailableError(f"cannot read {str(path)!r}: {error}") from error
    if not isinstance(found, dict):
        raise ModelUnavailableError(f"cannot read {str(path)!r}: it holds no JSON object")
    return found


def _candidates(wanted: str) -> Iterator[tuple[str, str, str]]:
    """(precision, vision, text) by name, best first."""
    for precision, suffix in suffixes(wanted):
        for vision, text in _PAIRS:
            # "{}model" is Immich's folder for fp16: visual/fp16/model.onnx.
            inside = f"{precision}/" if "{}model" in vision and suffix else suffix
            yield precision, vision.format(inside), text.format(inside)


def _chosen(folder: Path, wanted: str, name: str) -> tuple[Path, Path, str]:
    for precision, vision, text in _candidates(wanted):
        if (folder / vision).is_file() and (folder / text).is_file():
            return folder / vision, folder / text, precision
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.onnx"))[:8]
    if there:
        raise ModelUnavailableError(f"{none_of(wanted, name)}; it has {', '.join(there)}")
    raise ModelUnavailableError(
        f"{name!r} holds no ONNX export of an image and a text model (onnx/vision_model.onnx and "
        "onnx/text_model.onnx, visual/model.onnx and textual/model.onnx, or onnx/model.onnx) in "
        f"{'full precision; name another: +int8 or +q4' if wanted == 'auto' else wanted}"
    )


def _downloaded(repository: str, wanted: str, local_files_only: bool) -> Source:
    """Configuration first, then the first pair of files that the repository has, with their outside data."""
    small = ["*.json", "*.txt", "visual/*.json", "textual/*.json", "textual/*.txt"]
    copy = download(repository, small, local_files_only=local_files_only)
    pinned = f"{repository.partition('@')[0]}@{copy.name}"  # the branch may move on meanwhile
    for _, vision, text in _candidates(wanted):
        if not (copy / vision).is_file():
            download(pinned, [vision], local_files_only=local_files_only)
        if (copy / vision).is_file():
            rest = [text, f"{vision}_data", f"{text}_data", f"{vision}.data", f"{text}.data"]
            download(pinned, rest, local_files_only=local_files_only)
            break
    return Source(copy, pinned)


def _fingerprint(folder: Path, *models: Path) -> str:
    """12 hexadecimal digits over the models taken, their outside data and every JSON file beside them."""
    outside = [path for model in models for path in model.parent.glob(f"{model.name}*")]
    configs = [path for path in folder.rglob("*.json") if len(path.relative_to(folder).parts) <= 2]
    digest = hashlib.sha256()
    try:
        for path in sorted({*models, *outside, *configs}):
            digest.update(str(path.relative_to(folder)).encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    except OSError as error:
        raise ModelUnavailableError(f"cannot read {str(folder)!r}: {error.strerror}") from error
    return digest.hexdigest()[:12]
