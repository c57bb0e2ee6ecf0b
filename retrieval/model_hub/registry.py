"""What is known of published embedders, from ``registry.toml``: size, licence, languages, scores."""

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Device = Literal["gpu", "cpu"]


_MANY = re.compile(r"siglip2|i18n|nllb|xlm|mclip|multilingual|worldwide")
"""In the names of open_clip's models that were trained on many languages."""

_MANY_TEXT = re.compile(
    r"multilingual|bge-m3|labse|xlm|jina-embeddings-v3|qwen3-embedding|embeddinggemma|arctic-embed.*v2"
)
"""In the names of sentence embedders that were trained on many languages (their model cards)."""
_ENGLISH_TEXT = re.compile(
    r"^all-minilm|^onnx:.*(all-minilm-l|all-mpnet|bge-\w+-en|/e5-(small|base|large)|gte-\w+-en)"
)


@dataclass(frozen=True, slots=True)
class Score:
    """A published figure in percent, and where it stands."""

    benchmark: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class ModelFact:
    """One published model. ``repo`` is the hub repository with its weights, ``extra`` the pip extra.

    ``role`` is ``embedder``, ``page embedder``, ``text embedder`` or ``reranker``; the last has no ``dim``.
    """

    id: str
    role: str
    dim: int | None
    licence: str
    languages: tuple[str, ...]
    repo: str
    notes: str
    parameters: float | None = None
    """In millions."""
    weak: tuple[str, ...] = ()
    extra: str | None = None
    auto_gpu: int | None = None
    auto_cpu: int | None = None
    scores: tuple[Score, ...] = ()

    @property
    def megabytes(self) -> float | None:
        """Of its weights in float32, as most are published."""
        return None if self.parameters is None else self.parameters * 4.0

    def rank(self, device: Device) -> int | None:
        """Its place in the order of ``auto`` on this device; None = never taken by itself."""
        return self.auto_gpu if device == "gpu" else self.auto_cpu

    def serves(self, wanted: Collection[str]) -> bool:
        """Whether it was trained for all these languages (ISO 639-1) and is not weak in one."""
        return all(serves(self.languages, language) and language not in self.weak for language in wanted)


def serves(languages: Collection[str], language: str) -> bool:
    """Whether ``languages`` has it; ``*`` is all of them."""
    return "*" in languages or language in languages


@cache
def model_facts() -> tuple[ModelFact, ...]:
    """Every model of the file, in its order."""
    text = files("askpix.retrieval.model_hub").joinpath("registry.toml").read_text("utf-8")
    return tuple(_fact(row) for row in tomllib.loads(text)["model"])


@cache
def languages_of(embedder_id: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The languages an embedder serves and those of them it is weak in; None when nothing is known of it.

    A model is known by its id, or by the name of its repository in any other id (another export of it,
    another library); open_clip's by their names. A person's own fine-tuned directory is not known.
    """
    if embedder_id == "mini":
        return ("en",), ()
    kind, _, reference = embedder_id.partition(":")
    for fact in model_facts():
        if embedder_id == fact.id or _name(fact.repo) == _name(reference):
            return fact.languages, fact.weak
    if kind == "open_clip":
        return (("*",) if _MANY.search(reference.lower()) else ("en",)), ()
    return None


def text_languages_of(text_embedder_id: str) -> tuple[str, ...] | None:
    """The languages a text embedder serves, by its name; None when nothing is known of it."""
    name = text_embedder_id.lower()
    if _MANY_TEXT.search(name):
        return ("*",)
    return ("en",) if _ENGLISH_TEXT.search(name) else None


def _name(reference: str) -> str:
    # Ids name one set of weights: a revision behind "@", a checksum behind "#".
    plain = re.split("[@#]", reference.lower(), maxsplit=1)[0]
    name = plain.rstrip("/").rsplit("/", 1)[-1]
    return name.removesuffix("-onnx").removesuffix("-hf")


def _fact(row: dict[str, Any]) -> ModelFact:
    listed = {"languages", "weak"}
    plain: dict[str, Any] = {name: tuple(value) if name in listed else value for name, value in row.items()}
    plain.setdefault("dim", None)
    return ModelFact(**plain | {"scores": tuple(Score(**score) for score in row.get("scores", ()))})
