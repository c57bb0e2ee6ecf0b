"""The models of this version: what each is for, what it weighs, and whether it runs here and now."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, cast

from askpix.api.models.auto_select import hub_reachable, missing_extra, weights_here
from askpix.api.models.generators import local_models
from askpix.api.models.local_vlms import known_vlms, missing_modules
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.retrieval.model_hub.registry import Score, model_facts
from askpix.retrieval.weights import megabytes

_KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""As ``askpix.generation.generators.providers`` has them, which cannot be imported without the extra."""
_NAMED = {
    "embedder": "as --embedder",
    "page embedder": "as --page-embedder",
    "text embedder": "in ASKPIX_TEXT_EMBEDDER",
    "reranker": "as --rerank",
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
    """Every model of this version, each really loaded to see whether it works."""
    mini = _why_not(lambda: workspace.embedder("mini"))
    text = _why_not(lambda: workspace.text_embedder)
    reader = _why_not(lambda: workspace.reader)
    return [
        ModelInfo(
            id="mini",
            role="embedder",
            usable=mini is None,
            reason=mini,
            dim=None if mini else workspace.embedder("mini").dim,
            megabytes=megabytes("mini"),
            licence="Apache-2.0",
            languages="English",
            notes="ships with Askpix: ConSE on EfficientNet-Lite2 and all-MiniLM-L6-v2; finds everyday "
            "objects, weaker than CLIP on scenes and relations",
        ),
        ModelInfo(
            id="all-MiniLM-L6-v2",
            role="text embedder",
            usable=text is None,
            reason=text,
            dim=None if text else workspace.text_embedder.dim,
            megabytes=megabytes("minilm"),
            licence="Apache-2.0",
            languages="English",
            notes="ships with Askpix: meaning of the words read in pictures",
        ),
        ModelInfo(
            id="rapidocr" if reader else workspace.reader.engine_id,
            role="reader",
            usable=reader is None,
            reason=reader,
            dim=None,
            megabytes=None,
            licence="Apache-2.0",
            languages="English, Chinese, Japanese and Latin-script languages",
            notes="reads the words in pictures, with a box for each line",
        ),
        ModelInfo(
            id="extractive",
            role="generator",
            usable=text is None,
            reason=text,
            dim=None,
            megabytes=None,
            licence="Apache-2.0",
            languages="English",
            notes="quotes the words, dates and pictures that answer; invents nothing",
        ),
    ]


def known_generators(servers: Iterable[str]) -> list[ModelInfo]:
    """Generators besides ``extractive``: models in this process, on servers of this machine, and hosted ones.

    None of them is loaded or asked anything; whether it sees is tried when it is first used.
    """
    lacking = missing_modules()
    infos = []
    for vlm in known_vlms():
        here = weights_here(vlm.repo)
        absent = (
            None if here else "its weights are not on this machine: naming it as --generator fetches them"
        )
        infos.append(_generator(vlm.id, lacking or absent, vlm.licence, vlm.notes, vlm.parameters * 2.0))
    hosted = None if find_spec("pydantic_ai") else "needs pydantic-ai: pip install 'askpix[hosted]'"
    for model in local_models(servers):
        infos.append(_generator(model.id, hosted, "its own", "on a server of this machine"))
    for provider, names in _KEYS.items():
        key = None if any(map(os.environ.get, names)) else f"no key: set {' or '.join(names)}"
        infos.append(
            _generator(f"{provider}:MODEL", hosted or key, "hosted", "pictures leave this machine, for money")
        )
    return infos


def own_rerankers() -> list[ModelInfo]:
    """Second looks that need no weights of their own."""
    told = {
        "pages": "the patches that a collection's page embedder stored, compared again",
        "generator[:ID]": "a generator marks each hit from 0 to 10; any but extractive",
    }
    return [
        ModelInfo(
            id=name,
            role="reranker",
            usable=True,
            reason=None,
            dim=None,
            megabytes=None,
            licence="as its model's",
            languages="as its model's",
            notes=f"{notes} (--rerank)",
        )
        for name, notes in told.items()
    ]


def _generator(
    name: str, reason: str | None, licence: str, notes: str, size: float | None = None
) -> ModelInfo:
    return ModelInfo(
        id=name,
        role="generator",
        usable=reason is None,
        reason=reason,
        dim=None,
        megabytes=size,
        licence=licence,
        languages="many",
        notes=notes,
    )


def published_models() -> list[ModelInfo]:
    """What is known of published embedders and rerankers (``retrieval/model_hub/registry.toml``), and why not
    where unusable.

    None of them is loaded. The hub is asked for a connection when that is what an answer depends on.
    """
    rows = [(fact, missing_extra(fact), weights_here(fact.repo)) for fact in model_facts()]
    offline = hub_reachable() if not all(here for _, _, here in rows) else None
    infos: list[ModelInfo] = []
    for fact, missing, here in rows:
        lacking = [missing] if missing else []
        if not here:
            lacking.append(
                f"its weights are not on this machine ({offline})"
                if offline
                else f"its weights are not on this machine: naming it {_NAMED[fact.role]} fetches them"
            )
        infos.append(
            ModelInfo(
                id=fact.id,
                role=cast(Role, fact.role),
                usable=not lacking,
                reason="; ".join(lacking) or None,
                dim=fact.dim,
                megabytes=fact.megabytes,
                licence=fact.licence,
                languages="many" if "*" in fact.languages else "English",
                notes=fact.notes,
                weak=fact.weak,
                scores=fact.scores,
            )
        )
    return infos
