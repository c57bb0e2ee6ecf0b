"""What a run of indexing did, for a person."""

from typing import TYPE_CHECKING

from askpix.api.console.fold_text import printable

if TYPE_CHECKING:
    from askpix.ingest.pipeline.report import Failure, IngestReport


def show_report(report: "IngestReport") -> None:
    """What a run did, for a person."""
    from askpix.api.console.render import hint, say

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
    for failure in failures(report):
        hint(f"failed {printable(failure.path)}: {printable(failure.error)}")


def failures(report: "IngestReport") -> "list[Failure]":
    """Of all stages."""
    later = (report.sheets, report.text, report.pages, report.captions)
    return [*report.failed, *(failure for stage in later for failure in stage.failed)]
