"""Requests over HTTP, checked by pydantic. What is answered stands in ``api.schemas.results``."""

from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from askpix.api.schemas.dates import parse_date
from askpix.core.types import Near, Where

Text = Annotated[str, Field(max_length=10_000)]
EXAMPLE_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAL4AAAAsAQAAAADzoT94AAAA20lEQVR42u3TrW7CUBjG8f9puj"
    "BRcdwmewncAb0MBKJiF1K2JchNcgET2F0BBIXEYSYKCslYBR+nfRCQdCVFERyvOskvOc+TN3mNqJ3c48Lc4bYwN9uw669zWM"
    "ti8vAkUivtOf06ae4aam0+JEnOAxod+AMG+Q/Rvl1mLO3xbbGqhI8KWALxDsiCEuwjeAkQwLi+bsbsHKYApLwkZ7AYAUzMa/"
    "1Xn9WVrDYwBFBYrRt5QAwUEUmQlfC8ggjAJWnxP3z3hcDAlu/3h0EJT32gCci3b/6pgLmfwfVwAPnMS5Nc3BPMAAAAAElFTk"
    "SuQmCC"
)
"""An image of the words "TOTAL 12.50", for the examples in the API's description."""


class _In(BaseModel):
    """A request: a field nobody knows is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid")


class CollectionIn(_In):
    """A new collection."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "holiday"}]})
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    embedder: Annotated[str, Field(max_length=500)] | None = None


class UrlsIn(_In):
    """Images to be fetched."""

    urls: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1)]


class NearIn(_In):
    """A circle on the globe."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    km: Annotated[float, Field(gt=0, lt=20_100)]


class WhereIn(_In):
    """The filter: what is given must hold. Dates are 2018, 2018-05, 2018-05-03 or with a time."""

    model_config = ConfigDict(extra="allow")
    after: datetime | None = None
    before: datetime | None = None
    near: NearIn | None = None
    path: Annotated[str, Field(max_length=1000)] | None = None
    kind: Literal["photo", "page", "frame"] | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = []
    camera: Annotated[str, Field(max_length=200)] | None = None
    months: Annotated[list[Annotated[int, Field(ge=1, le=12)]], Field(max_length=12)] = []
    weekdays: Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(max_length=7)] = []
    hours: Annotated[list[Annotated[int, Field(ge=0, le=23)]], Field(max_length=24)] = []
    amount_min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    amount_max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    country: Annotated[str, Field(max_length=5)] | None = None
    rating_min: Annotated[int, Field(ge=-1, le=5)] | None = None
    rating_max: Annotated[int, Field(ge=-1, le=5)] | None = None
    spans: Annotated[list[tuple[datetime, datetime]], Field(max_length=20)] = []
    phrases: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)] = []
    without: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)] = []
    must_not: "Annotated[list[WhereIn], Field(max_length=20)]" = []
    """No condition of any of these may hold."""

    @field_validator("after", "before", mode="before")
    @classmethod
    def _date(cls, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a date; write '2018', '2018-05' or '2018-05-03'")
        try:
            return parse_date(value)
        except OverflowError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _known(self) -> "WhereIn":
        unknown = sorted(set(self.model_extra or {}) - {field.name for field in fields(Where)})
        if unknown:
            raise ValueError(f"no filter {unknown[0]!r}")
        if any(each.must_not or each.without for each in self.must_not):
            raise ValueError("'must_not' holds what is denied; it cannot hold 'must_not' or 'without'")
        low, high = self.rating_min, self.rating_max
        if low is not None and high is not None and low > high:
            raise ValueError("'rating_min' is over 'rating_max': nothing can lie between")
        if self.after and self.before and self.after >= self.before:
            raise ValueError("'after' is not earlier than 'before': nothing can lie between")
        return self

    def where(self) -> Where:
        """Return the filter in the retriever's form."""
        given = {name: value for name, value in self if value not in (None, [])}
        given["must_not"] = [each.where() for each in self.must_not]
        given |= {k: tuple(v) for k, v in given.items() if isinstance(v, list)}
        if self.near:
            given["near"] = Near(self.near.lat, self.near.lon, self.near.km)
        return Where(**given)


class SearchIn(_In):
    """A search: words, an image, a filter, or all of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": 'receipts "GRAND TOTAL" -sushi', "where": {"after": "2018"}, "top_k": 5}]
        },
    )
    text: Text = ""
    image: str | None = Field(
        default=None, description="A data URI (`data:image/jpeg;base64,...`) or the id of an image."
    )
    where: WhereIn = WhereIn()
    top_k: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0, le=100_000)] = 0
    mode: Literal["auto", "image", "text", "hybrid"] = "auto"
    all: bool = False
    off: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=50)] = Field(
        default=[],
        description="Fields or words of clauses that shall stay words; `*` reads nothing into the text.",
    )
    collapse: bool = Field(default=True, description="Bursts and near duplicates are one hit.")
    diverse: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Spread the first 100 hits (MMR): 1 as found, 0 as unlike as can be."
    )
    rerank: Annotated[str, Field(max_length=500)] | None = Field(
        default=None,
        description="A second look at the first 50: `pages`, `none`; others need the scope `admin`.",
    )


class GoodIn(_In):
    """Words of a search, and the images that it looked for."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "my red car", "images": ["ID"]}]}
    )
    text: Annotated[Text, Field(min_length=1)]
    images: Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=100)]


class TurnIn(_In):
    """A question or an answer of the conversation so far."""

    role: Literal["user", "assistant"]
    content: Text


class AskIn(_In):
    """A question; with `history` it may lean on what was said before ("and in 2019?")."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"question": "What is the total on the hotel receipt?"}]},
    )
    question: Annotated[str, Field(min_length=1, max_length=10_000)]
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    generator: Annotated[str, Field(max_length=500)] | None = None
    stream: bool = False
    history: Annotated[list[TurnIn], Field(max_length=100)] = Field(default=[], description="Oldest first.")
