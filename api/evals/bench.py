"""``askpix eval`` and ``askpix bench``: quality and speed, measured again by anyone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import SearchResult
    from askpix.evaluation.data.manifest import Dataset
    from askpix.evaluation.suites.retrieval import Retrieve
    from askpix.ingest.catalog.catalog import Collection

evaluation = typer.Typer(
    no_args_is_help=True, help="Quality on a manifest of pictures with captions or questions."
)


@evaluation.command("retrieval")
def retrieval_command(
    manifests: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST.jsonl...",
            help="Pictures with captions, questions or fields; several make one gallery.",
        ),
    ],
    collection: Annotated[
        str | None, typer.Option(help="Search this collection instead of indexing the manifest's pictures.")
    ] = None,
    distractors: Annotated[
        bool, typer.Option("--distractors", help="Add the manifest's distractors to the gallery.")
    ] = False,
    ocr: Annotated[Literal["on", "off"], typer.Option(help="Read the words in the pictures.")] = "on",
    mode: Annotated[
        Literal["auto", "image", "text", "hybrid"], typer.Option(help="Which legs of search are used.")
    ] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first N queries.")] = None,
    rerank: Annotated[
        str | None, typer.Option(metavar="ID", help="Also with this second look: what it gains and costs.")
    ] = None,
    legs: Annotated[
        bool, typer.Option("--legs", help="Each leg alone beside all together, in each folder and in all.")
    ] = False,
    absent: Annotated[
        bool, typer.Option("--absent", help="Instead: is it known when what is asked for is not there?")
    ] = False,
    half: Annotated[
        Literal["a", "b"] | None, typer.Option(help="With --legs, --absent: ask of this half.")
    ] = None,
    literal: Annotated[
        bool, typer.Option("--literal", help="Read nothing as a filter: every word is searched by meaning.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Ask every query of a manifest: R@1, R@5, R@10, MRR, nDCG@10 with 95 % intervals.

    The pictures are indexed into a collection of their own, which is kept for the next time.
    """
    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.services.query import reading_of
    from askpix.api.settings import load_settings
    from askpix.api.workspace.rerankers import searcher
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
    if legs or absent:
        from askpix.api.evals.retrieval import show_absent, show_legs

        show = show_absent if absent else show_legs
        show(workspace, target, datasets, mode=mode, half=half, limit=limit, as_json=as_json, literal=literal)
        return
    with workspace.open_retriever(target) as retriever:
        read = reading_of(retriever.store, workspace.folder(target), literal=literal)

        def asking(search: "Callable[..., SearchResult]") -> "Retrieve":
            def retrieve(query: str) -> tuple[bool, list[tuple[str, ...]]]:
                result = search(read(query), top_k=10, mode=mode, show_all=True, collapse=False)
                return result.matched, [(hit.record.uri, *hit.record.copies) for hit in result.hits]

            return retrieve

        def progress(done: int, total: int) -> None:
            if sys.stderr.isatty() and done % 50 == 0:
                typer.echo(f"\r{done} of {total} queries", nl=done == total, err=True)

        gallery = workspace.catalog.count_images(target)
        cases, plain = dataset.cases[:limit], asking(retriever.retrieve)
        if rerank is not None:
            both = compare(
                dataset.name,
                cases,
                plain,
                asking(searcher(workspace, retriever, rerank)),
                reranker=rerank,
                gallery=gallery,
                on_progress=progress,
            )
            if as_json:
                print_json(both.to_json())
                return
            hint(f"{dataset.name}: {gallery} pictures, mode {mode}, embedder {target.embedder}")
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
    hint(f"{report.dataset}: {report.gallery} pictures, mode {mode}, embedder {target.embedder}")
    table(COLUMNS, report.rows())
    if report.absent_refused is not None:
        share = report.absent_refused
        shown = f"{100 * share.value:.1f} ({100 * share.low:.1f}-{100 * share.high:.1f})"
        say(f"refused as matching nothing: {shown} % of {report.absent} queries that no picture answers")


def _gallery(
    workspace: "Workspace", dataset: "Dataset", *, distractors: bool, ocr: Literal["on", "off"]
) -> "Collection":
    """The manifest's pictures in a collection named after it, indexed when they are not yet."""
    from askpix.api.console.progress import ProgressLine
    from askpix.api.services.index import run_index

    paths = [*dataset.gallery, *(dataset.distractors if distractors else ())]
    kind = "all" if distractors else "test"
    name = f"eval-{dataset.name.lower()}-{kind}{'' if ocr == 'on' else '-no-ocr'}"[:63]
    target = workspace.open_or_create(name)
    with ProgressLine() as progress:
        run_index(workspace, target, paths, ocr=ocr, prune=False, on_progress=progress)
    return target


QUERIES = tuple(
    f"{what} {where}"
    for what in (
        "a dog",
        "a red car",
        "two people",
        "an old house",
        "GRAND TOTAL",
        "a boat",
        "a cup",
        "flowers",
    )
    for where in ("on a beach", "in the snow", "at night", "in front of a wall", "from May 2018")
)
"""All different: a query that was just asked is not encoded again."""


def bench_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Pictures to measure with; default: the sample photos."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=16, help="How many pictures a run indexes.")] = 256,
    megapixels: Annotated[
        float | None, typer.Option(min=0.1, max=100, help="Enlarge each picture to this size first.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 3,
    kills: Annotated[
        int, typer.Option(min=0, help="Instead: kill an indexing run this often, and look for losses.")
    ] = 0,
    stages: Annotated[
        Literal["index", "all"],
        typer.Option(help="What --kills hits: stage one, or all of it with OCR and a change of the model."),
    ] = "index",
    memory: Annotated[
        bool, typer.Option("--memory", help="Instead: peak memory of indexing everything under PATH, once.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Speed here beside the bare libraries in the same run: indexing (words left unread) and queries."""
    import tempfile

    from askpix.api.console.render import print_json, say
    from askpix.api.demo import PICTURES
    from askpix.api.evals import speed
    from askpix.api.settings import load_settings
    from askpix.core.errors import AskpixError
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import check_paths

    settings = load_settings()
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    result: dict[str, object] = {"machine": machine("pillow", "onnxruntime", "qdrant-edge-py", "numpy")}
    lines: list[str] = []
    found_losses = False
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        if memory:
            peak = speed.peak_memory(sources)
            result["peak_mb"] = round(peak.resident)
            result["peak_own_mb"] = None if peak.own is None else round(peak.own)
            own = (
                ""
                if peak.own is None
                else f", at most {peak.own:.0f} MB of it its own, the rest mapped files"
            )
            lines.append(f"peak memory of indexing: {peak.resident:.0f} MB{own}")
        else:
            files = speed.collect(sources, pictures, Path(work), megapixels=megapixels)
            if kills:
                from benchmarks.load.kills import bench_kills

                report = bench_kills(settings, files, kills=kills, stages=stages)
                found_losses = bool(report.problems)
                result["kills"] = report
                lines.append(
                    f"{report.kills} kills in {report.runs} runs: {', '.join(report.problems) or 'all well'}"
                )
            else:
                ingest = speed.bench_ingest(settings, files, rounds=rounds)
                queries = speed.bench_queries(settings, files, QUERIES)
                result |= {"ingest": ingest, "queries": queries}
                lines += [
                    f"indexing {ingest.ratio:.2f} of the bound ({ingest.cpu_ratio:.2f} by CPU time): "
                    f"{ingest.achieved_per_s:.1f} of {ingest.bound_per_s:.1f} pictures/s",
                    f"  {ingest.ratio_to_bare:.2f} of the bare parts on all cores, by the clock in turn: "
                    f"{ingest.bare_per_s:.1f} pictures/s",
                    f"  bare decode {ingest.decode_ms:.1f} ms + bare embedding {ingest.embed_ms:.1f} ms "
                    f"of CPU a picture, {ingest.cores} cores",
                    f"search {queries.ratio_p50:.2f} times its bare parts: p50 {queries.search_p50:.1f} ms, "
                    f"p95 {queries.search_p95:.1f} ms; encoding + one store query {queries.bare_p50:.1f} ms",
                ]
    if as_json:
        print_json(result)
    else:
        say(*lines)
    if found_losses:
        raise AskpixError("pictures were lost or doubled; see above")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    from askpix.api.evals.bench_decode_command import decode_command
    from askpix.api.evals.bench_embed_command import DefaultCommand, embed_command
    from benchmarks.load.fold_bench_serve import serve_command
    from benchmarks.load.fold_bench_store import store_command
    from benchmarks.peers.run import peers_command
    from benchmarks.speed.fold_bench_generate import generate_command
    from benchmarks.speed.fold_bench_ocr import ocr_command
    from benchmarks.speed.fold_bench_tree import tree_command

    speed = typer.Typer(cls=DefaultCommand, help="Speed here beside the bare libraries in the same run.")
    speed.command("index")(bench_command)
    speed.command("ingest", hidden=True)(bench_command)
    speed.command("embed")(embed_command)
    speed.command("decode")(decode_command)
    speed.command("tree")(tree_command)
    speed.command("ocr")(ocr_command)
    speed.command("generate")(generate_command)
    speed.command("store")(store_command)
    speed.command("serve")(serve_command)
    speed.command("peers")(peers_command)
    app.add_typer(speed, name="bench")
    app.add_typer(evaluation, name="eval")
