"""The door of the service, before any route: request ids, who is there, how much they may ask at once.

A plain ASGI middleware, so that mounted applications stand behind it too. On a loopback address it lets in
only requests that name this machine as their host and come from no other site's page: a browser on this
machine must not become another site's hand (DNS rebinding, cross-site posts).
"""

import json
import logging
import math
import re
import secrets
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from askpix.api.console.log import request_id
from askpix.api.security.audit_log import belongs
from askpix.api.security.principal import ANYBODY, LOCAL, Principal
from askpix.api.security.problems import (
    MEDIA_TYPE,
    NEW_KEY,
    OverloadedError,
    ProblemError,
    problem,
    problem_response,
)
from askpix.api.security.rate_limit import RateLimit
from askpix.api.security.session import ASSETS, PAGE_HEADER, key_in_cookie
from askpix.api.server.request_body import PREFIX, RequestBody
from askpix.api.service.service import Service
from askpix.core.errors import AskpixError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered to anybody, and under any load."""
_PUBLIC_PATHS = frozenset({"/session", "/", "/docs", "/openapi.json"})
_MAX_BODY = 64 * 2**20
"""Most bytes of a request that is no upload: an image as a data URI at most."""
_UPLOAD = re.compile(r"/v1/collections/[^/]+/images")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FAILURES_A_MINUTE = 30
_TURNED_AWAY = (401, 403, 429)
_SAFE_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_access = logging.getLogger("askpix.access")


class Door:
    """Wraps the app. ``hosts``: names a loopback server answers to; None when it listens for others."""

    def __init__(self, app: ASGIApp, *, service: Service, hosts: Sequence[str] | None) -> None:
        self._app = app
        self._service = service
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._rate = RateLimit(service.settings.requests_per_minute)
        self._own_rates: dict[int, RateLimit] = {}
        """Rate limits by their value: keys with the same value share one, each with its own count."""
        self._failures = RateLimit(_FAILURES_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        visit = _Visit(scope, self._service, send)
        try:
            await self._enter(scope, receive, visit)
        except AskpixError as error:
            if visit.status:
                raise
            response = problem_response(error, request_id=visit.id)
            self._service.meters.refused.labels(str(response.status_code)).inc()
            await response(scope, receive, visit.send)
        finally:
            visit.log()
            await visit.note()

    async def _enter(self, scope: Scope, receive: Receive, visit: "_Visit") -> None:
        path = scope["path"]
        headers = Headers(scope=scope)
        self._check_host(headers)
        if path in OPEN_PATHS:
            await self._app(scope, receive, visit.send)
            return
        # The page's own files need no key: a session that has ended must find the way back in.
        files = path == "/" or path.startswith(ASSETS)
        principal = None if files else await self._who(scope, headers)
        if principal is None:
            if path not in _PUBLIC_PATHS and not path.startswith(ASSETS):
                raise ProblemError(401, f"a key is needed: send it as 'Authorization: Bearer KEY'; {NEW_KEY}")
            limit: int | None = PREFIX
        else:
            visit.principal = principal
            if not principal.local and (wait := self._rate_of(principal)):
                detail = "this key asks too often"
                raise OverloadedError(detail, status=429, retry_after_s=math.ceil(wait))
            upload = scope["method"] == "POST" and _UPLOAD.fullmatch(path)
            limit = None if upload or principal.local else _MAX_BODY

        async def confirm() -> None:
            if principal and await self._who(scope, headers) != principal:
                raise ProblemError(401, f"the key was revoked, or the first one made, meanwhile; {NEW_KEY}")

        visit.body = body = RequestBody(receive, headers, limit=limit, confirm=confirm)
        await body.read_prefix()
        scope["state"]["principal"] = principal  # from here on the connection is kept when room is needed
        if principal is None:  # without a place: what strangers may ask for is at hand, and as small
            await self._app(scope, body, visit.send)
            return
        with self._service.places.take(principal.id), self._service.meters.running.track_inprogress():
            await self._app(scope, body, visit.send)

    def _rate_of(self, principal: Principal) -> float:
        if principal is ANYBODY:
            return 0.0
        own = principal.requests_per_minute
        rate = self._rate if own is None else self._own_rates.setdefault(own, RateLimit(own))
        return rate.wait_s(principal.id)

    def _check_host(self, headers: Headers) -> None:
        if self._hosts is None:
            return
        host = _host(headers.get("host", ""))
        if host not in self._hosts:
            raise ProblemError(421, f"this server does not answer for the host {host!r}")
        origin = headers.get("origin")
        if origin in self._service.settings.allowed_origins:
            return
        if origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower():
            raise ProblemError(403, "requests from the pages of other sites are not answered")

    async def _who(self, scope: Scope, headers: Headers) -> Principal | None:
        """Return the principal; None for nobody with access. Raises a 401 for an invalid key."""
        kind, _, text = headers.get("authorization", "").partition(" ")
        cookie = "" if kind else key_in_cookie(headers)
        if cookie:
            # What the page asks in its own name only: another site's form or image cannot add a header.
            if scope["method"] not in ("GET", "HEAD") and headers.get(PAGE_HEADER) != "1":
                raise ProblemError(403, f"a request with a session needs the header {PAGE_HEADER}: 1")
            kind = "bearer"
            text = cookie
        if kind.lower() == "bearer" and text.strip():
            text = text.strip()
            if secrets.compare_digest(text.encode(), self._service.token.encode()):
                return LOCAL
            client = _client(scope)
            key = await self._service.check_key(text)
            if key is not None:
                return Principal.of(key)
            if await self._service.is_open():
                return ANYBODY  # OpenAI's clients cannot be made to send none
            if wait := self._failures.wait_s(client):
                raise OverloadedError("too many wrong keys", status=429, retry_after_s=math.ceil(wait))
            if cookie:
                return None  # a session whose key was revoked: as if there were none
            raise ProblemError(401, f"this key is not known, or was revoked; {NEW_KEY}")
        return ANYBODY if await self._service.is_open() else None


class _Visit:
    """A request in progress: its id, its response, and its line in the log."""

    def __init__(self, scope: Scope, service: Service, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.status = 0
        self.principal: Principal | None = None
        self._scope = scope
        self._service = service
        self._send = send
        self._began = time.perf_counter()
        self.body: RequestBody | None = None
        self._problem: bytes | None = None
        """Sent in the place of the application's body."""
        scope.setdefault("state", {})["request_id"] = self.id
        request_id.set(self.id)

    async def send(self, message: Message) -> None:
        """Pass a message on to the client, with our headers; errors in other shapes become problems."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            for name, value in _SAFE_HEADERS.items():
                headers.setdefault(name, value)
            refusal = self.body.error if self.body else None
            if refusal:
                self.status = message["status"] = refusal.status
                headers.update(refusal.headers)
            if refusal or (self.status >= 400 and headers.get("content-type", "").startswith("text/plain")):
                detail = str(refusal or _phrase(self.status))
                self._problem = json.dumps(problem(self.status, detail, request_id=self.id)).encode()
                headers["content-type"], headers["content-length"] = MEDIA_TYPE, str(len(self._problem))
        elif self._problem is not None:
            if message.get("more_body"):
                return
            message = {"type": "http.response.body", "body": self._problem}
            if self._scope["method"] == "HEAD":
                message["body"] = b""
        await self._send(message)

    async def note(self) -> None:
        """Log changes and refusals to the audit log; requests without a key are counted."""
        method = self._scope["method"]
        route = self.route
        trail = self._service.trail
        entry: dict[str, Any] = {"did": f"{method} {route}", "status": self.status, "request": self.id}
        # A stranger who signs in is known to the route that let them in.
        principal: Principal | None = self.principal or self._scope["state"].get("principal")
        if principal is None and self.status in _TURNED_AWAY:
            add = partial(trail.refuse, address=_client(self._scope), **entry)
        elif principal is not None and belongs(method, route, self.status):
            add = partial(trail.add, who=principal.id, path=self._scope["path"], **entry)
        else:
            return
        try:
            await anyio.to_thread.run_sync(add)
        except (SQLAlchemyError, AskpixError):
            _access.exception("the trail cannot be written")

    @property
    def route(self) -> str:
        """Route as documented; "other" where none fits."""
        return getattr(self._scope.get("route"), "path", None) or "other"

    def log(self) -> None:
        """Write one line to the log, and update the metrics."""
        took = time.perf_counter() - self._began
        route = self.route
        self._service.meters.requests.labels(route, str(self.status)).inc()
        self._service.meters.seconds.labels(route).observe(took)
        fields: dict[str, Any] = {
            "request": self.id,
            "who": (self.principal.id if self.principal else "-"),
            "method": self._scope["method"],
            "path": self._scope["path"],
            "status": self.status,
            "ms": round(took * 1000, 1),
        }
        _access.info("%s %s %d", fields["method"], route, self.status, extra=fields)


def _client(scope: Scope) -> str:
    """The address of whoever asks."""
    return str((scope.get("client") or ("?",))[0])


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _host(header: str) -> str:
    """``localhost`` of ``localhost:8000``, ``::1`` of ``[::1]:8000``."""
    name = header.partition("]")[0].lstrip("[") if header.startswith("[") else header.partition(":")[0]
    return name.lower().rstrip(".")
