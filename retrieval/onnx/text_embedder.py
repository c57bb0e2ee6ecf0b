"""Sentence embedders as people publish them, on ONNX Runtime: E5, BGE, MiniLM, EmbeddingGemma, Qwen3 ...

A folder in the layout of sentence-transformers, with an ONNX export in it (or in ``onnx/``):

    tokenizer.json                       how text becomes tokens
    modules.json, 1_Pooling/config.json  how token vectors become one: mean, first token, max, last token
    2_Normalize/, 2_Dense/               length one is made here always; a Dense layer must be in the graph
    sentence_bert_config.json            longest input in tokens
    config_sentence_transformers.json    prompts: what is put before a query and before a passage

A graph that gives a ``sentence_embedding`` has pooled by itself. Exports for transformers.js leave these
files out; what they would say is known of the families in ``_FAMILIES``, else files that are missing mean
what they mean to sentence-transformers: mean pooling, no prompts. Equal to the published recipes on the same
weights to 1e-5 (tests/unit/retrieval/onnx/test_text_embedder.py and test_text_families.py).
"""

import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from askpix.core.errors import ModelUnavailableError
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import TextEmbedder, unit
from askpix.retrieval.model_hub.download import download, download_one_of
from askpix.retrieval.model_hub.options import split_options
from askpix.retrieval.model_hub.prompts import read_prompts
from askpix.retrieval.model_hub.source import Source
from askpix.retrieval.onnx.mini import batches
from askpix.retrieval.onnx.precisions import none_of, split_precision, suffixes
from askpix.retrieval.onnx.session import NUMBERS, RUN_ERRORS, Session, open_session
from askpix.retrieval.text.null_captions import NOTHING, PICTURES

Pooling = Literal["mean", "cls", "max", "last"]

_REPO = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "lasttoken": "last",
}
_POOLED = "sentence_embedding"
_LONGEST = 512
_BATCH_TOKENS = 2048
_CROWDED = 0.3
"""Mean cosine of unrelated sentences from which a model's vectors are centred."""
_MAX_CONFIG = 2**20


@dataclass(frozen=True, slots=True)
class Recipe:
    """Recipe by the configuration files."""

    pooling: Pooling = "mean"
    max_tokens: int = _LONGEST
    query_prompt: str = ""
    passage_prompt: str = ""
    pad_id: int = 0
    media: frozenset[int] = frozenset()
    """Tokens that stand for an image or a sound, which no text has."""
    dense: bool = False
    """True if Dense layers make the sentence embedding: only a graph that holds them can be used."""
    dims: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class _Family:
    """Recipes by the model cards of families, for exports without the files that would say them."""

    names: str
    """A pattern of what the model is called, or of its type in config.json."""
    pooling: Pooling
    query_prompt: str = ""
    passage_prompt: str = ""
    dims: Collection[int] = ()
    """Lengths that its vectors may be cut to (Matryoshka); none = not trained for it."""


_FAMILIES = (
    # huggingface.co/google/embeddinggemma-300m and -2, "Prompt instructions".
    _Family(
        "embedding_?gemma|gemma3_text",
        "mean",
        "task: search result | query: ",
        "title: none | text: ",
        dims=(768, 512, 256, 128),
    ),
    # github.com/QwenLM/Qwen3-Embedding, README: get_detailed_instruct, last_token_pool.
    _Family(
        "qwen3-embedding",
        "last",
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
        dims=range(32, 4097),
    ),
    # github.com/FlagOpen/FlagEmbedding (all BGE but the decoders) and the cards of Granite Embedding: [CLS].
    _Family(r"\bbge-(m3|micro|small|base|large)|granite-embedding", "cls"),
    # Wang et al. 2024, "Multilingual E5 Text Embeddings"; the instruct models want a task of one's own.
    _Family(r"\be5-(?!.*instruct)", "mean", "query: ", "passage: "),
)
_WITH_DENSE = ("gemma3_text",)
"""Model types whose sentence embedding is made by Dense layers behind the pooling (EmbeddingGemma 300M)."""


class TextEncoder:
    """A graph and its recipe: texts into vectors, without what a search makes of them. Thread-safe."""

    def __init__(self, model: "TextModel", recipe: Recipe, *, dim: int | None = None) -> None:
        self._model = model
        self._recipe = recipe
        self._dim = dim
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str], prompt: str = "", /) -> Vectors:
        """``(len(texts), dim)`` of one text or more, as the model gives them, length one."""
        clean = [prompt + text[: 40 * self._recipe.max_tokens] for text in texts]
        # File names that are not UTF-8 bring lone surrogates, which the tokenizer refuses.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in clean]
        with self._lock:
            encoded = self._model.tokenizer.encode_batch(clean)
        media = self._recipe.media
        tokens = [[token for token in each.ids if token not in media] for each in encoded]
        rows: list[Any] = [None] * len(texts)
        for batch in batches([len(ids) for ids in tokens], tokens=_BATCH_TOKENS):
            for at, row in zip(batch, self._run([tokens[at] for at in batch]), strict=True):
                rows[at] = row
        return unit(np.stack(rows)[:, : self._dim])

    def _run(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        width = max(1, *map(len, tokens))
        ids = np.full((len(tokens), width), self._recipe.pad_id, np.int64)
        mask = np.zeros((len(tokens), width), np.int64)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        hidden = self._model.run(ids, mask)
        if hidden.ndim == 2:  # the export pools by itself
            return hidden
        return pool(hidden, mask, self._recipe.pooling)


class OnnxTextEmbedder(TextEmbedder):
    """A published text embedder. Thread-safe.

    Some models (E5) put every sentence into one corner: unrelated ones have a cosine of 0.7. What text fits a
    query is told by how far above the usual its cosine is, so such vectors are centred: less the mean of 170
    sentences about all kinds of things, length one again (Mu and Viswanath 2018, "All-but-the-Top").
    """

    def __init__(self, model: "TextModel", recipe: Recipe, model_id: str, *, dim: int | None = None) -> None:
        self.model_id = model_id
        self.recipe = recipe
        self._encoder = TextEncoder(model, recipe, dim=dim)
        self.dim = 1  # until the first vectors are here
        sentences = [*PICTURES, *NOTHING]
        passages = self.embed(sentences, recipe.passage_prompt)
        if not np.isfinite(passages).all():
            raise ModelUnavailableError(f"the vectors of {model_id!r} are no numbers; take another precision")
        self.dim = int(passages.shape[1])
        crowded = float((passages @ passages.mean(axis=0)).mean()) > _CROWDED
        queries = self.embed(sentences, recipe.query_prompt)
        zero = np.zeros(self.dim, np.float32)
        self._passage_mean = passages.mean(axis=0) if crowded else zero
        self._query_mean = queries.mean(axis=0) if crowded else zero

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        model_id: str,
        precision: str = "auto",
        dim: int | None = None,
        threads: int = 0,
    ) -> "OnnxTextEmbedder":
        """Load from a folder as above; ``threads=0`` is one per core. Raises ``ModelUnavailableError``.

        ``dim``: how many numbers of a vector are kept.
        """
        recipe = read_recipe(folder, name=model_id)
        model = open_text_model(folder, max_tokens=recipe.max_tokens, precision=precision, threads=threads)
        if recipe.dense and model.output != _POOLED:
            raise ModelUnavailableError(
                f"{model_id!r} has a Dense layer, which its ONNX file lacks; take an export that gives "
                f"{_POOLED!r}"
            )
        try:
            return cls(model, recipe, model_id, dim=dim)
        except RUN_ERRORS as error:
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
        return self._encoder.embed(texts, prompt) if texts else np.zeros((0, self.dim), np.float32)


def open_text_embedder(reference: str) -> OnnxTextEmbedder:
    """Return the model ``DIR_OR_REPO[+fp32|+fp16|+int8|+q4][+dim=N]``, downloaded where it is missing."""
    rest, options = split_options(reference)
    plain, precision = split_precision(rest)
    found = find_text_model(plain, precision=precision or "auto")
    model_id = f"onnx:{found.name}{f'+{precision}' if precision else ''}{options}"
    options.check(plain, dims=read_recipe(found.path, name=model_id).dims)
    taken = precision or "auto"
    made = OnnxTextEmbedder.load(found.path, model_id=model_id, precision=taken, dim=options.dim)
    options.check_dim(plain, made.dim)
    return made


def find_text_model(reference: str, *, precision: str = "auto", local_files_only: bool = False) -> Source:
    """A folder of this machine, or the hub's copy of ``OWNER/NAME[@REVISION]``, named by its commit.

    Of a repository the configuration and the best ONNX file that it has are downloaded. Raises
    ``ModelUnavailableError``.
    """
    folder = Path(reference).expanduser()
    if folder.is_dir():  # a collection must find it again from any working folder
        return Source(folder, str(folder.absolute()))
    if not _REPO.fullmatch(reference):
        raise ModelUnavailableError(f"{reference!r} is neither a folder nor a hub repository OWNER/NAME")
    patterns = ["*.json", "1_Pooling/*.json"]
    return published_text_model(reference, patterns, precision=precision, local_files_only=local_files_only)


def published_text_model(
    repository: str, patterns: Sequence[str], *, precision: str = "auto", local_files_only: bool = False
) -> Source:
    """Return the hub's export ``OWNER/NAME[@REVISION]``, pinned: ``patterns`` and its best ONNX file."""
    names = list(_files(precision))
    found = download_one_of(repository, names, local_files_only=local_files_only)
    if found is None:
        raise ModelUnavailableError(
            f"{none_of(precision, repository)}; or name another repository, or a folder with an export"
        )
    taken = next(name for name in names if (found / name).is_file())
    name = f"{repository.partition('@')[0]}@{found.name}"  # the branch may move on meanwhile
    # Weights over 2 GB lie in a file of their own beside the model; torch's exporter leaves some in one more.
    folder = taken[: taken.rfind("/") + 1]
    wanted = [*patterns, f"{taken}_data", f"{taken}.data", f"{folder}*attr__value"]
    return Source(download(name, wanted, local_files_only=local_files_only), name)


def _files(precision: str) -> Iterator[str]:
    """Yield the names that an ONNX file may have, best first; ``_O2`` is fp32 as optimum rewrites it."""
    for kind, suffix in suffixes(precision):
        for end in (suffix, "_O2") if kind == "fp32" else (suffix,):
            yield from (f"onnx/model{end}.onnx", f"model{end}.onnx")


@dataclass(frozen=True, slots=True)
class TextModel:
    """A graph of texts, its tokenizer, and which of its outputs is taken."""

    session: Session
    inputs: Mapping[str, Any]
    tokenizer: Tokenizer
    output: str

    def run(
        self,
        ids: NDArray[np.int64],
        mask: NDArray[np.int64],
        media: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> Vectors:
        """The output for ``(n, tokens)`` ids, padded on the right, and which of them are real; ``media`` are
        features of what stands among the words."""
        known = {
            **media,
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
            "position_ids": np.maximum(mask.cumsum(axis=1) - 1, 0),
        }
        feed = {
            name: known[name].astype(NUMBERS.get(item.type, np.int64))
            if name in known
            else _nothing(item, len(ids))
            for name, item in self.inputs.items()
        }
        return np.asarray(self.session.run([self.output], feed)[0], np.float32)


_MEDIA = ("image", "video", "audio")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_EMPTY = re.compile(r"past_key_values\.\d+\.(key|value)|(image|video|audio)_features")
"""Inputs for which a text has nothing: what came before it, and media of a model that takes those too."""


def _nothing(item: Any, rows: int) -> NDArray[Any]:
    """An input of length 0: a cache ``(n, heads, 0, size)``, or features ``(0, size)``."""
    if item.name.startswith("past"):
        _, heads, _, size = item.shape
        return np.zeros((rows, heads, 0, size), NUMBERS[item.type])
    return np.zeros((0, item.shape[-1]), NUMBERS[item.type])


def open_text_model(folder: Path, *, max_tokens: int, precision: str = "auto", threads: int = 0) -> TextModel:
    """Return the best ONNX file in the folder or its ``onnx/``, opened. Raises ``ModelUnavailableError``."""
    path = next((folder / name for name in _files(precision) if (folder / name).is_file()), None)
    if path is None:
        if any(folder.rglob("*.onnx")):
            raise ModelUnavailableError(none_of(precision, str(folder)))
        raise ModelUnavailableError(
            f"{str(folder)!r} holds no ONNX text model (model.onnx, model_fp16.onnx ... in it or in onnx/)"
        )
    return open_graph(open_session(path, threads=threads), folder, name=path.name, max_tokens=max_tokens)


def open_graph(session: Session, folder: Path, *, name: str, max_tokens: int) -> TextModel:
    """Return the graph called ``name`` with the tokenizer of its folder. Raises ``ModelUnavailableError``."""
    words = folder / "tokenizer.json"
    if not words.is_file():
        raise ModelUnavailableError(f"{str(folder)!r} has no tokenizer.json; save it as a fast tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(words))
    except Exception as error:  # the library raises bare Exception
        raise ModelUnavailableError(f"cannot read {str(words)!r}: {str(error)[:200]}") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    opened: Any = session
    inputs = {item.name: item for item in opened.get_inputs()}
    if "input_ids" not in inputs:
        raise ModelUnavailableError(f"{name!r} takes {sorted(inputs)}: that is no text model")
    unknown = [each for each in inputs if each not in _INPUTS and not _EMPTY.fullmatch(each)]
    if unknown:
        raise ModelUnavailableError(f"{name!r} wants {unknown[0]!r}, which is not known of text models")
    outputs = [item.name for item in opened.get_outputs()]
    return TextModel(session, inputs, tokenizer, _POOLED if _POOLED in outputs else outputs[0])


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
    """Read the recipe from the files of ``folder``. Raises ``ModelUnavailableError`` for what is not
    understood.
    """
    config = _object(folder / "config.json")
    inner = config.get("text_config")
    inner = inner if isinstance(inner, dict) else config
    source = f"{name} {config.get('_name_or_path', '')} {config.get('model_type', '')}".lower()
    family = next((each for each in _FAMILIES if re.search(each.names, source)), _Family("", "mean"))
    modules = _json(folder / "modules.json")
    kinds = [str(item.get("type", "")).rsplit(".", 1)[-1] for item in modules] if modules else []
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize", "Dense"})
    if unknown:
        raise ModelUnavailableError(f"{name!r} has a {unknown[0]} layer, which its ONNX file lacks")
    bert = _object(folder / "sentence_bert_config.json")
    lengths = [bert.get("max_seq_length"), inner.get("max_position_embeddings"), _LONGEST]
    longest = min(int(length) for length in lengths if isinstance(length, int) and length > 0)
    query, passage = read_prompts(folder) or (family.query_prompt, family.passage_prompt)
    pad = inner.get("pad_token_id")
    return Recipe(
        pooling=_pooling(folder, name) or family.pooling,
        max_tokens=longest,
        query_prompt=query,
        passage_prompt=passage,
        pad_id=pad if isinstance(pad, int) and pad >= 0 else 0,
        media=frozenset(token for key in _MEDIA if isinstance(token := config.get(f"{key}_token_id"), int)),
        dims=family.dims,
        dense="Dense" in kinds or config.get("model_type") in _WITH_DENSE,
    )


def _pooling(folder: Path, name: str) -> Pooling | None:
    """Read ``1_Pooling``, in its older form (a flag each) or that of sentence-transformers 5.4 and later."""
    stated = _object(folder / "1_Pooling" / "config.json")
    if not stated:
        return None
    modes = stated.get("pooling_mode") or [key for key in _POOLINGS if stated.get(key)]
    chosen = [modes] if isinstance(modes, str) else modes
    if not (isinstance(chosen, list) and len(chosen) == 1 and chosen[0] in _POOLINGS):
        raise ModelUnavailableError(
            f"{name!r} pools by {chosen!r}; one of {', '.join(_POOLINGS.values())} is supported"
        )
    if stated.get("include_prompt") is False:
        raise ModelUnavailableError(f"{name!r} pools without its prompt, which is not supported")
    return _POOLINGS[chosen[0]]


def _object(path: Path) -> dict[str, Any]:
    found = _json(path)
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> Any:
    """The JSON in a small file; an empty object when there is no such file."""
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            return json.loads(file.read(_MAX_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailableError(f"cannot read {str(path)!r}: {error}") from error
