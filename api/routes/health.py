"""Health of the server, and its metrics."""

from dataclasses import dataclass

import anyio.to_thread
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from askpix.api.routes import TheService, Who, problems
from askpix.api.security.problems import OverloadedError

router = APIRouter(tags=["status"])


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the server: ``ok``, or ``ready``."""

    status: str


@router.get("/healthz", responses=problems())
async def health(service: TheService) -> Health:
    """Return whether the server should go on running: 503 when its worker is stuck."""
    if (stuck := service.healthy()) is not None:
        raise OverloadedError(stuck, retry_after_s=30)
    return Health("ok")


@router.get("/readyz", responses=problems())
async def ready(service: TheService) -> Health:
    """Return whether requests should come here: 503 until the models are loaded, while every place is
    taken, and once it is stopping.
    """
    if not service.ready:
        raise OverloadedError("starting, or stopping", retry_after_s=2)
    if service.places.full:
        raise OverloadedError("as many requests are at work as ASKPIX_MAX_WAITING allows", retry_after_s=2)
    return Health("ready")


@router.get("/metrics", response_class=PlainTextResponse, responses=problems())
async def metrics(service: TheService, who: Who) -> Response:
    """Prometheus' text format. Where there are keys, for admin keys of all collections."""
    who.need("admin")
    who.need_all()
    jobs = await anyio.to_thread.run_sync(service.jobs.counts)
    return Response(service.meters.text(jobs), media_type="text/plain; version=0.0.4; charset=utf-8")
