"""A model's proof: ``mini`` and MiniLM pass it, and copies of them that are spoilt in one part do not."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.api.demo import samples
from askpix.api.models.generators import Verdicts, choose
from askpix.api.models.proofs import Proof, Proofs, weights_key
from askpix.api.services.index import index_paths
from askpix.api.services.prove import prove, proven
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, ModelUnavailableError, NotFoundError
from askpix.core.types import Vectors
from askpix.ingest.ocr.reader import RapidOcrReader
from askpix.retrieval.embedders.base import Embedder, TextEmbedder, unit
from askpix.retrieval.late_interaction.reranker import LateReranker
from askpix.retrieval.onnx.mini import MiniEmbedder, MiniLM, shared_minilm
from askpix.retrieval.rerankers.cross_encoder import CrossEncoder
from askpix.retrieval.stores.pages import Matrix
from tests.support.wire import Asked, Server, Wire

Pixels = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


class Home(Workspace):
    """A home whose models are given."""

    def __init__(self, home: Path, model: Any = None) -> None:
        super().__init__(Settings(home=home))
        self.model = model

    def embedder(self, embedder_id: str) -> Embedder:
        if self.model is None:
            return super().embedder(embedder_id)
        given: Embedder = self.model
        return given

    def text_embedder_for(self, text_embedder_id: str) -> TextEmbedder:
        if self.model is None:
            return super().text_embedder_for(text_embedder_id)
        given: TextEmbedder = self.model
        return given


class Spoilt(MiniEmbedder):
    """``mini`` that is shown other pixels."""

    def __init__(self, spoil: Pixels) -> None:
        self.__dict__ |= MiniEmbedder.load().__dict__
        self.spoil = spoil

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        return super().embed_images([Image.fromarray(self.spoil(np.asarray(image))) for image in images])


def tokens(spoil: Callable[[int], int]) -> MiniLM:
    """MiniLM whose tokenizer gives other ids."""
    good = shared_minilm()

    def encode(texts: list[str]) -> list[Any]:
        return [
            SimpleNamespace(ids=[spoil(i) for i in each.ids]) for each in good._tokenizer.encode_batch(texts)
        ]

    return MiniLM(good._session, SimpleNamespace(encode_batch=encode))  # type: ignore[arg-type]


def shuffled(token: int) -> int:
    order = np.random.default_rng(0).permutation(30522)
    return int(order[token])


def transposed(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Channels first, read as if they came last."""
    square = np.asarray(Image.fromarray(pixels).resize((260, 260)))
    return square.transpose(2, 0, 1).reshape(square.shape)


def other_weights(seed: int) -> MiniEmbedder:
    made = MiniEmbedder.load()
    made._classes = unit(np.random.default_rng(seed).normal(size=made._classes.shape))
    return made


def test_mini_passes_and_its_proof_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    proof = prove(home, "mini", "embedder")
    assert proof.passed and proof.found == "found 12 of 12 sample images by their captions"
    assert proof.bar == "at least 8 of 12" and proof.key == "mini" and str(proof) == proof.found
    assert Proofs(tmp_path).kept("embedder", "mini") == proof == proven(home, "mini", "embedder")
    assert Proofs(tmp_path).kept("text embedder", "mini") is None


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(lambda: Spoilt(lambda pixels: pixels // 128), id="pixels of 0 and 1"),
        pytest.param(lambda: Spoilt(transposed), id="channels first"),
        pytest.param(lambda: MiniEmbedder.load(text=tokens(shuffled)), id="another tokenizer"),
        pytest.param(lambda: MiniEmbedder.load(text=tokens(lambda i: max(0, i - 1))), id="ids off by one"),
        pytest.param(lambda: other_weights(0), id="random weights"),
    ],
)
def test_a_spoilt_embedder_fails(tmp_path: Path, spoilt: Callable[[], Embedder]) -> None:
    proof = prove(Home(tmp_path, spoilt()), "mini", "embedder")
    assert not proof.passed and str(proof).endswith("captions; expected at least 8 of 12")
    assert Proofs(tmp_path).kept("embedder", "mini") == proof


class InColour(MiniEmbedder):
    """``mini`` that knows six colours, as trained models do; ``mirrored``: with channels exchanged."""

    _NAMES: tuple[tuple[str, tuple[int, int, int]], ...] = (
        ("red", (220, 20, 20)),
        ("sky blue", (10, 140, 250)),
        ("blue", (20, 20, 220)),
        ("orange", (250, 140, 10)),
    )

    def __init__(self, *, mirrored: bool) -> None:
        self.__dict__ |= MiniEmbedder.load().__dict__
        self.mirrored = mirrored

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        if self.mirrored:
            images = [Image.fromarray(np.asarray(image)[:, :, ::-1].copy()) for image in images]
        hues = [np.median(np.asarray(image)[60:190, 60:190], axis=(0, 1)) for image in images]
        return self._with_colours(super().embed_images(images), hues)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        named = [next((rgb for name, rgb in self._NAMES if name in text), (127, 127, 127)) for text in texts]
        return self._with_colours(super().embed_texts(texts), named)

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        return self.embed_texts(texts)

    def _with_colours(self, vectors: Vectors, colours: Sequence[Any]) -> Vectors:
        hues = (np.asarray(colours, np.float32) - 127) / 127
        return unit(np.concatenate([vectors, 0.2 * hues], axis=1))


def test_a_model_that_takes_red_for_blue_fails(tmp_path: Path) -> None:
    assert prove(Home(tmp_path, InColour(mirrored=False)), "mini", "embedder").passed
    proof = prove(Home(tmp_path, InColour(mirrored=True)), "mini", "embedder")
    assert not proof.passed and "takes red for blue" in proof.found


def test_an_embedder_is_tried_in_the_languages_it_claims(tmp_path: Path) -> None:
    """``mini`` under the name of a model for all languages: it reads each as English."""
    english = MiniEmbedder.load()
    english.model_id = "transformers:google/siglip2-base-patch16-224@0000"
    proof = prove(Home(tmp_path, english), english.model_id, "embedder")
    assert not proof.passed and "of 72 in de, es, fr, ja, ru, zh" in proof.found
    assert "48 of 72 in its other languages" in proof.bar


def test_a_model_that_does_not_run_fails_and_one_that_is_not_here_proves_nothing(tmp_path: Path) -> None:
    class Broken(MiniEmbedder):
        def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
            raise RuntimeError("Got invalid dimensions\nfor input: pixels")

    broken = Broken(*MiniEmbedder.load().__dict__.values())
    proof = prove(Home(tmp_path / "a", broken), "mini", "embedder")
    assert not proof.passed and "does not run: Got invalid dimensions for input" in proof.found
    nan = MiniEmbedder.load()
    nan._classes = nan._classes * np.float32("nan")
    assert "not finite" in prove(Home(tmp_path / "a", nan), "mini", "embedder").found
    with pytest.raises(ModelUnavailableError):
        prove(Home(tmp_path / "b"), "onnx:/nowhere", "embedder")
    assert not Proofs(tmp_path / "b").all()


def test_minilm_passes_and_with_another_tokenizer_fails(tmp_path: Path) -> None:
    proof = prove(Home(tmp_path), "auto", "text embedder")
    assert proof.passed and proof.found.startswith("found 12 of 12 sentences")
    assert proof.key == "all-MiniLM-L6-v2"
    assert not prove(Home(tmp_path, tokens(shuffled)), "auto", "text embedder").passed
    many = tokens(int)
    many.model_id = "onnx:intfloat/multilingual-e5-small"
    proof = prove(Home(tmp_path, many), many.model_id, "text embedder")
    assert not proof.passed and "of 72 asked in de" in proof.found


def test_proofs_belong_to_weights_and_to_a_version(tmp_path: Path) -> None:
    kept, made = Proofs(tmp_path), prove(Home(tmp_path / "other"), "mini", "embedder")
    for day, commit in enumerate(("aaa", "bbb")):
        kept.keep(replace(made, key=f"onnx:o/n@{commit}", checked_at=day, passed=commit == "bbb"))
    found = [kept.kept("embedder", f"onnx:o/n@{commit}") for commit in ("aaa", "bbb")]
    assert [proof.passed for proof in found if proof] == [False, True]
    assert kept.kept("embedder", "onnx:o/n@ccc") is None
    assert kept.forget("onnx:o/n@aaa") == 1 and kept.kept("embedder", "onnx:o/n@aaa") is None
    rows = json.loads((tmp_path / "proofs.json").read_text())
    rows["embedder onnx:o/n@bbb"]["askpix"] = "0.0.1"
    (tmp_path / "proofs.json").write_text(json.dumps(rows))
    assert not kept.all()
    (tmp_path / "proofs.json").write_text("{broken")
    assert not kept.all()
    kept.keep(made)
    assert kept.all() == [made] and kept.forget() == 1 and not kept.all()


def test_a_folder_whose_files_changed_is_another_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "model.onnx"
    weights.write_bytes(b"one")
    kept = Proofs(tmp_path)
    proof = replace(prove(Home(tmp_path), "mini", "embedder"), role="text embedder", passed=False)
    model_id = f"onnx:{tmp_path / 'model'}"
    kept.keep(replace(proof, model_id=model_id, key=weights_key("text embedder", model_id)))
    assert kept.kept("text embedder", model_id)
    weights.write_bytes(b"another")
    assert kept.kept("text embedder", model_id) is None


class Reader:
    """A page embedder that tells the sample pages apart by their looks and knows what stands on each."""

    model_id, dim, image_side, batch = "transformers:o/reader@abc", 384, 800, 4

    def __init__(self, *, text: MiniLM | None = None, blank: bool = False) -> None:
        self.text, self.blank = text or shared_minilm(), blank
        self.looks = [(self._look(Image.open(page.path)), page.text) for page in samples()[1]]

    def _look(self, image: Image.Image) -> Any:
        return np.asarray(image.convert("L").resize((24, 24)), np.float32) * (not self.blank)

    def embed_images(self, images: Sequence[Image.Image], /) -> list[Matrix]:
        seen = map(self._look, images)
        texts = [min(self.looks, key=lambda known: float(np.abs(known[0] - look).sum()))[1] for look in seen]
        return [self.text.embed_texts(text.split(". ")).astype(np.float16) for text in texts]

    def embed_texts(self, texts: Sequence[str], /) -> list[Matrix]:
        return [self.text.embed_texts([text]).astype(np.float16) for text in texts]


def page_proof(home: Path, model: Reader) -> Proof:
    workspace = Home(home)
    workspace.late_embedders["transformers:o/reader"] = model
    return prove(workspace, "transformers:o/reader", "page embedder")


def test_a_page_embedder_finds_pages_by_questions(tmp_path: Path) -> None:
    proof = page_proof(tmp_path, Reader())
    assert proof.passed and proof.found == "found 9 of 9 sample pages by questions"
    assert proof.bar == "at least 6 of 9" and proof.key == Reader.model_id
    assert Proofs(tmp_path).kept("page embedder", "transformers:o/reader") == proof
    assert not page_proof(tmp_path, Reader(blank=True)).passed
    assert not page_proof(tmp_path, Reader(text=tokens(shuffled))).passed


def test_random_weights_of_a_page_embedder_fail(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    from tests.support.tiny_models import save_colqwen2

    save_colqwen2(tmp_path / "model")
    proof = prove(Home(tmp_path / "home"), f"transformers:{tmp_path / 'model'}", "page embedder")
    assert not proof.passed and "of 9 sample pages" in proof.found and "#" in proof.key


def test_a_page_embedder_that_fails_replaces_none(tmp_path: Path) -> None:
    page = samples()[1][0].path
    home = Home(tmp_path / "home")
    ids = {}
    for name, model in (("good", Reader()), ("blank", Reader(blank=True))):
        ids[name] = f"transformers:{tmp_path / name}"
        (tmp_path / name).mkdir()
        model.model_id = f"{ids[name]}#0123456789ab"
        home.late_embedders |= {ids[name]: model, model.model_id: model}
    index_paths(home, [page], "default", embedder="mini", page_embedder=ids["good"], ocr="off")
    old = home.collection("default").page_embedder
    with pytest.raises(AskpixError, match=r"does not work .*stays in use; .*--page-embedder none"):
        index_paths(home, [page], "default", page_embedder=ids["blank"], ocr="off")
    assert home.collection("default").page_embedder == old
    index_paths(home, [page], "default", page_embedder="none", ocr="off")
    index_paths(home, [page], "default", page_embedder=ids["blank"], ocr="off")
    assert home.collection("default").page_embedder == f"{ids['blank']}#0123456789ab"
    home.catalog.close()


def cross_encoder(text: MiniLM) -> CrossEncoder:
    def score(pairs: Sequence[tuple[str, str]]) -> Vectors:
        asked, told = (text.embed_texts([pair[at] for pair in pairs]) for at in (0, 1))
        return np.asarray((asked * told).sum(axis=1), np.float32)

    return CrossEncoder("onnx:o/cross@abc", score)


def test_a_reranker_puts_the_right_page_first(tmp_path: Path) -> None:
    good, spoilt = Home(tmp_path), Home(tmp_path / "spoilt")
    good.rerankers["onnx:o/cross"] = cross_encoder(shared_minilm())
    spoilt.rerankers["onnx:o/cross"] = CrossEncoder(
        "onnx:o/cross@abc", lambda pairs: np.array([len(text) for _, text in pairs], np.float32)
    )
    proof = prove(good, "onnx:o/cross", "reranker")
    assert proof.passed and proof.found == "put the right page first for 5 of 5 questions"
    assert not prove(spoilt, "onnx:o/cross", "reranker").passed
    visual = Home(tmp_path)
    visual.rerankers["transformers:o/reader"] = LateReranker(Reader())
    assert prove(visual, "transformers:o/reader", "reranker").key == Reader.model_id


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Server(Wire()) as server:
        yield server.wire


@pytest.fixture(scope="module")
def look() -> Callable[[Asked], list[str]]:
    """What a model that sees says: the number that is written, else the classes of the photo."""
    reader, mini = RapidOcrReader.load(workers=1), MiniEmbedder.load()

    def say(asked: Asked) -> list[str]:
        (image,) = asked.pictures
        if any("number" in text for text in asked.texts):
            return [" ".join(line.text for line in reader.read(image.convert("RGB")))]
        return [f"A photo of {', '.join(name for name, _ in mini.classes(image, count=3))}."]

    return say


def test_a_generator_reads_a_number_and_describes_two_photos(
    tmp_path: Path, wire: Wire, look: Callable[[Asked], list[str]]
) -> None:
    name = f"openai-compatible:tiny-vl@{wire.url}/v1"

    def proof_with(say: Callable[[Asked], Sequence[str]]) -> Proof:
        wire.say = say
        return prove(Home(tmp_path), name, "generator")

    proof = proof_with(look)
    assert proof.passed and proof.found == "read the number in an image, and said what two photos show"
    assert len(wire.asked) == 3 and proven(Home(tmp_path), name, "generator") == proof
    blind = proof_with(lambda asked: ["1234"])
    assert not blind.passed and "did not read the number" in blind.found

    def listing(asked: Asked) -> Sequence[str]:
        said = look(asked)
        return ["A cat beside a cup of coffee."] if "photo" in said[0] else said

    guessing = proof_with(listing)
    assert not guessing.passed and "of cat.jpg it said 'A cat beside a cup of coffee.'" in guessing.found
    assert (
        choose("auto", Home(tmp_path).generator_options, verdicts=Verdicts(tmp_path))[0].model_id
        == "extractive"
    )


def test_a_model_that_may_cost_money_is_asked_for_the_number_alone(
    tmp_path: Path, wire: Wire, look: Callable[[Asked], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{wire.url}/v1")
    wire.say = look
    proof = prove(Home(tmp_path), "openai:gpt-4.1", "generator")
    assert proof.passed and "nothing else was asked" in proof.found and len(wire.asked) == 1


def test_the_generator_that_only_quotes_needs_no_proof(tmp_path: Path) -> None:
    assert prove(Home(tmp_path), "extractive", "generator").passed


def test_doctor_tries_every_model_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path))
    monkeypatch.setenv("ASKPIX_LOCAL_SERVERS", "")
    bad = tmp_path / "bad"
    monkeypatch.setenv("ASKPIX_PAGE_EMBEDDER", f"transformers:{bad}")

    def doctor(*words: str) -> dict[str, Any]:
        told = json.loads(CliRunner().invoke(app, ["doctor", "--json", *words]).stdout)
        return {check["name"]: check for check in told["checks"]}

    checks = doctor("--models")
    assert checks["proof of embedder mini"]["ok"]
    assert checks["proof of text embedder all-MiniLM-L6-v2"]["ok"]
    assert checks["proof of generator extractive"]["ok"]
    assert not checks[f"proof of page embedder transformers:{bad}"]["ok"]
    kept = Proofs(tmp_path)
    assert {proof.role for proof in kept.all()} == {"embedder", "text embedder", "generator"}
    doctor("--forget", "mini")
    assert kept.kept("embedder", "mini") is None and kept.kept("generator", "extractive")
    said = CliRunner().invoke(app, ["doctor", "--forget", "mini"])
    assert isinstance(said.exception, NotFoundError) and "all-MiniLM-L6-v2, extractive" in str(said.exception)
    doctor("--forget", "all")
    assert not kept.all()
    Verdicts(tmp_path)._put({"openai:x": {"sees": True, "at": 1}})
    doctor("--forget", "openai:x")
    assert not Verdicts(tmp_path).forget()
