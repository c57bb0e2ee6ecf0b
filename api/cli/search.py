"""``askpix search``: find images by meaning, words, dates and places, or by another image."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from askpix.api.console.query_command import QueryCommand

if TYPE_CHECKING:
    from collections.abc import Callable

    from askpix.api.console.preview import Protocol
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import ImageRecord


def search_command(
    text: Annotated[
        str,
        typer.Argument(
            metavar="[TEXT]",
            help='Plain words with dates, places, sums; "exact words" in quotes; -word leaves out.',
            show_default=False,
        ),
    ] = "",
    image: Annotated[Path | None, typer.Option(help="Find images like this one.", metavar="PATH")] = None,
    like: Annotated[
        str | None,
        typer.Option(help="More like this hit: its id, or the path of an image.", metavar="ID_OR_PATH"),
    ] = None,
    collection: Annotated[str, typer.Option(help="Where to search.")] = "default",
    top_k: Annotated[int, typer.Option(min=1, help="How many hits.")] = 10,
    offset: Annotated[int, typer.Option(min=0, help="Skip this many hits.")] = 0,
    after: Annotated[
        str | None, typer.Option(metavar="DATE", help="Taken on or after: 2018, 2018-05, 2018-05-03.")
    ] = None,
    before: Annotated[str | None, typer.Option(metavar="DATE", help="Taken before.")] = None,
    near: Annotated[str | None, typer.Option(metavar="LAT,LON,KM", help="Taken within a circle.")] = None,
    path: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Path, matched from the right: 'holiday/*'.")
    ] = None,
    kind: Annotated[Literal["photo", "page", "frame"] | None, typer.Option(help="Only this kind.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="T", help="Has this tag; repeat for several.")
    ] = None,
    literal: Annotated[bool, typer.Option("--literal", help="Read nothing into the words.")] = False,
    without_clause: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD", help="Do not read this into the words (date, near, amount ...); repeat."
        ),
    ] = None,
    mode: Annotated[
        Literal["auto", "image", "text", "hybrid"],
        typer.Option(help="By what the image shows, by the text in it, or both."),
    ] = "auto",
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Rerank the first 50: pages, onnx:DIR, transformers:DIR_OR_REPO, generator[:ID].",
        ),
    ] = None,
    collapse: Annotated[
        bool, typer.Option("--collapse/--no-collapse", help="Bursts and near duplicates are one hit.")
    ] = True,
    diverse: Annotated[
        float | None,
        typer.Option(metavar="LAMBDA", min=0, max=1, help="Spread the first 100 hits: 1 as found, 0 unlike."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show the ranking even when nothing matches.")
    ] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Only the files' paths, one a line.")] = False,
    preview: Annotated[
        bool, typer.Option("--preview", "-p", help="Show thumbnails (kitty, Ghostty, WezTerm, iTerm2).")
    ] = False,
    open_first: Annotated[bool, typer.Option("--open", help="Open the first hit in its program.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search a collection; says so when nothing in it matches."""
    from askpix.api.console.options import make_where
    from askpix.api.console.render import print_json, show_result
    from askpix.api.console.text import printable
    from askpix.api.schemas.results import search_result
    from askpix.api.services.search import search
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.retrieval.query.parser import EVERYTHING

    if image is not None and like is not None:
        raise typer.BadParameter("--image and --like both name the image; give one of them")
    if paths + preview + as_json > 1:
        raise typer.BadParameter("--paths, --preview and --json are three ways to print; give one of them")
    protocol = terminal_protocol() if preview else None
    where = make_where(after=after, before=before, near=near, path=path, kind=kind, tags=tag or [])
    workspace = Workspace(load_settings())
    result = search(
        workspace,
        workspace.collection(collection),
        text,
        where=where,
        image=image,
        like=like,
        off=(EVERYTHING,) if literal else tuple(without_clause or ()),
        top_k=top_k,
        offset=offset,
        mode=mode,
        show_all=show_all,
        collapse=collapse,
        diverse=diverse,
        rerank=rerank,
    )
    if as_json:
        print_json(search_result(result))
    elif paths:
        for uri in dict.fromkeys(hit.record.uri for hit in result.hits):
            typer.echo(printable(uri) if sys.stdout.isatty() else uri)
    else:
        show_result(result, show=shower(workspace, protocol) if protocol else None)
    if open_first and result.hits:
        typer.launch(result.hits[0].record.uri)


def terminal_protocol() -> "Protocol":
    """Return how this terminal shows images. Raises ``BadQueryError`` where it is not known to."""
    import os

    from askpix.api.console.preview import protocol_of
    from askpix.core.errors import BadQueryError

    protocol = protocol_of(os.environ) if sys.stdout.isatty() else None
    if protocol is None:
        raise BadQueryError("--preview needs a terminal that shows images: kitty, Ghostty, WezTerm or iTerm2")
    return protocol


def shower(workspace: "Workspace", protocol: "Protocol") -> "Callable[[ImageRecord], str]":
    """Return what makes an image's thumbnail as characters; empty for one whose file is gone or damaged."""
    from askpix.api.console.preview import SIDE, thumbnail
    from askpix.core.errors import BadImageError, NotFoundError

    def show(record: "ImageRecord") -> str:
        try:
            return thumbnail(workspace.image_of(record, SIDE), protocol)
        except (BadImageError, NotFoundError):
            return ""

    return show


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("search", cls=QueryCommand)(search_command)
