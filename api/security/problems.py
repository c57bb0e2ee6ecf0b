"""Errors as the service tells them: RFC 9457 ``application/problem+json``, from one table."""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from askpix.core.errors import (
    AskpixError,
    AuthError,
    BadImageError,
    BadQueryError,
    GenerationError,
    IndexMismatchError,
    LimitError,
    ModelUnavailableError,
    NotFoundError,
    StoreUnavailableError,
)

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[AskpixError], int], ...] = (
    (BadImageError, 422),
    (BadQueryError, 422),
    (IndexMismatchError, 409),
    (NotFoundError, 404),
    (ModelUnavailableError, 422),
    (StoreUnavailableError, 503),
    (GenerationError, 502),
    (LimitError, 429),
    (AuthError, 403),
    (AskpixError, 422),
)
NEW_KEY = "`askpix keys create NAME` on the machine of this server makes a new one"
"""The way in for whoever has no key, or lost the last one."""
_log = logging.getLogger("askpix.service")


class ProblemError(AskpixError):
    """An error that has a status of its own. ``headers`` go with the answer."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


class OverloadedError(ProblemError):
    """Come again in ``retry_after_s``."""

    def __init__(self, detail: str, *, status: int = 503, retry_after_s: int = 1) -> None:
        super().__init__(status, detail, headers={"Retry-After": str(retry_after_s)})


def status_of(error: AskpixError) -> int:
    """The HTTP status that says what kind of error it is."""
    if isinstance(error, ProblemError):
        return error.status
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def problem(status: int, detail: str, *, request_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The body (RFC 9457, section 3)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if request_id:
        body["request_id"] = request_id
    return body | more


def problem_of(error: AskpixError, *, request_id: str | None = None) -> dict[str, Any]:
    """The body for an error raised on purpose; ``kind`` is its name in ``askpix.core.errors``."""
    kind = next((each.__name__ for each, _ in _STATUS if isinstance(error, each)), "AskpixError")
    more = {} if kind == "AskpixError" else {"kind": kind}
    return problem(status_of(error), " ".join(str(error).split()), request_id=request_id, **more)


def problem_response(error: AskpixError, *, request_id: str | None = None) -> Response:
    """An error raised on purpose, as an answer."""
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, ProblemError) else {}
    if status in (429, 503):
        headers.setdefault("Retry-After", "5")
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="askpix"')
    return _response(problem_of(error, request_id=request_id), headers)


def install(app: FastAPI) -> None:
    """Every error of the app through here."""

    def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AskpixError)
        return problem_response(error, request_id=_id(request))

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        places = [
            {"at": ".".join(str(part) for part in each["loc"]), "message": str(each["msg"])}
            for each in error.errors()
        ]
        first = places[0] if places else {"at": "body", "message": "is not valid"}
        detail = f"{first['at']}: {first['message']}"
        return _response(problem(422, detail, request_id=_id(request), errors=places[:20]))

    def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, RecursionError):  # of the JSON parser
            detail = "the body is nested too deeply; make it flatter"
            return _response(problem(422, detail, request_id=_id(request)))
        body = problem(error.status_code, str(error.detail), request_id=_id(request))
        return _response(body, dict(error.headers or {}))

    def bug(request: Request, error: Exception) -> Response:
        _log.error("bug in %s %s", request.method, request.url.path, exc_info=error)
        return _response(problem(500, "internal error; the server's log has it", request_id=_id(request)))

    app.add_exception_handler(AskpixError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(Exception, bug)


def _response(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    # What people sent may hold lone surrogates, which no encoding takes: escapes do.
    return Response(
        json.dumps(body, ensure_ascii=True).encode(),
        status_code=body["status"],
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def _id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)
