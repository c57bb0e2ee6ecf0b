"""Texts of concurrent queries, encoded together: whoever comes while a batch runs is in the next one.

Nobody waits for a batch to fill: alone, a query is encoded at once; under load batches grow by themselves.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from askpix.core.types import Vectors

_MOST = 64
_REMEMBERED = 512
"""Single texts whose vectors are kept: one query asks for the same text once a leg."""


class _Waiting:
    """A call of one thread."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        self.vectors: Vectors | None = None
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.vectors is not None or self.error is not None


class BatchedTexts:
    """Any embedder with ``embed_texts`` in batches; the rest is the embedder's own."""

    def __init__(self, inner: Any, *, most: int = _MOST) -> None:
        self._inner, self._most = inner, most
        self._waiting: list[_Waiting] = []
        self._recent: OrderedDict[str, Vectors] = OrderedDict()
        self._list = threading.Lock()
        self._turn = threading.Lock()
        self.batches = self.encoded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """As the embedder does it: ``(len(texts), dim)``."""
        if len(texts) != 1:
            vectors: Vectors = self._inner.embed_texts(texts)
            return vectors
        with self._list:
            known = self._recent.get(texts[0])
            if known is not None:
                self._recent.move_to_end(texts[0])
                return known.copy()
            mine = _Waiting(texts)
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                # Those that came first are in front: with more than one batch's worth, ours may be later.
                while not mine.done:
                    self._encode_next()
        if mine.error is not None:
            raise mine.error
        assert mine.vectors is not None
        return mine.vectors

    def _encode_next(self) -> None:
        with self._list:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        texts = [call.texts[0] for call in batch]
        unique = list(dict.fromkeys(texts))
        try:
            rows = self._inner.embed_texts(unique)
        except Exception as error:  # noqa: BLE001 - each caller gets it raised in its own thread
            for call in batch:
                call.error = error
            return
        by_text = dict(zip(unique, rows, strict=True))
        self.batches += 1
        self.encoded += len(unique)
        for call in batch:
            call.vectors = np.array(by_text[call.texts[0]][None], np.float32)
        with self._list:
            for text, row in by_text.items():
                self._recent[text] = np.array(row[None], np.float32)
            while len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
