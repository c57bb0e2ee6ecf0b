"""Single images in words, as objects, and held against checks: as the commands do it."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.search import bytes_of
from askpix.api.routes.views import answered
from askpix.api.schemas.requests import EXAMPLE_IMAGE
from askpix.api.schemas.results import Caption, Captions
from askpix.api.security.principal import Principal
from askpix.api.service.images import content_of
from askpix.api.service.service import Service
from askpix.api.services.describe import audit, caption, extract, extraction_object
from askpix.api.services.single_file import Looked, look, look_again
from askpix.core.errors import BadImageError
from askpix.generation.tasks.audit import Finding
from askpix.generation.tasks.extract import Proof
from askpix.generation.tasks.json_schema import check_schema

router = APIRouter(prefix="/v1", tags=["describe"])
SAFE_GENERATORS = (None, "auto", "extractive")
# Whole images are decoded and read here: each reader of words takes 0.4 GB.
_AT_WORK = threading.Semaphore(2)
_ImageReference = Annotated[str, Field(description="A data URI, or the id of an image.")]
_Generator = Annotated[str | None, Field(max_length=300)]


class CaptionIn(BaseModel):
    """Images, and how to speak of them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"images": [EXAMPLE_IMAGE]}]})
    images: Annotated[list[_ImageReference], Field(min_length=1, max_length=16)]
    style: Literal["short", "detailed", "alt"] = Field(
        default="short", description="`alt`: for who cannot see the image."
    )
    generator: _Generator = None


class ExtractIn(BaseModel):
    """An image, and the JSON schema of the object that it is to be read as."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "image": EXAMPLE_IMAGE,
                    "schema": {"type": "object", "properties": {"total": {"type": "number"}}},
                }
            ]
        },
    )
    image: _ImageReference
    wanted: dict[str, Any] = Field(alias="schema")
    page: int | None = Field(default=None, ge=1, le=100_000)
    generator: _Generator = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """The fields of the object, valid against the schema, and beside them ``evidence`` by field."""

    evidence: dict[str, Proof]


class AuditIn(BaseModel):
    """A screenshot, and what must hold of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"image": EXAMPLE_IMAGE, "checks": ["the page says 'TOTAL'"]}]},
    )
    image: _ImageReference
    checks: Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=50)] = []
    accessibility: bool = Field(default=True, description="Measure contrast and size of the text too.")
    generator: _Generator = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The checks in their order, then what was measured."""

    findings: tuple[Finding, ...]


@router.post("/caption", responses=problems(404, 502))
def caption_images(body: CaptionIn, service: TheService, who: Who) -> Captions:
    """Caption each image. Without a vision model: what it looks like, and the text in it."""
    check_generator(service, who, body.generator)
    results = []
    for index, text in enumerate(body.images):
        with looked_at(service, who, text) as looked:
            words = caption(service.workspace, looked, style=body.style, generator=body.generator)
        results.append(Caption(index=index, caption=words))
    return Captions(tuple(results), service.workspace.generator(body.generator).model_id)


@router.post("/extract", response_model=Extracted, responses=problems(404, 502))
def extract_object(body: ExtractIn, service: TheService, who: Who) -> Response:
    """The image as an object of the schema; what cannot be found is told as an error, never made up."""
    check_generator(service, who, body.generator)
    found = extracted(service, who, body.image, body.wanted, page=body.page, generator=body.generator)
    return answered(found)


@router.post("/audit", responses=problems(404, 502))
def audit_screenshot(body: AuditIn, service: TheService, who: Who) -> Findings:
    """PASS, FAIL or unsure for each check, with what it rests on; then contrast and size of the text."""
    check_generator(service, who, body.generator)
    with looked_at(service, who, body.image) as looked:
        found = audit(
            service.workspace,
            looked,
            body.checks,
            accessibility=body.accessibility,
            generator=body.generator,
        )
    return Findings(tuple(found))


def extracted(
    service: Service,
    who: Principal,
    image: str,
    schema: dict[str, Any],
    *,
    page: int | None = None,
    generator: str | None = None,
) -> dict[str, Any]:
    """The object with its ``evidence``. Raises ``BadQueryError`` and what extraction raises."""
    checked = check_schema(schema)
    with looked_at(service, who, image, page=page) as looked:
        found = extract(service.workspace, looked, checked, generator=generator)
    return extraction_object(found)


def check_generator(service: Service, who: Principal, generator: str | None) -> None:
    """Others may cost money, or name addresses for the server to call."""
    if generator not in (*SAFE_GENERATORS, service.settings.generator):
        who.need("admin")


@contextmanager
def looked_at(service: Service, who: Principal, image: str, *, page: int | None = None) -> Iterator[Looked]:
    """An image that was sent, or one that they may see, with its words; for as long as the block lasts."""
    workspace = service.workspace
    with _AT_WORK:
        if not image.startswith("data:"):
            collection, record, sha256 = service.image(who, image)
            content = content_of(service, collection, record, sha256)
            if page not in (None, record.page):
                # Another page of its document; a film has none.
                sibling = collection.image_id(sha256, page)
                collection, record, sha256 = service.image(who, sibling)
            known = service.catalog.lines([record.id]).get(record.id)
            looked = look_again(workspace, record, content, read=known is None)
            yield looked if known is None else replace(looked, lines=known)
            return
        data = bytes_of(service, image)
        if not data:
            raise BadImageError("the image is empty")
        # A file, because generators read the image anew, as large as they need it.
        with tempfile.TemporaryDirectory(prefix="askpix-") as folder:
            path = Path(folder) / "picture"
            path.write_bytes(data)
            yield look(workspace, path, page=page)
