"""Zero-shot labels: probabilities by the model's own formula, tags, hostile labels, the sample pictures."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from askpix.core.errors import BadQueryError
from askpix.core.imaging.decode import open_image
from askpix.core.types import Vectors
from askpix.retrieval.classification.prompt_templates import DEFAULT, IMAGENET
from askpix.retrieval.classification.zero_shot import MAX_LABELS, ZeroShot, clean_labels
from askpix.retrieval.embedders.base import Likelihood
from askpix.retrieval.onnx.mini import MiniEmbedder
from tests.conftest import ROOT
from tests.support.fakes import ColourEmbedder, picture

GOLDEN = ROOT / "tests" / "golden" / "classify.json"
PICTURES = ROOT / "api" / "demo" / "pictures"
LABELS = ("cat", "rocket", "coffee cup", "receipt", "sailing boat", "mountain", "clock", "dog")


class Trained(ColourEmbedder):
    """Colours with a likelihood."""

    def __init__(self, likelihood: Likelihood | None) -> None:
        super().__init__()
        if likelihood:
            self.likelihood = likelihood


def cosines(embedder: ColourEmbedder, images: Vectors, labels: tuple[str, ...]) -> Vectors:
    return images @ embedder.embed_texts([f"a photo of a {label}" for label in labels]).T


def test_softmax_models_share_one_out_among_the_labels() -> None:
    embedder = Trained(Likelihood("softmax", 20.0))
    images = embedder.embed_images([picture("red"), picture("blue")])
    zero_shot = ZeroShot(embedder, ("red", "green", "blue"))
    found = zero_shot.probabilities(images)
    weights = np.exp(20 * cosines(embedder, images, zero_shot.labels))
    assert np.allclose(found, weights / weights.sum(axis=1, keepdims=True), atol=1e-5)
    assert [rows[0][0] for rows in zero_shot.ranked(images)] == ["red", "blue"]
    assert all(p >= q for rows in zero_shot.ranked(images) for (_, p), (_, q) in itertools.pairwise(rows))


def test_sigmoid_models_judge_each_label_alone() -> None:
    embedder = Trained(Likelihood("sigmoid", 110.0, -16.0))
    images = embedder.embed_images([picture("red")])
    found = ZeroShot(embedder, ("red", "green", "lion")).probabilities(images)
    logits = 110 * cosines(embedder, images, ("red", "green", "lion")) - 16
    assert np.allclose(found, 1 / (1 + np.exp(-logits.astype(float))), atol=1e-5)
    alone = ZeroShot(embedder, ("red",)).probabilities(images)
    assert alone[0, 0] == found[0, 0] and found[0, 2] < 1e-6


def test_a_model_that_says_nothing_is_read_as_clip() -> None:
    embedder = Trained(None)
    assert embedder.likelihood is None
    assert ZeroShot(embedder, ("red", "green")).likelihood == Likelihood("softmax", 100.0)


def test_extreme_logits_overflow_nowhere() -> None:
    embedder = Trained(Likelihood("sigmoid", 1e4, -1e4))
    assert np.isfinite(
        ZeroShot(embedder, ("red", "green")).probabilities(embedder.embed_images([picture("red")]))
    ).all()
    embedder = Trained(Likelihood("softmax", 1e4))
    images = embedder.embed_images([picture("red")])
    assert np.isfinite(ZeroShot(embedder, ("red", "green")).probabilities(images)).all()
    assert ZeroShot(embedder, ("red", "green")).tags(images)[0][0] == "red"


def test_several_tags_or_none_and_no_tag_depends_on_the_others() -> None:
    embedder = Trained(Likelihood("softmax", 30.0))
    images = embedder.embed_images([picture("red"), picture("lime")])
    assert ZeroShot(embedder, ("red", "crimson", "blue")).tags(images) == [("red", "crimson"), ()]
    assert ZeroShot(embedder, ("red",)).tags(images) == [("red",), ()]
    assert ZeroShot(embedder, ("red",)).tags(images, threshold=0.0) == [("red",), ("red",)]
    assert ZeroShot(embedder, ("red",)).tags(images, threshold=1.1) == [(), ()]


def test_a_label_is_the_mean_of_its_sentences() -> None:
    embedder = Trained(Likelihood("softmax", 10.0))
    both = ZeroShot(embedder, ("red",), templates=("{}", "{} and blue"))._vectors
    mean = embedder.embed_texts(["red", "red and blue"]).mean(axis=0)
    assert np.allclose(both[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_braces_of_people_mean_nothing() -> None:
    embedder = Trained(Likelihood("softmax", 10.0))
    ZeroShot(embedder, ("{0.__class__}", "{}", "%s"), templates=("{} {missing} {}",))
    with pytest.raises(BadQueryError, match=r"has no \{\}"):
        ZeroShot(embedder, ("red",), templates=("a photo",))


def test_the_published_ensemble() -> None:
    assert len(IMAGENET) == len(set(IMAGENET)) == 80 and all(each.count("{}") == 1 for each in IMAGENET)
    assert (
        IMAGENET[0] == "a bad photo of a {}."
        and "itap of a {}." in IMAGENET
        and DEFAULT == ("a photo of a {}",)
    )


def test_labels_are_cleaned_and_bounded() -> None:
    assert clean_labels([" cat ", "", "cat", "red\n sofa", "  "]) == ("cat", "red sofa")
    for bad in ([], ["", " "], ["x" * 201], [str(number) for number in range(MAX_LABELS + 1)]):
        with pytest.raises(BadQueryError):
            clean_labels(bad)


@pytest.fixture(scope="module")
def mini() -> MiniEmbedder:
    return MiniEmbedder.load()


def test_mini_on_the_sample_images(mini: MiniEmbedder) -> None:
    """The golden has what was found when its scale was measured."""
    golden = json.loads(GOLDEN.read_text("utf-8"))
    zero_shot = ZeroShot(mini, LABELS)
    for name, expected in golden.items():
        found = dict(zero_shot.ranked(mini.embed_images([open_image(PICTURES / name).image]))[0])
        assert set(found) == set(expected)
        for label, probability in expected.items():
            assert math.isclose(found[label], probability, abs_tol=0.01), (name, label)
    sure = {name: max(found, key=found.get) for name, found in golden.items() if max(found.values()) > 0.7}
    assert sure["photos/cat.jpg"] == "cat" and sure["photos/coffee-cup.jpg"] == "coffee cup"
    assert len(sure) >= 6


def test_mini_is_calibrated_on_the_labelled_photos(mini: MiniEmbedder, shared_data: Path) -> None:
    """Expected calibration error on photos of one thing out of ten: what it says is how often it is right."""
    root = shared_data / "photos_captions"
    lines = (json.loads(line) for line in (root / "manifest.jsonl").read_text("utf-8").splitlines())
    labels = ("cat", "dog", "bird", "horse", "train", "bus", "boat", "car", "sheep", "sofa")
    rows = [row for row in lines if len(set(row["labels"])) == 1 and row["labels"][0] in labels][:240]
    pictures = [open_image(root / row["image"], min_side=260).image for row in rows]
    found = ZeroShot(mini, labels).probabilities(mini.embed_images(pictures))
    right = found.argmax(axis=1) == [labels.index(row["labels"][0]) for row in rows]
    sure = found.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    error = sum(abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins))
    assert right.mean() > 0.75 and error < 0.1, (right.mean(), error)
