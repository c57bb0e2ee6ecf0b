"""Install and remove published models: which one, its files at one commit, and the proof that it works.

The order is: what has to be installed with pip, the plan (files, size) from the hub, the download, the
digests, the proof. A model that fails its proof stays on the disk, for its owner to look at, and is not used
by ``auto``.
"""

import difflib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from askpix.api.models.auto_select import (
    Machine,
    best_embedder,
    known_embedders,
    this_machine,
    wanted_languages,
)
from askpix.api.models.installed import Installations, Installed
from askpix.api.models.proofs import Proof, Proofs, Role
from askpix.api.services.prove import prove
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, BadQueryError, ModelUnavailableError, NotFoundError
from askpix.generation.generators.base import GENERATORS
from askpix.retrieval.embedders.base import EMBEDDERS
from askpix.retrieval.model_hub.download import (
    HubFile,
    OnBytes,
    cached_files,
    check_digests,
    delete_cached,
    download,
    list_repository,
    weights_here,
)
from askpix.retrieval.model_hub.registry import Kind, ModelFact, find_fact, model_facts, select_files

_SETTINGS = {
    "embedder": "ASKPIX_EMBEDDER",
    "text embedder": "ASKPIX_TEXT_EMBEDDER",
    "page embedder": "ASKPIX_PAGE_EMBEDDER",
    "reranker": "ASKPIX_RERANK",
    "generator": "ASKPIX_GENERATOR",
}
_UNTAGGED = ("open_clip",)
"""Kinds that load the newest commit of a repository, whichever is named."""


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """Files that an install would fetch."""

    model: ModelFact
    revision: str
    files: tuple[HubFile, ...]
    bytes: int
    missing_bytes: int
    """Bytes of them that are not here yet."""


@dataclass(frozen=True, slots=True)
class InstallReport:
    """Result of an install. ``fetched_bytes`` is 0 where all was here before."""

    id: str
    name: str
    role: str
    revision: str
    path: str
    files: tuple[str, ...]
    bytes: int
    fetched_bytes: int
    licence: str
    proof: Proof
    use: str
    """Use of the model from now on, or how to have it used."""


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """Model that was removed, and how many bytes of the disk are free again."""

    id: str
    name: str
    freed_bytes: int


def named_model(settings: Settings, name: str) -> ModelFact:
    """Return the model that ``best``, ``vlm``, a short name or an id means here."""
    if name in ("best", "vlm"):
        machine = this_machine(settings.device)
        found = best_embedder(settings, machine) if name == "best" else best_generator(settings, machine)
        if found is None:
            raise NotFoundError(f"no model of the list suits {machine} and its memory; `askpix models --all`")
        return found
    found = find_fact(name)
    if found is not None and found.repo:
        return found
    near = difflib.get_close_matches(name, [fact.name for fact in model_facts()], n=2, cutoff=0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise NotFoundError(
        f"no model {name!r} in the list{meant} `askpix models --all` shows it. Any other is fetched where it "
        "is named: --embedder KIND:OWNER/NAME"
    )


def best_generator(settings: Settings, machine: Machine) -> ModelFact | None:
    """Return the vision-language model to install on this machine; None where nothing known suits it."""
    known = [
        fact
        for _, kind in GENERATORS.kinds()
        if isinstance(kind, Kind) and not kind.missing()
        for fact in kind.facts()
        if fact.repo and not fact.non_commercial
    ]
    return next(iter(machine.ranked(known, wanted_languages(settings))), None)


def missing_extra(model: ModelFact) -> str | None:
    """Return what has to be installed with pip before a model can be used; None when all is there."""
    registry = GENERATORS if model.role == "generator" else EMBEDDERS
    kind = registry.get(model.id.partition(":")[0])
    return kind.missing() if isinstance(kind, Kind) else None


def plan_install(model: ModelFact) -> InstallPlan:
    """Ask the hub which files at which commit an install would fetch. Raises ``ModelUnavailableError``."""
    if lacking := missing_extra(model):
        raise ModelUnavailableError(f"{model.name or model.id} {lacking}")
    listing = list_repository(f"{model.repo}@{model.revision}" if model.revision else model.repo)
    by_name = {file.name: file for file in listing.files}
    files = tuple(by_name[name] for name in select_files(model, list(by_name)))
    if not files:
        raise ModelUnavailableError(f"{model.repo!r} holds none of the files of {model.name!r}")
    size = sum(file.size for file in files)
    return InstallPlan(
        model, listing.commit, files, size, size - cached_files(model.repo, listing.commit, files)
    )


def install(
    workspace: Workspace,
    plan: InstallPlan,
    *,
    on_bytes: OnBytes | None = None,
    on_here: Callable[[], object] | None = None,
) -> InstallReport:
    """Fetch what is missing, hold all of it against the hub's digests, and have the model prove itself.

    ``on_bytes`` as in ``download``; ``on_here`` is called when all files are here, before the proof. Raises
    ``ModelUnavailableError`` where it cannot be had or fails its proof: then it is used by nothing.
    """
    model = plan.model
    pinned = model.id.startswith(tuple(f"{kind}:" for kind in _UNTAGGED))
    reference = model.repo if pinned else f"{model.repo}@{plan.revision}"
    folder = download(reference, [file.name for file in plan.files], on_bytes=on_bytes)
    check_digests(folder, plan.files)
    if on_here is not None:
        on_here()
    kept = Installed(model.id, model.role, folder.name, plan.bytes, int(time.time()))
    proof = prove(workspace, kept.pinned_id, cast(Role, model.role))
    if not proof.passed:
        raise ModelUnavailableError(
            f"{model.name} is here but does not work: {proof}; nothing uses it. Please report it; "
            f"`askpix models remove {model.name}` frees {plan.bytes / 1e6:,.0f} MB"
        )
    Installations(workspace.settings.home).keep(kept)
    workspace.forget_choice()
    return InstallReport(
        id=kept.pinned_id,
        name=model.name,
        role=model.role,
        revision=folder.name,
        path=str(folder),
        files=tuple(file.name for file in plan.files),
        bytes=plan.bytes,
        fetched_bytes=plan.missing_bytes,
        licence=model.licence,
        proof=proof,
        use=_use(workspace, kept, model.name),
    )


def remove(workspace: Workspace, name: str) -> RemoveReport:
    """Delete the files of a model. Raises ``BadQueryError`` while a collection needs it to be searched."""
    model = named_model(workspace.settings, name)
    installations = Installations(workspace.settings.home)
    kept = installations.all().get(model.id)
    if kept is None and not weights_here(model.repo, model.files):
        raise NotFoundError(f"{model.name} is not on this machine; nothing to remove")
    if users := _collections_with(workspace, model):
        raise BadQueryError(
            f"{model.name} made the vectors of {', '.join(map(repr, users))}, which cannot be searched "
            f"without it: first `askpix collections reembed {users[0]} --embedder mini`, or delete them"
        )
    freed = delete_cached(model.repo, kept.revision if kept else None)
    installations.forget(model.id)
    Proofs(workspace.settings.home).forget(kept.pinned_id if kept else model.id)
    workspace.forget_choice()
    return RemoveReport(model.id, model.name, freed)


def offered(settings: Settings) -> ModelFact | None:
    """Return the embedder that a newcomer should be offered; None where it is here or was refused."""
    if settings.download == "never" or settings.embedder != "auto":
        return None
    if settings.download == "ask" and Installations(settings.home).answered:
        return None
    machine = this_machine(settings.device)
    best = best_embedder(settings, machine)
    here = [fact for fact in known_embedders() if weights_here(fact.repo, fact.files)]
    if best is None or best in here or machine.ranked([*here, best], wanted_languages(settings))[0] != best:
        return None
    return best


def _use(workspace: Workspace, kept: Installed, name: str) -> str:
    settings = workspace.settings
    if kept.role == "embedder" and settings.embedder == "auto":
        if workspace.auto.embedder_id != kept.pinned_id:
            return f"auto takes {workspace.auto.embedder_id} on this machine; name it: --embedder {name}"
        old = [each.name for each in workspace.catalog.list_collections() if each.embedder == "mini"]
        more = "".join(f"; `askpix collections reembed {name} --embedder auto`" for name in old[:3])
        return f"new collections use it{more}"
    if kept.role == "generator" and settings.generator == "auto":
        return "`askpix ask` uses it where no better model is found here"
    return f"set {_SETTINGS[kept.role]}={name}"


def _collections_with(workspace: Workspace, model: ModelFact) -> list[str]:
    def made_by(ids: Iterable[str | None]) -> bool:
        return any(each == model.id or str(each).startswith((f"{model.id}@", f"{model.id}#")) for each in ids)

    try:
        collections = workspace.catalog.list_collections()
    except AskpixError:
        return []
    return [c.name for c in collections if made_by((c.embedder, c.text_embedder, c.page_embedder))]
