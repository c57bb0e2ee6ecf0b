"""``askpix index``: fill a collection from folders and files, once or while they change."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from askpix.api.console.text import printable

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.catalog import Collection
    from askpix.ingest.pipeline.report import Failure, IngestReport


def index_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders and files with images.")],
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
        typer.Option(help="Read the words in images (second stage)."),
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option(metavar="A,B,C|FILE", help="Tag images with these labels, now and in later runs."),
    ] = None,
    tag_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least probability of a tag; default: the embedder's.")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Remove tags, and tag no more.")] = False,
    captions: Annotated[
        str | None,
        typer.Option(metavar="GENERATOR", help="Then describe each image in a sentence that is searched."),
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
    prune: Annotated[bool, typer.Option("--prune", help="Forget images that are gone from PATH.")] = False,
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
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Download a better embedder, where one is offered, unasked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Index the images in folders: what is unchanged is skipped, an interrupted run resumes."""
    from askpix.api.cli.models import offer
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, print_json
    from askpix.api.services.index import index_paths
    from askpix.api.services.labels import read_vocabulary
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import BadQueryError
    from askpix.ingest.pipeline.caption_stage import CaptionBudget
    from askpix.ingest.sources.walk import check_paths

    budget = None
    if (caption_limit, caption_tokens, caption_usd) != (None, None, None):
        if captions is None:
            raise BadQueryError("a budget for captions needs --captions GENERATOR")
        budget = CaptionBudget(caption_limit, caption_tokens, caption_usd)
    vocabulary = None
    if no_tags or (tags, tag_threshold) != (None, None):
        vocabulary = read_vocabulary(tags, tag_threshold, no_tags=no_tags)
    workspace = Workspace(load_settings(), tell=hint)
    check_paths(paths)
    try:
        if embedder in (None, "auto") and workspace.catalog.get_collection(collection) is None:
            offer(workspace, yes=yes)
        with ProgressLine() as progress:
            report = index_paths(
                workspace,
                paths,
                collection,
                embedder=embedder,
                page_embedder=page_embedder,
                ocr=ocr,
                prune=prune,
                vocabulary=vocabulary,
                captions=captions,
                budget=budget,
                ignore=ignore or (),
                ray=(ray_address or "local") if engine == "ray" else None,
                keep_empty=watch,
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
            workspace.collection(collection),
            paths,
            ocr=ocr or workspace.settings.ocr,
            prune=prune,
            as_json=as_json,
            ignore=ignore or (),
        )
    if failures(report) or any(skip.unread for skip in report.skipped):
        raise typer.Exit(3)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("index")(index_command)


def show_report(report: "IngestReport") -> None:
    """Print what a run did."""
    from askpix.api.console.render import hint, say
    from askpix.core.text.wording import plural

    changes = [
        f"{count:,} {name}"
        for name, count in (
            ("added", report.added),
            ("updated", report.updated),
            ("unchanged", report.unchanged),
            ("removed", report.removed),
            ("duplicates", report.duplicates),
        )
        if count
    ]
    stages = [
        f"{name} {seconds:.1f} s"
        for name, seconds in (("embedding", report.embedding_seconds), ("reading text", report.text.seconds))
        if seconds >= 0.1
    ]
    say(
        f"{report.collection}: {', '.join(changes) or 'no images found'} in {report.seconds:.1f} s"
        + (f" ({', '.join(stages)})" if len(stages) > 1 else "")
        + f"; {plural(report.images, 'image')} in the collection"
    )
    if report.sheets.embedded:
        on = plural(report.sheets.embedded, "page")
        say(f"{plural(report.sheets.pictures, 'image')} found on {on} that show several")
    if report.described:
        say(f"dates, places, names or captions read for {plural(report.described, 'image')}")
    if report.tagged:
        say(f"{plural(report.tagged, 'image')} compared with the tags; `askpix search --tag TAG` finds them")
    if report.text and report.text.read:
        say(f"text found in {report.text.with_text:,} of {plural(report.text.read, 'image')}")
    if report.pages.embedded:
        say(f"{plural(report.pages.embedded, 'page')} embedded patch by patch")
    if report.captions.captioned or report.captions.stopped:
        cost = f", {report.captions.cost_usd:.4f} USD" if report.captions.cost_usd else ""
        say(
            f"{plural(report.captions.captioned, 'caption')}, {report.captions.tokens:,} tokens{cost}; "
            f"{plural(report.captions.left, 'image')} without one"
            + (f"; stopped: {printable(report.captions.stopped)}" if report.captions.stopped else "")
        )
    for skip in report.skipped[:20]:
        hint(f"skipped {printable(skip.path)}: {printable(skip.reason)}")
    if len(report.skipped) > 20:
        hint(f"... and {len(report.skipped) - 20} more skipped; --json lists them all")
    for failure in failures(report):
        hint(f"failed {printable(failure.path)}: {printable(failure.error)}")


def failures(report: "IngestReport") -> "list[Failure]":
    """Return the failures of all stages."""
    later = (report.sheets, report.text, report.pages, report.captions)
    return [*report.failed, *(failure for stage in later for failure in stage.failed)]


def follow_folders(
    workspace: "Workspace",
    collection: "Collection",
    paths: list[Path],
    *,
    ocr: str,
    prune: bool,
    as_json: bool,
    ignore: Sequence[str] = (),
) -> None:
    """Index what changes under the paths, burst by burst, until Ctrl-C. What fails now is tried again at the
    next change: an error ends nothing."""
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, say
    from askpix.api.schemas.results import to_json_bytes
    from askpix.api.services.index import run_index
    from askpix.core.errors import AskpixError, BadQueryError
    from askpix.ingest.sources.remote import remote_uri
    from askpix.ingest.sources.watch import follow

    local = [path for path in paths if not remote_uri(path)]
    if not local:
        raise BadQueryError("--watch follows folders; run the command again to see what changed elsewhere")
    hint(f"watching {', '.join(printable(str(path)) for path in paths)}; Ctrl-C ends it")
    # Globs with a slash are relative to the folders that were named.
    anchored = any("/" in glob.rstrip("/") for glob in ignore)
    for changed in follow(local, prune=prune, ignore=ignore):
        targets = local if anchored else changed
        try:
            with ProgressLine() as progress:
                report = run_index(
                    workspace, collection, targets, ocr=ocr, prune=prune, ignore=ignore, on_progress=progress
                )
        except AskpixError as error:
            hint(f"error: {printable(str(error))}")
            continue
        if as_json:
            say(to_json_bytes(report).decode())
            sys.stdout.flush()
        else:
            show_report(report)
