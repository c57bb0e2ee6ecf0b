"""Keys, for those who may make them: admin keys of all collections, or this machine before any exists."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from askpix.api.routes import TheService, Who, problems
from askpix.api.schemas.requests import _In
from askpix.api.security.audit_log import Entry, Refusal
from askpix.api.security.keys import Key, NewKey

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
    """How long both keys work, so that programs can be given the new one."""

    overlap_s: int = Field(default=86_400, ge=0, le=90 * 86_400)


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key, revoked ones too, oldest first; without their secrets."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Newest first; ``before`` of the next page is the last ``number`` here."""

    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...]


@router.get("", responses=problems())
def list_all(service: TheService, who: Who) -> Keys:
    """List the keys."""
    _need(who)
    return Keys(tuple(service.keys.list()))


@router.post("", status_code=201, responses=problems())
def create(body: KeyIn, service: TheService, who: Who) -> NewKey:
    """A new key. The first one closes the door for everybody without one."""
    _need(who)
    return NewKey.of(*service.keys.create(**body.model_dump()))


@router.delete("/{key_id}", responses=problems(404))
def revoke(key_id: str, service: TheService, who: Who) -> Key:
    """Revoke a key, effective at once."""
    _need(who)
    return service.keys.revoke(key_id)


@router.post("/{key_id}/rotate", status_code=201, responses=problems(404))
def rotate(key_id: str, body: RotateIn, service: TheService, who: Who) -> NewKey:
    """A new key for the same; the old one opens nothing once `overlap_s` seconds have passed."""
    _need(who)
    return NewKey.of(*service.keys.rotate(key_id, overlap=timedelta(seconds=body.overlap_s)))


@trail_router.get("/v1/trail", responses=problems())
def trail(
    service: TheService,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> TrailPage:
    """List what was changed through the service, by which key, and what was refused. For admins of all
    collections.
    """
    _need(who)
    entries = service.trail.latest(limit=limit, before=before)
    return TrailPage(tuple(entries), tuple(service.trail.refusals(limit=limit)))


def _need(who: Who) -> None:
    who.need("admin")
    who.need_all()
