"""``askpix index --engine ray``: the stages of ``ingest.ray.engine`` on the settings of this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from askpix.api.settings import Settings
from askpix.api.workspace.stores import kind_of
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.core.machine import usable_cores
from askpix.ingest.pipeline.report import ReadReport

if TYPE_CHECKING:
    from askpix.ingest.catalog.models import Collection
    from askpix.ingest.pipeline.report import IngestReport
    from askpix.ingest.ray.engine import RayEngine


@contextmanager
def on_ray(address: str) -> Iterator[None]:
    """Connect to the cluster at ``address``; ``local`` starts one on this machine and stops it at the end.

    Standard output is standard error meanwhile: Ray speaks on it, and ours may be JSON.
    """
    from askpix.ingest.ray.engine import connect, leave

    with redirect_stdout(sys.stderr):
        # Ray Data with checkpoints needs some tasks at once to go on; two cores were too few for it.
        connect(address, local_cpus=max(6, usable_cores()))
        try:
            yield
        finally:
            leave()


def engine_of(workspace: Workspace, collection: Collection) -> RayEngine:
    """The engine for a collection; refuses what only one machine can reach when there are several."""
    from askpix.ingest.ray.engine import RayEngine, nodes

    shared = kind_of(workspace.settings, collection).shared
    if nodes() > 1 and not (shared and workspace.catalog.shared):
        raise AskpixError(
            "a cluster of several nodes needs a catalog and a store that all of them reach: set "
            "ASKPIX_DATABASE_URL (PostgreSQL) and ASKPIX_STORE=qdrant with ASKPIX_QDRANT_URL"
        )
    if workspace.server() is not None:
        raise AskpixError("a server holds this home; stop `askpix serve` while Ray indexes")
    return RayEngine(
        collection=collection,
        catalog=workspace.catalog,
        open_tools=partial(open_tools, workspace.settings),
        folder=workspace.folder(collection) / "ray",
        shared=shared and workspace.catalog.shared,
    )


def open_tools(settings: Settings) -> Workspace:
    """Open the workspace of a process of the cluster: one core of its own, unless a model wants more."""
    return Workspace(settings.model_copy(update={"workers": settings.workers or 1}))


def ray_index(
    workspace: Workspace,
    collection: Collection,
    paths: Sequence[Path],
    *,
    address: str,
    prune: bool,
    ignore: Sequence[str] = (),
) -> IngestReport:
    """Stage one on Ray."""
    with on_ray(address):
        return engine_of(workspace, collection).index(
            paths,
            open_store=workspace.store_opener(collection),
            image_side=workspace.embedder(collection.embedder).image_side,
            limits=workspace.limits,
            ignore=ignore,
            prune=prune,
        )


def ray_read(workspace: Workspace, collection: Collection, *, address: str) -> ReadReport:
    """Stage two on Ray; nothing is started when nothing is to be read."""
    from askpix.ingest.ray.stages import hand_over

    hand_over(workspace, collection, workspace.text_embedder_of(collection))
    if not workspace.catalog.texts.count_pending(collection.id):
        return ReadReport(0, 0, (), 0.0)
    with on_ray(address):
        return engine_of(workspace, collection).read_texts(engine_id=workspace.reader.engine_id)
