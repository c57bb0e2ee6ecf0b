"""``askpix doctor``: each check does the real thing and says what it found."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from askpix.api.models.proofs import Role
from askpix.api.services.models import list_models
from askpix.api.services.orphans import Orphan, find_orphans, size_of
from askpix.api.services.prove import forget_generators, models_in_use
from askpix.api.services.prove import prove as prove_model
from askpix.api.workspace.region_index import mend_sheets_of, prove_sheets_of
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.ingest.catalog.catalog import Collection
from askpix.ingest.maintenance.verify import Proof, prove, restore
from askpix.ingest.maintenance.verify_regions import SheetsProof


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check."""

    name: str
    ok: bool
    detail: str


def examine(workspace: Workspace, *, mend: bool = False, models: bool = False) -> list[Check]:
    """Every check, in the order a person would look: machine, home, catalog, models, collections.

    ``mend`` puts right what is wrong with collections: vectors are made again, strays removed, and a
    collection that only its folder knows is entered again. ``models`` has every model in use
    prove anew that it works, whatever was found before.
    """
    checks = [
        Check("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}"),
        _check("home", lambda: _home(workspace)),
        _check("catalog", lambda: _catalog(workspace)),
    ]
    settings = workspace.settings
    if 1 < settings.qdrant_replicas <= settings.qdrant_write_replicas:
        warning = (
            f"ASKPIX_QDRANT_WRITE_REPLICAS={settings.qdrant_write_replicas} of"
            f" {settings.qdrant_replicas} copies: nothing can be written while a node is away; fewer will do"
        )
        checks.append(Check("qdrant copies", True, warning))
    for model in list_models(workspace):
        checks.append(Check(f"{model.role} {model.id}", model.usable, model.reason or "loads"))
    if models and checks[2].ok:
        forget_generators(workspace)  # what is behind the name of one changes
        checks += [
            _check(f"proof of {role} {name}", partial(_proof, workspace, name, role))
            for role, name in models_in_use(workspace)
        ]
    if all(check.ok for check in checks[:3]):
        checks += [
            _check(f"folder {each.path.name}", partial(_orphan, each, mend=mend))
            for each in find_orphans(workspace)
        ]
        for collection in workspace.catalog.list_collections():
            checks.append(examine_collection(workspace, collection.name, mend=mend))
    return checks


def examine_collection(workspace: Workspace, name: str, *, mend: bool = False) -> Check:
    """Check whether each image, also of those on sheets, has its vectors; ``mend`` as in ``examine``."""
    return _check(f"collection {name}", partial(_collection, workspace, name, mend=mend))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except (AskpixError, OSError) as error:
        return Check(name, False, str(error))


def _home(workspace: Workspace) -> str:
    """The home can be written, and has room."""
    home = workspace.settings.home
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=home) as probe:
        probe.write(b"askpix")
    free = shutil.disk_usage(home).free
    if free < 200 * 2**20:
        raise AskpixError(f"{home} has only {free / 2**20:.0f} MB left")
    return f"{home}, writable, {free / 2**30:.1f} GB free"


def _proof(workspace: Workspace, model_id: str, role: Role) -> str:
    proof = prove_model(workspace, model_id, role)
    if not proof.passed:
        raise AskpixError(f"{proof}; choose another, or install this one anew")
    return proof.found


def _catalog(workspace: Workspace) -> str:
    where = "PostgreSQL" if workspace.catalog.shared else "SQLite"
    return f"{len(workspace.catalog.list_collections())} collections, in {where}"


def _orphan(orphan: Orphan, *, mend: bool) -> str:
    if mend and orphan.mend is not None:
        return f"{orphan.path}: {orphan.what}; {orphan.mend()}"
    raise AskpixError(f"{orphan.path}: {orphan.what}; {orphan.why or 'run `askpix doctor --mend`'}")


def _collection(workspace: Workspace, name: str, *, mend: bool) -> str:
    collection = workspace.collection(name)
    if mend:
        return _mended(workspace, name)
    proofs = _proofs(workspace, collection)
    strays = _strays(workspace, collection)
    if not _wrong(proofs) and not strays:
        return _said(proofs)
    if workspace.catalog.unfinished(collection):
        why = "a run is at work on it, or was cut off: run `askpix index` on its folders again"
    else:
        why = "run `askpix doctor --mend`"
    left = "".join(f", {size_of(each)} in {each.name!r} that nothing uses" for each in strays)
    raise AskpixError(f"{_said(proofs)}{left}; {why}")


def _mended(workspace: Workspace, name: str) -> str:
    collection = workspace.collection(name)
    workspace.vectors_folder(collection).mkdir(parents=True, exist_ok=True)  # this home is theirs from now on
    with workspace.run_on(collection):
        collection = workspace.collection(name)
        done = restore(
            collection,
            catalog=workspace.catalog,
            open_store=workspace.store_opener(collection),
            embedder=lambda: workspace.embedder(collection.embedder),
            text_embedder=lambda: workspace.text_embedder_of(collection),
            limits=workspace.limits,
        )
        found = _wrong((done.found, mend_sheets_of(workspace, collection)))
        for folder in _strays(workspace, collection):
            shutil.rmtree(folder, ignore_errors=True)
        proofs = _proofs(workspace, collection)
    if _wrong(proofs):
        raise AskpixError(f"mended, and yet: {_said(proofs)}; run `askpix index` on its folders again")
    was = f"; mended: {', '.join(found)}" if found else ""
    left = (
        f"; {done.left} could not be embedded again: run `askpix index` on their folders" if done.left else ""
    )
    return f"{_said(proofs)}{was}{left}"


def _proofs(workspace: Workspace, collection: Collection) -> tuple[Proof, SheetsProof]:
    with workspace.open_store(collection) as store:
        proof = prove(collection, catalog=workspace.catalog, store=store)
    return proof, prove_sheets_of(workspace, collection)


def _said(proofs: tuple[Proof, SheetsProof]) -> str:
    """Return what is wrong, or that all is right; sheets are mentioned only where there are any."""
    right = [str(each) for each in (proofs if proofs[1].sheets else proofs[:1])]
    return ", ".join(_wrong(proofs) or right)


def _wrong(proofs: tuple[Proof, SheetsProof]) -> list[str]:
    return [str(each) for each in proofs if not each.holds]


def _strays(workspace: Workspace, collection: Collection) -> list[Path]:
    """Folders of vectors that no generation of the collection knows: a kill came between two steps."""
    generations = workspace.catalog.generations
    known = [
        collection,
        *generations.others(collection, "building"),
        *generations.others(collection, "replaced"),
    ]
    used = {workspace.vectors_folder(each) for each in known}
    return sorted(set(workspace.folder(collection).glob("vectors*")) - used)
