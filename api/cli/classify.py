"""``askpix classify``: which of the given labels an image shows, with a probability each."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def classify_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, PDFs and folders.")],
    labels: Annotated[str, typer.Option(metavar="A,B,C|FILE", help="Labels, or a file with one a line.")],
    template: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help='Sentence for a label, as "a photo of a {}"; repeat for several.'),
    ] = None,
    templates: Annotated[
        Literal["default", "imagenet"],
        typer.Option(help="Ready-made sentences; imagenet: the 80 of the CLIP paper."),
    ] = "default",
    embedder: Annotated[
        str | None, typer.Option(metavar="ID", help="Which model looks; see `askpix models`.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Show so many labels an image; 0 = all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Say which of the given labels each image shows. Nothing is trained or kept."""
    from askpix.api.console.render import hint, place, print_json, table, tell_failures
    from askpix.api.schemas.results import Classification
    from askpix.api.services.classify import classify_under
    from askpix.api.services.labels import read_labels
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.pipeline.report import Failure
    from askpix.retrieval.classification.prompt_templates import IMAGENET

    if template and templates == "imagenet":
        raise typer.BadParameter("give --template or --templates imagenet, not both")
    sentences = template or (IMAGENET if templates == "imagenet" else ())
    workspace = Workspace(load_settings())
    failed: list[Failure] = []
    rows = [
        Classification(path=record.uri, page=record.page, time_s=record.time_s, labels=found[: top or None])
        for record, found in classify_under(
            workspace, paths, failed, read_labels(labels), templates=sentences, embedder=embedder
        )
    ]
    if as_json:
        print_json(rows)
    else:
        table(
            ("picture", "label", "probability"),
            [
                (place(row.path or "", row.page, row.time_s), each.label, f"{each.probability:.3f}")
                for row in rows
                for each in row.labels[: top or 5]
            ],
        )
    if not rows and not failed:
        hint("no images found")
    tell_failures(failed)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("classify")(classify_command)
