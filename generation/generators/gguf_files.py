"""GGUF files: which of a folder or hub repository are a model and its image projector, and what they need.

A repository holds one model in several quantisations, a large one in parts (``-00001-of-00003``), and its
projector (``mmproj``) beside it, by the names that llama.cpp's converters give. What a header says is read
here with bounds: files come from anybody.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import IO, Any

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.model_hub.download import download, list_files

DEFAULT_QUANT = "Q4_K_M"
_QUANT = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:I?Q[1-8](?:_[A-Z0-9]+)*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|F16|F32|INT4|INT8))"
    r"(?=[-._]|$)",
    re.IGNORECASE,
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
_NO_MODEL = re.compile(r"imatrix|ggml-vocab|(^|[-._])(mtp|draft|vocab)([-._]|$)", re.IGNORECASE)
_SPLIT = re.compile(r"(?P<name>.+):(?P<quant>[\w.-]+)")
_PROJECTOR_ORDER = ("F16", "Q8_0", "BF16", "F32")
"""Half precision is what most are published in; older machines compute bfloat16 slowly."""
_FULL = 16
_LOW = 4
_DEEP = 2
_MAX_FILES = 2_000
"""Folders below the one named, and files in them, that are looked at."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model in one quantisation, with its projector: names in a repository or paths below a folder."""

    model: tuple[str, ...]
    projector: str
    bytes: int
    quant: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Return every file, the first part of the model first."""
        return (*self.model, self.projector)


@dataclass(frozen=True, slots=True)
class Located:
    """Files on this machine, and what an id calls them."""

    model: Path
    projector: Path
    bytes: int
    name: str


def split_quant(reference: str) -> tuple[str, str | None]:
    """Return ``(REPO_OR_DIR, QUANT)`` of ``REPO_OR_DIR[:QUANT]``; a colon may also be a drive's."""
    match = _SPLIT.fullmatch(reference)
    if match is None or Path(reference).expanduser().exists():
        return reference, None
    return match["name"], match["quant"]


def locate(reference: str, *, memory: int | None, local_files_only: bool = False) -> Located:
    """Return the files that ``REPO_OR_DIR[:QUANT]`` names, downloaded where they are not here.

    Raises ``ModelUnavailableError``, before anything is downloaded where the names and sizes tell: no model
    or no projector, a quantisation that is not there, more bytes than ``memory``.
    """
    name, quant = split_quant(reference)
    path = Path(name).expanduser()
    if path.is_dir() or path.is_file():
        folder, sizes = (path, _sizes(path)) if path.is_dir() else (path.parent, _sizes(path.parent))
        only = path.name if path.is_file() else None
        chosen = choose_files(sizes, quant, memory=memory, of=reference, only=only)
        ending = f":{chosen.quant}" if chosen.quant and only is None else ""
        called = f"{path.resolve()}{ending}"
    else:
        listing = list_files(name, local_files_only=local_files_only)
        chosen = choose_files(
            {file.name: file.size for file in listing.files}, quant, memory=memory, of=reference
        )
        pinned = f"{name.partition('@')[0]}@{listing.commit}"
        folder = download(pinned, list(chosen.names), local_files_only=local_files_only)
        called = f"{pinned}:{chosen.quant}" if chosen.quant else pinned
    return Located(folder / chosen.model[0], folder / chosen.projector, chosen.bytes, called)


def choose_files(
    sizes: Mapping[str, int], quant: str | None, *, memory: int | None, of: str, only: str | None = None
) -> ModelFiles:
    """Return the model in ``quant``, else in the one that suits best, and its projector, among files by size.

    Without ``quant`` it is Q4_K_M, else the smallest of at least four bits that fits the memory, then more
    bits, then fewer. ``only`` is the one model file that was named. Raises ``ModelUnavailableError``.
    """
    names = [name for name in sizes if name.lower().endswith(".gguf")]
    projectors = [name for name in names if _PROJECTOR.search(_file_name(name))]
    models = _models([name for name in names if name not in projectors and not _NO_MODEL.search(name)])
    if only is not None:
        models = {key: parts for key, parts in models.items() if only in (_file_name(p) for p in parts)}
    if not models:
        raise ModelUnavailableError(f"{of!r} holds no model in GGUF; name a repository or folder with *.gguf")
    models = _of_quant(models, quant, of=of) if quant else models
    base = _only_base(models, of)
    if not projectors:
        raise ModelUnavailableError(
            f"{of!r} has no image projector (a file mmproj*.gguf beside the model), so it cannot see images; "
            "add the one that its publisher offers, or name a vision-language model"
        )
    projector = min(projectors, key=lambda name: _projector_place(name, base))
    totals = {key: sum(sizes[part] for part in parts) + sizes[projector] for key, parts in models.items()}
    fitting = [key for key in models if memory is None or totals[key] < memory]
    if not fitting:
        least = min(totals.values())
        raise ModelUnavailableError(
            f"{of!r} needs at least {least / 1e9:.1f} GB of memory and this machine has "
            f"{(memory or 0) / 1e9:.1f} GB; take a smaller model or quantisation (gguf:REPO_OR_DIR:QUANT)"
        )
    key = min(fitting, key=lambda each: _place(quant_of(each), totals[each]))
    return ModelFiles(models[key], projector, totals[key], quant_of(key))


def quant_of(name: str) -> str | None:
    """Return the quantisation in a file's name, in capitals; None where it says none."""
    found = _QUANT.findall(_file_name(name).removesuffix(".gguf"))
    return found[-1].upper() if found else None


def _file_name(name: str) -> str:
    return PurePosixPath(name).name


def _models(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the whole models by name without part numbers, each with its parts in order."""
    models: dict[str, list[str]] = {}
    for name in sorted(names):
        models.setdefault(_PART.sub("", name[: -len(".gguf")]), []).append(name)
    whole = {}
    for key, parts in models.items():
        numbered = [_PART.search(part[: -len(".gguf")]) for part in parts]
        count = next((int(each[2]) for each in numbered if each), 1)
        if len(parts) != count:
            raise ModelUnavailableError(
                f"{key!r} is in {count} parts and {len(parts)} of them are there; get the others too"
            )
        whole[key] = tuple(parts)
    return whole


def _of_quant(models: Mapping[str, tuple[str, ...]], quant: str, *, of: str) -> dict[str, tuple[str, ...]]:
    wanted = quant.upper()
    found = {key: parts for key, parts in models.items() if (quant_of(key) or "") == wanted}
    if not found:
        have = ", ".join(sorted({each for key in models if (each := quant_of(key))})) or "none by name"
        raise ModelUnavailableError(f"{of!r} has no quantisation {quant!r}; it has {have}")
    return found


def _only_base(models: Mapping[str, tuple[str, ...]], of: str) -> str:
    """Return the name that all quantisations share. Raises where the files are of several models."""
    bases = {_QUANT.sub("", _file_name(key)).lower() for key in models}
    if len(bases) > 1:
        listed = ", ".join(sorted(_file_name(parts[0]) for parts in models.values())[:4])
        raise ModelUnavailableError(
            f"{of!r} holds several models ({listed}); name one file of it: gguf:FOLDER/FILE.gguf"
        )
    return bases.pop()


def _projector_place(name: str, base: str) -> tuple[bool, int, str]:
    """Return the rank of a projector among several: the model's own by name first, then by precision."""
    quant = quant_of(name)
    order = _PROJECTOR_ORDER.index(quant) if quant in _PROJECTOR_ORDER else len(_PROJECTOR_ORDER)
    return base not in name.lower(), order, name


def _place(quant: str | None, size: int) -> tuple[int, int]:
    """Return the rank of a quantisation among those that fit, the best first."""
    bits = _bits(quant)
    if quant == DEFAULT_QUANT:
        return 0, 0
    if quant is None or _LOW <= bits < _FULL:
        return 1, size
    return (2, size) if bits >= _FULL else (3, -size)


def _bits(quant: str | None) -> int:
    digits = re.search(r"\d+", quant or "")
    return int(digits[0]) if digits else _FULL


def _sizes(folder: Path) -> dict[str, int]:
    """Return the GGUF files below a folder with their sizes."""
    found: dict[str, int] = {}
    for path in _below(folder, _DEEP):
        if path.suffix.lower() == ".gguf" and path.is_file():
            found[path.relative_to(folder).as_posix()] = path.stat().st_size
        if len(found) >= _MAX_FILES:
            break
    return found


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ModelUnavailableError(f"cannot read {str(folder)!r}: {error.strerror}") from error
    yield from entries
    for entry in entries if depth else ():
        if entry.is_dir():
            yield from _below(entry, depth - 1)


# What a file says of itself: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_FORMATS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING = 8
_ARRAY = 9
_WORDS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_CONTROL = (2, 3)
_DEFINED = 4
_SHORTEST_MARK = 3
_MAX_HEADER = 256 * 2**20
_MAX_ENTRIES = 100_000
_MAX_TENSORS = 100_000
_MAX_KEPT = 4_096
_MAX_NAME = 2**16
_MAX_DIMENSIONS = 8
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2),
}  # fmt: skip
"""Numbers in a block and its bytes, by ggml's number of the type; of others the size is not checked."""


@dataclass(frozen=True, slots=True)
class Header:
    """Plain values of a GGUF file by key, without long lists; of its vocabulary, the marks."""

    values: Mapping[str, Any]
    marks: tuple[str, ...] = ()
    """Tokens that are more than text (``<|im_end|>``), longest first."""

    def number(self, key: str, default: int | None = None) -> int | None:
        """Return a whole number of the file's architecture; of a list, one for each layer, the largest."""
        value = self.values.get(f"{self.values.get('general.architecture')}.{key}")
        if isinstance(value, list):
            value = max((each for each in value if isinstance(each, int)), default=None)
        return value if isinstance(value, int) and value > 0 else default

    @property
    def context(self) -> int | None:
        """Return the tokens it was trained for."""
        return self.number("context_length")

    @property
    def bytes_a_token(self) -> int:
        """Return the most that keys and values of one token take in half precision, over all layers."""
        heads = self.number("attention.head_count", 1) or 1
        width = (self.number("embedding_length", 0) or 0) // heads
        sides = sum(self.number(f"attention.{side}_length", width) or 0 for side in ("key", "value"))
        layers = self.number("block_count", 0) or 0
        held = self.number("attention.head_count_kv", heads) or 0
        # Qwen3.5 and its kin: only each fourth layer keeps what it read.
        layers = -(-layers // (self.number("full_attention_interval", 1) or 1))
        return 2 * layers * held * sides


def _marks(words: Sequence[str], types: Sequence[int]) -> tuple[str, ...]:
    marks = {
        word
        for word, kind in zip(words, types, strict=False)
        if len(word) >= _SHORTEST_MARK and (kind in _CONTROL or (kind == _DEFINED and word.startswith("<|")))
    }
    return tuple(sorted(marks, key=len, reverse=True))


def read_header(path: Path) -> Header:
    """Return what a file says of itself. Raises ``ModelUnavailableError`` where it is none or is cut off."""
    try:
        with path.open("rb") as file:
            return _Reader(file, path).read()
    except OSError as error:
        raise ModelUnavailableError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (EOFError, OverflowError, KeyError) as error:
        raise ModelUnavailableError(f"{str(path)!r} is damaged or cut off; get it again") from error


class _Reader:
    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._size = path.stat().st_size

    def read(self) -> Header:
        if self._bytes(4) != _MAGIC:
            raise ModelUnavailableError(f"{str(self._path)!r} is no GGUF file; get it again")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise ModelUnavailableError(
                f"{str(self._path)!r} is GGUF of version {version}, and 2 and 3 are read; get a newer file"
            )
        tensors = self._number("<Q")
        entries = self._number("<Q")
        if tensors > _MAX_TENSORS or entries > _MAX_ENTRIES:
            raise OverflowError
        values = {}
        for _ in range(entries):
            key = self._string()
            values[key] = self._value(self._number("<I"), key)
        words = values.pop(_WORDS, None)
        types = values.pop(_TYPES, None)
        alignment = values.get("general.alignment")
        self._check_end(tensors, alignment if isinstance(alignment, int) and alignment > 0 else 32)
        return Header(values, _marks(words or [], types or []))

    def _check_end(self, tensors: int, alignment: int) -> None:
        """Raise where the file is shorter than its tensors: a cut projector would be taken without a word."""
        end = 0
        for _ in range(tensors):
            self._string()
            rank = self._number("<I")
            if rank > _MAX_DIMENSIONS:
                raise OverflowError
            count = prod(self._number("<Q") for _ in range(rank))
            numbers, size = _BLOCKS.get(self._number("<I"), (1, 0))
            end = max(end, self._number("<Q") + count // numbers * size)
        if -(-self._file.tell() // alignment) * alignment + end > self._size:
            raise EOFError

    def _value(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_FORMATS[kind])
        inner = self._number("<I")
        count = self._number("<Q")
        if inner == _STRING:
            if key == _WORDS:
                return [self._string() for _ in range(count)]
            for _ in range(count):
                self._skip(self._number("<Q"))
            return None
        form = _FORMATS[inner]
        if count > _MAX_KEPT and key != _TYPES:
            self._skip(count * struct.calcsize(form))
            return None
        data = self._bytes(count * struct.calcsize(form))
        return [value for (value,) in struct.iter_unpack(form, data)]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _string(self) -> str:
        size = self._number("<Q")
        if size > _MAX_NAME:  # a chat template may be longer, and nobody here reads it
            self._skip(size)
            return ""
        return self._bytes(size).decode("utf-8", "replace")

    def _skip(self, size: int) -> None:
        if self._file.seek(size, 1) > min(self._size, _MAX_HEADER):
            raise EOFError

    def _bytes(self, size: int) -> bytes:
        if size > _MAX_HEADER:
            raise EOFError
        data = self._file.read(size)
        if len(data) < size or self._file.tell() > _MAX_HEADER:
            raise EOFError
        return data
