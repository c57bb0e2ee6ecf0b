"""``askpix index``: fill a collection from folders and files."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.text import printable

if TYPE_CHECKING:
    from api.wiring import Workspace
    from ingest.captioning import CaptionBudget
    from ingest.catalog import Collection
    from ingest.pipeline import OnProgress
    from ingest.report import Failure, IngestReport, Progress
    from ingest.tagging import Vocabulary


class ProgressLine:
    """Progress on standard error: a live bar in a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._live: Any = None
        self._task: Any = None
        self._stage = ""
        self._said = time.monotonic()

    def __enter__(self) -> "ProgressLine":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: "Progress") -> None:
        rate = f"{progress.rate:.1f}/s" + (f", {progress.failed} failed" if progress.failed else "")
        if self._live:
            if progress.stage != self._stage:
                self._stage = progress.stage
                self._task = self._live.add_task(progress.stage, total=None, rate="")
            self._live.update(self._task, completed=progress.done, total=progress.total, rate=rate)
        elif time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            total = f" of {progress.total}" if progress.total is not None else ""
            typer.echo(f"{progress.stage}: {progress.done}{total}, {rate}", err=True)


def run_index(
    workspace: "Workspace",
    collection: "Collection",
    paths: list[Path],
    *,
    ocr: str,
    prune: bool,
    vocabulary: "Vocabulary | None" = None,
    on_progress: "OnProgress | None" = None,
    captions: str | None = None,
    budget: "CaptionBudget | None" = None,
    ignore: Sequence[str] = (),
    ray: str | None = None,
) -> "IngestReport":
    """Pictures first, then what is written about them, then the words in them, then pages. Raises
    KeyboardInterrupt with all work kept.

    ``on_progress`` is told instead of standard error; what it raises stops the run, with all work kept.
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from api.later import later
    from api.page_wiring import embed_pages_of
    from api.sheet_wiring import embed_sheets_of
    from api.tagging import tag
    from ingest.describing import describe
    from ingest.pipeline import index
    from ingest.reading import read_texts

    line = nullcontext(on_progress) if on_progress else ProgressLine()
    with workspace.run_on(collection), line as progress:
        collection = workspace.collection(collection.name)  # its model may have been changed until now
        open_store = workspace.store_opener(collection)
        embedder = later(lambda: workspace.embedder(collection.embedder))
        if ray:
            from api.ray_wiring import ray_index, ray_read

            report = ray_index(workspace, collection, paths, address=ray, prune=prune, ignore=ignore)
        else:
            report = index(
                paths,
                collection=collection,
                catalog=workspace.catalog,
                open_store=open_store,
                embedder=embedder,
                limits=workspace.limits,
                prune=prune,
                ignore=ignore,
                on_progress=progress,
            )
        report = replace(report, sheets=embed_sheets_of(workspace, collection, progress))
        described = describe(
            collection=collection,
            catalog=workspace.catalog,
            open_store=open_store,
            text_embedder=lambda: workspace.text_embedder_of(collection),
            on_progress=progress,
        )
        tagged = tag(workspace, collection, vocabulary, on_progress=progress)
        report = replace(report, tagged=tagged, described=described)
        if ocr != "off" and ray:
            report = replace(report, text=ray_read(workspace, collection, address=ray))
        elif ocr != "off" and workspace.catalog.texts.any_waiting(collection.id):
            text = read_texts(
                collection=collection,
                catalog=workspace.catalog,
                open_store=open_store,
                reader=workspace.reader,
                text_embedder=workspace.text_embedder_of(collection),
                limits=workspace.limits,
                on_progress=progress,
            )
            report = replace(report, text=text)
        report = replace(report, pages=embed_pages_of(workspace, collection, progress))
        if captions is not None:
            from api.captioning import seeing_generator
            from ingest.captioning import CaptionBudget, caption_pictures

            made = caption_pictures(
                collection=collection,
                catalog=workspace.catalog,
                open_store=open_store,
                text_embedder=lambda: workspace.text_embedder_of(collection),
                generator=seeing_generator(workspace, captions),
                budget=budget or CaptionBudget(),
                on_progress=progress,
            )
            report = replace(report, captions=made)
        return report


def show_report(report: "IngestReport") -> None:
    """What a run did, for a person."""
    from api.cli.render import hint, say

    changes = [
        f"{count} {name}"
        for name, count in (
            ("added", report.added),
            ("updated", report.updated),
            ("unchanged", report.unchanged),
            ("removed", report.removed),
            ("duplicates", report.duplicates),
        )
        if count
    ]
    say(
        f"{report.collection}: {', '.join(changes) or 'no pictures found'} in {report.seconds:.1f} s"
        + (f" ({report.images_per_second:.1f} pictures/s)" if report.images_per_second else "")
        + f"; {report.images} pictures in the collection"
    )
    if report.sheets.embedded:
        say(f"{report.sheets.pictures} pictures found on {report.sheets.embedded} sheets")
    if report.described:
        say(f"dates, places, names or words from files beside and in them: {report.described} pictures")
    if report.tagged:
        say(f"{report.tagged} pictures held against the tags; `askpix search --tag TAG` finds them")
    if report.text and report.text.read:
        say(f"words found in {report.text.with_text} of {report.text.read} pictures")
    if report.pages.embedded:
        say(f"{report.pages.embedded} pages embedded patch by patch")
    if report.captions.captioned or report.captions.stopped:
        cost = f", {report.captions.cost_usd:.4f} USD" if report.captions.cost_usd else ""
        say(
            f"{report.captions.captioned} captions, {report.captions.tokens} tokens{cost}; "
            f"{report.captions.left} pictures without one"
            + (f"; stopped: {printable(report.captions.stopped)}" if report.captions.stopped else "")
        )
    for skip in report.skipped[:20]:
        hint(f"skipped {printable(skip.path)}: {printable(skip.reason)}")
    if len(report.skipped) > 20:
        hint(f"... and {len(report.skipped) - 20} more skipped; --json lists them all")
    for failure in _failures(report):
        hint(f"failed {printable(failure.path)}: {printable(failure.error)}")


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
    from api.cli.render import hint, print_json
    from api.page_wiring import choose_page_embedder, late_embedder
    from api.settings import load_settings
    from api.tagging import read_vocabulary
    from api.wiring import Workspace
    from core.errors import BadQueryError
    from ingest.walk import check_paths

    settings = load_settings()
    workspace = Workspace(settings, tell=hint)
    # A wrong path must not leave an empty collection behind.
    check_paths(paths)
    if page_embedder not in (None, "none"):
        late_embedder(workspace, page_embedder)
    budget = None
    if captions is not None:
        from api.captioning import seeing_generator
        from ingest.captioning import CaptionBudget

        seeing_generator(workspace, captions)
        budget = CaptionBudget(caption_limit, caption_tokens, caption_usd)
    elif (caption_limit, caption_tokens, caption_usd) != (None, None, None):
        raise BadQueryError("a budget for captions needs --captions GENERATOR")
    vocabulary = read_vocabulary(tags, tag_threshold, no_tags=no_tags)
    target = workspace.open_or_create(collection, embedder)
    if page_embedder is not None:
        choose_page_embedder(workspace, target, page_embedder)
    try:
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
    if _failures(report) or any(skip.unread for skip in report.skipped):
        raise typer.Exit(3)


def _failures(report: "IngestReport") -> "list[Failure]":
    """Of all stages."""
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
    import json
    from dataclasses import asdict

    from api.cli.render import hint, say
    from core.errors import AskpixError, BadQueryError
    from ingest.remote import remote_uri
    from ingest.watch import follow

    local = [path for path in paths if not remote_uri(path)]
    if not local:
        raise BadQueryError("--watch follows folders; run the command again to see what changed elsewhere")
    hint(f"watching {', '.join(printable(str(path)) for path in paths)}; Ctrl-C ends it")
    # Globs with a slash are relative to the folders that were named.
    anchored = any("/" in glob.rstrip("/") for glob in ignore)
    for changed in follow(local, prune=prune, ignore=ignore):
        targets = local if anchored else changed
        try:
            report = run_index(workspace, collection, targets, ocr=ocr, prune=prune, ignore=ignore)
        except AskpixError as error:
            hint(f"error: {printable(str(error))}")
            continue
        if as_json:
            say(json.dumps(asdict(report), ensure_ascii=False))
            sys.stdout.flush()
        else:
            show_report(report)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("index")(index_command)
