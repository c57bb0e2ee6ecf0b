"""``askpix index``: fill a collection from folders and files."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def index_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders and files with pictures.")],
    collection: Annotated[str, typer.Option(help="The collection to fill; made when missing.")] = "default",
    embedder: Annotated[
        str | None, typer.Option(metavar="ID", help="Embedder of a new collection; see `askpix models`.")
    ] = None,
    page_embedder: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Embed pages patch by patch too: transformers:DIR_OR_REPO, or none."),
    ] = None,
    ocr: Annotated[
        Literal["auto", "on", "off"] | None,
        typer.Option(help="Read the words in pictures (second stage)."),
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option(metavar="A,B,C|FILE", help="Tag pictures with these labels, now and in later runs."),
    ] = None,
    tag_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least probability of a tag; default: the embedder's.")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Remove tags, and tag no more.")] = False,
    captions: Annotated[
        str | None,
        typer.Option(metavar="GENERATOR", help="Then describe each picture in a sentence that is searched."),
    ] = None,
    caption_limit: Annotated[int | None, typer.Option(min=1, help="At most so many in this run.")] = None,
    caption_tokens: Annotated[
        int | None, typer.Option(min=1, help="At most so many tokens for captions in this run.")
    ] = None,
    caption_usd: Annotated[
        float | None, typer.Option(min=0, help="At most so many US dollars for captions in this run.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave these out, as in .gitignore; .askpixignore files do too."),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget pictures that are gone from PATH.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Then follow the folders, and index what changes, until Ctrl-C.")
    ] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Who does the work: threads of this process, or a Ray cluster."),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", metavar="HOST:PORT", help="The cluster; else one starts here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Index the pictures in folders: what is unchanged is skipped, an interrupted run resumes."""
    from askpix.api.cli.fold_index_report import failures, show_report
    from askpix.api.cli.fold_watch import follow_folders
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, print_json
    from askpix.api.services.index import run_index
    from askpix.api.services.tag import read_vocabulary
    from askpix.api.settings import load_settings
    from askpix.api.workspace.page_index import choose_page_embedder, late_embedder
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import BadQueryError
    from askpix.ingest.sources.walk import check_paths

    settings = load_settings()
    workspace = Workspace(settings, tell=hint)
    # A wrong path must not leave an empty collection behind.
    check_paths(paths)
    if page_embedder not in (None, "none"):
        late_embedder(workspace, page_embedder)
    budget = None
    if captions is not None:
        from askpix.api.services.describe import seeing_generator
        from askpix.ingest.pipeline.caption_stage import CaptionBudget

        seeing_generator(workspace, captions)
        budget = CaptionBudget(caption_limit, caption_tokens, caption_usd)
    elif (caption_limit, caption_tokens, caption_usd) != (None, None, None):
        raise BadQueryError("a budget for captions needs --captions GENERATOR")
    vocabulary = read_vocabulary(tags, tag_threshold, no_tags=no_tags)
    target = workspace.open_or_create(collection, embedder)
    if page_embedder is not None:
        choose_page_embedder(workspace, target, page_embedder)
    try:
        with ProgressLine() as progress:
            report = run_index(
                workspace,
                target,
                paths,
                ocr=ocr or settings.ocr,
                prune=prune,
                vocabulary=vocabulary,
                captions=captions,
                budget=budget,
                ignore=ignore or (),
                ray=(ray_address or "local") if engine == "ray" else None,
                on_progress=progress,
            )
    except KeyboardInterrupt:
        hint("stopped; what is done is kept, the same command goes on from here")
        raise
    if as_json:
        print_json(report)
    else:
        show_report(report)
    if watch:
        follow_folders(
            workspace,
            target,
            paths,
            ocr=ocr or settings.ocr,
            prune=prune,
            as_json=as_json,
            ignore=ignore or (),
        )
    if failures(report) or any(skip.unread for skip in report.skipped):
        raise typer.Exit(3)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("index")(index_command)
