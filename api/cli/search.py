"""``askpix search``: find pictures by meaning, words, dates and places, or by another picture."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def search_command(
    text: Annotated[
        str,
        typer.Argument(
            metavar="[TEXT]",
            help='Plain words with dates, places, sums; "exact words" in quotes; -word leaves out.',
            show_default=False,
        ),
    ] = "",
    image: Annotated[Path | None, typer.Option(help="Find pictures like this one.", metavar="PATH")] = None,
    like: Annotated[
        str | None,
        typer.Option(help="More like this hit: its id, or the path of a picture.", metavar="ID_OR_PATH"),
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
        typer.Option(help="By the picture, by the words in it, or both."),
    ] = "auto",
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Second look at the first 50: pages, onnx:DIR, transformers:DIR_OR_REPO, generator[:ID].",
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
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search a collection; says so when nothing in it matches."""
    from dataclasses import replace

    from askpix.api.console.options import find_picture, make_where
    from askpix.api.console.render import print_json, show_result
    from askpix.api.schemas.serialize import result_json
    from askpix.api.services.query import understand
    from askpix.api.settings import load_settings
    from askpix.api.workspace.rerankers import searcher
    from askpix.api.workspace.workspace import Workspace
    from askpix.retrieval.query.parser import EVERYTHING

    if image is not None and like is not None:
        raise typer.BadParameter("--image and --like both name the picture; give one of them")
    where = make_where(after=after, before=before, near=near, path=path, kind=kind, tags=tag or [])
    workspace = Workspace(load_settings())
    target = workspace.collection(collection)
    workspace.recent(target).add(text)
    with workspace.open_retriever(target) as retriever:
        query = understand(
            text,
            where,
            store=retriever.store,
            kept=workspace.folder(target) / "known.json",
            off=(EVERYTHING,) if literal else tuple(without_clause or ()),
            beside_picture=image is not None or like is not None,
        )
        named = find_picture(retriever.store, like) if like is not None else None
        picture = None
        if image is not None or (like is not None and named is None):
            from askpix.core.imaging.decode import open_image

            picture = open_image(image or Path(str(like)), limits=workspace.limits).image
        search = searcher(workspace, retriever, rerank)
        # The picture itself is not more like itself: one more is asked for, and it is left out.
        first, wanted = (0, offset + top_k + 1) if named else (offset, top_k)
        result = search(
            query,
            image=picture,
            image_id=named,
            top_k=wanted,
            offset=first,
            mode=mode,
            show_all=show_all,
            # Doubles of the named picture are what looks most like it.
            collapse=collapse and named is None,
            diverse=diverse,
        )
    if named:
        others = [hit for hit in result.hits if hit.record.id != named]
        numbered = (replace(hit, rank=rank) for rank, hit in enumerate(others, start=1))
        result = replace(result, hits=tuple(numbered)[offset : offset + top_k])
    if as_json:
        print_json(result_json(result))
    else:
        show_result(result)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("search")(search_command)
