"""``askpix doctor``: each check does the real thing and says what it found."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from api.models import list_models
from api.wiring import Workspace
from core.errors import AskpixError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str


def examine(workspace: Workspace) -> list[Check]:
    """Every check, in the order a person would look: machine, home, catalog, models, collections."""
    checks = [
        Check("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}"),
        _check("home", lambda: _home(workspace)),
        _check("catalog", lambda: f"{len(workspace.catalog.list_collections())} collections"),
    ]
    for model in list_models(workspace):
        checks.append(Check(f"{model.role} {model.id}", model.usable, model.reason or "loads"))
    if all(check.ok for check in checks[:3]):
        for collection in workspace.catalog.list_collections():
            look = partial(_collection, workspace, collection.name)
            checks.append(_check(f"collection {collection.name}", look))
    return checks


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


def _collection(workspace: Workspace, name: str) -> str:
    """Catalog and vectors name the very same pictures."""
    collection = workspace.collection(name)
    ledger = set(workspace.catalog.embedded_ids(collection))
    with workspace.open_store(collection) as store:
        vectors = set(store.ids())
    missing, strays = len(ledger - vectors), len(vectors - ledger)
    if missing or strays:
        raise AskpixError(
            f"{missing} pictures without a vector, {strays} vectors without a picture; "
            "run `askpix index` on its folders again to mend it"
        )
    return f"{len(vectors)} pictures, each with one vector set"
