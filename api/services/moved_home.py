"""A home that lies elsewhere than it did: what people uploaded is found below it again."""

import json

from sqlalchemy import select, update

from askpix.api.security.tables import database_of, jobs
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.db.engine import transaction

_AT_ONCE = 200


def follow_home(settings: Settings, old: str) -> int:
    """After the home was ``old``: ledger, stores and waiting jobs have uploads where they are now.

    Returns how many pictures those are. Raises ``StoreUnavailableError``.
    """
    here = settings.home.as_posix()
    if old.rstrip("/") == here.rstrip("/"):
        return 0
    uploads = f"{old.rstrip('/')}/uploads", f"{here.rstrip('/')}/uploads"
    _move_jobs(settings, *uploads)
    workspace = Workspace(settings)
    count = 0
    try:
        moved = workspace.catalog.move_sources(*uploads)
        for collection in workspace.catalog.list_collections():
            shas = sorted(set(moved.get(collection.id, ())))
            if not shas:
                continue
            with workspace.open_store(collection) as store:
                for start in range(0, len(shas), _AT_ONCE):
                    part = shas[start : start + _AT_ONCE]
                    for records in workspace.catalog.records_by_content(collection, part).values():
                        for record in records:
                            store.set_copies(record)
                            count += 1
    finally:
        workspace.catalog.close()
    return count


def _move_jobs(settings: Settings, old: str, new: str) -> None:
    """What was acknowledged and is not indexed yet stands in the jobs."""
    engine = database_of(settings.home)
    try:
        with transaction(engine) as connection:
            for row in connection.execute(select(jobs.c.number, jobs.c.spec)).all():
                spec = dict(row.spec)
                files = [dict(file) for file in spec.get("files", ())]
                for file in files:
                    if str(file.get("path", "")).startswith(old + "/"):
                        file["path"] = new + file["path"][len(old) :]
                if files and json.dumps(files) != json.dumps(spec["files"]):
                    change = update(jobs).where(jobs.c.number == row.number)
                    connection.execute(change.values(spec={**spec, "files": files}))
    finally:
        engine.dispose()
