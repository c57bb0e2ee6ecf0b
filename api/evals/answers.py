"""``askpix eval answers`` and ``askpix eval extract``: right, on one's own images?"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from askpix.api.evals.retrieval import evaluation

if TYPE_CHECKING:
    from askpix.api.services.search import Searcher
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import ImageRecord
    from askpix.evaluation.data.questions import Question
    from askpix.evaluation.suites.answering import Ask
    from askpix.ingest.catalog.catalog import Collection

_MARKER = re.compile(r"(?:\s*For example:)?\s*\[\d+\]")

Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST.jsonl...", help="Images with questions and answers.")
]
Named = Annotated[
    str | None, typer.Option(help="Ask this collection instead of indexing the manifest's images.")
]


@evaluation.command("answers")
def answers_command(
    manifests: Manifests,
    collection: Named = None,
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who writes the answers; see `askpix models`.")
    ] = None,
    given: Annotated[
        bool, typer.Option("--given", help="Hand over the right image: reading apart from finding.")
    ] = False,
    absent: Annotated[
        bool, typer.Option("--absent", help="Ask each question again with its image left out.")
    ] = False,
    planted: Annotated[
        bool,
        typer.Option("--planted", help="Write wrong answers on purpose: how many slip through the checks?"),
    ] = False,
    top_k: Annotated[int, typer.Option(min=1, max=50, help="How many images may be consulted.")] = 5,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only N questions, spread over each manifest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Ask every question as `askpix ask` does; each scored by its kind's measure, with 95 % intervals.

    Charts by relaxed accuracy, documents and screens by ANLS, fields exactly. Tells images that were not
    found from those that were misread, and silence where it is right from silence where it is not.
    """
    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.evals.retrieval import _gallery
    from askpix.api.services.search import open_searcher
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import BadQueryError
    from askpix.evaluation.data.manifest import merge, read_manifest
    from askpix.evaluation.data.questions import read_questions
    from askpix.evaluation.suites.answering import COLUMNS, ask_all

    if given and absent:
        raise BadQueryError("--given hands the image over and --absent takes it away; choose one")
    questions = [each for path in manifests for each in _spread(read_questions(path), limit)]
    workspace = Workspace(load_settings())
    if collection is not None:
        target = workspace.collection(collection)
    else:
        dataset = merge([read_manifest(path) for path in manifests])
        target = _gallery(workspace, dataset, distractors=False, ocr="on")
    if planted:
        _planted(workspace, target, questions, top_k=top_k, as_json=as_json)
        return
    model, why = workspace.choose_generator(generator)
    with open_searcher(workspace, target) as searcher:
        ask = _asker(workspace, target, searcher, generator, given=given, top_k=top_k)
        report = ask_all(
            questions,
            ask,
            gallery=searcher.store.count(),
            generator=model.model_id,
            absent=absent,
            on_progress=_progress,
        )
    if as_json:
        print_json(report.to_json())
        return
    how = "the right image given" if given else f"{top_k} images consulted"
    hint(f"{report.gallery} images, {how}, by {model.model_id}: {why}")
    table(COLUMNS, report.rows())
    whole = report.scores[0]
    cost = "price not known" if whole.mean_cost_usd is None else f"${whole.mean_cost_usd:.5f}"
    say(
        f"a question: {whole.mean_input_tokens:.0f} tokens in ({whole.mean_image_tokens:.0f} for images), "
        f"{whole.mean_output_tokens:.0f} out, {cost}, {whole.mean_ms:.0f} ms"
    )
    for risk in report.risks or ():
        kept = f"{100 * risk.coverage:.0f} % of the answers, from confidence {risk.confidence:.2f} on"
        say(f"{kept}: {100 * risk.risk:.1f} % wrong")


@evaluation.command("extract")
def extract_command(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST.jsonl", help="Receipts with fields filled in by hand.")
    ],
    collection: Named = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only N receipts, spread over the manifest.")
    ] = None,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Also list every field that was read wrong.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Company, date, address and total of receipts by the rules that need no model: exact match per field."""
    from askpix.api.console.render import hint, print_json, say, table
    from askpix.api.console.text import printable
    from askpix.api.evals.retrieval import _gallery
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import NotFoundError
    from askpix.evaluation.data.manifest import read_manifest
    from askpix.evaluation.data.questions import RECEIPT_FIELDS, Receipt, read_receipts
    from askpix.evaluation.suites.extraction import COLUMNS, judge_fields
    from askpix.generation.tasks.extract import extract_by_rules

    receipts = _spread(read_receipts(manifest), limit)
    workspace = Workspace(load_settings())
    if collection is not None:
        target = workspace.collection(collection)
    else:
        target = _gallery(workspace, read_manifest(manifest), distractors=False, ocr="on")
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in RECEIPT_FIELDS}}
    lines_of = workspace.lines_of(target)
    with workspace.open_store(target) as store:
        ids = {uri: record.id for record in _records(store) for uri in (record.uri, *record.copies)}

    def extract(receipt: Receipt) -> Mapping[str, str]:
        record_id = ids.get(str(receipt.image))
        if record_id is None:
            raise NotFoundError(f"{str(receipt.image)!r} is not in {target.name!r}; `askpix index` it first")
        read = lines_of([record_id]).get(record_id, ())
        return {name: str(value) for name, value in extract_by_rules(schema, read).value.items()}

    report = judge_fields(receipts, extract, RECEIPT_FIELDS, on_progress=_progress)
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{report.pictures} receipts, by rules")
    table(COLUMNS, report.rows())
    whole = report.every_field_right
    say(f"every field right: {100 * whole.value:.1f} ({100 * whole.low:.1f}-{100 * whole.high:.1f}) %")
    if wrong:
        for picture, field, truth, read in report.wrong:
            say(printable(f"{Path(picture).name}\t{field}\t{truth!r}\t{read!r}"))


def _asker(
    workspace: "Workspace",
    target: "Collection",
    searcher: "Searcher",
    generator: str | None,
    *,
    given: bool,
    top_k: int,
) -> "Ask":
    """Asks as ``askpix ask`` does: all of the collection where a question is about it, else what is found.

    With the right image handed over there is no collection to ask.
    """
    from askpix.core.errors import NotFoundError
    from askpix.core.types import Hit, Query, SearchResult
    from askpix.evaluation.suites.answering import Reply
    from askpix.generation.answering.aggregate import answer_archive
    from askpix.generation.answering.answer import answer_question

    model, _ = workspace.choose_generator(generator)
    lines_of = workspace.lines_of(target)
    records = {uri: record for record in _records(searcher.store) for uri in (record.uri, *record.copies)}

    def ask(question: "Question", left_out: bool) -> Reply:
        record = records.get(str(question.image))
        if record is None:
            raise NotFoundError(f"{str(question.image)!r} is not in {target.name!r}; `askpix index` it first")
        searched: list[SearchResult] = []
        over = searcher.retriever.without({record.id}) if left_out else searcher.retriever

        def retrieve(text: str, k: int) -> SearchResult:
            if given:
                hits = (Hit(1, record, 1.0),)
                result = SearchResult(Query(raw=text, text=text), True, None, hits, 0.0)
            else:
                result = searcher.run(searcher.read(text), over=over, top_k=k)
            searched.append(result)
            return result

        whole = (
            None
            if given
            else answer_archive(
                question.text,
                understand=searcher.read,
                store=over.store,
                embedder=workspace.embedder(target.embedder),
                lines_of=lines_of,
            )
        )
        if whole is not None:
            searched.append(whole[0])
            answer = whole[1]
        else:
            answer = answer_question(
                question.text,
                retrieve=retrieve,
                lines_of=lines_of,
                generator=model,
                top_k=top_k,
                second_look=workspace.settings.second_look,
            )
        result = searched[-1]
        handed = {hit.record.id for hit in result.hits[:top_k]} if result.matched else set()
        return Reply(
            answer=without_markers(answer.text) if answer.answered else None,
            found=record.id in handed,
            confidence=result.confidence,
            input_tokens=answer.usage.input_tokens,
            image_tokens=answer.usage.image_tokens,
            output_tokens=answer.usage.output_tokens,
            cost_usd=answer.usage.cost_usd,
            took_ms=answer.took_ms,
        )

    return ask


def _planted(
    workspace: "Workspace",
    target: "Collection",
    questions: "Sequence[Question]",
    *,
    top_k: int,
    as_json: bool,
) -> None:
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.evals.planted_evidence import check_planted

    report = check_planted(workspace, target, questions, top_k=top_k)
    if as_json:
        print_json(report.to_json())
        return
    from askpix.evaluation.suites.adversarial import COLUMNS

    hint(f"{report.truths} right answers that stand in a line of their image; no model was asked")
    table(COLUMNS, report.cells())


def without_markers(text: str) -> str:
    """An answer without its ``[2]``, and without the words that only lead to such."""
    return _MARKER.sub("", text).strip()


def _records(store: Any) -> "list[ImageRecord]":
    ids = list(store.ids())
    return [record for start in range(0, len(ids), 1000) for record in store.get(ids[start : start + 1000])]


def _spread(items: Sequence[Any], limit: int | None) -> list[Any]:
    """``limit`` of them, evenly from the first to the last."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[position * len(items) // limit] for position in range(limit)]


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 20 == 0 or done == total):
        typer.echo(f"\r{done} of {total}", nl=done == total, err=True)


def register(app: typer.Typer) -> None:
    """The commands stand in the group ``eval`` already; named here so that every group has one door."""
