"""Zero-shot labels: which of the given ones an image shows."""

from typing import Annotated

from fastapi import APIRouter
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.search import image_of
from askpix.api.schemas.requests import EXAMPLE_IMAGE
from askpix.api.schemas.results import Classification, Classifications
from askpix.api.security.principal import Principal
from askpix.api.service.images import content_of
from askpix.api.service.service import Service
from askpix.api.services.classify import Classifier
from askpix.ingest.formats.content import place_of
from askpix.ingest.formats.pages import open_page

router = APIRouter(prefix="/v1", tags=["classify"])
_Words = Annotated[str, Field(max_length=200)]
_MAX_SENTENCES = 2_000
_MAX_CHARACTERS = 400_000
"""Limits: each label is put into each template, and every sentence is embedded, about 4 ms with ``mini``."""


class ClassifyIn(BaseModel):
    """Images and the labels they may have."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"images": [EXAMPLE_IMAGE], "labels": ["cat", "dog", "receipt"]}]},
    )
    images: Annotated[list[str], Field(min_length=1, max_length=64)] = Field(
        description="Data URIs, or ids of images."
    )
    labels: Annotated[list[_Words], Field(min_length=1, max_length=1000)]
    template: list[_Words] | _Words | None = Field(
        default=None,
        description=f'A sentence for a label, as "a photo of a {{}}"; or several. Labels times templates are'
        f" {_MAX_SENTENCES:,} at most.",
    )

    @property
    def templates(self) -> list[str]:
        """The templates given; none for the default."""
        return [self.template] if isinstance(self.template, str) else self.template or []

    @model_validator(mode="after")
    def _bounded(self) -> "ClassifyIn":
        sentences = len(self.labels) * max(1, len(self.templates))
        longest = max(map(len, self.labels))
        characters = len(self.labels) * sum(len(each) + each.count("{}") * longest for each in self.templates)
        if sentences > _MAX_SENTENCES or characters > _MAX_CHARACTERS:
            raise ValueError(
                f"{len(self.labels)} labels in {len(self.templates)} templates are over the limit of"
                f" {_MAX_SENTENCES} sentences or {_MAX_CHARACTERS} characters; send fewer"
            )
        return self


@router.post("/classify", responses=problems(404))
def classify(body: ClassifyIn, service: TheService, who: Who) -> Classifications:
    """Nothing is trained or kept; the embedder is the one that new collections get."""
    classifier = Classifier(service.workspace, body.labels, templates=body.templates)
    results = []
    for index, text in enumerate(body.images):  # one at a time: a decoded image is large
        (labels,) = classifier.classify([_picture(service, who, text, classifier.image_side)])
        results.append(Classification(index=index, labels=labels))
    return Classifications(tuple(results), classifier.embedder_id)


def _picture(service: Service, who: Principal, text: str, side: int) -> Image.Image:
    if text.startswith("data:"):
        return image_of(service, text)
    collection, record, sha256 = service.image(who, text)
    limits = service.workspace.limits
    data = content_of(service, collection, record, sha256)
    return open_page(data, place_of(record), limits=limits, min_side=side).image
