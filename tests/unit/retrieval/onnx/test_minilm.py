"""The text model on its real weights."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.onnx.mini import DIM, MiniEmbedder, MiniLM
from askpix.retrieval.onnx.session import open_session
from tests.conftest import ROOT

GOLDEN = np.load(ROOT / "tests" / "golden" / "mini.npz", allow_pickle=False)
TEXTS = [str(text) for text in GOLDEN["texts"]]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM.load()


def test_shape_norm_and_dtype(minilm: MiniLM) -> None:
    vectors = minilm.embed_texts(TEXTS)
    assert vectors.shape == (len(TEXTS), minilm.dim) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_nothing_in_nothing_out(minilm: MiniLM) -> None:
    assert minilm.embed_texts([]).shape == (0, DIM)


def test_vectors_are_those_of_the_reference(minilm: MiniLM) -> None:
    """The golden vectors are what torch makes of the published float32 weights (tools/export_mini.py)."""
    cosine = (minilm.embed_texts(TEXTS) * GOLDEN["text_vectors"]).sum(axis=1)
    assert cosine.min() > 0.995, cosine
    assert np.median(cosine) > 0.999, cosine


def test_like_meanings_lie_close(minilm: MiniLM) -> None:
    likeness = (vectors := minilm.embed_texts(TEXTS)) @ vectors.T
    np.fill_diagonal(likeness, -1)
    assert likeness[0].argmax() == 1
    assert likeness[6].argmax() == 7
    assert likeness[0, 2] < 0.2


def test_batch_equals_single(minilm: MiniLM) -> None:
    texts = [" ".join(["word", str(n)] * n) for n in (1, 200, 3, 40, 9, 130)] + TEXTS
    alone = np.concatenate([minilm.embed_texts([text]) for text in texts])
    np.testing.assert_allclose(minilm.embed_texts(texts), alone, atol=1e-5)


def test_many_texts_keep_their_order(minilm: MiniLM) -> None:
    texts = [f"{'long ' * (n % 37)}text number {n}" for n in range(120)]
    vectors = minilm.embed_texts(texts)
    for n in (0, 1, 36, 80, 119):
        np.testing.assert_allclose(vectors[n], minilm.embed_texts([texts[n]])[0], atol=1e-5)


def test_threads_agree(minilm: MiniLM) -> None:
    expected = minilm.embed_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(minilm.embed_texts, [TEXTS] * 6):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_the_first_256_word_pieces_count(minilm: MiniLM) -> None:
    text = "tree " * 254
    whole, longer, other = minilm.embed_texts([text, text + "car " * 500, "car " + text])
    np.testing.assert_allclose(whole, longer, atol=1e-5)
    assert np.abs(whole - other).max() > 1e-3


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["\n" * 3_000_000, "x" * 3_000_000, "ab " * 1_000_000, "🎉" * 500_000])
def test_endless_texts_cost_little(minilm: MiniLM, text: str) -> None:
    assert np.isfinite(minilm.embed_texts([text])).all()


@pytest.mark.parametrize("text", [" ", "\x00", "\ud800 cat", "cat\udcff.jpg", "\u202ecat", "[MASK][PAD]"])
def test_odd_characters(minilm: MiniLM, text: str) -> None:
    assert np.linalg.norm(minilm.embed_texts([text])) == pytest.approx(1.0, abs=1e-5)


def test_one_thread_gives_the_same_vectors(minilm: MiniLM) -> None:
    np.testing.assert_allclose(
        MiniLM.load(threads=1).embed_texts(TEXTS), minilm.embed_texts(TEXTS), atol=1e-5
    )


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model" * 100)
    with pytest.raises(ModelUnavailableError, match=r"'broken\.onnx'") as caught:
        open_session(broken, threads=1)
    assert "\n" not in str(caught.value)


def test_a_query_asked_twice_is_encoded_once() -> None:
    model = MiniLM.load()
    runs = []
    inner = model._session

    class Counting:
        def run(self, outputs: Any, feed: Any, /) -> list[Any]:
            runs.append(feed)
            return inner.run(outputs, feed)

    model._session = Counting()
    first = model.embed_queries(["a dog on a beach"])
    kept = first.copy()
    first[:] = 0  # what a caller does to its copy is the caller's
    assert np.array_equal(model.embed_queries(["a dog on a beach"]), kept)
    assert len(runs) == 1
    MiniEmbedder.load(text=model).embed_queries(["a dog on a beach"])
    assert len(runs) == 1, "the query for images is that for words"
