"""What is normal, on vectors made by hand and on the fakes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from askpix.retrieval.search.calibration import Calibration, calibrate, load_calibration
from askpix.retrieval.text.null_captions import NOTHING, PICTURES
from tests.support.fakes import ColourEmbedder, MemoryStore, picture, record, unit


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
        sample=np.zeros((0, 2), np.float32),
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


def test_the_usual_cosine_of_few_images_leans_on_that_of_all_sentences() -> None:
    query = np.array([1, 0], np.float32)
    assert made().usual(query) == pytest.approx((10 * 0.5 + 10 * 0.1) / 20)
    assert made(count=0).usual(query) == pytest.approx(0.1)
    assert made(count=10_000).usual(query) == pytest.approx(0.5, abs=1e-3)


def test_the_evidence_by_hand() -> None:
    query = np.array([0.8, 0.6], np.float32)
    plain, hub = np.array([[0.6, 0.0]], np.float32), np.array([[0.6, 0.8]], np.float32)
    # Cosine 0.48 - (0.6 + 0) / 2 / 2, and 0.96 - (0.6 + 0.8) / 2 / 2; less half of 0.1, over 0.2.
    # Ordinary: (0.8 - 0) / 0.01, the two sentences being at right angles.
    ordinary = 0.025 * 0.8 / 0.01
    assert made().evidence(query, plain) == pytest.approx((0.33 - 0.05) / 0.2 - ordinary)
    assert made().evidence(query, hub) == pytest.approx((0.61 - 0.05) / 0.2 - ordinary)
    both = made(count=0, likeness=0.16, likeness_spread=0.4)
    assert both.evidence(query, np.concatenate([plain, hub])) == pytest.approx(0.56 / 0.2 - ordinary)
    # Of many pictures the mean of both, and half of their likeness: (0.36 - 0.16) / 0.4.
    large = replace(both, count=10**9)
    many = large.evidence(query, np.concatenate([plain, hub]))
    assert many == pytest.approx((0.28 + 0.56) / 2 / 0.2 + 0.5 * 0.5 - ordinary, abs=1e-4)
    # Where sentences about pictures reach no more than those about nothing, being ordinary says less.
    assert replace(large, signal=0.5).evidence(query, np.concatenate([plain, hub])) == pytest.approx(
        many + ordinary / 2, abs=1e-4
    )
    # As alike as each is to the picture of the collection that is second to it: (0.36 - 0.36) / 0.4.
    among = replace(large, sample=np.array([[0.6, 0.0], [0.6, 0.8], [-1, 0]], np.float32))
    crowd = (0.36 + 0.36) / 2
    assert among.evidence(query, np.concatenate([plain, hub])) == pytest.approx(
        (0.28 + 0.56) / 2 / 0.2 + 0.5 * (0.36 - crowd) / 0.4 - ordinary, abs=1e-4
    )
    assert made().evidence(query, np.empty((0, 2), np.float32)) == -np.inf


def test_confidence_is_half_at_the_threshold() -> None:
    assert made().confidence(0.3) == pytest.approx(0.5)
    assert 0 <= made().confidence(-np.inf) < made().confidence(0.2) < 0.5 < made().confidence(1e9) <= 1


def test_shifted_scaled_and_gapped_spaces_give_the_same_verdicts(store: MemoryStore) -> None:
    """The same picture of the world with other cosines: what CLIP (0.15 to 0.35) or SigLIP (-0.05 to 0.2)
    make of it. Pictures and words get an axis each of their own, and share one."""
    embedder = ColourEmbedder()
    asked = ["red", "blue", "white", "lime", "an argument about free will", "tomorrow"]
    plain = calibrate(embedder, store)
    nearest = store.sample_vectors(20)

    def order(calibration: Calibration, queries: np.ndarray, vectors: np.ndarray) -> list[bool]:
        found = []
        for query in queries:
            best = vectors[np.argsort(-(vectors @ query), kind="stable")[:10]]
            found.append(calibration.evidence(query, best) > calibration.threshold)
        return found

    expected = order(plain, embedder.embed_texts(asked), nearest)
    assert expected[:3] == [True, True, True] and expected[4:] == [False, False]
    for own, shared in ((1.0, 0.5), (2.0, 0.0), (1.0, 1.5), (3.0, -0.5)):
        gapped = Gapped(own=own, shared=shared)
        other = MemoryStore(dim=gapped.dim, text_dim=4)
        add(other, gapped, range(20))
        cosines = gapped.embed_texts(asked) @ other.sample_vectors(20).T
        assert np.ptp(cosines) < 0.75 * np.ptp(embedder.embed_texts(asked) @ nearest.T)
        found = calibrate(gapped, other)
        assert order(found, gapped.embed_texts(asked), other.sample_vectors(20)) == expected, (own, shared)


class Gapped(ColourEmbedder):
    """Colours, with one more axis for pictures, one for words, and one that all share."""

    def __init__(self, *, own: float, shared: float) -> None:
        super().__init__(dim=8, model_id=f"gapped-{own}-{shared}")
        self._own, self._shared = own, shared

    def _moved(self, rows: np.ndarray, axis: int) -> np.ndarray:
        rows = rows.copy()
        rows[:, axis] = self._own
        rows[:, 7] = abs(self._shared) if axis == 5 else self._shared
        return unit(rows)

    def embed_images(self, images, /):  # type: ignore[no-untyped-def]
        return self._moved(super().embed_images(images), 5)

    def embed_texts(self, texts, /):  # type: ignore[no-untyped-def]
        return self._moved(super().embed_texts(texts), 6)


def test_what_is_there_is_above_the_threshold_and_nothing_is_not(
    embedder: ColourEmbedder, store: MemoryStore
) -> None:
    found = calibrate(embedder, store)
    assert found.count == 20 and found.model_id == embedder.model_id
    vectors = store.sample_vectors(20)
    red, nothing = embedder.embed_texts(["red", "an argument about free will"])
    assert found.evidence(red, vectors) > found.threshold >= found.evidence(nothing, vectors)


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
    assert again.likeness_spread == found.likeness_spread > 0
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


def test_many_at_once_may_write_it_and_a_full_disk_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder, store = ColourEmbedder(), MemoryStore(dim=5, text_dim=8)
    store.upsert([record(n) for n in range(9)], unit(np.random.default_rng(1).normal(size=(9, 5))))
    path = tmp_path / "calibration.npz"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: load_calibration(path, embedder, store), range(40)))
    assert {each.count for each in made} == {9} and list(tmp_path.iterdir()) == [path]
    path.unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    assert load_calibration(path, embedder, store).count == 9 and list(tmp_path.iterdir()) == []
