"""The search around an oracle: it loses nothing of a good ranking, and hides few right answers."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from askpix.evaluation.data.manifest import Case, Dataset
from askpix.retrieval.onnx.mini import MiniLM
from askpix.retrieval.query.parser import parse
from benchmarks.quality.oracle import Oracle, compare_with_bare
from tests.support.fakes import MemoryStore, record

SUBJECTS = (
    ("A dog", "A brown puppy"),
    ("A cat", "A small kitten"),
    ("Two boys", "Some young brothers"),
    ("A woman with a hat", "A lady in a hat"),
    ("A horse", "A white pony"),
    ("A red bus", "A double decker bus"),
    ("A man on a bicycle", "A cyclist on a bike"),
    ("A plate of pasta", "A dish of spaghetti"),
    ("A flock of birds", "Several small birds"),
    ("A guitar player", "A musician with a guitar"),
    ("An old truck", "A rusty lorry"),
    ("A bunch of flowers", "A bouquet of roses"),
    ("A surfboard", "A board to ride waves with"),
    ("Three elephants", "A herd of elephants"),
    ("A baby", "An infant"),
)
PLACES = (
    ("on the beach", "by the sea"),
    ("in the snow", "on a snowy field"),
    ("in a kitchen", "beside a stove and a sink"),
    ("in front of a church", "near a cathedral"),
    ("on a bridge", "above a river on a bridge"),
    ("in a living room", "next to a sofa and a television"),
    ("at a market", "between market stalls"),
    ("under a tree in a park", "on the grass of a park"),
    ("at night in the city", "on a street with lights at night"),
    ("at a railway station", "on the platform of a station"),
    ("in a forest", "among tall pines"),
    ("beside a swimming pool", "by the pool"),
    ("in a classroom", "in front of a blackboard"),
    ("on a farm", "beside a barn"),
)
PAPERS = tuple(
    (
        f"{word} {paper}\n{item} {amount}.40\nTOTAL {amount}.40",
        f"how much was the {item.lower()} of the {word.lower()} {paper}",
        f"{word} {paper} with {item.lower()}",
    )
    for amount, (word, (paper, item)) in enumerate(
        product(
            (
                "Northern Insurance",
                "Harbour Bank",
                "Beach Hotel",
                "Medical Supplies",
                "Print Office",
                "Union Power",
            ),
            (
                ("receipt", "Breakfast"),
                ("invoice", "Maintenance"),
                ("bill", "Cat food"),
                ("order form", "Envelopes"),
                ("statement of costs", "Delivery"),
                ("report on interest rates", "Inflation"),
                ("terms and conditions", "Cancellation"),
                ("chart of public opinion", "Confidence"),
            ),
        ),
        start=11,
    )
)


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM.load(threads=1)


def gallery(minilm: MiniLM, *, papers: bool) -> tuple[MemoryStore, Dataset]:
    """Photos with three captions each, and papers that words were read in."""
    store = MemoryStore(dim=1, text_dim=minilm.dim)
    cases: list[Case] = []
    for subjects, places in product(SUBJECTS, PLACES):
        photo = record(f"{subjects[0]} {places[0]}")
        store.upsert([photo], np.ones((1, 1), np.float32))
        for subject, place in ((0, 0), (1, 1), (0, 1)):
            caption = f"{subjects[subject]} {places[place]}"
            cases.append(Case(caption, Path(photo.uri), "caption", "photos"))
    if papers:
        written = [record(text) for text, *_ in PAPERS]
        store.upsert(written, np.ones((len(written), 1), np.float32))
        texts = [text for text, *_ in PAPERS]
        vectors = minilm.embed_texts(texts)
        store.set_text([each.id for each in written], texts, [row[None] for row in vectors])
        for each, (_, *queries) in zip(written, PAPERS, strict=True):
            cases += [Case(query, Path(each.uri), "question", "papers") for query in queries]
    paths = tuple(dict.fromkeys(case.image for case in cases))
    return store, Dataset("made", tuple(cases), paths, ())


@pytest.mark.parametrize("papers", [False, True], ids=["photos", "everything"])
def test_the_search_loses_a_point_at_most_and_hides_a_twentieth(minilm: MiniLM, papers: bool) -> None:
    store, dataset = gallery(minilm, papers=papers)
    oracle = Oracle(store, dataset, minilm)
    for recall in (0.6, 0.9):
        retriever, _ = oracle.of_recall(recall)
        for scores in compare_with_bare(oracle.asked, retriever, parse, parse, switches=()):
            if scores.group == "caption":
                assert scores.bare.value == pytest.approx(recall, abs=0.01)
            assert scores.lost.value <= 0.01, (recall, scores)
            assert scores.hidden.value <= 0.05, (recall, scores)
