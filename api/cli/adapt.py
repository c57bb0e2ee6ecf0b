"""``askpix collections adapt`` and ``good``: learn from one's own captions and from good hits."""

from pathlib import Path
from typing import Annotated

import typer

from askpix.api.cli.collections import group


def adapt_command(
    name: str,
    captions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Captions by path, .jsonl or .csv; else those in the files."),
    ] = None,
    clicks: Annotated[
        bool, typer.Option("--clicks/--no-clicks", help="Learn from noted good hits too (see `good`).")
    ] = True,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was learned.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Learn from captions in or beside the images, and good hits; kept only when it finds more.

    Nothing is written into images or vectors, and nothing leaves this machine.
    """
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import print_json, say
    from askpix.api.services.adapt import adapt
    from askpix.api.services.adapt import undo as take_back
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

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
        report = adapt(workspace, name, listing=captions, clicks=clicks, on_progress=progress)
    if as_json:
        print_json(report)
        return
    say(
        f"{report.captions - report.clicks} captions and {report.clicks} queries with their good hits, of "
        f"{report.pictures} images, each looked for among {report.gallery} "
        "images that were not learned from:"
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


def good_command(
    name: str,
    query: Annotated[str, typer.Argument(help="The words that were searched.")] = "",
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="PICTURE...", help="Ids or paths of what was meant.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Drop all that was noted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Note which images a search was for; `adapt` learns from it. It stays on this machine."""
    from askpix.api.console.render import print_json, say
    from askpix.api.services.search import find_image
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import NotFoundError

    workspace = Workspace(load_settings())
    collection = workspace.collection(name)
    hits = workspace.good_hits(collection)
    if forget:
        if query or pictures:
            raise typer.BadParameter("--forget takes no query and no images")
        count = hits.forget()
        print_json({"forgotten": count}) if as_json else say(f"{count} good hits are forgotten")
        return
    if not query.strip() or not pictures:
        raise typer.BadParameter("name the words that were searched, and the images that were meant")
    with workspace.open_store(collection) as store:
        found = [(given, find_image(store, given)) for given in pictures]
    ids = [point for _, point in found if point is not None]
    for given, point in found:
        if point is None:
            raise NotFoundError(f"{name!r} has no image {given!r}; name one by its id or its path")
    noted = hits.add(query, ids)
    if as_json:
        print_json({"collection": collection.name, "noted": noted, "pairs": len(hits.pairs())})
    elif noted:
        say(f"noted; {len(hits.pairs())} pairs so far. `askpix collections adapt {name}` learns from them")
    else:
        say("not noted: ASKPIX_REMEMBER_QUERIES is 0, or the disk does not take it")


def register(app: typer.Typer) -> None:
    """Add the command to the group ``collections``."""
    group.command("adapt")(adapt_command)
    group.command("good")(good_command)
