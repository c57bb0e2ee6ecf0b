"""A better embedder for a collection: the offer, a job that installs it and changes over, and a no to it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from askpix.api.jobs.queue import OPEN
from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.views import job_out
from askpix.api.schemas.requests import _In
from askpix.api.schemas.results import Job
from askpix.api.security.principal import Principal
from askpix.api.security.problems import ProblemError
from askpix.api.service.service import Service
from askpix.api.services.upgrade import Upgrade, decline_upgrade, find_upgrade, listed_embedder
from askpix.ingest.catalog.models import Collection

router = APIRouter(prefix="/v1/collections/{name}/upgrade", tags=["upgrade"])


class UpgradeIn(_In):
    """A model of the list that `askpix models --all` shows, by its short name."""

    model: Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class UpgradeOffer:
    """The embedder to offer, and the job that is giving the collection another; either may be missing."""

    offer: Upgrade | None
    job: Job | None


@router.get("", responses=problems(404))
def show(name: str, service: TheService, who: Who) -> UpgradeOffer:
    """The embedder that suits this machine better than the collection's small one. For admin keys of all
    collections, as are the others here: a model is the whole home's."""
    collection = _owned(name, service, who)
    job = _job(service, who, collection)
    return UpgradeOffer(None if job else find_upgrade(service.workspace, collection), job)


@router.post("", status_code=202, responses=problems(404, 409, 507))
def begin(name: str, body: UpgradeIn, service: TheService, who: Who, response: Response) -> Job:
    """Download the model if it is not here, have it prove itself, embed every image again behind the running
    search, and change over. Whatever fails leaves the old embedder in use."""
    collection = _owned(name, service, who)
    model = listed_embedder(body.model)
    if (running := _job(service, who, collection)) is not None:
        raise ProblemError(409, f"the embedder of {name!r} is being changed already, by job {running.id!r}")
    job = service.enqueue(collection, "upgrade", {"model": model.name})
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_out(service, who, job)


@router.delete("", status_code=204, responses=problems(404))
def decline(name: str, model: Annotated[str, Field(max_length=100)], service: TheService, who: Who) -> None:
    """Offer this model no more."""
    _owned(name, service, who)
    decline_upgrade(service.workspace, model)


def _owned(name: str, service: Service, who: Principal) -> Collection:
    who.need("admin")
    who.need_all()
    return who.collection(service.catalog, name)


def _job(service: Service, who: Principal, collection: Collection) -> Job | None:
    for state in OPEN:
        for job in service.jobs.list(collection_ids={collection.id}, state=state, limit=1000):
            if job.kind == "upgrade":
                return job_out(service, who, job)
    return None
