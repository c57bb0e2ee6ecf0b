"""``askpix eval retrieval --legs`` and ``--absent``: the parts of search, and whether it knows its limits."""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import ImageRecord, Mode
    from askpix.evaluation.data.manifest import Case, Dataset
    from askpix.ingest.catalog.catalog import Collection
    from askpix.retrieval.search.retriever import Retriever
    from askpix.retrieval.stores.base import Leg

_TOP = 10


def show_legs(
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
    """Each leg alone and all together, for every kind of query, in its own folder and in all of them."""
    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.services.query import reading_of
    from askpix.core.types import Where
    from askpix.evaluation.suites.ablation import COLUMNS, compare_legs

    groups = [
        (name, _folder(cases) if len(datasets) > 1 else None, cases)
        for name, cases in _groups(datasets, half, limit)
    ]
    with workspace.open_retriever(target) as retriever:
        read = reading_of(retriever.store, workspace.folder(target), literal=literal)

        def ask(leg: str, query: str, folder: str | None) -> list[tuple[str, ...]]:
            where = Where(path=f"{folder}/*") if folder else Where()
            if leg != "hybrid":
                found = retriever.ask_leg(cast("Leg", leg), query, where=where, top_k=_TOP)
            else:
                result = retriever.retrieve(
                    read(query, where), top_k=_TOP, mode=mode, show_all=True, collapse=False
                )
                found = [hit.record for hit in result.hits]
            return [(record.uri, *record.copies) for record in found]

        gallery = retriever.store.count()
        report = compare_legs(groups, ask, gallery=gallery, on_progress=_progress)
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{gallery} pictures, embedder {target.embedder}; alone = in the folder of the query's own set")
    table(COLUMNS, report.rows())
    for score in report.worse():
        say(f"{score.group}, {score.gallery}: {score.leg} alone is better than all legs together")


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
    """Every query with its pictures there and with all pictures of its concept left out."""
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.services.query import reading_of
    from askpix.evaluation.suites.no_match import COLUMNS, RISK_COLUMNS, judge_absence

    groups = list(_groups(datasets, half, limit))
    every = [case for dataset in datasets for case in dataset.cases]
    with workspace.open_retriever(target) as retriever:
        read = reading_of(retriever.store, workspace.folder(target), literal=literal)
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
    hint(f"{report.gallery} pictures, mode {mode}, embedder {target.embedder}")
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
    """The folder that holds all their pictures."""
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
