"""``askpix caption``: pictures in words."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def caption_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures, PDFs and folders.")],
    style: Annotated[
        Literal["short", "detailed", "alt"], typer.Option(help="alt: for who cannot see the picture.")
    ] = "short",
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who describes; see `askpix models`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Describe each picture in words. Without a model that sees: what it looks like, and what is written."""
    from askpix.api.console.fold_text import printable
    from askpix.api.console.render import hint, place, print_json, say
    from askpix.api.services.describe import at_once, captions
    from askpix.api.services.single_file import Looked, pages
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import BadImageError
    from askpix.ingest.sources.walk import Skipped, check_paths, walk

    check_paths(paths)
    workspace = Workspace(load_settings())
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    waiting: list[tuple[str, Looked]] = []

    def write() -> None:
        texts = captions(workspace, [looked for _, looked in waiting], style=style, generator=generator)
        for (uri, looked), text in zip(waiting, texts, strict=True):
            row = {"path": uri, "caption": text}
            rows.append({**row, "page": looked.record.page} if looked.record.page else row)
            if not as_json:
                say(f"{printable(place(uri, looked.record.page, looked.record.time_s))}\t{printable(text)}")
        waiting.clear()

    most = at_once(workspace, generator)
    for source in walk(paths, office=workspace.limits.office is not None):
        if isinstance(source, Skipped):
            if source.reason.startswith("cannot read"):
                failed.append({"path": source.path, "error": source.reason})
            continue
        try:
            for looked in pages(workspace, source.path):
                waiting.append((source.uri, looked))
                if len(waiting) >= most:
                    write()
        except BadImageError as error:
            failed.append({"path": source.uri, "error": str(error)})
    if waiting:
        write()
    if as_json:
        print_json(rows)
    for row in failed:
        hint(f"failed {printable(row['path'])}: {printable(row['error'])}")
    if failed:
        raise typer.Exit(3)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("caption")(caption_command)
