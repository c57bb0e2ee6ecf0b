"""``askpix collections adapt``: learn from the captions that one's own pictures carry."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.collections import group


def adapt_command(
    name: str,
    captions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Captions by path, .jsonl or .csv; else those in the files."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was learned.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Learn from captions, titles and keywords in or beside the pictures; kept only when it finds more.

    Nothing is written into pictures or vectors, and nothing leaves this machine.
    """
    from api.adaptation import adapt
    from api.adaptation import undo as take_back
    from api.cli.index import ProgressLine
    from api.cli.render import print_json, say
    from api.settings import load_settings
    from api.wiring import Workspace

    workspace = Workspace(load_settings())
    if undo:
        if captions:
            raise typer.BadParameter("--undo takes no --captions")
        collection = take_back(workspace, name)
        if as_json:
            print_json({"collection": collection.name, "kept": False})
        else:
            say(f"{collection.name} is searched with {collection.embedder} alone again")
        return
    with ProgressLine() as progress:
        report = adapt(workspace, name, listing=captions, on_progress=progress)
    if as_json:
        print_json(report)
        return
    say(
        f"{report.captions} captions of {report.pictures} pictures, each looked for among {report.gallery} "
        "pictures that were not learned from:"
    )
    for word, recall in (("before", report.before), ("after", report.after)):
        say(
            f"  {word:7} first {recall.at_1:6.1%}   among 5 {recall.at_5:6.1%}   among 10 {recall.at_10:6.1%}"
            f"   MRR {recall.mrr:.3f}"
        )
    if report.kept:
        say(f"kept; searches use it now. Back: `askpix collections adapt {report.collection} --undo`")
    else:
        say("not kept: it finds no more than chance explains; searches are as they were")


def register(app: typer.Typer) -> None:
    """Add the command to the group ``collections``."""
    group.command("adapt")(adapt_command)
