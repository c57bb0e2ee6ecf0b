"""``askpix serve``: the HTTP service on a home."""

from typing import Annotated

import typer


def serve_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's own needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve this home over HTTP: search, ask, uploads, OpenAI's shapes and MCP. See /docs."""
    from askpix.api.server.run import serve
    from askpix.api.settings import load_settings

    serve(load_settings(), host=host, port=port)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("serve")(serve_command)
