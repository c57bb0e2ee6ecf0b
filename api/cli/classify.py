"""``askpix classify``: which of the given labels a picture shows, with a probability each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from askpix.core.imaging.decode import ImageLimits
    from askpix.ingest.formats.pages import Page

_BATCH = 16


def _pages(
    paths: list[Path], limits: "ImageLimits", side: int, failed: list[dict[str, str]]
) -> Iterator[tuple[str, "Page"]]:
    """Every picture under ``paths``; what cannot be opened is added to ``failed``."""
    from askpix.core.errors import BadImageError
    from askpix.ingest.formats.content import place_label, read_content
    from askpix.ingest.formats.pages import open_pages
    from askpix.ingest.sources.walk import Skipped, walk

    named = {str(path.absolute()) for path in paths}
    for source in walk(paths, office=limits.office is not None):
        if isinstance(source, Skipped):
            if source.path in named or source.reason.startswith("cannot read"):
                failed.append({"path": source.path, "error": source.reason})
            continue
        try:
            for page in open_pages(read_content(source.path, limits=limits), limits=limits, min_side=side):
                if page.picture is None:
                    failed.append(
                        {
                            "path": source.uri + place_label(page.kind, page.place),
                            "error": page.error or "broken",
                        }
                    )
                else:
                    yield source.uri, page
        except BadImageError as error:
            failed.append({"path": source.uri, "error": str(error)})


def classify_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures, PDFs and folders.")],
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
    top: Annotated[int, typer.Option(min=0, help="Show so many labels a picture; 0 = all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Say which of the given labels each picture shows. Nothing is trained or kept."""
    from askpix.api.console.render import hint, place, print_json, table
    from askpix.api.console.text import printable
    from askpix.api.services.labels import read_labels
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.sources.walk import check_paths
    from askpix.retrieval.classification.prompt_templates import DEFAULT, IMAGENET
    from askpix.retrieval.classification.zero_shot import ZeroShot, check_templates, clean_labels

    if template and templates == "imagenet":
        raise typer.BadParameter("give --template or --templates imagenet, not both")
    sentences = check_templates(template or (IMAGENET if templates == "imagenet" else DEFAULT))
    wanted = clean_labels(read_labels(labels))
    check_paths(paths)
    settings = load_settings()
    workspace = Workspace(settings)
    model = workspace.embedder(embedder or settings.embedder)
    zero_shot = ZeroShot(model, wanted, templates=sentences)

    rows: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    waiting: list[tuple[str, Page]] = []

    def look() -> None:
        pictures = [page.picture.image for _, page in waiting if page.picture]
        if pictures:
            ranked = zero_shot.ranked(model.embed_images(pictures))
            for (uri, page), found in zip(waiting, ranked, strict=True):
                shown = [{"label": label, "probability": round(p, 6)} for label, p in found]
                row: dict[str, Any] = {"path": uri, "page": page.page, "labels": shown[: top or None]}
                rows.append(row if page.time_s is None else {**row, "time_s": page.time_s})
        waiting.clear()

    for item in _pages(paths, workspace.limits, model.image_side, failed):
        waiting.append(item)
        if len(waiting) == _BATCH:
            look()
    look()
    if as_json:
        print_json(rows)
    else:
        table(
            ("picture", "label", "probability"),
            [
                (
                    place(row["path"], row["page"], row.get("time_s")),
                    item["label"],
                    f"{item['probability']:.3f}",
                )
                for row in rows
                for item in row["labels"][: top or 5]
            ],
        )
    for failure in failed:
        hint(f"failed {printable(failure['path'])}: {printable(failure['error'])}")
    if not rows and not failed:
        hint("no pictures found")
    if failed:
        raise typer.Exit(3)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("classify")(classify_command)
