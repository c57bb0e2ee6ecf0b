"""Jobs: how far they are, as they go, and an end to them."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from askpix.api.jobs.queue import OPEN
from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.views import event, job_out
from askpix.api.schemas.results import Job, JobPage
from askpix.api.security.problems import ProblemError

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_EVERY_S = 0.25
_HEARTBEAT_S = 15.0


@router.get("", responses=problems())
def list_all(
    service: TheService,
    who: Who,
    state: Literal["queued", "running", "done", "failed", "cancelled"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> JobPage:
    """Jobs on the collections of this key, newest first."""
    mine = {each.id for each in who.collections(service.catalog)}
    found = service.jobs.list(collection_ids=mine, state=state, limit=limit, offset=offset)
    return JobPage(jobs=tuple(job_out(service, who, job) for job in found), limit=limit, offset=offset)


@router.get("/{job_id}", responses=problems(404))
def show(job_id: str, service: TheService, who: Who) -> Job:
    """Show one job."""
    return job_out(service, who, service.job(who, job_id))


@router.post("/{job_id}/cancel", responses=problems(404))
def cancel(job_id: str, service: TheService, who: Who) -> Job:
    """Stop it at the next safe point; what it has done stays. A job that has ended stays as it is."""
    who.need("write")
    service.job(who, job_id)
    return job_out(service, who, service.jobs.cancel(job_id))


@router.post("/{job_id}/retry", responses=problems(404, 409))
def retry(job_id: str, service: TheService, who: Who) -> Job:
    """Queue a job again that failed or was cancelled; what it was sent is kept until its collection goes."""
    who.need("write")
    job = service.job(who, job_id)
    collection = service.catalog.get_collection(job.collection)
    if collection is None or collection.id != job.collection_id:
        raise ProblemError(409, f"the collection {job.collection!r} of this job was deleted; upload again")
    if not service.jobs.retry(job_id):
        raise ProblemError(409, f"only a job that failed or was cancelled is tried again; see {job_id!r}")
    service.runner.wake()
    return job_out(service, who, service.jobs.get(job_id))


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events."},
        **problems(404),
    },
)
async def events(job_id: str, service: TheService, who: Who) -> StreamingResponse:
    """Server-sent events: `progress` at each change, and last `done`, `failed` or `cancelled`."""
    await anyio.to_thread.run_sync(service.job, who, job_id)

    async def stream() -> AsyncIterator[bytes]:
        last = None
        silent = 0.0
        while not service.stopping:
            job = await anyio.to_thread.run_sync(service.job, who, job_id)
            body = job_out(service, who, job)
            if job.state not in OPEN:
                yield event(job.state, body)
                return
            if (job.state, job.progress) != last:
                last = (job.state, job.progress)
                silent = 0.0
                yield event("progress", body)
            elif silent >= _HEARTBEAT_S:
                silent = 0.0
                yield b": still here\n\n"
            await anyio.sleep(_EVERY_S)
            silent += _EVERY_S

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
