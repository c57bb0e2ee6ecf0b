"""Files that lie elsewhere than they did, byte for byte: the ledger follows, and nothing is read."""

from sqlalchemy import Engine, bindparam, select, update

from askpix.core.db.engine import transaction
from askpix.ingest.catalog.tables import sources


def move_sources(engine: Engine, old: str, new: str) -> dict[str, list[str]]:
    """Of every source below the folder ``old``: it lies below ``new``. SHA-256 of those, by collection id."""
    begin = old.rstrip("/") + "/"
    moved: dict[str, list[str]] = {}
    rows = []
    wanted = select(sources.c.id, sources.c.collection_id, sources.c.uri, sources.c.sha256)
    with transaction(engine) as connection:
        for row in connection.execute(wanted).all():
            if not row.uri.startswith(begin):
                continue
            rows.append({"of": row.id, "there": new.rstrip("/") + "/" + row.uri[len(begin) :]})
            if row.sha256:
                moved.setdefault(row.collection_id, []).append(row.sha256)
        if rows:
            change = update(sources).where(sources.c.id == bindparam("of")).values(uri=bindparam("there"))
            connection.execute(change, rows)
    return moved
