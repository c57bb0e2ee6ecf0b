"""``python -m benchmarks COMMAND``: measurements for maintainers; those for users are ``askpix bench``."""

import sys

import typer

from askpix.core.errors import AskpixError
from benchmarks.load.kills import kills_command
from benchmarks.load.serve import serve_command
from benchmarks.load.store import store_command
from benchmarks.peers.run import peers_command
from benchmarks.quality.oracle import oracle_command
from benchmarks.speed.engines import engines_command
from benchmarks.speed.generate import generate_command
from benchmarks.speed.memory import memory_command
from benchmarks.speed.modules import modules_command
from benchmarks.speed.ocr import ocr_command
from benchmarks.speed.unchanged_tree import tree_command

app = typer.Typer(name="benchmarks", help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
app.command("engines")(engines_command)
app.command("generate")(generate_command)
app.command("kills")(kills_command)
app.command("memory")(memory_command)
app.command("modules")(modules_command)
app.command("ocr")(ocr_command)
app.command("oracle")(oracle_command)
app.command("peers")(peers_command)
app.command("serve")(serve_command)
app.command("store")(store_command)
app.command("tree")(tree_command)


def main() -> None:
    """Run the commands; an error is one line."""
    try:
        app()
    except AskpixError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
