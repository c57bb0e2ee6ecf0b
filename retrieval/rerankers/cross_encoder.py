"""Cross-encoders over the text of images: question and text read together by one model.

Two ways to run one: ONNX Runtime (exports of ms-marco-MiniLM, bge-reranker and the like; no torch) and the
sequence classification of transformers. The score of an image is that of its best window (MaxP, Dai and
Callan 2019), as the model's logit; an image without text gets none.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from askpix.core.errors import ModelUnavailableError
from askpix.core.pretrained import (
    from_pretrained,
    import_torch,
    load_model,
    model_type,
    pick_device,
    pick_dtype,
)
from askpix.retrieval.onnx.text_embedder import open_text_model
from askpix.retrieval.rerankers.base import Candidate
from askpix.retrieval.text.tokenize import content_words, tokens

_BATCH = 16
_LONGEST = 512
_QUERY_CHARACTERS = 600

Pairs = Sequence[tuple[str, str]]
Logits = NDArray[np.float32]


class CrossEncoder:
    """A ``Reranker`` of texts. ``score`` gives the ``(n,)`` logits of (question, text) pairs. Thread-safe."""

    def __init__(self, model_id: str, score: Callable[[Pairs], Logits]) -> None:
        self.model_id = model_id
        self._score = score

    def scores(self, query: str, candidates: Sequence[Candidate], /) -> list[float | None]:
        """The best window's logit of each; None for an image without text."""
        asked = _clean(query)[:_QUERY_CHARACTERS]
        pieces = [windows(_clean(candidate.record.text), asked) for candidate in candidates]
        pairs = [(asked, piece) for group in pieces for piece in group]
        # Texts of like length together: little is spent on padding.
        order = sorted(range(len(pairs)), key=lambda at: len(pairs[at][1]))
        logits = np.zeros(len(pairs), np.float32)
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            logits[part] = self._score([pairs[at] for at in part])
        found: Iterator[float] = iter(logits.tolist())
        best = [[next(found) for _ in group] for group in pieces]
        return [max(group) if group else None for group in best]


def onnx_cross_encoder(
    folder: Path, *, model_id: str, precision: str = "auto", threads: int = 0
) -> CrossEncoder:
    """Load from a folder with ``tokenizer.json`` and an ONNX file in it or in ``onnx/``.

    ``threads=0`` is one per core. Raises ``ModelUnavailableError``.
    """
    model = open_text_model(folder, max_tokens=_LONGEST, precision=precision, threads=threads)
    session = model.session
    names = model.inputs
    tokenizer = model.tokenizer
    pad = tokenizer.token_to_id("[PAD]") or tokenizer.token_to_id("<pad>") or 0
    lock = threading.Lock()

    def score(pairs: Pairs) -> Logits:
        with lock:
            encoded = tokenizer.encode_batch(list(pairs))
        width = max(len(each.ids) for each in encoded)
        feed = {
            "input_ids": np.full((len(pairs), width), pad, np.int64),
            "attention_mask": np.zeros((len(pairs), width), np.int64),
            "token_type_ids": np.zeros((len(pairs), width), np.int64),
        }
        for row, each in enumerate(encoded):
            feed["input_ids"][row, : len(each.ids)] = each.ids
            feed["attention_mask"][row, : len(each.ids)] = 1
            feed["token_type_ids"][row, : len(each.ids)] = each.type_ids
        (logits, *_) = session.run(None, {name: rows for name, rows in feed.items() if name in names})
        return _one_logit(np.asarray(logits, np.float32), model_id)

    return _checked(CrossEncoder(model_id, score), score)


def transformers_cross_encoder(
    reference: str, *, device: str = "auto", dtype: str = "auto", name: str | None = None
) -> CrossEncoder:
    """A sequence-classification model in a directory or hub repository; ``name`` is what to call it.

    Raises ``ModelUnavailableError``.
    """
    torch, transformers = import_torch("a cross-encoder")
    where = pick_device(torch, device)
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    precision = pick_dtype(torch, where, dtype, family=model_type(transformers, reference)[0])
    model = load_model(load, reference, device=where, dtype=precision)
    tokenizer = from_pretrained(transformers.AutoTokenizer.from_pretrained, reference)
    longest = min(_LONGEST, int(tokenizer.model_max_length))
    lock = threading.Lock()

    def score(pairs: Pairs) -> Logits:
        with lock, torch.inference_mode():
            inputs = tokenizer(
                [asked for asked, _ in pairs],
                [text for _, text in pairs],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(where)
            logits = model(**inputs).logits.float().cpu().numpy()
        return _one_logit(logits, name or reference)

    return _checked(CrossEncoder(f"transformers:{name or reference}", score), score)


def _one_logit(logits: Logits, name: str) -> Logits:
    """``(n,)`` from ``(n, 1)``, or from the ``(n, 2)`` of a yes/no classifier: how much more yes than no."""
    if logits.ndim == 2 and logits.shape[1] == 1:
        return logits[:, 0]
    if logits.ndim == 2 and logits.shape[1] == 2:
        return logits[:, 1] - logits[:, 0]
    raise ModelUnavailableError(f"{name!r} gives {logits.shape[1:]} numbers a pair; a reranker gives one")


def _checked(encoder: CrossEncoder, score: Callable[[Pairs], Logits]) -> CrossEncoder:
    """The encoder, once it has scored a pair: what is no reranker is told at once."""
    try:
        score([("a question", "a text")])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelUnavailableError(f"{encoder.model_id!r} cannot score pairs of texts: {reason}") from error
    return encoder


def _clean(text: str) -> str:
    """Half characters stop tokenizers."""
    return text.encode("utf-8", "replace").decode("utf-8")


WINDOW = 180
STRIDE = 150
"""Words: some 300 tokens with the question, inside the 512 that most cross-encoders read."""
MOST = 3
"""Windows of one text that are read: on a CPU each costs some 30 ms, and there are fifty hits."""
_CHARACTERS = 200_000
_WORD = 60


def windows(text: str, query: str) -> list[str]:
    """Overlapping pieces of ``text``, at most ``MOST``: those that hold most words of the query, in order.

    Empty for a text without words.
    """
    words = [word[:_WORD] for word in text[:_CHARACTERS].split()]
    if not words:
        return []
    pieces = [
        " ".join(words[start : start + WINDOW])
        for start in range(0, max(1, len(words) - (WINDOW - STRIDE)), STRIDE)
    ]
    if len(pieces) <= MOST:
        return pieces
    wanted = set(content_words(query) or tokens(query))
    held = [len(wanted & set(tokens(piece))) for piece in pieces]
    best = sorted(range(len(pieces)), key=lambda at: (-held[at], at))[:MOST]
    return [pieces[at] for at in sorted(best)]
