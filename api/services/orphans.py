"""Leftovers in a home that no catalog knows: stores, deletions, uploads; and their repair."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import select

from askpix.api.security.tables import database_of, jobs
from askpix.api.workspace.identity import DELETED, read_identity
from askpix.api.workspace.stores import kind_of
from askpix.api.workspace.workspace import Workspace
from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError
from askpix.ingest.catalog.models import Collection
from askpix.ingest.maintenance.rebuild import rebuild
from askpix.ingest.sources.remote import read_source
from askpix.retrieval.stores.kinds import STORES


@dataclass(frozen=True, slots=True)
class Orphan:
    """A folder, what is wrong with it, and ``mend``, which says what it did; None where nothing can be done
    and ``why`` says what a person can."""

    path: Path
    what: str
    why: str = ""
    mend: Callable[[], str] | None = None


def find_orphans(workspace: Workspace) -> list[Orphan]:
    """Return everything below the home that no row of the catalog or of the job ledger mentions."""
    home = workspace.settings.home
    # Before the catalog is asked: a collection that is made meanwhile is entered before it has a folder.
    stores, uploads = (sorted(home.glob(f"{name}/*/")) for name in ("collections", "uploads"))
    known = workspace.catalog.list_collections()
    folders = {workspace.folder(each) for each in known}
    found = [_store_folder(workspace, folder) for folder in stores if folder not in folders]
    return found + _uploads(workspace, known, uploads)


def size_of(folder: Path) -> str:
    """The bytes in a folder, for people."""
    total = sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file())
    return f"{total / 1e6:.1f} MB"


def _store_folder(workspace: Workspace, folder: Path) -> Orphan:
    remove = partial(_remove, folder)
    if (folder / DELETED).exists():
        return Orphan(folder, f"{size_of(folder)} left of a collection that was deleted", mend=remove)
    identity = read_identity(folder)
    elsewhere = identity is not None and (
        identity.store not in STORES.names() or kind_of(workspace.settings, identity).shared
    )
    if not any(folder.glob("vectors*")) and not elsewhere:
        return Orphan(folder, f"{size_of(folder)} without vectors, of no collection", mend=remove)
    what = f"{size_of(folder)} of vectors of a collection that the catalog does not know"
    if identity is None:
        why = (
            "its id is not known, which older versions kept in the catalog alone: restore the catalog from a "
            "backup, or index its folders again and delete this one"
        )
        return Orphan(folder, what, why)
    if workspace.catalog.shared:
        why = "the catalog is shared, and another machine may have deleted it: then delete the folder"
        return Orphan(folder, what, why)
    if workspace.catalog.get_collection(identity.name) is not None:
        why = f"there is another collection {identity.name!r} by now: delete either"
        return Orphan(folder, what, why)
    return Orphan(folder, what, mend=partial(_rebuild, workspace, identity))


def _rebuild(workspace: Workspace, collection: Collection) -> str:
    if workspace.server() is not None:
        raise AskpixError("stop the server of this home first: it still has the catalog that is gone")
    with workspace.run_on(collection), workspace.open_store(collection) as store:
        read = partial(read_source, limits=workspace.limits)
        done = rebuild(collection, catalog=workspace.catalog, store=store, read=read)
    changed = f", {done.changed} of them from files that are gone or changed" if done.changed else ""
    return (
        f"rebuilt with {done.images} images{changed}; lost are places of words, descriptions, captions and "
        "previews: `askpix index` on its folders reads words and descriptions again"
    )


def _uploads(workspace: Workspace, known: list[Collection], folders: list[Path]) -> list[Orphan]:
    root = workspace.settings.home / "uploads"
    found = []
    ids = {each.id for each in known}
    stores = map(read_identity, (workspace.settings.home / "collections").glob("*/"))
    ids |= {each.id for each in stores if each}  # once that is rebuilt, it has them
    for folder in folders:
        if folder.name == "incoming":
            continue
        if folder.name not in ids:
            why = f"index them into a collection (`askpix index {folder}`), or delete the folder"
            found.append(
                Orphan(folder, f"{size_of(folder)} uploaded into a collection that is not known", why)
            )
    engine = database_of(workspace.settings.home)
    try:
        for collection in known:
            lying = [*(root / collection.id).glob("*/")]
            wanted = select(jobs.c.spec, jobs.c.state).where(jobs.c.collection_id == collection.id)
            with transaction(engine, write=False) as connection:
                rows = connection.execute(wanted).all()
            if any(state == "running" for _, state in rows):
                continue  # what it has fetched so far is told when it stops
            told = {file["path"] for spec, _ in rows for file in spec.get("files", ()) if "path" in file}
            told |= workspace.catalog.known_sources(collection).keys()
            shas = {Path(path).parent.name for path in told}
            strays = [each for each in lying if each.name not in shas]
            if strays:
                total = sum(f.lstat().st_size for each in strays for f in each.rglob("*") if f.is_file())
                what = f"{len(strays)} uploads ({total / 1e6:.1f} MB) that no job and no image knows"
                why = f"`askpix index {root / collection.id} --collection {collection.name}` takes them in"
                found.append(Orphan(root / collection.id, what, why))
    finally:
        engine.dispose()
    return found


def _remove(folder: Path) -> str:
    shutil.rmtree(folder)
    return "removed"
