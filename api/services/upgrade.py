"""A better embedder for a collection of the small one: offered, downloaded, proven, and changed over.

Search goes on with the old vectors until the new ones are all there (``services.reembed``). Whatever fails,
or is stopped, leaves the old embedder in use; what was downloaded and embedded by then is not done again.
"""

import time
from dataclasses import dataclass

from askpix.api.models.auto_select import best_embedder, hub_reachable, this_machine
from askpix.api.models.installed import Installations
from askpix.api.models.proofs import Proofs
from askpix.api.services.install import install, plan_install
from askpix.api.services.reembed import reembed
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, NotFoundError
from askpix.ingest.catalog.models import Collection
from askpix.ingest.pipeline.embed_images import OnProgress
from askpix.ingest.pipeline.report import Progress
from askpix.retrieval.model_hub.registry import ModelFact, Score, find_fact, model_facts

SMALL = "mini"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An embedder that suits this machine better than a collection's. ``bytes``: to be downloaded; 0 = it is
    here; None = not known."""

    name: str
    id: str
    was: str
    notes: str
    licence: str
    languages: tuple[str, ...]
    bytes: int | None
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """Result of a change of the model."""

    collection: str
    model: str
    was: str
    embedder: str
    images: int
    seconds: float


def find_upgrade(workspace: Workspace, collection: Collection) -> Upgrade | None:
    """Return what to offer for a collection with the small embedder; None where nothing better can be had
    here, or where it was declined."""
    settings = workspace.settings
    if collection.embedder != SMALL or settings.embedder != "auto":
        return None
    installations = Installations(settings.home)
    here = _installed(workspace)
    model = here or best_embedder(settings, this_machine(settings.device))
    if model is None or installations.declined == model.name:
        return None
    if here is None:
        failed = Proofs(settings.home).kept("embedder", installations.pinned(model.id))
        if settings.download == "never" or (failed is not None and not failed.passed) or hub_reachable():
            return None
    return Upgrade(
        name=model.name,
        id=model.id,
        was=collection.embedder,
        notes=model.notes,
        licence=model.licence,
        languages=model.languages,
        bytes=0 if here else model.bytes,
        scores=model.scores,
    )


def decline_upgrade(workspace: Workspace, name: str) -> None:
    """Remember that a model is not wanted. Raises ``NotFoundError`` for one that is not in the list."""
    Installations(workspace.settings.home).decline(listed_embedder(name).name)


def listed_embedder(name: str) -> ModelFact:
    """Return the embedder of the list with this short name. Raises ``NotFoundError`` for any other name."""
    found = find_fact(name)
    if found is None or found.name != name or found.role != "embedder" or not found.repo:
        names = ", ".join(fact.name for fact in model_facts() if fact.role == "embedder" and fact.repo)
        raise NotFoundError(f"no embedder {name!r} in the list of models; there are {names}")
    return found


def upgrade(workspace: Workspace, collection: str, name: str, on_progress: OnProgress) -> UpgradeReport:
    """Download a listed embedder if it is not here, have it prove itself, and give it to the collection.

    What ``on_progress`` raises stops it. Raises ``AskpixError`` when the model cannot be had or fails its
    proof, or when files of the collection are gone: then the old embedder stays in use.
    """
    began = time.monotonic()
    model = listed_embedder(name)
    here = _installed(workspace)
    if here is not None and here.name == name:
        embedder_id = workspace.auto.embedder_id
    else:
        embedder_id = _install(workspace, model, on_progress)
    report = reembed(workspace, collection, embedder_id, on_progress=on_progress)
    if not report.changed_over:
        first = report.missing[0].error if report.missing else "they changed meanwhile"
        raise AskpixError(
            f"{report.expected - report.images} of {report.expected} images could not be embedded again "
            f"({first}), so {report.was!r} stays in use; index their folders again (--prune forgets those "
            "that are gone), and then try once more"
        )
    return UpgradeReport(
        collection=report.collection,
        model=name,
        was=report.was,
        embedder=report.embedder,
        images=report.images,
        seconds=round(time.monotonic() - began, 1),
    )


def _install(workspace: Workspace, model: ModelFact, on_progress: OnProgress) -> str:
    on_progress(Progress("downloading", 0, model.bytes, 0.0, 0))
    plan = plan_install(model)
    began = time.monotonic()
    fetched = 0

    def on_bytes(count: int) -> None:
        nonlocal fetched
        fetched += count
        rate = fetched / max(time.monotonic() - began, 1e-3)
        done = min(plan.bytes, plan.bytes - plan.missing_bytes + fetched)
        on_progress(Progress("downloading", done, plan.bytes, rate, 0))

    def on_here() -> None:
        on_progress(Progress("proving", 0, None, 0.0, 0))

    on_bytes(0)
    return install(workspace, plan, on_bytes=on_bytes, on_here=on_here).id


def _installed(workspace: Workspace) -> ModelFact | None:
    """Return the model of the list that ``auto`` takes here; None where that is the small one."""
    chosen = workspace.auto.embedder_id
    installations = Installations(workspace.settings.home)
    known = (fact for fact in model_facts() if fact.role == "embedder" and fact.name)
    return next((fact for fact in known if chosen in (fact.id, installations.pinned(fact.id))), None)
