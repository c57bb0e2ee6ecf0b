"""``askpix eval make``: a test set from one's own images, to be reviewed on a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from askpix.api.evals.answers import _records
from askpix.api.evals.retrieval import evaluation

if TYPE_CHECKING:
    from askpix.core.types import ImageRecord


@evaluation.command("make")
def make_command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Images; or name a --collection.")
    ] = None,
    collection: Annotated[str | None, typer.Option(help="One that is indexed already.")] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where manifest and page are written.")
    ] = Path("askpix-test-set"),
    queries: Annotated[int, typer.Option(min=1, help="At most this many with an answer.")] = 100,
    absent: Annotated[int, typer.Option(min=0, help="And this many that nothing answers.")] = 30,
    seed: Annotated[int, typer.Option(help="Another one takes other queries.")] = 0,
) -> None:
    """Queries from titles, words in images, dates and places; absent ones; and a page to review them on.

    Open `review.html`: x takes a query out, e edits it, "Save" gives the manifest. With the saved file in
    the same folder, `askpix eval retrieval manifest.jsonl` asks them.
    """
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, say, table
    from askpix.api.evals.review import image_shower, known_of, manifest_lines, review_page
    from askpix.api.services.index import run_index
    from askpix.api.services.search import open_searcher
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import AskpixError, BadQueryError, NotFoundError
    from askpix.evaluation.data.synthesize import make_queries

    if (folder is None) == (collection is None):
        raise BadQueryError("name a folder of images or a --collection, one of them")
    manifest = out / "manifest.jsonl"
    if manifest.exists():
        raise AskpixError(f"{str(manifest)!r} is there already, perhaps reviewed; name another --out")
    workspace = Workspace(load_settings())
    if folder is not None:
        if not folder.exists():
            raise NotFoundError(f"no folder {str(folder)!r}")
        target = workspace.open_or_create(_name(folder))
        with ProgressLine() as progress:
            run_index(workspace, target, [folder], ocr="on", prune=False, on_progress=progress)
    else:
        target = workspace.collection(collection or "")
    with open_searcher(workspace, target) as searcher:
        records = [record for record in _records(searcher.store) if Path(record.uri).is_file()]
        if not records:
            raise NotFoundError(f"collection {target.name!r} holds no image that is a file of this machine")
        read = searcher.read_caption(literal=False)

        def closest(query: str) -> "list[ImageRecord]":
            result = searcher.retriever.retrieve(read(query), top_k=5, mode="auto", show_all=True)
            return [hit.record for hit in result.hits]

        chosen = make_queries(known_of(workspace, target, records), limit=queries, absent=absent, seed=seed)
        if not chosen:
            raise NotFoundError("nothing is written in or about these images to ask by")
        shower = image_shower(workspace, {record.id: record for record in records}, closest)
        page = review_page(chosen, out.absolute(), shower, title=f"Queries for {target.name}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        manifest.write_text("\n".join(manifest_lines(chosen, out.absolute())) + "\n", "utf-8")
        (out / "review.html").write_text(page, "utf-8")
    except OSError as error:
        raise AskpixError(f"cannot write to {str(out)!r}: {error.strerror}") from error
    counts: dict[str, int] = {}
    for each in chosen:
        counts[each.kind] = counts.get(each.kind, 0) + 1
    hint(f"{len(chosen)} queries on {len(records)} images; review them: {out / 'review.html'}")
    table(("queries of", "n"), [(kind, str(count)) for kind, count in counts.items()])
    say(f"askpix eval retrieval {manifest} --collection {target.name}")


def _name(folder: Path) -> str:
    """Return the name of a folder's collection: the folder's name, and what tells it from namesakes."""
    import hashlib

    path = folder.absolute()
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in path.name.lower()).strip(
        "-"
    )
    return f"eval-{plain[:40] or 'all'}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


def register(app: typer.Typer) -> None:
    """The command stands in the group ``eval`` already; named here so that every group has one door."""
