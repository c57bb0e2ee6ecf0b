"""For the other commands of this home, which have its token: what a client from outside may not ask."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.problems import ProblemError
from api.routes import TheService, Who
from ingest.walk import check_paths

router = APIRouter(prefix="/v1/local", include_in_schema=False)


class IndexIn(BaseModel):
    """``askpix index``."""

    model_config = ConfigDict(extra="forbid")
    paths: Annotated[list[str], Field(min_length=1)]
    collection: str = "default"
    embedder: str | None = None
    ocr: str | None = None
    prune: bool = False


@router.post("/index", status_code=202)
def index(body: IndexIn, service: TheService, who: Who) -> Any:
    """Index paths of this machine."""
    if not who.local:
        raise ProblemError(404, "Not Found")
    paths = [Path(path) for path in body.paths]
    check_paths(paths)
    collection = service.workspace.open_or_create(body.collection, body.embedder)
    spec = {"paths": [str(path) for path in paths], "ocr": body.ocr, "prune": body.prune}
    job = service.enqueue(collection, "paths", spec)
    return {"job": job.id, "url": f"/v1/jobs/{job.id}", "files": []}
