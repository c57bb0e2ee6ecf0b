"""``askpix search``: find pictures by meaning, words, dates and places, or by another picture."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def search_command(
    text: Annotated[
        str,
        typer.Argument(
            metavar="[TEXT]", help='Words; "exact words" in quotes; -word leaves out.', show_default=False
        ),
    ] = "",
    image: Annotated[Path | None, typer.Option(help="Find pictures like this one.", metavar="PATH")] = None,
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
    mode: Annotated[
        Literal["auto", "image", "text", "hybrid"],
        typer.Option(help="By the picture, by the words in it, or both."),
    ] = "auto",
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Second look at the first 50: pages, onnx:DIR, transformers:DIR_OR_REPO, generator[:ID].",
        ),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show the ranking even when nothing matches.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search a collection; says so when nothing in it matches."""
    from api.cli.options import make_where
    from api.cli.render import print_json, result_json, show_result
    from api.rerank_wiring import searcher
    from api.settings import load_settings
    from api.wiring import Workspace
    from retrieval.query import parse

    where = make_where(after=after, before=before, near=near, path=path, kind=kind, tags=tag or [])
    query = parse(text, where)
    workspace = Workspace(load_settings())
    target = workspace.collection(collection)
    picture = None
    if image is not None:
        from core.images import open_image

        picture = open_image(image, limits=workspace.limits).image
    workspace.recent(target).add(text)
    with workspace.open_retriever(target) as retriever:
        result = searcher(workspace, retriever, rerank)(
            query, image=picture, top_k=top_k, offset=offset, mode=mode, show_all=show_all
        )
    if as_json:
        print_json(result_json(result))
    else:
        show_result(result)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("search")(search_command)
