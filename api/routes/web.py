"""The page: its files, as they lie in the package, and its session. All else it does through the API."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from askpix.api.routes import TheService, problems
from askpix.api.schemas.requests import _In
from askpix.api.security.principal import ANYBODY, Principal
from askpix.api.security.problems import NEW_KEY, ProblemError
from askpix.api.security.session import COOKIE, PAGE_HEADER

router = APIRouter(tags=["page"])
FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{
        f"js/{name}.js": "text/javascript; charset=utf-8"
        for name in (
            *("api", "app", "blur", "chat", "dom", "facets", "grid", "keys", "layout", "library", "map"),
            *("models", "rail", "strings", "understood", "upgrade", "viewer"),
        )
    },
    "vendor/land.svg": "image/svg+xml",
    "vendor/thumbhash.js": "text/javascript; charset=utf-8",
}
"""Files that are served, and no others: no path of a request reaches the disk."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class SessionIn(_In):
    """The key to come in with."""

    key: Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Session:
    """Access of the visitor: whether they may come in, and what they may do; ``keyed``: by a key."""

    open: bool
    scope: str | None = None
    keyed: bool = False


@router.get("/", include_in_schema=False)
def root(request: Request) -> Response:
    """The page itself."""
    return _file("index.html", request)


@router.get("/web/{path:path}", include_in_schema=False)
def asset(path: str, request: Request) -> Response:
    """Serve a file of the page."""
    return _file(path, request)


@router.post("/session", responses=problems())
async def begin(body: SessionIn, request: Request, response: Response, service: TheService) -> Session:
    """Exchange a key for a session of the page: a cookie that scripts cannot read."""
    _from_the_page(request)
    key = await service.check_key(body.key)
    if key is None:
        raise ProblemError(401, f"this key is not known, or was revoked; {NEW_KEY}")
    request.state.principal = Principal.of(key)  # on the trail it is theirs
    response.set_cookie(
        COOKIE,
        body.key,
        max_age=30 * 86_400,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
    return Session(open=True)


@router.get("/session", responses=problems())
async def current(request: Request) -> Session:
    """Return whether the page has to ask for a key."""
    who: Principal | None = request.state.principal
    if who is None:
        return Session(open=False)
    return Session(open=True, scope=who.scope, keyed=who is not ANYBODY)


@router.delete("/session", responses=problems())
async def end(request: Request, response: Response) -> Session:
    """Forget the session."""
    _from_the_page(request)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return Session(open=False)


def _from_the_page(request: Request) -> None:
    if request.headers.get(PAGE_HEADER) != "1":
        raise ProblemError(403, f"a session is begun and ended with the header {PAGE_HEADER}: 1")


def _file(name: str, request: Request) -> Response:
    if name not in FILES:
        raise ProblemError(404, f"no file {name!r}")
    data, etag = _content(name)
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if request.headers.get("if-none-match", "").removeprefix("W/") == etag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=FILES[name], headers=headers)


@cache
def _content(name: str) -> tuple[bytes, str]:
    data = files("askpix.api").joinpath("web", *name.split("/")).read_bytes()
    return data, f'"{hashlib.sha256(data).hexdigest()[:16]}"'
