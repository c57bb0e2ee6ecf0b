"""Views of a whole collection for the page: its order and shapes, its places, its folders, its models."""

import base64
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query

from askpix.api.routes import TheService, Who, problems
from askpix.api.services.reembed import kept_report
from askpix.core.errors import AskpixError
from askpix.ingest.catalog.folders import Folder
from askpix.ingest.catalog.folders import folders as folders_of

router = APIRouter(prefix="/v1/collections", tags=["collections"])
_MAX_PLACES = 2_000


@dataclass(frozen=True, slots=True)
class MonthCount:
    """Images of a month (``2024-05``), or of none where the date is not known."""

    month: str | None
    count: int


@dataclass(frozen=True, slots=True)
class TimelineShapes:
    """Newest first, as ``/images?order=newest`` gives them. ``shapes`` is base64 with a byte an image: its
    width over its height is ``2 ** ((byte - 128) / 32)``."""

    total: int
    shapes: str
    months: tuple[MonthCount, ...]


@dataclass(frozen=True, slots=True)
class PlaceCount:
    """Images near each other: the middle in degrees, how many, and the id of one of them."""

    lat: float
    lon: float
    count: int
    id: str


@dataclass(frozen=True, slots=True)
class Places:
    """Places with most images first; ``total`` images know where they were taken."""

    places: tuple[PlaceCount, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders with most files first. ``indexing``: a run is at work on them, or was cut off."""

    folders: tuple[Folder, ...]
    indexing: bool


@dataclass(frozen=True, slots=True)
class Building:
    """Vectors of another model on their way."""

    embedder: str
    done: int
    expected: int


@dataclass(frozen=True, slots=True)
class ModelsInUse:
    """The models of a collection, and how a change of the embedder is going, or went."""

    embedder: str
    text_embedder: str
    page_embedder: str | None
    generator: str | None
    generator_problem: str | None
    building: Building | None
    replaced: str | None
    report: dict[str, Any] | None


@router.get("/{name}/timeline", responses=problems(404))
def timeline(name: str, service: TheService, who: Who) -> TimelineShapes:
    """The shape of every image and the months, newest first: enough to lay the whole collection out."""
    wall = service.catalog.timeline.wall(who.collection(service.catalog, name))
    months = tuple(MonthCount(each.month, each.pictures) for each in wall.months)
    return TimelineShapes(len(wall.ids), base64.b64encode(wall.shapes).decode(), months)


@router.get("/{name}/places", responses=problems(404))
def places(
    name: str,
    service: TheService,
    who: Who,
    degrees: Annotated[float, Query(ge=0.001, le=90, description="Images so near are one.")] = 1.0,
) -> Places:
    """Count images by squares of some degrees."""
    wall = service.catalog.timeline.wall(who.collection(service.catalog, name))
    found = wall.places(degrees)[:_MAX_PLACES]
    rows = tuple(PlaceCount(round(p.lat, 5), round(p.lon, 5), p.pictures, p.id) for p in found)
    return Places(rows, len(wall.spots))


@router.get("/{name}/folders", responses=problems(404))
def folders(name: str, service: TheService, who: Who) -> Folders:
    """List the folders of the collection's files on the server, most files first; uploads are one folder."""
    collection = who.collection(service.catalog, name)
    rows = tuple(
        replace(each, path="upload:") if service.uploads.holds(f"{each.path}/x") else each
        for each in folders_of(service.catalog.engine, collection)
    )
    return Folders(rows, service.catalog.unfinished(collection))


@router.get("/{name}/models", responses=problems(404))
def models(name: str, service: TheService, who: Who) -> ModelsInUse:
    """The models of a collection, and of another one that is being changed to how far it is."""
    collection = who.collection(service.catalog, name)
    generations = service.catalog.generations
    building = next(iter(generations.others(collection, "building")), None)
    replaced = next(iter(generations.others(collection, "replaced")), None)
    progress = None
    if building is not None:
        with service.workspace.open_store(building) as store:
            done = store.count()
        progress = Building(building.embedder, done, service.catalog.count_images(collection))
    generator = None
    problem = None
    try:
        generator = service.workspace.generator().model_id
    except AskpixError as error:  # one that cannot be opened is told; the rest is worth showing all the same
        problem = str(error)
    return ModelsInUse(
        embedder=collection.embedder,
        text_embedder=collection.text_embedder,
        page_embedder=collection.page_embedder,
        generator=generator,
        generator_problem=problem,
        building=progress,
        replaced=replaced.embedder if replaced else None,
        report=kept_report(service.workspace, collection),
    )
