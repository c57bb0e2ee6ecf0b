"""Source of a model's files: a folder, a file or a hub repository, pinned.

An id names one set of weights for ever: ``OWNER/NAME@COMMIT`` for a repository, ``/folder#FINGERPRINT`` for a
folder or file, where the fingerprint is the beginning of a SHA-256 over what the model is made of. A folder
whose files changed since is another model, and is refused.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from askpix.core.errors import IndexMismatchError, ModelUnavailableError
from askpix.retrieval.model_hub.download import download

_REPO = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_PIN = re.compile(r"(?P<name>.+)#(?P<pin>[0-9a-f]{12})")
_DESCRIPTION = ("*.json", "*.txt", "*.model", "*.jinja")
_SAFE = "*.safetensors"
_PARTS = (".safetensors", ".bin", ".pt", ".pth", ".json", ".txt", ".model")
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Source:
    """``path`` is what to load, ``name`` what to call it in an id."""

    path: Path
    name: str


def find_model(reference: str, *, local_files_only: bool = False) -> Source:
    """The folder ``reference`` names, or the hub's copy of a repository ``OWNER/NAME[@REVISION]``.

    What is missing of a repository is downloaded, with a progress bar, resumed where it stopped: safetensors
    where there are any, else the older files. ``HF_HUB_OFFLINE=1`` and ``local_files_only`` take what was
    downloaded before. Raises ``ModelUnavailableError`` where there is nothing and ``IndexMismatchError``
    where a folder is not what its pin says.
    """
    name, _ = split_pin(reference)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return pinned(reference, folder)
    return hub_copy(name, local_files_only=local_files_only)


def find_description(reference: str, *, local_files_only: bool = False) -> Source:
    """The model without its weights, pinned: what shows that it cannot be used before gigabytes come."""
    name, _ = split_pin(reference)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Source(folder, reference)
    return _copied(name, _DESCRIPTION, local_files_only=local_files_only)


def named(reference: str, *, local_files_only: bool = False) -> Source:
    """Find a model like ``find_model``, but name a folder by its own path: for models whose vectors nobody
    keeps.
    """
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return Source(folder, reference)
    return hub_copy(reference, local_files_only=local_files_only)


def hub_copy(name: str, *, local_files_only: bool = False) -> Source:
    """The hub's copy of ``OWNER/NAME[@REVISION]``, pinned; see ``find_model``."""
    copy = _copied(name, (*_DESCRIPTION, _SAFE), local_files_only=local_files_only)
    if not any(copy.path.glob(_SAFE)):
        copy = _copied(name, ("*.bin",), local_files_only=local_files_only)
    return copy


def _copied(name: str, patterns: Sequence[str], *, local_files_only: bool) -> Source:
    if not _REPO.fullmatch(name):
        raise ModelUnavailableError(f"{name!r} is neither a directory nor a hub repository OWNER/NAME")
    copy = download(name, patterns, local_files_only=local_files_only)
    return Source(copy, f"{name.partition('@')[0]}@{copy.name}")


def pinned(reference: str, path: Path) -> Source:
    """A folder or file of this machine under the name that tells it from any other."""
    _, pin = split_pin(reference)
    found = fingerprint(path)
    if pin not in (None, found):
        raise IndexMismatchError(
            f"{str(path)!r} holds another model ({found}) than the collection was made with ({pin}); put the "
            "old files back, or `askpix collections reembed` with this one"
        )
    return Source(path, f"{path.resolve()}#{found}")


def split_pin(reference: str) -> tuple[str, str | None]:
    """``(name, fingerprint)`` of ``NAME[#FINGERPRINT]``."""
    match = _PIN.fullmatch(reference)
    return (match["name"], match["pin"]) if match else (reference, None)


def fingerprint(path: Path) -> str:
    """12 hexadecimal digits over the content of a file, or of the files of a model at the top of a folder."""
    try:
        files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.suffix in _PARTS)
        digest = hashlib.sha256()
        for file in files:
            digest.update(_digest_of(file, named=file != path))
    except OSError as error:
        raise ModelUnavailableError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return digest.hexdigest()[:12]


def _digest_of(file: Path, *, named: bool) -> bytes:
    digest = hashlib.sha256(file.name.encode("utf-8", "surrogateescape") if named else b"")
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.digest()
