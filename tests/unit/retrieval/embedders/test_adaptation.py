"""Learning from captions: it learns what is there to learn, keeps nothing of noise, and searches exactly."""

from pathlib import Path

import numpy as np
import pytest

from askpix.core.errors import AskpixError
from askpix.core.types import Vectors, Where
from askpix.retrieval.embedders.adaptation import LEAST, Fit, fit_map
from askpix.retrieval.embedders.base import unit
from askpix.retrieval.stores.adapted import Adaptation, AdaptedEmbedder, AdaptedStore, adaptation_of, adapted
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture, record

DIM, TEXT = 12, 8


def world(n: int, *, noise: float, related: bool = True) -> tuple[Vectors, Vectors, Vectors]:
    """Images ``(n, DIM)``, captions ``(n, TEXT)`` that follow from them by a linear map, and poor queries."""
    rng = np.random.default_rng(7)
    images = unit(rng.normal(size=(n, DIM)).astype(np.float32))
    source = images if related else rng.normal(size=(n, DIM)).astype(np.float32)
    captions = unit(
        (source @ rng.normal(size=(DIM, TEXT)) + noise * rng.normal(size=(n, TEXT))).astype(np.float32)
    )
    queries = unit((images + 1.0 * rng.normal(size=(n, DIM))).astype(np.float32))
    return images, captions, queries


def fitted(n: int = 200, *, noise: float = 0.2, related: bool = True) -> Fit:
    images, captions, queries = world(n + 50, noise=noise, related=related)
    return fit_map(images[:n], captions[:n], list(range(n)), queries[:n], others=images[n:])


def test_what_can_be_learned_is_learned_and_kept() -> None:
    fit = fitted()
    assert fit.wins and fit.after.mrr > 2 * fit.before.mrr and fit.after.at_10 > fit.before.at_10
    assert (fit.pictures, fit.captions, fit.gallery) == (200, 200, 40 + 50)
    assert 0 <= fit.before.at_1 <= fit.before.at_5 <= fit.before.at_10 <= 1


def test_noise_is_never_kept() -> None:
    fit = fitted(related=False)
    assert not fit.wins and fit.gain < 2 * fit.error


def test_the_map_is_ridge_regression() -> None:
    images, captions, queries = world(LEAST, noise=0.1)
    fit = fit_map(images, captions, list(range(LEAST)), queries, others=images[:0])
    x, y = images - images.mean(axis=0), captions - captions.mean(axis=0)
    residual = x.T @ (x @ fit.ridge.matrix - y) + fit.ridge_lambda * fit.ridge.matrix
    assert np.abs(residual).max() < 1e-3, "where the gradient of the ridge loss is zero"
    assert np.allclose(np.linalg.norm(fit.ridge.of_images(images), axis=1), 1, atol=1e-5)


def test_several_captions_of_a_image_count_as_their_mean() -> None:
    images, captions, queries = world(LEAST, noise=0.1)
    twice = [row for row in range(LEAST) for _ in range(2)]
    fit = fit_map(
        images, np.repeat(captions, 2, axis=0), twice, np.repeat(queries, 2, axis=0), others=images[:0]
    )
    once = fit_map(images, captions, list(range(LEAST)), queries, others=images[:0])
    assert (fit.captions, fit.before) == (2 * LEAST, once.before)
    assert fit.ridge_lambda != once.ridge_lambda or np.allclose(
        fit.ridge.matrix, once.ridge.matrix, atol=1e-5
    )


def test_too_few_captions_are_refused() -> None:
    images, captions, queries = world(LEAST - 1, noise=0.1)
    with pytest.raises(AskpixError, match="too few"):
        fit_map(images, captions, list(range(LEAST - 1)), queries, others=images[:0])


@pytest.fixture
def learned() -> tuple[AdaptedEmbedder, AdaptedStore, Vectors, list[str]]:
    images, captions, queries = world(400, noise=0.2)
    fit = fit_map(images[:200], captions[:200], list(range(200)), queries[:200], others=images[200:])
    made = adaptation_of(fit, embedder="e", text_embedder="t")
    store = MemoryStore(dim=DIM, text_dim=TEXT)
    records = [record(number) for number in range(len(images))]
    store.upsert(records, images)
    joined = made.join_texts(queries, captions)
    return made, AdaptedStore(store, made), joined, [each.id for each in records]  # type: ignore[return-value]


def test_searching_is_exact_and_pages_join(
    learned: tuple[Adaptation, AdaptedStore, Vectors, list[str]],
) -> None:
    _, store, queries, ids = learned
    every = store.image_vectors(ids)
    assert every.shape == (400, DIM + TEXT) and np.allclose(np.linalg.norm(every, axis=1), 1, atol=1e-5)
    for query in queries[::40]:
        right = [ids[at] for at in np.argsort(-(every @ query), kind="stable")[:20]]
        found = [hit.id for hit in store.search("image", query, where=Where(), limit=20)]
        assert found == right
        second = store.search("image", query, where=Where(), limit=10, offset=10)
        assert [hit.id for hit in second] == found[10:]
    assert store.search("image", queries[0], where=Where(path="nowhere/*"), limit=5) == []
    assert store.count() == 400 and store.sample_vectors(7).shape == (7, DIM + TEXT)


def test_the_score_is_the_weighted_mean_of_both_cosines(
    learned: tuple[Adaptation, AdaptedStore, Vectors, list[str]],
) -> None:
    made, store, _, ids = learned
    images, captions, queries = world(400, noise=0.2)
    own = float(images[3] @ queries[5])
    second = float(made.ridge.of_images(images[3:4])[0] @ made.ridge.of_texts(captions[5:6])[0])
    joined = made.join_texts(queries[5:6], captions[5:6])[0]
    expected = (own + made.weight * second) / (1 + made.weight)
    assert abs(float(store.image_vectors([ids[3]])[0] @ joined) - expected) < 1e-5


def test_it_is_kept_whole_and_only_for_its_models(tmp_path: Path) -> None:
    fit = fitted()
    made = adaptation_of(fit, embedder="e", text_embedder="t")
    path = tmp_path / "adaptation.npz"
    made.save(path)
    again = Adaptation.load(path, embedder="e", text_embedder="t")
    assert again is not None and again.mark == made.mark and again.facts == pytest.approx(made.facts)
    assert np.array_equal(again.ridge.matrix, made.ridge.matrix)
    assert Adaptation.load(path, embedder="other", text_embedder="t") is None
    assert Adaptation.load(path, embedder="e", text_embedder="other") is None
    assert Adaptation.load(tmp_path / "none.npz", embedder="e", text_embedder="t") is None
    for damage in (b"", b"PK\x03\x04 not a zip", path.read_bytes()[:500]):
        path.write_bytes(damage)
        assert Adaptation.load(path, embedder="e", text_embedder="t") is None


def test_embedders_are_wrapped_only_when_something_was_learned() -> None:
    embedder, text, store = ColourEmbedder(), WordEmbedder(), MemoryStore(dim=5, text_dim=64)
    assert adapted(embedder, text, store, None) == (embedder, store)
    rng = np.random.default_rng(0)
    images = unit(rng.normal(size=(60, 5)))
    captions = unit(rng.normal(size=(60, text.dim)))
    fit = fit_map(images, captions, list(range(60)), images, others=images[:0])
    through, _ = adapted(embedder, text, store, adaptation_of(fit, embedder="colour", text_embedder="bag"))
    assert through.dim == 5 + text.dim and through.model_id.startswith("colour+")
    assert through.embed_images([picture("red")]).shape == (1, through.dim)
    assert through.embed_texts(["red", "blue"]).shape == (2, through.dim)
