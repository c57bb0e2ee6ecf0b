"""The weights that ship with Askpix; MANIFEST.json has source, licence and SHA-256 of each file."""

import json
from pathlib import Path
from typing import Any

from askpix.core.errors import ModelUnavailableError

FOLDER = Path(__file__).resolve().parent


def manifest(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """File name -> ``{"model", "bytes", "sha256", "sources", "licence"}``."""
    try:
        files: dict[str, dict[str, Any]] = json.loads((folder / "MANIFEST.json").read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError("the weights' MANIFEST.json is damaged; reinstall Askpix") from error
    return files


def weight_file(name: str, folder: Path = FOLDER) -> Path:
    """Path of a weights file, whole: its size is checked. Raises ``ModelUnavailableError``."""
    path = folder / name
    entry = manifest(folder).get(name)
    size = path.stat().st_size if path.is_file() else None
    if entry is None or size != entry["bytes"]:
        raise ModelUnavailableError(f"weights file {name!r} is missing or incomplete; reinstall Askpix")
    return path


def class_names() -> list[str]:
    """Names of the 1,000 classes of ImageNet-1k, in the classifier's order (CLIP's curated names)."""
    return (FOLDER / "imagenet_classes.txt").read_text("utf-8").splitlines()


def size_of(model: str) -> int:
    """Return the bytes of a model's files."""
    return sum(int(entry["bytes"]) for entry in manifest().values() if entry["model"] == model)
