"""``askpix serve`` and ``askpix mcp``: a home as a service, over HTTP and for agents."""

import logging
import sys
from typing import Annotated

import typer


def serve_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's own needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Download a better embedder, where one is offered, unasked.")
    ] = False,
) -> None:
    """Serve this home over HTTP: search, ask, uploads, OpenAI's shapes and MCP. See /docs."""
    from askpix.api.cli.models import offer
    from askpix.api.server.run import serve
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    settings = load_settings()
    # A line for people would break the JSON lines of a log.
    tell = None if sys.stderr.isatty() else logging.getLogger(__name__).info
    serve(settings, host=host, port=port, greet=lambda: offer(Workspace(settings), yes=yes, tell=tell))


def mcp_command() -> None:
    """Serve this home to an agent over standard input and output (Model Context Protocol)."""
    from askpix.api.routes.mcp import create_mcp
    from askpix.api.service.service import Service
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    settings = load_settings()
    # Stores are opened for each call, or asked of the server of this home: others may work meanwhile.
    create_mcp(Service(settings, workspace=Workspace(settings))).run("stdio")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("serve")(serve_command)
    app.command("mcp")(mcp_command)
