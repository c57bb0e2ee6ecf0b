"""all-MiniLM-L6-v2 on ONNX Runtime: sentences into vectors of 384 numbers.

Recipe of the model card (sentence-transformers/all-MiniLM-L6-v2, Apache-2.0): lower-cased word pieces, at
most 256, mean of the last hidden states over the real tokens, length one. Weights are int8 by dynamic
quantisation (tools/export_mini.py).
"""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from core.types import Vectors
from retrieval.onnx_session import Session, open_session
from retrieval.weights import weight_file

DIM = 384
MAX_TOKENS = 256
_BATCH = 32


class MiniLM:
    """A ``TextEmbedder``. Thread-safe."""

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
        encoded = self._tokenizer.encode_batch(list(texts))
        # Texts of like length share a batch, so that little is spent on padding.
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i].ids))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            width = len(encoded[rows[-1]].ids)
            ids = np.zeros((len(rows), width), np.int64)
            mask = np.zeros((len(rows), width), np.int64)
            for row, index in enumerate(rows):
                tokens = encoded[index].ids
                ids[row, : len(tokens)] = tokens
                mask[row, : len(tokens)] = 1
            (vectors[rows],) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return vectors
