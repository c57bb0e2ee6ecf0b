"""``askpix index --watch``: after the first run, what changes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from askpix.api.console.fold_text import printable

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.catalog import Collection


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

    from askpix.api.cli.fold_index_report import show_report
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, say
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
            say(json.dumps(asdict(report), ensure_ascii=False))
            sys.stdout.flush()
        else:
            show_report(report)
