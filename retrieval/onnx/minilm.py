"""all-MiniLM-L6-v2 on ONNX Runtime: sentences into vectors of 384 numbers.

Recipe of the model card (sentence-transformers/all-MiniLM-L6-v2, Apache-2.0): lower-cased word pieces, at
most 256, mean of the last hidden states over the real tokens, length one. Weights are stored as int8 with a
scale per channel and computed in float32 (tools/export_mini.py), so that a text's vector does not depend on
the texts beside it.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer

from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import TextEmbedder
from askpix.retrieval.onnx.session import Session, open_session
from askpix.retrieval.weights import weight_file

DIM = 384
MAX_TOKENS = 256
# Longer texts are cut before they are split into word pieces, which takes seconds for a few megabytes.
_MAX_CHARACTERS = 40 * MAX_TOKENS
# Padded tokens of one run: enough to fill the matrix products, few enough to stay in the cache.
_BATCH_TOKENS = 1024


class MiniLM(TextEmbedder):
    """The text embedder that ships with Askpix. Thread-safe."""

    model_id = "all-MiniLM-L6-v2"
    dim = DIM

    def __init__(self, session: Session, tokenizer: Tokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, *, threads: int = 0) -> "MiniLM":
        """From the shipped weights. ``threads=0`` is one per core. Raises ``ModelUnavailableError``."""
        tokenizer = Tokenizer.from_file(str(weight_file("minilm.tokenizer.json")))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        return cls(open_session(weight_file("minilm.onnx"), threads=threads), tokenizer)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(len(texts), 384)``; an empty text has a vector too. Texts over 256 word pieces are cut."""
        vectors = np.empty((len(texts), DIM), np.float32)
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch([_clean(t) for t in texts])]
        for rows in _batches([len(ids) for ids in tokens]):
            width = len(tokens[rows[-1]])
            ids = np.zeros((len(rows), width), np.int64)
            mask = np.zeros((len(rows), width), np.int64)
            for row, index in enumerate(rows):
                length = len(tokens[index])
                ids[row, :length] = tokens[index]
                mask[row, :length] = 1
            (vectors[rows],) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return vectors


@cache
def shared_minilm() -> MiniLM:
    """Return the MiniLM of this process, loaded once for everyone."""
    return MiniLM.load()


def _clean(text: str) -> str:
    # File names that are not UTF-8 bring lone surrogates, which the tokenizer refuses.
    return text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts of like length together, shortest first, so that little is spent on padding."""
    rows: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if rows and (len(rows) + 1) * lengths[index] > _BATCH_TOKENS:
            yield rows
            rows = []
        rows.append(index)
    if rows:
        yield rows
