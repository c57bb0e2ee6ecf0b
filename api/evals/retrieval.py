"""``askpix eval retrieval``: how well queries find what they ask for, by sub-query and when nothing fits."""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import ImageRecord, Mode, SearchResult
    from askpix.evaluation.data.manifest import Case, Dataset
    from askpix.evaluation.suites.retrieval import Retrieve
    from askpix.ingest.catalog.catalog import Collection
    from askpix.retrieval.search.retriever import Retriever
    from askpix.retrieval.stores.base import SubQuery

_TOP = 10

evaluation = typer.Typer(
    no_args_is_help=True, help="Quality on a manifest of images with captions or questions."
)


@evaluation.command("retrieval")
def retrieval_command(
    manifests: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST.jsonl...",
            help="Images with captions, questions or fields; several make one gallery.",
        ),
    ],
    collection: Annotated[
        str | None, typer.Option(help="Search this collection instead of indexing the manifest's images.")
    ] = None,
    distractors: Annotated[
        bool, typer.Option("--distractors", help="Add the manifest's distractors to the gallery.")
    ] = False,
    ocr: Annotated[Literal["on", "off"], typer.Option(help="Read the words in the images.")] = "on",
    mode: Annotated[
        Literal["auto", "image", "text", "hybrid"], typer.Option(help="Which sub-queries of search are used.")
    ] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first N queries.")] = None,
    rerank: Annotated[
        str | None, typer.Option(metavar="ID", help="Also with this second look: what it gains and costs.")
    ] = None,
    sub_queries: Annotated[
        bool,
        typer.Option(
            "--sub-queries", help="Each sub-query alone beside all together, in each folder and in all."
        ),
    ] = False,
    absent: Annotated[
        bool, typer.Option("--absent", help="Instead: is it known when what is asked for is not there?")
    ] = False,
    half: Annotated[
        Literal["a", "b"] | None, typer.Option(help="With --sub-queries, --absent: ask of this half.")
    ] = None,
    literal: Annotated[
        bool, typer.Option("--literal", help="Read nothing as a filter: every word is searched by meaning.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Ask every query of a manifest: R@1, R@5, R@10, MRR, nDCG@10 with 95 % intervals.

    The images are indexed into a collection of their own, which is kept for the next time.
    """
    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.services.search import open_searcher
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.evaluation.data.manifest import merge, read_manifest
    from askpix.evaluation.suites.reranking import compare
    from askpix.evaluation.suites.retrieval import COLUMNS, evaluate

    datasets = [read_manifest(manifest) for manifest in manifests]
    dataset = merge(datasets)
    workspace = Workspace(load_settings())
    if collection is not None:
        target = workspace.collection(collection)
    else:
        target = _gallery(workspace, dataset, distractors=distractors, ocr=ocr)
    if sub_queries or absent:
        from askpix.api.evals.retrieval import show_absent, show_sub_queries

        show = show_absent if absent else show_sub_queries
        show(workspace, target, datasets, mode=mode, half=half, limit=limit, as_json=as_json, literal=literal)
        return
    with open_searcher(workspace, target, rerank=rerank) as searcher:
        read = searcher.read_caption(literal=literal)
        retriever = searcher.retriever

        def asking(search: "Callable[..., SearchResult]") -> "Retrieve":
            def retrieve(query: str) -> tuple[bool, list[tuple[str, ...]]]:
                result = search(read(query), top_k=10, mode=mode, show_all=True, collapse=False)
                return result.matched, [(hit.record.uri, *hit.record.copies) for hit in result.hits]

            return retrieve

        def progress(done: int, total: int) -> None:
            if sys.stderr.isatty() and done % 50 == 0:
                typer.echo(f"\r{done} of {total} queries", nl=done == total, err=True)

        gallery = workspace.catalog.count_images(target)
        cases = dataset.cases[:limit]
        plain = asking(retriever.retrieve)
        if rerank is not None:
            both = compare(
                dataset.name,
                cases,
                plain,
                asking(searcher.run),
                reranker=rerank,
                gallery=gallery,
                on_progress=progress,
            )
            if as_json:
                print_json(both.to_json())
                return
            hint(f"{dataset.name}: {gallery} images, mode {mode}, embedder {target.embedder}")
            table(COLUMNS, both.before.rows())
            table(COLUMNS, both.after.rows())
            say(*both.lines())
            return
        report = evaluate(
            dataset.name, cases, plain, gallery=gallery, absent=dataset.absent[:limit], on_progress=progress
        )
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{report.dataset}: {report.gallery} images, mode {mode}, embedder {target.embedder}")
    table(COLUMNS, report.rows())
    if report.absent_refused is not None:
        share = report.absent_refused
        shown = f"{100 * share.value:.1f} ({100 * share.low:.1f}-{100 * share.high:.1f})"
        say(f"refused as matching nothing: {shown} % of {report.absent} queries that no image answers")


def _gallery(
    workspace: "Workspace", dataset: "Dataset", *, distractors: bool, ocr: Literal["on", "off"]
) -> "Collection":
    """The manifest's images in a collection named after it, indexed when they are not yet."""
    from askpix.api.console.progress import ProgressLine
    from askpix.api.services.index import run_index

    paths = [*dataset.gallery, *(dataset.distractors if distractors else ())]
    kind = "all" if distractors else "test"
    name = f"eval-{dataset.name.lower()}-{kind}{'' if ocr == 'on' else '-no-ocr'}"[:63]
    target = workspace.open_or_create(name)
    with ProgressLine() as progress:
        run_index(workspace, target, paths, ocr=ocr, prune=False, on_progress=progress)
    return target


def register(app: typer.Typer) -> None:
    """Add the group ``eval``, to which the other suites add their commands."""
    app.add_typer(evaluation, name="eval")


def show_sub_queries(
    workspace: "Workspace",
    target: "Collection",
    datasets: Sequence["Dataset"],
    *,
    mode: "Mode",
    half: str | None,
    limit: int | None,
    as_json: bool,
    literal: bool = False,
) -> None:
    """Show each sub-query alone and all together, for every kind of query, in its own folder and in all of
    them.
    """
    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.services.search import open_searcher
    from askpix.core.types import Where
    from askpix.evaluation.suites.ablation import COLUMNS, compare_sub_queries

    groups = [
        (name, _folder(cases) if len(datasets) > 1 else None, cases)
        for name, cases in _groups(datasets, half, limit)
    ]
    with open_searcher(workspace, target) as searcher:
        read = searcher.read_caption(literal=literal)
        retriever = searcher.retriever

        def ask(sub_query: str, query: str, folder: str | None) -> list[tuple[str, ...]]:
            where = Where(path=f"{folder}/*") if folder else Where()
            if sub_query != "hybrid":
                found = retriever.run_sub_query(cast("SubQuery", sub_query), query, where=where, top_k=_TOP)
            else:
                result = retriever.retrieve(
                    read(query, where), top_k=_TOP, mode=mode, show_all=True, collapse=False
                )
                found = [hit.record for hit in result.hits]
            return [(record.uri, *record.copies) for record in found]

        gallery = retriever.store.count()
        report = compare_sub_queries(groups, ask, gallery=gallery, on_progress=_progress)
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{gallery} images, embedder {target.embedder}; alone = in the folder of the query's own set")
    table(COLUMNS, report.rows())
    for score in report.worse():
        say(
            f"{score.group}, {score.gallery}: {score.sub_query} alone is better than all sub-queries together"
        )


def show_absent(
    workspace: "Workspace",
    target: "Collection",
    datasets: Sequence["Dataset"],
    *,
    mode: "Mode",
    half: str | None,
    limit: int | None,
    as_json: bool,
    literal: bool = False,
) -> None:
    """Every query with its images there and with all images of its concept left out."""
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.services.search import open_searcher
    from askpix.evaluation.suites.no_match import COLUMNS, RISK_COLUMNS, judge_absence

    groups = list(_groups(datasets, half, limit))
    every = [case for dataset in datasets for case in dataset.cases]
    with open_searcher(workspace, target) as searcher:
        read = searcher.read_caption(literal=literal)
        retriever = searcher.retriever
        by_path = dict(_ids_by_path(retriever))

        def ask(query: str, left_out: frozenset[str]) -> tuple[bool, float]:
            gone = {by_path[path] for path in left_out if path in by_path}
            found = (retriever.without(gone) if gone else retriever).retrieve(read(query), top_k=1, mode=mode)
            return found.matched, found.confidence if found.confidence is not None else float(found.matched)

        report = judge_absence(
            groups,
            every,
            ask,
            workspace.text_embedder.embed_texts,
            gallery=len(set(by_path.values())),
            on_progress=_progress,
        )
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{report.gallery} images, mode {mode}, embedder {target.embedder}")
    table(COLUMNS, report.rows())
    hint("", "what another threshold would give:")
    table(RISK_COLUMNS, report.risk_rows())


def _groups(
    datasets: Sequence["Dataset"], half: str | None, limit: int | None
) -> "Iterator[tuple[str, list[Case]]]":
    """The queries of each kind of each data set, the first ``limit`` of them spread over it."""
    from askpix.evaluation.suites.ablation import in_half

    for dataset in datasets:
        cases = sorted((case for case in dataset.cases if in_half(case, half)), key=lambda case: case.kind)
        for kind, same in groupby(cases, key=lambda case: case.kind):
            chosen = list(same)
            step = 1 if limit is None else max(1, len(chosen) // limit)
            yield f"{dataset.name} {kind}", chosen[::step][:limit]


def _folder(cases: Sequence["Case"]) -> str | None:
    """The folder that holds all their images."""
    import os.path

    return os.path.commonpath([str(case.image.parent) for case in cases]) if cases else None


def _ids_by_path(retriever: "Retriever") -> Iterator[tuple[str, str]]:
    ids = list(retriever.store.ids())
    for start in range(0, len(ids), 1000):
        records: list[ImageRecord] = retriever.store.get(ids[start : start + 1000])
        yield from ((str(Path(uri)), record.id) for record in records for uri in (record.uri, *record.copies))


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 50 == 0 or done == total):
        typer.echo(f"\r{done} of {total} queries", nl=done == total, err=True)
