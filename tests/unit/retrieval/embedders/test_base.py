"""``askpix.retrieval.embedders.base``: what every embedder has, and queries encoded together."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import TextEmbedder
from tests.support.fakes import ColourEmbedder, unit


class Lengths(TextEmbedder):
    """Vectors by the length of a text; counts what it is asked, and waits at the first if told to."""

    model_id, dim = "lengths", 2

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        self.asked.append(list(texts))
        self.entered.set()
        assert self.go_on.wait(20)
        if "broken" in texts:
            raise ModelUnavailableError("no vector for 'broken'")
        return unit([[len(text), 1] for text in texts]) if texts else np.zeros((0, 2), np.float32)


def test_an_adapter_has_every_capability_by_default() -> None:
    plain = ColourEmbedder()
    assert (plain.workers, plain.batch, plain.likelihood, plain.base_id) == (1, 16, None, plain.model_id)
    assert np.array_equal(plain.embed_queries(["red", "blue"]), plain.embed_texts(["red", "blue"]))


def test_a_query_is_remembered_and_its_rows_are_the_callers_own() -> None:
    lengths = Lengths()
    first = lengths.embed_queries(["cat", "dog", "cat"])
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(lengths.embed_queries(["cat", "dog", "cat"]), kept)
    assert np.array_equal(lengths.embed_queries(["horse", "cat"]), unit([[5, 1], [3, 1]]))
    assert lengths.asked == [["cat", "dog"], ["horse"]]
    assert lengths.embed_queries([]).shape == (0, 2)


def test_only_the_latest_queries_are_remembered() -> None:
    lengths = Lengths()
    for number in range(600):
        lengths.embed_queries([str(number)])
    lengths.embed_queries(["599"])
    lengths.embed_queries(["0"])
    assert len(lengths.asked) == 601


def test_queries_of_waiting_threads_are_encoded_together() -> None:
    lengths = Lengths()
    lengths.go_on.clear()
    waiting = lengths._queries
    with ThreadPoolExecutor(13) as pool:
        first = pool.submit(lengths.embed_queries, ["first"])
        assert lengths.entered.wait(20)
        others = [pool.submit(lengths.embed_queries, ["x" * (1 + n % 6)]) for n in range(12)]
        for _ in range(2000):
            if len(waiting._waiting) == 12:
                break
            threading.Event().wait(0.01)
        lengths.go_on.set()
        for number, each in enumerate(others):
            assert np.array_equal(each.result(), unit([[1 + number % 6, 1]]))
        assert np.array_equal(first.result(), unit([[5, 1]]))
    assert len(lengths.asked) == 2
    assert len(lengths.asked[1]) == 6


def test_an_error_reaches_its_caller_and_is_not_remembered() -> None:
    lengths = Lengths()
    for _ in range(2):
        with pytest.raises(ModelUnavailableError, match="broken"):
            lengths.embed_queries(["broken"])
    assert np.array_equal(lengths.embed_queries(["ok"]), unit([[2, 1]]))
