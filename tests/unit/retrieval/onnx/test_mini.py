"""The mini embedder on its real weights and the pictures that Askpix brings along."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval import weights
from askpix.retrieval.onnx.mini import SIDE, MiniEmbedder, MiniLM
from tests.conftest import ROOT

GOLDEN = np.load(ROOT / "tests" / "golden" / "mini.npz", allow_pickle=False)
PHOTOS = ROOT / "api" / "demo" / "pictures" / "photos"
CAPTIONS = {
    "cat.jpg": "a cat looks into the camera",
    "coffee-cup.jpg": "a cup of coffee on a saucer",
    "drawn-sailing-boat.jpg": "a sailing boat on the sea",
    "drawn-snowy-mountain.jpg": "mountains covered with snow",
    "man-with-camera.jpg": "a man with a camera on a tripod",
    "no-parking-sign.jpg": "a street sign",
    "rocket-launch.jpg": "the launch of a rocket",
    "wall-clock.jpg": "an analog clock shows the time",
}


def photo(name: str) -> Image.Image:
    with Image.open(PHOTOS / name) as opened:
        return opened.convert("RGB")


@pytest.fixture(scope="module")
def mini() -> MiniEmbedder:
    return MiniEmbedder.load()


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [photo(name) for name in CAPTIONS]


def test_captions_find_their_images(mini: MiniEmbedder, pictures: list[Image.Image]) -> None:
    scores = mini.embed_texts(list(CAPTIONS.values())) @ mini.embed_images(pictures).T
    diagonal = list(range(len(CAPTIONS)))
    assert scores.argmax(axis=1).tolist() == diagonal, scores.round(2)
    assert scores.argmax(axis=0).tolist() == diagonal, scores.round(2)


def test_vectors_are_those_of_the_reference(mini: MiniEmbedder) -> None:
    """The golden vectors are what torch makes of the published float32 weights (tools/export_mini.py)."""
    vectors = mini.embed_images([photo(str(name)) for name in GOLDEN["photos"]])
    cosine = (vectors * GOLDEN["photo_vectors"]).sum(axis=1)
    assert cosine.min() > 0.999, dict(zip(GOLDEN["photos"].tolist(), cosine.tolist(), strict=True))


def test_shape_norm_and_dtype(mini: MiniEmbedder, pictures: list[Image.Image]) -> None:
    for vectors in (mini.embed_images(pictures), mini.embed_texts(list(CAPTIONS.values()))):
        assert vectors.shape == (len(CAPTIONS), mini.dim) == (len(CAPTIONS), 384)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_nothing_in_nothing_out(mini: MiniEmbedder) -> None:
    assert mini.embed_images([]).shape == (0, 384)
    assert mini.embed_texts([]).shape == (0, 384)
    assert mini.probabilities([]).shape == (0, 1000)


def test_batch_equals_single(mini: MiniEmbedder, pictures: list[Image.Image]) -> None:
    alone = np.concatenate([mini.embed_images([picture]) for picture in pictures])
    for count in (2, 5):
        np.testing.assert_allclose(mini.embed_images(pictures[:count]), alone[:count], atol=1e-5)


def test_same_image_same_vector(mini: MiniEmbedder, pictures: list[Image.Image]) -> None:
    first = mini.embed_images(pictures[:3])
    assert np.array_equal(first, mini.embed_images(pictures[:3]))
    assert np.array_equal(first, MiniEmbedder.load().embed_images(pictures[:3]))


def test_threads_agree(mini: MiniEmbedder, pictures: list[Image.Image]) -> None:
    expected = mini.embed_images(pictures[:3])
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(mini.embed_images, [pictures[:3]] * 6):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_does_not_touch_the_images(mini: MiniEmbedder) -> None:
    picture = photo("cat.jpg")
    before = picture.tobytes()
    mini.embed_images([picture])
    assert picture.tobytes() == before


@pytest.mark.parametrize("size", [(1, 1), (12000, 3), (3, 12000), (SIDE, SIDE), (SIDE - 1, SIDE + 1)])
def test_odd_sizes(mini: MiniEmbedder, size: tuple[int, int]) -> None:
    vectors = mini.embed_images([Image.new("RGB", size, (200, 30, 30)), Image.new("RGB", (40, 40))])
    assert vectors.shape == (2, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_image_is_much_the_same_at_another_size(mini: MiniEmbedder) -> None:
    """Decoders shrink large pictures to no less than ``image_side``: the vector must survive that."""
    full = photo("coffee-cup.jpg")
    half = full.resize((full.width // 2, full.height // 2), Image.Resampling.BOX)
    large = full.resize((full.width * 4, full.height * 4), Image.Resampling.BICUBIC)
    vectors = mini.embed_images([full, half, large])
    assert (vectors[1:] @ vectors[0]).min() > 0.97


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_are_taken_as_rgb(mini: MiniEmbedder, mode: str) -> None:
    picture = photo("cat.jpg").convert(mode)
    expected = mini.embed_images([picture.convert("RGB")])
    assert np.array_equal(mini.embed_images([picture]), expected)


def test_probabilities_add_up(mini: MiniEmbedder, pictures: list[Image.Image]) -> None:
    probabilities = mini.probabilities(pictures)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert 281 <= probabilities[0].argmax() <= 285  # ImageNet's domestic cats


def test_workers_and_a_shared_text_model() -> None:
    text = MiniLM.load(threads=1)
    assert MiniEmbedder.load(text=text).workers >= 1
    shared = MiniEmbedder.load(text=text, workers=3)
    assert shared.workers == 3
    assert (shared.embed_texts(["a cat"]) @ text.embed_texts(["a cat"]).T).item() > 0.5


def test_weights_are_those_of_the_manifest() -> None:
    files = weights.manifest()
    for name, entry in files.items():
        assert hashlib.sha256(weights.weight_file(name).read_bytes()).hexdigest() == entry["sha256"], name
        assert entry["sources"]
        assert entry["licence"]
    beside = {path.name for path in weights.FOLDER.iterdir() if path.is_file()}
    assert beside - set(files) == {"MANIFEST.json", "README.md", "__init__.py", "imagenet_classes.txt"}
    assert weights.size_of("mini") + weights.size_of("minilm") < 50_000_000


@pytest.mark.parametrize("harm", ["gone", "cut", "not listed", "no manifest", "bad manifest"])
def test_damaged_weights_say_so(tmp_path: Path, harm: str) -> None:
    name = "imagenet-classes.npy"
    copy, manifest = tmp_path / name, tmp_path / "MANIFEST.json"
    shutil.copy(weights.FOLDER / name, copy)
    shutil.copy(weights.FOLDER / manifest.name, manifest)
    assert weights.weight_file(name, tmp_path) == copy
    if harm == "gone":
        copy.unlink()
    elif harm == "cut":
        copy.write_bytes(copy.read_bytes()[:-1])
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text({"not listed": '{"files": {}}', "bad manifest": "[]"}[harm])
    with pytest.raises(ModelUnavailableError, match="reinstall Askpix"):
        weights.weight_file(name, tmp_path)


def test_recall_is_what_the_readme_says(mini: MiniEmbedder, shared_data: Path) -> None:
    """Rank of the captioned photo among all, ties against it; the first 774 are the captioned ones."""
    folder = shared_data / "photos_captions"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]
    captioned = [row for row in rows if row["split"] == "test"]
    gallery = captioned + [row for row in rows if row["split"] == "distractor"]

    def embed(part: list[dict[str, str]]) -> Vectors:
        return mini.embed_images([Image.open(folder / row["image"]).convert("RGB") for row in part])

    with ThreadPoolExecutor(mini.workers) as pool:
        parts = [gallery[start : start + 16] for start in range(0, len(gallery), 16)]
        pictures = np.concatenate(list(pool.map(embed, parts)))
    captions = [(caption, index) for index, row in enumerate(captioned) for caption in row["captions"]]
    assert (len(captioned), len(gallery), len(captions)) == (774, 2574, 3870)
    truth = np.array([index for _, index in captions])
    scores = mini.embed_texts([caption for caption, _ in captions]) @ pictures.T
    better = scores >= scores[np.arange(len(truth)), truth][:, None]
    assert (better[:, :774].sum(axis=1) <= 10).mean() > 0.545
    assert (better.sum(axis=1) <= 10).mean() > 0.355
