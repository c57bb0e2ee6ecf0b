"""Keys, for those who may make them: admin keys of all collections, or this machine before any exists."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from askpix.api.routes import TheService, Who, problems
from askpix.api.schemas.requests import _In
from askpix.api.schemas.responses import Out
from askpix.api.security.audit_log import Entry, Refusal
from askpix.api.security.keys import Key

router = APIRouter(prefix="/v1/keys", tags=["keys"])
trail_router = APIRouter(tags=["keys"])
_Name = Annotated[str, Field(min_length=1, max_length=63)]


class KeyIn(_In):
    """A new key; without ``collections`` it is for all of them."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scope: Literal["read", "write", "admin"] = "read"
    collections: Annotated[list[_Name], Field(max_length=1000)] = Field(default=[])
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000, description="Its own limit.")
    max_upload_bytes: int | None = Field(default=None, ge=1, le=2**50, description="Its own, of one upload.")


class RotateIn(_In):
    """For how long both keys open, so that programs can be given the new one."""

    overlap_s: int = Field(default=86_400, ge=0, le=90 * 86_400)


class KeyOut(Out):
    """A key as it is kept: its secret is not."""

    id: str
    name: str
    scope: str
    collections: list[str] | None
    created_at: str
    used_at: str | None
    revoked_at: str | None
    requests_per_minute: int | None = None
    max_upload_bytes: int | None = None


class NewKeyOut(KeyOut):
    """``key`` is shown this once."""

    key: str


class EntryOut(Out):
    """Who did what."""

    number: int
    at: str
    who: str
    did: str
    path: str
    status: int
    request: str


class RefusalOut(Out):
    """Requests of strangers at one address that were turned away within a minute; `did`: the first."""

    at: str
    address: str
    count: int
    did: str
    status: int
    request: str


class TrailOut(Out):
    """Newest first; ``before`` of the next page is the last number here."""

    entries: list[EntryOut]
    refused: list[RefusalOut]


class KeysOut(Out):
    """Every key, revoked ones too, oldest first."""

    keys: list[KeyOut]


@router.get("", response_model=KeysOut, responses=problems())
def list_all(service: TheService, who: Who) -> Any:
    """What ``askpix keys list`` shows."""
    _need(who)
    return {"keys": [_out(key) for key in service.keys.list()]}


@router.post("", status_code=201, response_model=NewKeyOut, responses=problems())
def create(body: KeyIn, service: TheService, who: Who) -> Any:
    """A new key. The first one closes the door for everybody without one."""
    _need(who)
    made, text = service.keys.create(**body.model_dump())
    return {**_out(made), "key": text}


@router.delete("/{key_id}", response_model=KeyOut, responses=problems(404))
def revoke(key_id: str, service: TheService, who: Who) -> Any:
    """From now on it opens nothing."""
    _need(who)
    return _out(service.keys.revoke(key_id))


@router.post("/{key_id}/rotate", status_code=201, response_model=NewKeyOut, responses=problems(404))
def rotate(key_id: str, body: RotateIn, service: TheService, who: Who) -> Any:
    """A new key for the same; the old one opens nothing once `overlap_s` seconds have passed."""
    _need(who)
    made, text = service.keys.rotate(key_id, overlap=timedelta(seconds=body.overlap_s))
    return {**_out(made), "key": text}


@trail_router.get("/v1/trail", response_model=TrailOut, responses=problems())
def trail(
    service: TheService,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Any:
    """What was changed through the service, by which key, and who was turned away. For admins of all."""
    _need(who)
    found: dict[str, Sequence[Entry | Refusal]] = {
        "entries": service.trail.latest(limit=limit, before=before),
        "refused": service.trail.refusals(limit=limit),
    }
    return {name: [{**asdict(row), "at": row.at.isoformat()} for row in rows] for name, rows in found.items()}


def _need(who: Who) -> None:
    who.need("admin")
    who.need_all()


def _out(key: Key) -> dict[str, Any]:
    row = asdict(key)
    row["collections"] = row.pop("names")
    for field in ("created_at", "used_at", "revoked_at"):
        row[field] = row[field] and row[field].isoformat()
    return row
