"""Kinds of models, and what is known of published ones (``registry.toml``): size, languages, scores."""

import fnmatch
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, TypeVar

from askpix.core.errors import AskpixError, ModelUnavailableError
from askpix.core.registry import Registry

Device = Literal["gpu", "cpu", "weak"]
"""Device that a model would run on; ``weak`` is a CPU too slow or a memory too small for what a usual one
takes.
"""


_LATER = 1000
_LOADED = {
    "transformers": ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors|*.bin"),
    "open_clip": (
        "*.json",
        "*.txt",
        "*.model",
        "open_clip_model.safetensors|open_clip_pytorch_model.safetensors|model.safetensors|"
        "open_clip_pytorch_model.bin",
    ),
}
"""Files that a kind loads of a repository, where the list does not say."""
_AT_WORK = 1.2
_BESIDE_MB = 400
"""Memory that a model takes at work, where nobody measured it: of its files, and beside them."""

_MANY = re.compile(r"siglip2|i18n|nllb|xlm|mclip|multilingual|worldwide")
"""Parts of the names of open_clip's models that were trained on many languages."""

_MANY_TEXT = re.compile(
    r"multilingual|bge-m3|labse|xlm|jina-embeddings-v3|qwen3-embedding|embeddinggemma|arctic-embed.*v2"
)
"""Parts of the names of sentence embedders that were trained on many languages (their model cards)."""
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
    """A known model. ``repo`` is the hub repository with its weights; empty: its kind brings them.

    ``role`` is ``embedder``, ``page embedder``, ``text embedder``, ``reranker``, ``reader`` or ``generator``;
    only embedders have a ``dim``.
    """

    id: str
    role: str
    licence: str
    languages: tuple[str, ...]
    notes: str
    name: str = ""
    """Short, as in ``askpix models install NAME``; empty: only its id names it."""
    dim: int | None = None
    repo: str = ""
    revision: str = ""
    """The commit that is installed, where one is known."""
    files: tuple[str, ...] = ()
    """Patterns of the files to fetch; empty: those that its kind loads."""
    bytes: int | None = None
    """Bytes of those files, as far as known before the hub is asked."""
    memory_mb: float | None = None
    """Memory that it takes at work, of RAM or of a GPU, in megabytes."""
    weak: tuple[str, ...] = ()
    auto_gpu: int | None = None
    auto_cpu: int | None = None
    auto_weak: int | None = None
    scores: tuple[Score, ...] = ()

    @property
    def megabytes(self) -> float | None:
        """Size on disk, in millions of bytes."""
        return None if self.bytes is None else self.bytes / 1e6

    @property
    def non_commercial(self) -> bool:
        """True if its licence keeps it from businesses."""
        return "NC" in self.licence or "research only" in self.licence

    def rank(self, device: Device) -> int | None:
        """Return its place in the order of ``auto`` on this device; None = never taken by itself."""
        if device == "gpu":
            return self.auto_gpu
        if device == "weak" and self.auto_weak is not None:
            return self.auto_weak
        # What is for a usual CPU is slow on a weak one, and still better than none.
        return None if self.auto_cpu is None else self.auto_cpu + (_LATER if device == "weak" else 0)

    def fits(self, memory_mb: float | None) -> bool:
        """Return whether so much memory is enough for it; yes where either is unknown."""
        return memory_mb is None or self.memory_mb is None or self.memory_mb <= memory_mb

    def serves(self, wanted: Collection[str]) -> bool:
        """Return whether it was trained for all these languages (ISO 639-1) and is not weak in one."""
        return all(serves(self.languages, language) and language not in self.weak for language in wanted)


def published(kind: str, role: str = "embedder") -> list[ModelFact]:
    """Return the models of the file that have this role and are loaded as this kind."""
    return [fact for fact in model_facts() if fact.role == role and fact.id.startswith(f"{kind}:")]


def find_fact(name: str) -> ModelFact | None:
    """Return the model of the file with this short name or id."""
    return next((fact for fact in model_facts() if name in (fact.name, fact.id)), None)


def select_files(fact: ModelFact, names: Sequence[str]) -> list[str]:
    """Return which of a repository's files a model is made of; ``a|b`` takes ``b`` where no ``a`` is."""
    scheme = fact.id.partition(":")[0]
    chosen: dict[str, None] = {}
    for pattern in fact.files or _LOADED.get(scheme, ("*",)):
        for each in pattern.split("|"):
            if found := fnmatch.filter(names, each):
                chosen |= dict.fromkeys(found)
                break
    return list(chosen)


def serves(languages: Collection[str], language: str) -> bool:
    """Return whether ``languages`` has it; ``*`` is all of them."""
    return "*" in languages or language in languages


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of model: what ids ``KIND:REFERENCE`` name, and what opening one needs."""

    role: ClassVar[str] = "model"
    reference: str = ""
    """Reference after the colon, for people (``DIR_OR_REPO``); empty: the id is the kind alone."""
    modules: tuple[str, ...] = ()
    """Top-level modules that must be importable."""
    install: str = ""
    """The command that installs them."""
    facts: Callable[[], Sequence[ModelFact]] = tuple
    """Returns what is known of models of this kind, for ``askpix models`` and ``auto``."""

    def missing(self) -> str | None:
        """Return what has to be installed first, and how; None when all is there."""
        lacking = [name for name in self.modules if find_spec(name) is None]
        return f"needs {' and '.join(lacking)}: {self.install}" if lacking else None

    def check(self, model_id: str) -> None:
        """Raise ``ModelUnavailableError`` where something has to be installed first."""
        if missing := self.missing():
            raise ModelUnavailableError(f"{model_id!r} {missing}")


K = TypeVar("K", bound=Kind)


class KindRegistry(Registry[K]):
    """The kinds of one role, by the name that stands before the colon of an id."""

    def __init__(self, group: str, kind: type[K], builtin: Mapping[str, str]) -> None:
        super().__init__(group, builtin)
        self._kind = kind

    def get(self, name: str) -> K | None:
        """Return the kind called ``name``, or None; ``AskpixError`` for a plug-in that is broken."""
        found = super().get(name)
        if found is None or isinstance(found, self._kind):
            return found
        raise AskpixError(
            f"the plug-in {name!r} ({self.group}) is {type(found).__name__!r}, "
            f"expected {self._kind.__name__!r}; update or uninstall that package"
        )

    def kinds(self) -> Iterator[tuple[str, K | AskpixError]]:
        """Yield every name with its kind, or with what is wrong with it."""
        for name in self.names():
            try:
                kind = self.get(name)
            except AskpixError as error:
                yield name, error
            else:
                assert kind is not None
                yield name, kind

    def resolve(self, model_id: str) -> tuple[K, str]:
        """Return the kind and the reference that ``KIND:REFERENCE`` names.

        Raises ``ModelUnavailableError``, which lists the kinds, and ``AskpixError`` for a broken plug-in.
        """
        name, _, reference = model_id.partition(":")
        kind = self.get(name)
        if kind is not None and bool(reference) == bool(kind.reference):
            return kind, reference
        forms = (
            f"{each}:{found.reference}" if isinstance(found, Kind) and found.reference else each
            for each, found in self.kinds()
        )
        raise ModelUnavailableError(
            f"no {self._kind.role} {model_id!r}; ids are {', '.join(forms)}; "
            "`askpix models` lists what there is"
        )


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
    # Ids name one set of weights: a revision behind "@", a checksum behind "#", a choice behind "+".
    plain = re.split("[@#+]", reference.lower(), maxsplit=1)[0]
    name = plain.rstrip("/").rsplit("/", 1)[-1]
    return name.removesuffix("-onnx").removesuffix("-hf")


def _fact(row: dict[str, Any]) -> ModelFact:
    listed = {"languages", "weak", "files"}
    plain: dict[str, Any] = {name: tuple(value) if name in listed else value for name, value in row.items()}
    if parameters := plain.pop("parameters", None):  # in millions, as most are published
        width = 2 if plain["role"] in ("generator", "reranker") else 4
        plain.setdefault("bytes", round(parameters * width * 1e6))
    if "bytes" in plain:
        plain.setdefault("memory_mb", round(plain["bytes"] / 1e6 * _AT_WORK + _BESIDE_MB))
    return ModelFact(**plain | {"scores": tuple(Score(**score) for score in row.get("scores", ()))})
