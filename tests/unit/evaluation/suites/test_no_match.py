"""Sub-queries beside each other, and concepts that are left out, on answers made by hand."""

from pathlib import Path

import numpy as np
import pytest

from askpix.core.types import Where
from askpix.evaluation.data.manifest import Case, Dataset, merge
from askpix.evaluation.suites.ablation import COLUMNS as SUB_QUERY_COLUMNS
from askpix.evaluation.suites.ablation import SUB_QUERIES, compare_sub_queries, in_half
from askpix.evaluation.suites.no_match import COLUMNS, RISK_COLUMNS, find_concepts, judge_absence
from askpix.retrieval.stores.excluding import LeftOut
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture, record

WORDS = WordEmbedder(dim=8192)


def case(query: str, image: str, kind: str = "caption") -> Case:
    return Case(query, Path(image), kind)


CASES = [
    case("brown dog runs", "/p/1.jpg"),
    case("brown dog runs quickly", "/p/2.jpg"),
    case("lighthouse above rocks", "/p/3.jpg"),
    *(case(f"person{n} sits", f"/p/{n}.jpg") for n in range(4, 40)),
]


def test_a_concept_is_all_that_shares_a_telling_word_or_means_the_same() -> None:
    dogs, light, sits = find_concepts([CASES[0], CASES[2], CASES[5]], CASES, WORDS.embed_texts)
    assert dogs == {"/p/1.jpg", "/p/2.jpg"}
    assert light == {"/p/3.jpg"}
    assert "/p/5.jpg" in sits, "its own picture"


def test_absence_is_judged_with_the_whole_concept_gone() -> None:
    asked: list[tuple[str, frozenset[str]]] = []

    def ask(query: str, left_out: frozenset[str]) -> tuple[bool, float]:
        asked.append((query, left_out))
        sure = 0.9 if not left_out else 0.95 if "lighthouse" in query else 0.2
        return sure > 0.5, sure

    report = judge_absence([("photos", CASES[:3])], CASES, ask, WORDS.embed_texts, gallery=39)
    (scores,) = report.scores
    assert [bool(gone) for _, gone in asked] == [False, True] * 3
    # Two of three are told apart from all present ones, the third from none.
    assert scores.auroc.value == pytest.approx(2 / 3)
    assert scores.false_refusals == 0 and scores.false_acceptances == pytest.approx(1 / 3)
    assert scores.left_out == pytest.approx(5 / 3)
    assert all(risk.absent_kept == pytest.approx(1 / 3) for risk in scores.risks)
    assert scores.risks[0].risk == pytest.approx(0.25)
    assert len(report.rows()[0]) == len(COLUMNS)
    assert all(len(row) == len(RISK_COLUMNS) for row in report.risk_rows())


def test_the_hybrid_is_compared_with_each_leg_query_by_query() -> None:
    right = {"image": {"/p/1.jpg", "/p/2.jpg", "/p/3.jpg"}, "text": set(), "words": {"/p/1.jpg"}}

    def ask(sub_query: str, query: str, folder: str | None) -> list[list[str]]:
        gold = next(str(each.image) for each in CASES if each.query == query)
        found = gold in right.get(sub_query, {"/p/1.jpg"})
        return [[gold]] if found else [["/p/other.jpg"]]

    report = compare_sub_queries([("photos", "/p", CASES[:3])], ask, gallery=39)
    assert [(s.gallery, s.sub_query) for s in report.scores] == [
        (g, sub_query) for g in ("alone", "all") for sub_query in SUB_QUERIES
    ]
    by_sub_query = {s.sub_query: s for s in report.scores if s.gallery == "all"}
    assert by_sub_query["image"].recall_1.value == 1 and by_sub_query[
        "hybrid"
    ].recall_1.value == pytest.approx(1 / 3)
    assert by_sub_query["image"].hybrid_gains.value == pytest.approx(-2 / 3)
    assert by_sub_query["words"].hybrid_gains.value == 0
    assert all(len(row) == len(SUB_QUERY_COLUMNS) for row in report.rows())
    many = compare_sub_queries([("photos", None, CASES[:3] * 20)], ask, gallery=39)
    assert [score.sub_query for score in many.worse()] == ["image"]
    assert many.to_json()["worse"]


def test_halves_hold_whole_images() -> None:
    a, b = ([each for each in CASES if in_half(each, half)] for half in "ab")
    assert a and b and len(a) + len(b) == len(CASES)
    assert not {each.image for each in a} & {each.image for each in b}
    assert all(in_half(each, None) for each in CASES)


def test_data_sets_become_one() -> None:
    one = Dataset("b", (CASES[0],), (Path("/p/1.jpg"),), ())
    other = Dataset("a", (CASES[1],), (Path("/p/2.jpg"), Path("/p/1.jpg")), (Path("/d.jpg"),))
    both = merge([one, other])
    assert (both.name, len(both.cases), len(both.gallery), len(both.distractors)) == ("a-b", 2, 2, 1)
    assert merge([one]) is one


def test_what_is_left_out_is_not_there() -> None:
    embedder = ColourEmbedder()
    store = MemoryStore(dim=embedder.dim, text_dim=4)
    records = [record(n, taken_at=None) for n in range(10)]
    vectors = embedder.embed_images([picture("red" if n < 5 else "blue") for n in range(10)])
    store.upsert(records, vectors)
    gone = {each.id for each in records[:4]}
    left = LeftOut(store, gone)
    query = embedder.embed_texts(["red"])[0]
    whole = [hit.id for hit in store.search("image", query, where=Where(), limit=10) if hit.id not in gone]
    assert [hit.id for hit in left.search("image", query, where=Where(), limit=10)] == whole
    assert [h.id for h in left.search("image", query, where=Where(), limit=2, offset=1)] == whole[1:3]
    assert set(left.ids()) == set(whole) and left.count() == 6 == left.count(Where(kind="photo"))
    assert not set(left.scroll(Where(), limit=10)) & gone
    assert [each.id for each in left.get([r.id for r in records])] == [r.id for r in records[4:]]
    assert np.array_equal(left.sample_vectors(3), store.sample_vectors(3))
    assert np.array_equal(left.image_vectors(whole), store.image_vectors(whole))
