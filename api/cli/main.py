"""The ``askpix`` command: registers the groups of commands and turns every error into one line.

Heavy imports (numpy, onnxruntime, SQLAlchemy ...) happen inside the commands, so that ``askpix --help``
answers at once.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from askpix.api.cli import (
    adapt,
    ask,
    backup,
    classify,
    collections,
    demo,
    describe,
    index,
    keys,
    models,
    search,
    serve,
    status,
)
from askpix.api.console.log import show_log
from askpix.api.console.text import printable
from askpix.api.evals import answers, bench, make, public, report, retrieval, sweep
from askpix.core.errors import AskpixError

app = typer.Typer(
    name="askpix",
    help="Ask your pictures: search photos, scans, charts and pages by meaning, words, dates and places, "
    "and get answers that cite the image and the place in it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    index,
    search,
    ask,
    describe,
    classify,
    collections,
    adapt,
    models,
    status,
    serve,
    keys,
    backup,
    bench,
    retrieval,
    answers,
    make,
    public,
    sweep,
    report,
    demo,
):
    group.register(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"askpix {version('askpix')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option("--verbose", "-v", count=True, help="Log to standard error what is done; -vv: more."),
    ] = 0,
) -> None:
    show_log(verbose)


def run() -> None:
    """Run the command line; exit codes as the README lists them: 0, 1, 2, 3, 130."""
    try:
        app()
    except AskpixError as error:
        message = " ".join(str(error).split())
        typer.echo(f"error: {printable(message)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output (head, less) went away: that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    run()
