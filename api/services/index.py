"""Index files and folders: all stages of ingestion, one after the other, for every door."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from askpix.api.services.prove import check_works
from askpix.api.workspace.page_index import choose_page_embedder, embed_pages_of, late_embedder
from askpix.api.workspace.ray import ray_index, ray_read
from askpix.api.workspace.region_index import embed_sheets_of
from askpix.api.workspace.workspace import Workspace
from askpix.ingest.catalog.models import Collection
from askpix.ingest.catalog.tags import Vocabulary
from askpix.ingest.pipeline.caption_stage import CaptionBudget, caption_images
from askpix.ingest.pipeline.embed_images import OnProgress, index
from askpix.ingest.pipeline.metadata_stage import describe
from askpix.ingest.pipeline.ocr_stage import read_texts
from askpix.ingest.pipeline.report import IngestReport, Progress
from askpix.ingest.pipeline.tag_stage import tag_images
from askpix.ingest.sources.walk import check_paths
from askpix.retrieval.embedders.base import same_model


def _tell_nobody(_: Progress) -> None: ...


def index_paths(
    workspace: Workspace,
    paths: Sequence[Path],
    name: str,
    *,
    embedder: str | None = None,
    page_embedder: str | None = None,
    ocr: str | None = None,
    captions: str | None = None,
    keep_empty: bool = False,
    **options: Any,
) -> IngestReport:
    """Bring the collection ``name``, made when missing, up to date with files and folders.

    None takes what the settings say. ``options`` as in ``run_index``. What is wrong with paths, models or
    generator is raised before anything is made. A new collection that no image came into is deleted again
    unless ``keep_empty``.
    """
    check_paths(paths)  # a wrong path must not leave an empty collection behind
    is_new = workspace.catalog.get_collection(name) is None
    if page_embedder not in (None, "none"):
        late_embedder(workspace, page_embedder)
    if captions is not None:
        # It brings what validates schemas: 0.1 s that a run without captions need not wait.
        from askpix.api.services.describe import seeing_generator  # noqa: PLC0415

        seeing_generator(workspace, captions)
    collection = workspace.open_or_create(name, embedder)
    old = collection.page_embedder
    if page_embedder is not None:
        page_embedder = workspace.id_of(page_embedder, "page embedder")
    if old and page_embedder not in (None, "none") and not same_model(page_embedder, old):
        otherwise = "let go of the old one first (--page-embedder none) if it was trained for other pages"
        check_works(workspace, page_embedder, "page embedder", now=old, otherwise=otherwise)
    if page_embedder is not None:
        collection = choose_page_embedder(workspace, collection, page_embedder)
    ocr = ocr or workspace.settings.ocr
    report = run_index(workspace, collection, paths, ocr=ocr, captions=captions, **options)
    if is_new and not report.images and not keep_empty:
        workspace.delete_collection(collection.name)
    return report


def run_index(
    workspace: Workspace,
    collection: Collection,
    paths: Sequence[Path],
    *,
    ocr: str,
    prune: bool = False,
    vocabulary: Vocabulary | None = None,
    on_progress: OnProgress = _tell_nobody,
    captions: str | None = None,
    budget: CaptionBudget | None = None,
    ignore: Sequence[str] = (),
    ray: str | None = None,
) -> IngestReport:
    """Images first, then what is written about them, then the words in them, then pages, then captions by
    the generator ``captions``. ``ray``: the address of the cluster that does the work, or ``local``.

    What ``on_progress`` raises, and KeyboardInterrupt, stop the run with all work kept.
    """
    began = time.perf_counter()
    with workspace.run_on(collection):
        collection = workspace.collection(collection.name)  # its model may have been changed until now
        open_store = workspace.store_opener(collection)
        if ray:
            report = ray_index(workspace, collection, paths, address=ray, prune=prune, ignore=ignore)
        else:
            report = index(
                paths,
                collection=collection,
                catalog=workspace.catalog,
                open_store=open_store,
                embedder=lambda: workspace.embedder(collection.embedder),
                limits=workspace.limits,
                prune=prune,
                ignore=ignore,
                on_progress=on_progress,
            )
        if workspace.has_sheets(collection):
            report = replace(report, sheets=embed_sheets_of(workspace, collection, on_progress))
        described = describe(
            collection=collection,
            catalog=workspace.catalog,
            open_store=open_store,
            text_embedder=lambda: workspace.text_embedder_of(collection),
            on_progress=on_progress,
        )
        tagged = _tag(workspace, collection, vocabulary, on_progress)
        report = replace(report, tagged=tagged, described=described)
        if ocr != "off" and ray:
            report = replace(report, text=ray_read(workspace, collection, address=ray))
        elif ocr != "off" and workspace.catalog.texts.any_waiting(collection.id):
            text = read_texts(
                collection=collection,
                catalog=workspace.catalog,
                open_store=open_store,
                reader=workspace.reader,
                text_embedder=workspace.text_embedder_of(collection),
                limits=workspace.limits,
                on_progress=on_progress,
            )
            report = replace(report, text=text)
        if collection.page_embedder is not None:
            report = replace(report, pages=embed_pages_of(workspace, collection, on_progress))
        if captions is not None:
            # It brings what validates schemas: 0.1 s that a run without captions need not wait.
            from askpix.api.services.describe import seeing_generator  # noqa: PLC0415

            made = caption_images(
                collection=collection,
                catalog=workspace.catalog,
                open_store=open_store,
                text_embedder=lambda: workspace.text_embedder_of(collection),
                generator=seeing_generator(workspace, captions),
                budget=budget or CaptionBudget(),
                on_progress=on_progress,
            )
            report = replace(report, captions=made)
        seconds = time.perf_counter() - began
        return replace(
            report,
            seconds=round(seconds, 3),
            images_per_second=round(report.images_per_second * report.seconds / seconds, 2),
            embedding_seconds=report.seconds,
        )


def _tag(
    workspace: Workspace, collection: Collection, vocabulary: Vocabulary | None, on_progress: OnProgress
) -> int:
    """Tag what has not been tagged with ``vocabulary`` (default: the collection's own): how many were."""
    ledger = workspace.catalog.tags
    wanted = vocabulary or ledger.vocabulary(collection)
    if wanted is None:
        return 0
    ledger.use(collection, wanted)
    if not ledger.count_untagged(collection):
        return 0
    tagger = workspace.tagger(collection, wanted)
    with workspace.open_store(collection) as store:
        return tag_images(
            collection=collection, ledger=ledger, store=store, tagger=tagger, on_progress=on_progress
        )
