"""Proofs that models work, kept in the home: by the weights that were tried, for this version of Askpix."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from askpix.core.errors import AskpixError
from askpix.core.files import written_whole
from askpix.core.log import tolerated
from askpix.retrieval.embedders.base import EMBEDDERS

Role = Literal["embedder", "text embedder", "page embedder", "reranker", "generator"]

_log = logging.getLogger(__name__)
_GENERATOR_DAYS = 30
"""Models behind a name change; other ids name one set of weights for ever."""
_MAX_FILES = 10_000
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Proof:
    """Result of trying a model on the sample images."""

    model_id: str
    """Id as it was given."""
    role: Role
    passed: bool
    found: str
    """Result for a person, with the figures."""
    bar: str
    """Bar that it had to reach."""
    checked_at: int
    """Seconds since 1970."""
    key: str
    """Key of the weights: an id with a commit or a fingerprint."""

    def __str__(self) -> str:
        return self.found if self.passed else f"{self.found}; expected {self.bar}"


class Proofs:
    """The proofs of one home, passed and failed."""

    def __init__(self, home: Path) -> None:
        self._path = home / "proofs.json"

    def kept(self, role: Role, model_id: str) -> Proof | None:
        """Return the last proof of these weights; None where they were not tried, or by another version."""
        named = [proof for proof in self.all() if proof.role == role and _is_of(proof, model_id)]
        if not named:
            return None  # what pins a name may have to import its library first
        key = weights_key(role, model_id)
        found = [proof for proof in named if _names(key, proof.key)]
        return max(found, key=lambda proof: proof.checked_at, default=None)

    def all(self) -> list[Proof]:
        """Return every proof that still holds."""
        return list(_proofs(self._rows()))

    def keep(self, proof: Proof) -> None:
        """Keep a proof in place of an earlier one; a home that cannot be written keeps none."""
        self._write({**self._rows(), f"{proof.role} {proof.key}": _row(proof)})

    def forget(self, model_id: str | None = None) -> int:
        """Drop the proofs of a model, in whatever role, or all of them; return how many."""
        kept = self.all()
        left = [proof for proof in kept if model_id is not None and not _is_of(proof, model_id)]
        self._write({f"{proof.role} {proof.key}": _row(proof) for proof in left})
        return len(kept) - len(left)

    def _rows(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                held = json.loads(file.read(_MAX_BYTES))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}

    def _write(self, rows: dict[str, Any]) -> None:
        with tolerated(_log, "the proof of a model is not kept", OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._path) as draft:
                draft.write_text(json.dumps(rows, indent=1), "utf-8")


def weights_key(role: Role, model_id: str) -> str:
    """Return what names the weights that ``model_id`` loads now; the id itself where it is not told by files
    of this machine."""
    if role == "embedder":
        try:
            kind, reference = EMBEDDERS.resolve(model_id)
            return kind.pin(reference) if kind.pin is not None and not kind.missing() else model_id
        except AskpixError:
            return model_id
    folder = Path(model_id.partition(":")[2]).expanduser()
    return f"{model_id}#{_stamp(folder)}" if folder.is_absolute() and folder.is_dir() else model_id


def _stamp(folder: Path) -> str:
    """Return 12 hexadecimal digits that change with the files of a model: names, sizes and times."""
    digest = hashlib.sha256()
    with tolerated(_log, "a model's files cannot be looked at", OSError):
        for file in _files(folder):
            told = file.stat()
            digest.update(f"{file.relative_to(folder)} {told.st_size} {told.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _files(folder: Path) -> list[Path]:
    found = [path for _, path in zip(range(_MAX_FILES), folder.rglob("*"), strict=False) if path.is_file()]
    return sorted(found)


def _proofs(rows: dict[str, Any]) -> Iterator[Proof]:
    now = time.time()
    ours = version("askpix")
    for row in rows.values():
        if not isinstance(row, dict) or row.get("askpix") != ours:
            continue
        try:
            proof = Proof(**{name: row[name] for name in Proof.__slots__})
            aged = proof.role == "generator" and now - proof.checked_at > _GENERATOR_DAYS * 86_400
        except (KeyError, TypeError):
            continue
        if not aged:
            yield proof


def _row(proof: Proof) -> dict[str, Any]:
    return {**asdict(proof), "askpix": version("askpix")}


def _is_of(proof: Proof, model_id: str) -> bool:
    """Return whether a person who writes ``model_id`` may mean the weights of the proof."""
    return model_id == proof.model_id or _names(model_id, proof.key)


def _names(model_id: str, key: str) -> bool:
    """Return whether an id is a key, or the same without commit, fingerprint or precision."""
    return key == model_id or key.startswith(tuple(f"{model_id}{mark}" for mark in "@#+"))
