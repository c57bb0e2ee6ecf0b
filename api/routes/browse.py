"""What a page needs to show a whole collection: its order and shapes, its places, its folders, its models."""

import base64
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from askpix.api.routes import TheService, Who, problems
from askpix.api.schemas.responses import Out
from askpix.api.services.reembed import kept_report
from askpix.core.errors import AskpixError
from askpix.ingest.catalog.folders import folders as folders_of

router = APIRouter(prefix="/v1/collections", tags=["collections"])
_MOST_PLACES = 2_000


class MonthOut(Out):
    """``month`` is None for pictures without a date."""

    month: str | None
    count: int


class TimelineOut(Out):
    """Newest first, as ``/images?order=newest`` gives them: a picture's shape is
    ``2 ** ((byte - 128) / 32)``, its width over its height."""

    total: int
    shapes: str
    months: list[MonthOut]


class PlaceOut(Out):
    """Pictures near each other, and one of them."""

    lat: float
    lon: float
    count: int
    id: str


class PlacesOut(Out):
    """Most pictures first."""

    places: list[PlaceOut]
    total: int


class FolderOut(Out):
    """Files looked into, those that failed, the pictures in them, and how many of these are unread."""

    path: str
    files: int
    failed: int
    images: int
    pending: int


class FoldersOut(Out):
    """``indexing``: a run is at work on them, or was cut off."""

    folders: list[FolderOut]
    indexing: bool


class BuildingOut(Out):
    """Vectors of another model on their way."""

    embedder: str
    done: int
    expected: int


class ModelsInUseOut(Out):
    """Who sees, reads and answers; and how a change of the model is going, or went."""

    embedder: str
    text_embedder: str
    page_embedder: str | None
    generator: str | None
    generator_problem: str | None
    building: BuildingOut | None
    replaced: str | None
    report: dict[str, Any] | None


@router.get("/{name}/timeline", response_model=TimelineOut, responses=problems(404))
def timeline(name: str, service: TheService, who: Who) -> Any:
    """The shape of every picture and the months, newest first: enough to lay the whole collection out."""
    wall = service.catalog.timeline.wall(who.collection(service.catalog, name))
    return {
        "total": len(wall.ids),
        "shapes": base64.b64encode(wall.shapes).decode(),
        "months": [{"month": each.month, "count": each.pictures} for each in wall.months],
    }


@router.get("/{name}/places", response_model=PlacesOut, responses=problems(404))
def places(
    name: str,
    service: TheService,
    who: Who,
    degrees: Annotated[float, Query(ge=0.001, le=90, description="Pictures so near are one.")] = 1.0,
) -> Any:
    """Where pictures were taken, by squares of some degrees."""
    wall = service.catalog.timeline.wall(who.collection(service.catalog, name))
    found = wall.places(degrees)[:_MOST_PLACES]
    rows = [{"lat": round(p.lat, 5), "lon": round(p.lon, 5), "count": p.pictures, "id": p.id} for p in found]
    return {"places": rows, "total": len(wall.spots)}


@router.get("/{name}/folders", response_model=FoldersOut, responses=problems(404))
def folders(name: str, service: TheService, who: Who) -> Any:
    """Where its files lie on the server, most files first; uploads are one folder."""
    collection = who.collection(service.catalog, name)
    found = folders_of(service.catalog.engine, collection)
    rows = []
    for each in found:
        row = asdict(each)
        if service.uploads.holds(f"{each.path}/x"):
            row["path"] = "upload:"
        rows.append(row)
    return {"folders": rows, "indexing": service.catalog.unfinished(collection)}


@router.get("/{name}/models", response_model=ModelsInUseOut, responses=problems(404))
def models(name: str, service: TheService, who: Who) -> Any:
    """The models of a collection, and of another one that is being changed to how far it is."""
    collection = who.collection(service.catalog, name)
    generations = service.catalog.generations
    building = next(iter(generations.others(collection, "building")), None)
    replaced = next(iter(generations.others(collection, "replaced")), None)
    progress = None
    if building is not None:
        with service.workspace.open_store(building) as store:
            done = store.count()
        progress = {
            "embedder": building.embedder,
            "done": done,
            "expected": service.catalog.count_images(collection),
        }
    generator, problem = None, None
    try:
        generator = service.workspace.generator().model_id
    except AskpixError as error:  # one that cannot be opened is told; the rest is worth showing all the same
        problem = str(error)
    return {
        "embedder": collection.embedder,
        "text_embedder": collection.text_embedder,
        "page_embedder": collection.page_embedder,
        "generator": generator,
        "generator_problem": problem,
        "building": progress,
        "replaced": replaced and replaced.embedder,
        "report": kept_report(service.workspace, collection),
    }
