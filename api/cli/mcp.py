"""``askpix mcp``: the tools for agents over standard input and output."""

import typer


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
    """Add the command to the app."""
    app.command("mcp")(mcp_command)
