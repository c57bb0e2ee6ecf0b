"""The models of this version: what each is for, what it weighs, and whether it runs here and now."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

from askpix.api.models.auto_select import hub_reachable
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.generation.generators.base import GENERATORS, GeneratorKind, GeneratorOptions
from askpix.retrieval.embedders.base import EMBEDDERS, EmbedderKind
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import K, Kind, KindRegistry, ModelFact, Score, model_facts
from askpix.retrieval.onnx.mini import DIM
from askpix.retrieval.weights import size_of

_NAMED = {
    "embedder": "as --embedder",
    "page embedder": "as --page-embedder",
    "text embedder": "in ASKPIX_TEXT_EMBEDDER",
    "reranker": "as --rerank",
    "generator": "as --generator",
}

Role = Literal["embedder", "text embedder", "page embedder", "reranker", "reader", "generator"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A row of ``askpix models``. ``reason`` says why an unusable one is unusable."""

    id: str
    role: Role
    usable: bool
    reason: str | None
    dim: int | None
    megabytes: float | None
    licence: str
    languages: str
    notes: str
    weak: tuple[str, ...] = ()
    """Languages among those it has that it serves badly (ISO 639-1)."""
    scores: tuple[Score, ...] = ()
    """As published, in percent, each with its source."""


def _why_not(load: Callable[[], object]) -> str | None:
    """None when ``load`` works, else what it said."""
    try:
        load()
    except AskpixError as error:
        return str(error)
    return None


def list_models(workspace: Workspace) -> list[ModelInfo]:
    """Return the models that ship, each really loaded to see whether it works."""
    text = _why_not(lambda: workspace.text_embedder)
    reader = _why_not(lambda: workspace.reader)
    minilm = ModelFact(
        id="all-MiniLM-L6-v2",
        role="text embedder",
        dim=DIM,
        bytes=size_of("minilm"),
        licence="Apache-2.0",
        languages=("en",),
        notes="ships with Askpix: meaning of the words read in pictures",
    )
    rapidocr = ModelFact(
        id="rapidocr" if reader else workspace.reader.engine_id,
        role="reader",
        licence="Apache-2.0",
        languages=("English", "Chinese", "Japanese and Latin-script languages"),
        notes="reads the words in pictures, with a box for each line",
    )
    return [
        *(_row(fact, _why_not(partial(workspace.embedder, fact.id))) for fact in _shipped(EMBEDDERS)),
        _row(minilm, text),
        _row(rapidocr, reader),
        *(_row(fact, text) for fact in _shipped(GENERATORS)),
    ]


def known_generators(options: GeneratorOptions) -> list[ModelInfo]:
    """Return the generators that do not ship: in this process, on servers of this machine, and hosted ones.

    None of them is loaded or asked anything; whether it sees is tried when it is first used.
    """
    rows = _others(GENERATORS, "generator")
    for name, kind in GENERATORS.kinds():
        if isinstance(kind, GeneratorKind):
            rows += [
                _row(fact, kind.missing() or kind.unset(options) or _away(fact)) for fact in _beyond(kind)
            ]
            listed = {row.id for row in rows}
            rows += [
                _row(_stand_in(model_id, "generator", "on a server of this machine"), kind.missing())
                for model_id in (f"{name}:{reference}" for reference in kind.found(options))
                if model_id not in listed
            ]
    return rows


def own_rerankers() -> list[ModelInfo]:
    """Return the rerankers that need no weights of their own."""
    told = {
        "pages": "the patches that a collection's page embedder stored, compared again (--rerank)",
        "generator[:ID]": "a generator marks each hit from 0 to 10; any but extractive (--rerank)",
    }
    return [_row(_stand_in(name, "reranker", notes), None) for name, notes in told.items()]


def published_models() -> list[ModelInfo]:
    """Return the known embedders and rerankers that do not ship, and why not where unusable.

    None of them is loaded. The hub is asked for a connection when that is what an answer depends on.
    """
    kinds = {name: kind for name, kind in EMBEDDERS.kinds() if isinstance(kind, EmbedderKind)}
    facts = [fact for kind in kinds.values() for fact in _beyond(kind)]
    facts += [fact for fact in model_facts() if fact.role not in ("embedder", "generator")]
    offline = hub_reachable() if not all(weights_here(fact.repo) for fact in facts) else None
    rows = [
        _row(
            fact, "; ".join(filter(None, [kinds[fact.id.partition(":")[0]].missing(), _away(fact, offline)]))
        )
        for fact in facts
    ]
    return [*rows, *_others(EMBEDDERS, "embedder")]


def _shipped(registry: KindRegistry[K]) -> Iterator[ModelFact]:
    """Yield the models that are named by their kind alone: nothing is fetched for them."""
    for _, kind in registry.kinds():
        if not isinstance(kind, AskpixError) and not kind.reference:
            yield from kind.facts()


def _beyond(kind: Kind) -> Sequence[ModelFact]:
    return kind.facts() if kind.reference else ()


def _others(registry: KindRegistry[K], role: Role) -> list[ModelInfo]:
    """Return a row for each kind of which no model is known, and for each plug-in that is broken."""
    return [
        _row(_stand_in(name, role, "a plug-in"), str(kind))
        if isinstance(kind, AskpixError)
        else _row(_stand_in(f"{name}:{kind.reference}", role, "named by its reference"), kind.missing())
        for name, kind in registry.kinds()
        if isinstance(kind, AskpixError) or not kind.facts()
    ]


def _stand_in(model_id: str, role: str, notes: str) -> ModelFact:
    return ModelFact(id=model_id, role=role, licence="its own", languages=("*",), notes=notes)


def _away(fact: ModelFact, offline: str | None = None) -> str | None:
    """Return why the weights of a published model are not here; None when they are."""
    if not fact.repo or weights_here(fact.repo):
        return None
    lacking = "its weights are not on this machine"
    return f"{lacking} ({offline})" if offline else f"{lacking}: naming it {_NAMED[fact.role]} fetches them"


def _row(fact: ModelFact, reason: str | None) -> ModelInfo:
    languages = "many" if "*" in fact.languages else ", ".join(fact.languages)
    return ModelInfo(
        id=fact.id,
        role=cast(Role, fact.role),
        usable=not reason,
        reason=reason or None,
        dim=fact.dim,
        megabytes=fact.megabytes,
        licence=fact.licence,
        languages="English" if fact.languages == ("en",) else languages,
        notes=fact.notes,
        weak=fact.weak,
        scores=fact.scores,
    )
