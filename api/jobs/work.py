"""Work of jobs: fetch URLs, index files, tell which of them were there already; give a better embedder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from askpix.api.jobs.duplicates import near_duplicates
from askpix.api.jobs.queue import Job, JobStoppedError
from askpix.api.jobs.uploads import Uploads
from askpix.api.services.index import run_index
from askpix.api.services.upgrade import upgrade
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import LimitError, NotFoundError
from askpix.ingest.catalog.models import Collection
from askpix.ingest.pipeline.report import Progress
from askpix.ingest.sources.fetch_budget import FetchError, FetchLimits
from askpix.ingest.sources.http_fetch import fetch


class JobWork:
    """``work`` of a ``JobRunner``. Every kind may be begun again from its start at any time."""

    def __init__(self, workspace: Workspace, uploads: Uploads) -> None:
        self._workspace = workspace
        self._uploads = uploads

    def __call__(self, job: Job, on_progress: Callable[[Progress], None]) -> Mapping[str, Any]:
        collection = self._workspace.catalog.get_collection(job.collection)
        if collection is None or collection.id != job.collection_id:
            raise NotFoundError(f"collection {job.collection!r} was deleted meanwhile")
        if job.kind == "upgrade":
            return asdict(upgrade(self._workspace, collection.name, str(job.spec["model"]), on_progress))
        # Of URLs, what earlier turns of this job fetched.
        files: list[dict[str, Any]] = [dict(file) for file in job.spec.get("files", ())]
        failed: list[dict[str, str]] = [dict(failure) for failure in job.spec.get("failed", ())]
        try:
            if job.kind == "urls":
                self._fetch(collection, job.spec["urls"], files, failed, on_progress)
            if job.kind == "paths":
                paths = [Path(path) for path in job.spec["paths"]]
            else:
                paths = [Path(file["path"]) for file in files if Path(file["path"]).exists()]
            report = self._index(collection, paths, job.spec, on_progress)
        except JobStoppedError as stop:
            if job.kind == "urls":
                stop.done = {"files": files, "failed": failed}
            raise
        for file in files:
            file["ids"] = self._ids(collection, file["sha256"])
        near = near_duplicates(
            self._workspace, collection, [i for file in files if not file["duplicate"] for i in file["ids"]]
        )
        for file in files:
            file["near"] = [match for i in file["ids"] for match in near.get(i, ())]
        report["failed"] = [*failed, *report.get("failed", ())]
        return {**report, "files": files} if files or job.kind != "paths" else report

    def _index(
        self,
        collection: Collection,
        paths: Sequence[Path],
        spec: Mapping[str, Any],
        on_progress: Callable[[Progress], None],
    ) -> dict[str, Any]:
        if not paths:
            return {"collection": collection.name, "added": 0, "failed": []}
        report = run_index(
            self._workspace,
            collection,
            list(paths),
            ocr=spec.get("ocr") or self._workspace.settings.ocr,
            prune=bool(spec.get("prune")),
            on_progress=on_progress,
        )
        return asdict(report)

    def _ids(self, collection: Collection, sha256: str) -> list[str]:
        return self._workspace.catalog.lookup.ids_of(collection, sha256)

    def _fetch(
        self,
        collection: Collection,
        urls: Sequence[str],
        files: list[dict[str, Any]],
        failed: list[dict[str, str]],
        on_progress: Callable[[Progress], None],
    ) -> None:
        limits = FetchLimits(max_bytes=self._workspace.settings.max_image_bytes)
        finished = {file["name"] for file in files} | {failure["path"] for failure in failed}
        for number, url in enumerate(urls):
            if url in finished:
                continue

            def check(number: int = number) -> None:
                on_progress(Progress("fetching", number, len(urls), 0.0, len(failed)))

            check()
            incoming = self._uploads.begin(url.partition("?")[0].rstrip("/"))
            try:
                for piece in fetch(url, limits=limits, check=check):
                    incoming.write(piece)
            except (FetchError, LimitError) as error:
                incoming.discard()
                failed.append({"path": url, "error": str(error)})
                continue
            except BaseException:
                incoming.discard()
                raise
            upload = incoming.commit(self._uploads.folder(collection.id), url=url)
            known = bool(self._ids(collection, upload.sha256))
            files.append(
                {
                    "name": url,
                    "path": str(upload.path),
                    "sha256": upload.sha256,
                    "bytes": upload.size,
                    "duplicate": known,
                }
            )
