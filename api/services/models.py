"""The models of this version: those in use, the one to install, and whether each runs here and now."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

from askpix.api.models.auto_select import (
    Machine,
    best_embedder,
    hub_reachable,
    this_machine,
    wanted_languages,
)
from askpix.api.models.generators import found_here
from askpix.api.services.install import best_generator
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.generation.generators.base import GENERATORS, GeneratorKind, GeneratorOptions
from askpix.retrieval.embedders.base import EMBEDDERS, EmbedderKind
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import K, Kind, KindRegistry, ModelFact, Score, model_facts
from askpix.retrieval.onnx.mini import DIM, MiniLM
from askpix.retrieval.weights import size_of

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
    """Published scores in percent, each with its source."""
    name: str = ""
    """Short, for ``askpix models install``."""
    memory_mb: float | None = None
    in_use: bool = False
    recommended: bool = False
    command: str | None = None
    """Command that installs it; None for one that is here, or that cannot be installed."""


def survey(workspace: Workspace) -> list[ModelInfo]:
    """Return every model, those in use and the recommended one marked."""
    rows = [
        *list_models(workspace),
        *known_generators(workspace.generator_options),
        *published_models(this_machine(workspace.settings.device)),
        *own_rerankers(),
    ]
    used = in_use(workspace)
    best = recommended(workspace)
    return [
        replace(
            row,
            in_use=any(
                row.role == each.role and (row.role == "reader" or _names(row.id, each.id)) for each in used
            ),
            recommended=best is not None and row.id == best.id,
        )
        for row in rows
    ]


def in_use(workspace: Workspace) -> list[ModelInfo]:
    """Return what a new collection and a question would be given: embedder, text embedder, reader, generator.

    None of them is loaded but the embedder, where ``auto`` has to try it.
    """
    settings = workspace.settings
    embedder = workspace.auto.embedder_id if settings.embedder == "auto" else settings.embedder
    why = workspace.auto.reason if settings.embedder == "auto" else "ASKPIX_EMBEDDER names it"
    text = settings.text_embedder
    generator = settings.generator
    told = "ASKPIX_GENERATOR names it"
    if generator == "auto":
        generator = next(found_here(workspace.generator_options), "extractive")
        told = "it is here; whether it sees is tried at the first question"
        if generator == "extractive":
            told = "no model that sees was found here: it quotes, and explains nothing"
    reading = _minilm() if text == "auto" else _known(text, "text embedder", "ASKPIX_TEXT_EMBEDDER names it")
    chosen = [
        _known(embedder, "embedder", why),
        reading,
        _rapidocr("rapidocr"),
        _known(generator, "generator", told),
    ]
    return [_row(fact, None) for fact in chosen]


def recommended(workspace: Workspace) -> ModelInfo | None:
    """Return the one model that this machine would gain most from; None where it has the best known."""
    settings = workspace.settings
    machine = this_machine(settings.device)
    if settings.embedder == "auto" and (best := best_embedder(settings, machine)):
        now = _fact_of(workspace.auto.embedder_id)
        rivals = [best] if now is None else [now, best]
        if now != best and machine.ranked(rivals, wanted_languages(settings))[0] == best:
            return _row(best, None)
    if settings.generator == "auto" and not any(True for _ in found_here(workspace.generator_options)):
        seeing = best_generator(settings, machine)
        # Without a GPU, torch takes minutes for an answer; what a weak CPU can run is often wrong.
        without_torch = machine.device == "cpu" and seeing is not None and seeing.id.startswith("gguf:")
        return _row(seeing, None) if seeing and (without_torch or machine.device == "gpu") else None
    return None


def _fact_of(model_id: str) -> ModelFact | None:
    """Return what is known of a model, also where its id is pinned."""
    return next((fact for fact in model_facts() if _names(fact.id, model_id)), None)


def _names(model_id: str, loaded: str) -> bool:
    """Return whether ``loaded``, which may be pinned, is the model ``model_id``."""
    return loaded == model_id or loaded.startswith((f"{model_id}@", f"{model_id}#"))


def _known(model_id: str, role: Role, notes: str) -> ModelFact:
    found = _fact_of(model_id)
    shipped = [fact for fact in (*_shipped(EMBEDDERS), *_shipped(GENERATORS)) if fact.id == model_id]
    known = found or next(iter(shipped), None) or _stand_in(model_id, role, notes)
    return replace(known, id=model_id, role=role, notes=notes)


def _why_not(load: Callable[[], object]) -> str | None:
    """Return None when ``load`` works, else its error."""
    try:
        load()
    except AskpixError as error:
        return str(error)
    return None


def list_models(workspace: Workspace) -> list[ModelInfo]:
    """Return the models that ship, each really loaded to see whether it works."""
    text = _why_not(lambda: workspace.text_embedder)
    reader = _why_not(lambda: workspace.reader)
    return [
        *(_row(fact, _why_not(partial(workspace.embedder, fact.id))) for fact in _shipped(EMBEDDERS)),
        _row(_minilm(), text),
        _row(_rapidocr("rapidocr" if reader else workspace.reader.engine_id), reader),
        *(_row(fact, text) for fact in _shipped(GENERATORS)),
    ]


def _minilm() -> ModelFact:
    return ModelFact(
        id=MiniLM.model_id,
        role="text embedder",
        dim=DIM,
        bytes=size_of("minilm"),
        licence="Apache-2.0",
        languages=("en",),
        notes="ships with Askpix: meaning of the words read in images",
    )


def _rapidocr(model_id: str) -> ModelFact:
    return ModelFact(
        id=model_id,
        role="reader",
        licence="Apache-2.0",
        languages=("English", "Chinese", "Japanese and Latin-script languages"),
        notes="reads the words in images, with a box for each line",
    )


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


def published_models(machine: Machine | None = None) -> list[ModelInfo]:
    """Return the known embedders and rerankers that do not ship, and why not where unusable.

    None of them is loaded. The hub is asked for a connection when that is what an answer depends on, the
    memory of ``machine`` where it is given.
    """
    kinds = {name: kind for name, kind in EMBEDDERS.kinds() if isinstance(kind, EmbedderKind)}
    facts = [fact for kind in kinds.values() for fact in _beyond(kind)]
    facts += [fact for fact in model_facts() if fact.role not in ("embedder", "generator")]
    offline = hub_reachable() if not all(weights_here(fact.repo, fact.files) for fact in facts) else None
    rows = [
        _row(
            fact,
            "; ".join(
                filter(
                    None,
                    [
                        kinds[fact.id.partition(":")[0]].missing(),
                        _too_large(fact, machine),
                        _away(fact, offline),
                    ],
                )
            ),
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
    if not fact.repo or weights_here(fact.repo, fact.files):
        return None
    lacking = "its weights are not on this machine"
    return (
        f"{lacking} ({offline})" if offline else f"{lacking}: `askpix models install {fact.name or fact.id}`"
    )


def _too_large(fact: ModelFact, machine: Machine | None) -> str | None:
    """Return why a model does not fit the memory; None where it does."""
    if machine is None or machine.memory_mb is None or fact.fits(machine.memory_mb):
        return None
    return (
        f"it takes {fact.memory_mb:,.0f} MB of memory, and {machine.memory_mb:,.0f} MB are for a model here"
    )


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
        name=fact.name,
        memory_mb=fact.memory_mb,
        command=f"askpix models install {fact.name}"
        if fact.name and fact.repo and not weights_here(fact.repo, fact.files)
        else None,
    )
