"""Folders of a collection: how many files lie in each, what became of them, what is unread."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, case, func, select

from askpix.core.db.engine import transaction
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tables import images, sources


@dataclass(frozen=True, slots=True)
class Folder:
    """``path`` ends without a slash; ``files`` were looked into, ``failed`` of them could not be read."""

    path: str
    files: int
    failed: int
    images: int
    pending: int
    """Images whose words have not been read yet."""


def folders(engine: Engine, collection: Collection, *, limit: int = 200) -> list[Folder]:
    """Folders with most files first, at most ``limit`` of them; one below another counts for itself."""
    s = sources.c
    i = images.c
    held = (
        select(
            i.sha256,
            func.count().label("images"),
            func.sum(case((i.text_state.in_(("pending", "read")), 1), else_=0)).label("pending"),
        )
        .where(i.collection_id == collection.id, i.embedded)
        .group_by(i.sha256)
        .subquery()
    )
    wanted = (
        select(s.uri, s.error, held.c.images, held.c.pending)
        .outerjoin(held, held.c.sha256 == s.sha256)
        .where(s.collection_id == collection.id)
    )
    with transaction(engine, write=False) as connection:
        return _grouped(connection.execute(wanted), limit)


def _grouped(rows: Iterable[tuple[str, str | None, int | None, int | None]], limit: int) -> list[Folder]:
    files: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    pictures: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    for uri, error, images_here, pending_here in rows:
        path = max(uri.rpartition("/")[0], uri.rpartition("\\")[0], key=len)
        files[path] += 1
        failed[path] += bool(error)
        pictures[path] += images_here or 0
        pending[path] += pending_here or 0
    return [
        Folder(path, n, failed[path], pictures[path], pending[path]) for path, n in files.most_common(limit)
    ]
