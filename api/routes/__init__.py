"""The routes of the service, one module a noun. ``def`` routes run in threads."""

from typing import Annotated, Any

from fastapi import Depends, Request

from askpix.api.schemas.results import Problem
from askpix.api.security.principal import Principal
from askpix.api.service.service import Service


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for its documentation; those that every route may give are among them."""
    return {
        status: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
        for status, text in _PROBLEMS.items()
        if status in (400, 401, 403, 413, 422, 429, 503, *statuses)
    }


_PROBLEMS = {
    400: "The request is malformed.",
    401: "A key is needed, or this one opens nothing.",
    403: "The key lacks the right.",
    404: "There is no such thing, for this key.",
    409: "It is there already, or made with another model.",
    413: "Too large, or too many.",
    415: "Not a media type that is taken.",
    416: "No such range.",
    422: "The request cannot be understood.",
    429: "Too often; see Retry-After.",
    502: "The generator failed.",
    503: "Busy, or the index cannot be used now; see Retry-After.",
    507: "The disk is full.",
}


async def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


async def _principal(request: Request) -> Principal:
    found: Principal = request.state.principal
    return found


TheService = Annotated[Service, Depends(_service)]
Who = Annotated[Principal, Depends(_principal)]
