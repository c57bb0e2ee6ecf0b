"""Sentence embedders in the layouts they are published in as ONNX, against recipes written out by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from huggingface_hub import constants

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.onnx.text_embedder import OnnxTextEmbedder, open_text_embedder, read_recipe
from tests.support.fake_hub import Hub, Repository, serving
from tests.support.onnx_exports import write_graph
from tests.support.tiny_models import word_tokenizer

TEXTS = ["a red total", "invoice dog yes no of what is the image", "Blue dog"]
_WIDTH, _HEADS = 32, 2


class Body(torch.nn.Module):
    """One layer of attention with a cache, told positions, then what makes a sentence of it."""

    def __init__(self, words: int, *, causal: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.causal = causal
        self.words = torch.nn.Embedding(words, _WIDTH)
        self.places = torch.nn.Embedding(64, _WIDTH)
        self.three = torch.nn.Linear(_WIDTH, 3 * _WIDTH)
        self.wide = torch.nn.Linear(_WIDTH, 4 * _WIDTH, bias=False)
        self.narrow = torch.nn.Linear(4 * _WIDTH, _WIDTH, bias=False)

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any,
        position_ids: Any,
        past_key: Any = None,
        past_value: Any = None,
    ) -> Any:
        x = self.words(input_ids) + self.places(position_ids)
        heads = self.three(x).reshape(*x.shape[:2], 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
        asked, key, value = heads[0], heads[1], heads[2]
        if past_key is not None:
            key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
        scores = asked @ key.transpose(2, 3)
        hidden = attention_mask[:, None, None, :] == 0
        if self.causal:
            hidden = hidden | (position_ids[:, None, None, :] > position_ids[:, None, :, None])
        seen = torch.softmax(scores.masked_fill(hidden, -1e4), -1) @ value
        return x + seen.permute(0, 2, 1, 3).reshape(x.shape)

    def sentence(self, states: Any, attention_mask: Any) -> Any:
        """EmbeddingGemma's modules 1 to 4: mean, two Dense layers without bias or activation, length one."""
        real = attention_mask[..., None].float()
        mean = (states * real).sum(1) / real.sum(1)
        return torch.nn.functional.normalize(self.narrow(self.wide(mean)), dim=1)


def saved(folder: Path, config: dict[str, Any], *, causal: bool = False) -> tuple[Body, Any]:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0, **config}))
    tokenizer = word_tokenizer(["task", "search", "result", "|", "none", "text", "title", *TEXTS[1].split()])
    eos = ("<eos>", tokenizer.convert_tokens_to_ids("<eos>"))
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[eos]
    )
    tokenizer.save_pretrained(folder)
    return Body(len(tokenizer), causal=causal).eval(), tokenizer


def one_by_one(body: Body, tokenizer: Any, texts: list[str], end: Any) -> Vectors:
    rows = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            mask = torch.ones_like(ids)
            rows.append(end(body(ids, mask, torch.arange(ids.shape[1])[None]), mask))
    return np.asarray(torch.nn.functional.normalize(torch.cat(rows), dim=1))


def tokens() -> dict[str, Any]:
    ids = torch.ones(2, 5, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def free(*names: str) -> dict[str, dict[int, str]]:
    return {name: {0: "batch", 1: "length"} for name in names}


def test_embeddinggemma_300m(tmp_path: Path) -> None:
    """onnx-community/embeddinggemma-300m-ONNX: no files of sentence-transformers, both outputs in the graph.

    The recipe is that of its model card: "task: search result | query: " before a query, "title: none |
    text: " before a document; mean over all tokens, Dense 768 -> 3072 -> 768, length one.
    """
    folder = tmp_path / "embeddinggemma-300m-ONNX"
    body, tokenizer = saved(folder, {"model_type": "gemma3_text", "max_position_embeddings": 2048})

    def run(input_ids: Any, attention_mask: Any) -> Any:
        states = body(input_ids, attention_mask, torch.arange(input_ids.shape[1])[None].expand_as(input_ids))
        return states, body.sentence(states, attention_mask)

    names = ["last_hidden_state", "sentence_embedding"]
    axes = {**free("input_ids", "attention_mask", names[0]), names[1]: {0: "batch"}}
    write_graph(run, body, folder / "onnx" / "model.onnx", tokens(), names, axes=axes)
    embedder = open_text_embedder(str(folder))
    recipe = embedder.recipe
    assert recipe.query_prompt == "task: search result | query: " and recipe.dense
    for prompt in ("task: search result | query: ", "title: none | text: "):
        expected = one_by_one(body, tokenizer, [prompt + text for text in TEXTS], body.sentence)
        assert np.abs(embedder.embed(TEXTS, prompt) - expected).max() < 1e-5
    (folder / "onnx" / "model.onnx").unlink()
    write_graph(
        lambda **given: run(**given)[0], body, folder / "onnx" / "model.onnx", tokens(), names[:1], axes=axes
    )
    with pytest.raises(ModelUnavailableError, match="Dense layer"):
        open_text_embedder(str(folder))


def test_qwen3_embedding(tmp_path: Path) -> None:
    """onnx-community/Qwen3-Embedding-0.6B-ONNX: exported as a decoder, with positions and a cache.

    The recipe is that of github.com/QwenLM/Qwen3-Embedding: the query after "Instruct: ...\\nQuery:", the
    state of the last token, which is the <|endoftext|> that the tokenizer adds, length one.
    """
    folder = tmp_path / "Qwen3-Embedding-0.6B-ONNX"
    body, tokenizer = saved(folder, {"model_type": "qwen3", "max_position_embeddings": 40}, causal=True)
    given = tokens()
    given["position_ids"] = torch.arange(5)[None].expand(2, 5)
    past = [f"past_key_values.0.{part}" for part in ("key", "value")]
    given |= {name: torch.zeros(2, _HEADS, 0, _WIDTH // _HEADS) for name in past}

    def run(**inputs: Any) -> Any:
        return body(*inputs.values())

    axes = free("input_ids", "attention_mask", "position_ids", "last_hidden_state")
    axes |= {name: {0: "batch", 2: "past"} for name in past}
    write_graph(run, body, folder / "onnx" / "model.onnx", given, ["last_hidden_state"], axes=axes)
    embedder = open_text_embedder(str(folder))
    assert embedder.recipe.pooling == "last" and embedder.recipe.passage_prompt == ""
    prompt = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
    assert embedder.recipe.query_prompt == prompt
    for before in (prompt, ""):
        texts = [before + text for text in TEXTS]
        expected = one_by_one(body, tokenizer, texts, lambda states, mask: states[:, -1])
        assert np.abs(embedder.embed(TEXTS, before) - expected).max() < 1e-5


def test_embeddinggemma_2_reads_texts(tmp_path: Path) -> None:
    """onnx-community/embeddinggemma-2-ONNX wants features of images, videos and sounds: a text has none."""
    folder = tmp_path / "embeddinggemma-2-ONNX"
    inner = {"max_position_embeddings": 262144, "pad_token_id": 0}
    body, tokenizer = saved(folder, {"model_type": "embedding_gemma2", "text_config": inner})
    prompts = {"Document": "title: none | text: ", "Retrieval-query": "task: search result | query: "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    media = [f"{kind}_features" for kind in ("image", "video", "audio")]
    given = tokens() | {name: torch.zeros(0, _WIDTH) for name in media}

    def run(input_ids: Any, attention_mask: Any, **features: Any) -> Any:
        states = body(input_ids, attention_mask, torch.arange(input_ids.shape[1])[None].expand_as(input_ids))
        states = states + sum(each.sum() for each in features.values())
        return body.sentence(states, attention_mask), states

    names = ["sentence_embedding", "last_hidden_state"]
    axes = {**free("input_ids", "attention_mask", names[1]), names[0]: {0: "batch"}}
    axes |= {name: {0: name} for name in media}
    write_graph(run, body, folder / "onnx" / "model.onnx", given, names, axes=axes)
    embedder = open_text_embedder(str(folder))
    assert embedder.recipe.query_prompt == prompts["Retrieval-query"]
    expected = one_by_one(body, tokenizer, [f"title: none | text: {text}" for text in TEXTS], body.sentence)
    assert np.abs(embedder.embed(TEXTS, embedder.recipe.passage_prompt) - expected).max() < 1e-5


def test_bge_m3_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BAAI/bge-m3: the state of [CLS], no prompts (1_Pooling); weights in two files beside the graph."""
    folder = tmp_path / "bge-m3"
    body, tokenizer = saved(folder, {"model_type": "xlm-roberta", "max_position_embeddings": 64})
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')

    def run(input_ids: Any, attention_mask: Any) -> Any:
        states = body(input_ids, attention_mask, torch.arange(input_ids.shape[1])[None].expand_as(input_ids))
        return states, torch.nn.functional.normalize(states[:, 0], dim=1)

    names = ["token_embeddings", "sentence_embedding"]
    axes = {**free("input_ids", "attention_mask", names[0]), names[1]: {0: "batch"}}
    write_graph(run, body, folder / "onnx" / "model.onnx", tokens(), names, axes=axes)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    beside = {"onnx/model.onnx_data": b"some", "onnx/Constant_7_attr__value": b"more"}
    with serving(Hub({"BAAI/bge-m3": Repository(files | beside)})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        embedder = open_text_embedder("BAAI/bge-m3")
    assert beside.keys() <= {name for name, _ in hub.asked}
    expected = one_by_one(body, tokenizer, TEXTS, lambda states, mask: states[:, 0])
    assert np.abs(embedder.embed(TEXTS, embedder.recipe.query_prompt) - expected).max() < 1e-5


def test_a_quantised_file_is_taken_by_name_alone(tmp_path: Path) -> None:
    folder = tmp_path / "e5-tiny"
    body, _ = saved(folder, {"model_type": "bert"})

    def run(input_ids: Any, attention_mask: Any) -> Any:
        return body(input_ids, attention_mask, torch.zeros_like(input_ids))

    axes = free("input_ids", "attention_mask", "last_hidden_state")
    for suffix in ("_quantized", "_fp16"):
        path = folder / "onnx" / f"model{suffix}.onnx"
        write_graph(run, body, path, tokens(), ["last_hidden_state"], axes=axes)
    half = open_text_embedder(str(folder))
    assert half.model_id == f"onnx:{folder}" and half.recipe.query_prompt == "query: "
    (folder / "onnx" / "model_fp16.onnx").unlink()
    with pytest.raises(ModelUnavailableError, match=r"no ONNX export in full precision.*e5-tiny\+int8"):
        open_text_embedder(str(folder))
    small = open_text_embedder(f"{folder}+int8")
    assert small.model_id == f"onnx:{folder}+int8"
    assert np.array_equal(small.embed_texts(TEXTS), half.embed_texts(TEXTS))


@pytest.mark.parametrize(
    ("name", "pooling", "query"),
    [
        ("onnx:Xenova/bge-m3", "cls", ""),
        ("onnx:ibm-granite/granite-embedding-97m-multilingual-r2", "cls", ""),
        ("onnx:Xenova/multilingual-e5-large", "mean", "query: "),
        ("onnx:intfloat/multilingual-e5-large-instruct", "mean", ""),
        ("onnx:Qdrant/Qwen3-Embedding-0.6B-onnx", "last", "Instruct: Given a web search query"),
    ],
)
def test_families_without_files(tmp_path: Path, name: str, pooling: str, query: str) -> None:
    recipe = read_recipe(tmp_path, name=name)
    assert recipe.pooling == pooling and recipe.query_prompt.startswith(query)
    assert bool(recipe.query_prompt) == bool(query)


@pytest.mark.parametrize("kind", ["embedding_gemma2", "gemma3_text"])
def test_a_family_is_known_by_its_type_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    recipe = read_recipe(tmp_path, name="onnx:/my/folder")
    assert recipe.query_prompt == "task: search result | query: "
    assert recipe.passage_prompt == "title: none | text: "


def test_pooling_as_written_since_sentence_transformers_5(tmp_path: Path) -> None:
    """sentence_transformers.sentence_transformer.modules.Pooling: ``config_keys``."""
    (tmp_path / "1_Pooling").mkdir()
    written = tmp_path / "1_Pooling" / "config.json"
    for mode, how in (("lasttoken", "last"), ("cls", "cls"), (["mean"], "mean")):
        written.write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": mode}))
        assert read_recipe(tmp_path, name="onnx:x").pooling == how
    for stated in ({"pooling_mode": ["mean", "max"]}, {"pooling_mode": "mean", "include_prompt": False}):
        written.write_text(json.dumps(stated))
        with pytest.raises(ModelUnavailableError, match="pools"):
            read_recipe(tmp_path, name="onnx:x")


def test_inputs_that_no_text_has_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    body, _ = saved(folder, {"model_type": "bert"})

    def run(input_ids: Any, attention_mask: Any, task_id: Any) -> Any:
        return body(input_ids, attention_mask, torch.zeros_like(input_ids)) + task_id

    given = tokens() | {"task_id": torch.ones(1)}
    write_graph(run, body, folder / "model.onnx", given, ["hidden"], axes=free("input_ids"))
    with pytest.raises(ModelUnavailableError, match="'task_id', which is not known"):
        OnnxTextEmbedder.load(folder, model_id="onnx:x")
