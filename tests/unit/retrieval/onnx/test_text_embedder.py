"""Sentence embedders on ONNX: equal to transformers on the same weights, to MiniLM on the shipped ones."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.onnx.mini import MiniLM
from askpix.retrieval.onnx.text_embedder import OnnxTextEmbedder, pool, read_recipe
from askpix.retrieval.weights import weight_file
from tests.support.fakes import WordEmbedder
from tests.support.tiny_models import word_tokenizer

TEXTS = ["a red total", "", "invoice dog yes no of what is the image", "dog " * 300, "Blue"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT as sentence-transformers and its ONNX export lay it down, without pooling or prompts."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
        pad_token_id=0,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "onnx").mkdir()
    names = ["input_ids", "attention_mask", "token_type_ids"]

    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = transformers.BertModel.from_pretrained(
                folder, add_pooling_layer=False, attn_implementation="eager"
            )

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    axes = {name: {0: "batch", 1: "length"} for name in [*names, "hidden"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            Bare().eval(),
            tuple(torch.ones(2, 7, dtype=torch.long) for _ in names),
            str(folder / "onnx" / "model.onnx"),
            input_names=names,
            output_names=["hidden"],
            dynamic_axes=axes,
            dynamo=False,
        )
    return folder


def layout(
    tiny: Path, target: Path, *, pooling: str | None = None, prompts: dict[str, str] | None = None
) -> Path:
    shutil.copytree(tiny, target)
    if pooling:
        modules = [
            {"idx": n, "type": f"sentence_transformers.models.{t}"}
            for n, t in enumerate(("Transformer", "Pooling"))
        ]
        (target / "modules.json").write_text(json.dumps(modules))
        (target / "1_Pooling").mkdir()
        (target / "1_Pooling" / "config.json").write_text(
            json.dumps({pooling: True, "word_embedding_dimension": 32})
        )
    if prompts:
        (target / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return target


def reference(folder: Path, texts: list[str], how: str) -> Vectors:
    """transformers' own path, one text at a time: no padding to get wrong."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        if tokens["input_ids"].shape[1] == 0:
            rows.append(None)
            continue
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state[0]
        picked = {"mean": hidden.mean(0), "cls": hidden[0], "max": hidden.max(0).values, "last": hidden[-1]}[
            how
        ]
        rows.append(torch.nn.functional.normalize(picked, dim=0).numpy())
    return [row for row in rows if row is not None]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("key", "how"),
    [
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_lasttoken", "last"),
    ],
)
def test_equal_to_transformers(tiny: Path, tmp_path: Path, key: str, how: str) -> None:
    folder = layout(tiny, tmp_path / "model", pooling=key)
    embedder = OnnxTextEmbedder.load(folder, model_id="onnx:x")
    texts = [text for text in TEXTS if text]
    expected = np.stack(reference(folder, texts, how))
    assert np.abs(embedder.embed(texts) - expected).max() < 1e-5
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.abs(alone - expected).max() < 1e-5, "a text's vector does not depend on those beside it"
    assert embedder.dim == 32 and embedder.recipe.max_tokens == 64


def test_prompts_go_before_queries_and_passages(tiny: Path, tmp_path: Path) -> None:
    folder = layout(tiny, tmp_path / "model", prompts={"query": "Query : ", "document": "image : "})
    embedder = OnnxTextEmbedder.load(folder, model_id="onnx:x")
    bare = OnnxTextEmbedder.load(layout(tiny, tmp_path / "bare"), model_id="onnx:x")
    assert np.allclose(
        embedder.embed(["dog"], embedder.recipe.query_prompt), bare.embed(["Query : dog"]), atol=1e-6
    )
    assert np.allclose(
        embedder.embed(["dog"], embedder.recipe.passage_prompt), bare.embed(["image : dog"]), atol=1e-6
    )
    assert not np.allclose(embedder.embed_queries(["dog"]), embedder.embed_texts(["dog"]), atol=1e-3)


def test_crowded_vectors_are_centred(tiny: Path, tmp_path: Path) -> None:
    """Random weights put all sentences into one corner, as E5 does: centred, unrelated ones are apart."""
    embedder = OnnxTextEmbedder.load(layout(tiny, tmp_path / "model"), model_id="onnx:x")
    texts = [f"{a} {b}" for a in ("red", "blue", "dog", "invoice") for b in ("image", "total", "yes")]
    raw, centred = embedder.embed(texts), embedder.embed_texts(texts)
    assert np.allclose(np.linalg.norm(centred, axis=1), 1, atol=1e-5)
    assert (centred @ centred.T).mean() < (raw @ raw.T).mean() - 0.1


def test_the_shipped_minilm_in_the_usual_layout(tmp_path: Path) -> None:
    folder = tmp_path / "minilm"
    (folder / "onnx").mkdir(parents=True)
    shutil.copy(weight_file("minilm.onnx"), folder / "onnx" / "model.onnx")
    shutil.copy(weight_file("minilm.tokenizer.json"), folder / "tokenizer.json")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    embedder, minilm = OnnxTextEmbedder.load(folder, model_id="onnx:minilm"), MiniLM.load()
    texts = ["GRAND TOTAL RM 67.85", "a dog on the beach", "", "wörter \ud800", "long " * 2000]
    assert np.abs(embedder.embed_texts(texts) - minilm.embed_texts(texts)).max() < 1e-5
    assert np.abs(embedder.embed_queries(texts[:2]) - embedder.embed_texts(texts[:2])).max() < 1e-6
    assert embedder.embed_texts([]).shape == (0, 384)


def test_models_without_own_queries_embed_them_as_texts() -> None:
    words = WordEmbedder()
    assert np.array_equal(words.embed_queries(["a cat"]), words.embed_texts(["a cat"]))


def test_e5_has_the_prompts_of_its_paper(tmp_path: Path) -> None:
    recipe = read_recipe(tmp_path, name="onnx:intfloat/multilingual-e5-small")
    assert (recipe.query_prompt, recipe.passage_prompt, recipe.pooling) == ("query: ", "passage: ", "mean")
    assert read_recipe(tmp_path, name="onnx:intfloat/multilingual-e5-large-instruct").query_prompt == ""
    assert (
        read_recipe(
            tmp_path, name="onnx:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
        ).query_prompt
        == ""
    )


def test_padding_is_never_pooled() -> None:
    hidden = np.array([[[1.0], [2.0], [99.0]], [[4.0], [99.0], [99.0]]], np.float32)
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.int64)
    assert [float(x) for x in pool(hidden, mask, "mean")[:, 0]] == [1.5, 4.0]
    assert [float(x) for x in pool(hidden, mask, "max")[:, 0]] == [2.0, 4.0]
    assert [float(x) for x in pool(hidden, mask, "last")[:, 0]] == [2.0, 4.0]
    assert [float(x) for x in pool(hidden, mask, "cls")[:, 0]] == [1.0, 4.0]


def test_what_cannot_be_loaded_says_why(tiny: Path, tmp_path: Path) -> None:
    def load(folder: Path) -> None:
        OnnxTextEmbedder.load(folder, model_id="onnx:x")

    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelUnavailableError, match="no ONNX text model"):
        load(empty)
    broken = layout(tiny, tmp_path / "broken")
    (broken / "onnx" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelUnavailableError, match="cannot load"):
        load(broken)
    bare = layout(tiny, tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ModelUnavailableError, match=r"tokenizer\.json"):
        load(bare)
    (bare / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailableError, match="cannot read"):
        load(bare)
    dense = layout(tiny, tmp_path / "dense")
    (dense / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(ModelUnavailableError, match="Dense"):
        load(dense)
    (dense / "modules.json").write_text("[" * 100_000)
    with pytest.raises(ModelUnavailableError, match="cannot read"):
        load(dense)
    image = tmp_path / "image"
    image.mkdir()
    shutil.copy(tiny / "tokenizer.json", image)
    shutil.copy(weight_file("efficientnet-lite2.onnx"), image / "model.onnx")
    with pytest.raises(ModelUnavailableError, match="no text model"):
        load(image)
