"""The service: a FastAPI app around an open home."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from askpix.api.routes import (
    ask,
    browse,
    classify,
    collections,
    describe,
    docs,
    health,
    images,
    internal,
    jobs,
    keys,
    openai,
    search,
    upgrade,
    uploads,
    web,
)
from askpix.api.routes.mcp import mount
from askpix.api.security import problems
from askpix.api.server.middleware import Door
from askpix.api.server.telemetry import telemetry_of
from askpix.api.service.service import Service

_SPARE_THREADS = 40
"""Threads for what takes no place: the page, the state of the server, the audit log."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_DESCRIPTION = """Ask your pictures: search photos, scans, charts and pages by meaning, and get answers that
cite the picture and the place in it. Errors are `application/problem+json` (RFC 9457)."""


def create_app(service: Service, *, hosts: Sequence[str] | None = LOOPBACK_HOSTS) -> FastAPI:
    """The app on a service that was started. ``hosts``: names it answers to; None = any."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # One for each request at work: else those of one key that wait take all threads.
        threads = anyio.to_thread.current_default_thread_limiter()
        threads.total_tokens = service.settings.max_waiting + _SPARE_THREADS
        async with agents.session_manager.run():
            yield

    app = FastAPI(
        title="Askpix",
        version=version("askpix"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        telemetry=telemetry_of(os.environ),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: f"{(route.tags or ['askpix'])[0]}-{route.name}",
    )
    app.state.service = service
    problems.install(app)
    described = (
        collections,
        browse,
        uploads,
        jobs,
        upgrade,
        search,
        ask,
        classify,
        describe,
        images,
        openai,
        health,
        keys,
    )
    for module in described:
        app.include_router(module.router)
    app.include_router(keys.trail_router)
    for module in (internal, web, docs):
        app.include_router(module.router)
    agents = mount(app, service)
    _document_keys(app)
    app.add_middleware(Door, service=service, hosts=hosts)
    if origins := service.settings.allowed_origins:
        # Those pages send a key of their own; the session of the service's own page stays with it.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return app


def _document_keys(app: FastAPI) -> None:
    """Says in OpenAPI that a key goes with every request, where keys are used."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["key"] = {"type": "http", "scheme": "bearer"}
        document["security"] = [{"key": []}, {}]
        for path in document["paths"].values():
            for route in path.values():
                # FastAPI documents a validation error of its own shape; ours are problems.
                for answer in route.get("responses", {}).values():
                    content = answer.get("content", {})
                    if "application/problem+json" in content and "application/json" in content:
                        content["application/problem+json"] = content.pop("application/json")
        return document

    app.openapi = openapi  # type: ignore[method-assign]
