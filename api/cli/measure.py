"""``askpix eval`` and ``askpix bench``: quality and speed that anyone can measure again."""

from typing import Annotated

import typer

evaluation = typer.Typer(
    no_args_is_help=True, help="Quality on a manifest of pictures with captions or questions."
)

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(evaluation, name="eval")
