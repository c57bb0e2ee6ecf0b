"""What is normal, on vectors made by hand and on the fakes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.calibration import Calibration, calibrate, load_calibration
from retrieval.null_captions import NOTHING, PICTURES
from tests.fakes import ColourEmbedder, MemoryStore, picture, record


def made(**changes: object) -> Calibration:
    base = Calibration(
        model_id="hand",
        count=10,
        mean=np.array([0.5, 0.1], np.float32),
        centre=0.1,
        spread=0.2,
        threshold=0.3,
        pictures=np.array([[1, 0], [0, 1]], np.float32),
        nothing=np.zeros((1, 2), np.float32),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def embedder() -> ColourEmbedder:
    return ColourEmbedder()


@pytest.fixture
def store(embedder: ColourEmbedder) -> MemoryStore:
    filled = MemoryStore(dim=embedder.dim, text_dim=4)
    add(filled, embedder, range(20))
    return filled


def add(store: MemoryStore, embedder: ColourEmbedder, numbers: range) -> None:
    for number in numbers:
        colour = ("red", "blue", "white")[number % 3]
        store.upsert([record(number)], embedder.embed_images([picture(colour)]))


def test_the_sentences_are_short_and_different() -> None:
    every = (*PICTURES, *NOTHING)
    assert len({sentence.casefold() for sentence in every}) == len(every) >= 150
    assert all(1 < len(sentence.split()) < 9 for sentence in every)


def test_the_usual_cosine_of_few_pictures_leans_on_that_of_all_sentences() -> None:
    query = np.array([1, 0], np.float32)
    assert made().usual(query) == pytest.approx((10 * 0.5 + 10 * 0.1) / 20)
    assert made(count=0).usual(query) == pytest.approx(0.1)
    assert made(count=10_000).usual(query) == pytest.approx(0.5, abs=1e-3)


def test_a_picture_that_fits_all_sentences_fits_none_better() -> None:
    query = np.array([0.8, 0.6], np.float32)
    plain, hub = np.array([[0.6, 0.0]], np.float32), np.array([[0.6, 0.8]], np.float32)
    # 0.48 - (0.6 + 0) / 2 / 2, and 0.96 - (0.6 + 0.8) / 2 / 2
    assert made().best_fit(query, plain) == pytest.approx(0.33)
    assert made().best_fit(query, hub) == pytest.approx(0.61)
    assert made().best_fit(query, np.concatenate([plain, hub])) == pytest.approx(0.61)
    assert made().best_fit(query, np.empty((0, 2), np.float32)) == -np.inf


def test_what_is_there_is_above_the_threshold_and_nothing_is_not(
    embedder: ColourEmbedder, store: MemoryStore
) -> None:
    found = calibrate(embedder, store)
    assert found.count == 20 and found.model_id == embedder.model_id
    vectors = store.sample_vectors(20)
    red, nothing = embedder.embed_texts(["red", "an argument about free will"])
    assert found.best_fit(red, vectors) > found.threshold >= found.best_fit(nothing, vectors)


def test_an_empty_collection_has_a_calibration(embedder: ColourEmbedder) -> None:
    found = calibrate(embedder, MemoryStore(dim=embedder.dim, text_dim=4))
    assert found.count == 0 and found.spread > 0
    assert found.fits(embedder.model_id, 0) and not found.fits(embedder.model_id, 1)


def test_what_is_saved_is_loaded(tmp_path: Path, embedder: ColourEmbedder, store: MemoryStore) -> None:
    path = tmp_path / "calibration.npz"
    found = calibrate(embedder, store)
    found.save(path)
    again = Calibration.load(path)
    assert again is not None
    assert (again.model_id, again.count, again.captions) == (found.model_id, 20, found.captions)
    assert (again.centre, again.spread, again.threshold) == (found.centre, found.spread, found.threshold)
    for name in ("mean", "pictures", "nothing"):
        assert np.allclose(getattr(again, name), getattr(found, name), atol=1e-3)
        assert getattr(again, name).dtype == np.float32
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "no draft is left"


@pytest.mark.parametrize("damage", [b"", b"{damaged", b"PK\x03\x04 cut", b"\x93NUMPY"])
def test_a_damaged_file_is_made_anew(
    damage: bytes, tmp_path: Path, embedder: ColourEmbedder, store: MemoryStore
) -> None:
    path = tmp_path / "calibration.npz"
    path.write_bytes(damage)
    assert Calibration.load(path) is None
    assert load_calibration(path, embedder, store).count == 20
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert Calibration.load(path) is None


def test_it_is_kept_until_the_collection_has_grown(
    tmp_path: Path, embedder: ColourEmbedder, store: MemoryStore
) -> None:
    class Counting(ColourEmbedder):
        asked = 0

        def embed_texts(self, texts, /):  # type: ignore[no-untyped-def]
            Counting.asked += len(texts)
            return super().embed_texts(texts)

    path, counting = tmp_path / "calibration.npz", Counting()
    assert load_calibration(path, counting, store).count == 20
    add(store, embedder, range(20, 23))
    assert load_calibration(path, counting, store).count == 20, "three more of twenty change little"
    add(store, embedder, range(23, 40))
    assert load_calibration(path, counting, store).count == 40
    assert Counting.asked == len(PICTURES) + len(NOTHING), "the sentences are embedded once"
    other = ColourEmbedder(model_id="another")
    assert load_calibration(path, other, store).model_id == "another"
    assert not made(captions=1).fits("hand", 10), "other sentences, another calibration"
