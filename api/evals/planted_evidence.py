"""``askpix eval answers --planted``: wrong answers against the checks that every answer goes through."""

from collections.abc import Sequence

from askpix.api.services.search import open_searcher
from askpix.api.workspace.workspace import Workspace
from askpix.core.types import Evidence, Hit
from askpix.evaluation.data.questions import Question
from askpix.evaluation.suites.adversarial import Checked, PlantedReport, Truth, plant_all, truth_of
from askpix.generation.grounding.citations import verify
from askpix.generation.grounding.claims import judge
from askpix.generation.questions.understand import search_text
from askpix.ingest.catalog.models import Collection


def check_planted(
    workspace: Workspace, collection: Collection, questions: Sequence[Question], *, top_k: int
) -> PlantedReport:
    """Search each question as ``askpix ask`` does; its image is put first where it was not found."""
    truths: list[Truth] = []
    with open_searcher(workspace, collection) as searcher:
        records = {
            uri: record
            for record in searcher.store.get(list(searcher.store.ids()))
            for uri in (record.uri, *record.copies)
        }
        for question in questions:
            right = records.get(str(question.image))
            if right is None or not question.answerable:
                continue
            found = searcher.find(search_text(question.text), top_k)
            shown = [hit.record for hit in found.hits]
            if right.id not in {record.id for record in shown}:
                shown = [right, *shown[: top_k - 1]]
            lines = workspace.lines_of(collection)([record.id for record in shown])
            evidence = [
                Evidence(rank, Hit(rank, record, 1.0), tuple(lines.get(record.id, ())))
                for rank, record in enumerate(shown, start=1)
            ]
            number = 1 + [record.id for record in shown].index(right.id)
            if truth := truth_of(question.text, question.golds, evidence, number):
                truths.append(truth)
    return plant_all(truths, check)


def check(text: str, question: str, evidence: Sequence[Evidence], seen: bool) -> Checked:
    """Check an answer like ``askpix.generation.answering.answer``, and return what is left of it."""
    numbers = frozenset(each.number for each in evidence) if seen else frozenset[int]()
    judged = judge(text, question, evidence, seen=numbers)
    answered, citations = verify(judged.parsed, evidence)
    return Checked(
        judged.parsed.text, answered, tuple(each.marker for each in citations), bool(judged.doubts)
    )
