"""Sentence embedders as people publish them, on ONNX Runtime: E5, MiniLM, MPNet, BGE and their like.

A folder in the layout of sentence-transformers, with an ONNX export in it (or in ``onnx/``):

    tokenizer.json                       how text becomes tokens
    modules.json, 1_Pooling/config.json  how token vectors become one: mean, first token, max, last token
    2_Normalize/, 2_Dense/               length one is made here always; a Dense layer is refused
    sentence_bert_config.json            longest input in tokens
    config_sentence_transformers.json    prompts: what is put before a query and before a passage

Files that are missing mean what they mean to sentence-transformers: mean pooling, no prompts. E5 models
without prompts in their files get those of their paper (Wang et al. 2024, "Multilingual E5 Text Embeddings").
Equal to transformers on the same weights to 1e-5 (tests/unit/retrieval/onnx/test_text_embedder.py).
"""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import TextEmbedder, unit
from askpix.retrieval.model_hub.download import download, download_one_of
from askpix.retrieval.model_hub.source import Source
from askpix.retrieval.onnx.mini import batches
from askpix.retrieval.onnx.session import Session, open_session
from askpix.retrieval.text.null_captions import NOTHING, PICTURES

Pooling = Literal["mean", "cls", "max", "last"]

_FILES = ("model.onnx", "model_fp16.onnx", "model_O2.onnx", "model_quantized.onnx", "model_int8.onnx")
"""Best first: what is lost by int8 differs between models and is not measured here."""
_REPO = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_LONGEST = 512
_BATCH_TOKENS = 2048
_CROWDED = 0.3
"""Mean cosine of unrelated sentences from which a model's vectors are centred."""
_MAX_CONFIG = 2**20


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the configuration files say."""

    pooling: Pooling = "mean"
    max_tokens: int = _LONGEST
    query_prompt: str = ""
    passage_prompt: str = ""
    pad_id: int = 0


class OnnxTextEmbedder(TextEmbedder):
    """A published text embedder. Thread-safe.

    Some models (E5) put every sentence into one corner: unrelated ones have a cosine of 0.7. What text fits a
    query is told by how far above the usual its cosine is, so such vectors are centred: less the mean of 170
    sentences about all kinds of things, length one again (Mu and Viswanath 2018, "All-but-the-Top").
    """

    def __init__(
        self, session: Session, inputs: Sequence[str], tokenizer: Tokenizer, recipe: Recipe, model_id: str
    ) -> None:
        self.model_id = model_id
        self.recipe = recipe
        self._session, self._inputs, self._tokenizer = session, frozenset(inputs), tokenizer
        self._lock = threading.Lock()
        self.dim = 1  # until the first vectors are here
        sentences = [*PICTURES, *NOTHING]
        passages = self.embed(sentences, recipe.passage_prompt)
        self.dim = int(passages.shape[1])
        crowded = float((passages @ passages.mean(axis=0)).mean()) > _CROWDED
        queries = self.embed(sentences, recipe.query_prompt)
        zero = np.zeros(self.dim, np.float32)
        self._passage_mean = passages.mean(axis=0) if crowded else zero
        self._query_mean = queries.mean(axis=0) if crowded else zero

    @classmethod
    def load(cls, folder: Path, *, model_id: str, threads: int = 0) -> "OnnxTextEmbedder":
        """From a folder as above; ``threads=0`` is one per core. Raises ``ModelUnavailableError``."""
        recipe = read_recipe(folder, name=model_id)
        session, inputs, tokenizer = open_text_model(folder, max_tokens=recipe.max_tokens, threads=threads)
        try:
            return cls(session, inputs, tokenizer, recipe, model_id)
        except (RuntimeError, ValueError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelUnavailableError(f"cannot embed with {str(folder)!r}: {reason}") from error

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` of passages. Longer texts are cut."""
        return unit(self.embed(texts, self.recipe.passage_prompt) - self._passage_mean)

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), dim)`` of what is looked for among passages."""
        return unit(self.embed(texts, self.recipe.query_prompt) - self._query_mean)

    def embed(self, texts: Sequence[str], prompt: str = "", /) -> Vectors:
        """``(len(texts), dim)`` as the model gives them, length one."""
        clean = [prompt + text[: 40 * self.recipe.max_tokens] for text in texts]
        # File names that are not UTF-8 bring lone surrogates, which the tokenizer refuses.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in clean]
        with self._lock:
            tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]
        rows: list[Any] = [None] * len(texts)
        for batch in batches([len(ids) for ids in tokens], tokens=_BATCH_TOKENS):
            for at, row in zip(batch, self._run([tokens[at] for at in batch]), strict=True):
                rows[at] = row
        if not rows:
            return np.zeros((0, self.dim), np.float32)
        return unit(np.stack(rows))

    def _run(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        width = max(1, *map(len, tokens))
        ids = np.full((len(tokens), width), self.recipe.pad_id, np.int64)
        mask = np.zeros((len(tokens), width), np.int64)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: value for name, value in feed.items() if name in self._inputs}
        hidden = np.asarray(self._session.run(None, feed)[0], np.float32)
        if hidden.ndim == 2:  # the export pools by itself
            return hidden
        return pool(hidden, mask, self.recipe.pooling)


def find_text_model(reference: str, *, local_files_only: bool = False) -> Source:
    """A folder of this machine, or the hub's copy of ``OWNER/NAME[@REVISION]``, named by its commit.

    Of a repository the configuration and the best ONNX file that it has are downloaded. Raises
    ``ModelUnavailableError``.
    """
    folder = Path(reference).expanduser()
    if folder.is_dir():  # a collection must find it again from any working folder
        return Source(folder, str(folder.absolute()))
    if not _REPO.fullmatch(reference):
        raise ModelUnavailableError(f"{reference!r} is neither a folder nor a hub repository OWNER/NAME")
    return published_text_model(reference, ["*.json", "1_Pooling/*.json"], local_files_only=local_files_only)


def published_text_model(
    repository: str, patterns: Sequence[str], *, local_files_only: bool = False
) -> Source:
    """Return the hub's export ``OWNER/NAME[@REVISION]``, pinned: ``patterns`` and its best ONNX file."""
    names = [name for file in _FILES for name in (f"onnx/{file}", file)]
    found = download_one_of(repository, names, local_files_only=local_files_only)
    if found is None:
        raise ModelUnavailableError(f"{repository!r} has no ONNX file; export one, or name a folder with it")
    taken = next(name for name in names if (found / name).is_file())
    name = f"{repository.partition('@')[0]}@{found.name}"  # the branch may move on meanwhile
    # Weights over 2 GB lie in a file of their own beside the model.
    wanted = [*patterns, f"{taken}_data", f"{taken}.data"]
    return Source(download(name, wanted, local_files_only=local_files_only), name)


def open_text_model(
    folder: Path, *, max_tokens: int, threads: int = 0
) -> tuple[Session, list[str], Tokenizer]:
    """Return the best ONNX file in the folder or its ``onnx/``, opened; its inputs; and the tokenizer."""
    paths = [path for name in _FILES for path in (folder / "onnx" / name, folder / name) if path.is_file()]
    if not paths:
        raise ModelUnavailableError(
            f"{str(folder)!r} holds no ONNX text model ({', '.join(_FILES[:2])} ... in it or in onnx/)"
        )
    words = folder / "tokenizer.json"
    if not words.is_file():
        raise ModelUnavailableError(f"{str(folder)!r} has no tokenizer.json; save it as a fast tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(words))
    except Exception as error:  # the library raises bare Exception
        raise ModelUnavailableError(f"cannot read {str(words)!r}: {str(error)[:200]}") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    session: Any = open_session(paths[0], threads=threads)
    inputs = [item.name for item in session.get_inputs()]
    if "input_ids" not in inputs:
        raise ModelUnavailableError(f"{paths[0].name!r} takes {inputs}: that is no text model")
    return session, inputs, tokenizer


def pool(hidden: Vectors, mask: NDArray[np.int64], how: Pooling) -> Vectors:
    """``(n, dim)`` from token vectors ``(n, tokens, dim)`` and which of them are real, ``(n, tokens)``."""
    if how == "cls":
        return hidden[:, 0]
    if how == "last":
        last: Vectors = hidden[np.arange(len(hidden)), np.maximum(mask.sum(axis=1) - 1, 0)]
        return last
    real = mask[:, :, None].astype(np.float32)
    if how == "max":
        highest: Vectors = np.where(real > 0, hidden, -np.inf).max(axis=1)
        return highest
    mean: Vectors = (hidden * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1e-9)
    return mean


def read_recipe(folder: Path, *, name: str) -> Recipe:
    """What the files of ``folder`` say. Raises ``ModelUnavailableError`` for what is not understood."""
    modules = _json(folder / "modules.json")
    kinds = [str(item.get("type", "")).rsplit(".", 1)[-1] for item in modules] if modules else []
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise ModelUnavailableError(f"{name!r} has a {unknown[0]} layer, which its ONNX file lacks")
    pooling: Pooling = "mean"
    stated = _json(folder / "1_Pooling" / "config.json")
    if stated:
        chosen = [how for key, how in _POOLINGS.items() if stated.get(key)]
        if len(chosen) != 1:
            raise ModelUnavailableError(f"{name!r} joins several poolings; only one is supported")
        pooling = chosen[0]
    bert, config = _json(folder / "sentence_bert_config.json"), _json(folder / "config.json")
    lengths = [bert.get("max_seq_length"), config.get("max_position_embeddings"), _LONGEST]
    longest = min(int(length) for length in lengths if isinstance(length, int) and length > 0)
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    query = str(prompts.get("query") or "")
    passage = str(prompts.get("passage") or prompts.get("document") or "")
    source = f"{name} {config.get('_name_or_path', '')}".lower()
    if not prompts and re.search(r"\be5\b", source) and "instruct" not in source:
        query, passage = "query: ", "passage: "
    pad = config.get("pad_token_id")
    return Recipe(pooling, longest, query, passage, pad if isinstance(pad, int) and pad >= 0 else 0)


def _json(path: Path) -> Any:
    """The JSON in a small file; an empty object when there is no such file."""
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            return json.loads(file.read(_MAX_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailableError(f"cannot read {str(path)!r}: {error}") from error
