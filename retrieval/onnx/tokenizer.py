"""Texts into token ids as the tokenizer of an export makes them, and cleaned as its training did.

open_clip cleans before the tokenizer, as ``text_cfg.tokenizer_kwargs.clean`` says ("canonicalize" for SigLIP:
lower case, no punctuation; Zhai et al. 2023, big_vision's prompt_engineering.py). transformers does it in
Python inside SiglipTokenizer, which a ``tokenizer.json`` beside it may lack; SigLIP 2 is lower case only.
NLLB-CLIP reads its features off the token of a text's language (Visheratin 2023), which is put in here.
"""

import html
import re
import string
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.model_hub.languages import flores_code
from askpix.retrieval.onnx.export_layout import Layout
from askpix.retrieval.onnx.tower import Tower

Clean = Callable[[str], str]
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LANGUAGE = re.compile("[a-z]{3}_[A-Z][a-z]{3}")
"""A language as FLORES-200 and NLLB's vocabulary have it: eng_Latn."""
_LONGEST = 100_000
"""``model_max_length`` is a huge number where a tokenizer does not know it."""


class Words:
    """Tokenizer of the text tower. Thread-safe."""

    def __init__(self, layout: Layout, tower: Tower) -> None:
        path = layout.find("tokenizer.json", "textual/tokenizer.json", "onnx/tokenizer.json")
        if path is None:
            raise ModelUnavailableError(
                f"{str(layout.folder)!r} has no tokenizer.json; save it as a fast tokenizer"
            )
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelUnavailableError(f"cannot read {str(path)!r}: {str(error)[:200]}") from error
        about = layout.config("tokenizer_config.json", "textual/tokenizer_config.json")
        inside = layout.text_config()
        siglip = layout.is_siglip()
        lengths = [
            inside.get("max_position_embeddings"),
            inside.get("context_length"),
            about.get("model_max_length"),
        ]
        known = [n for n in lengths if isinstance(n, int) and 1 < n < _LONGEST]
        fixed = tower.length("input_ids") or tower.length(next(iter(tower.inputs)))
        # transformers' defaults where the files say nothing: 64 for SigLIP, 77 for CLIP.
        self._length = fixed or min(known or [64 if siglip else 77])
        self._unmasked = siglip  # it was trained on whole windows, padding and all
        self._full = bool(fixed) or siglip or "attention_mask" not in tower.inputs
        named = str(layout.model_config().get("model_type")).startswith("siglip")  # by transformers
        self._clean = cleaner(inside, about, siglip=siglip, lower=named or layout.is_siglip2())
        self._names = set(tower.inputs)
        pad = about.get("pad_token") or about.get("eos_token") or ""
        pad = pad.get("content", "") if isinstance(pad, dict) else pad
        token = self._tokenizer.token_to_id(pad) if isinstance(pad, str) and pad else None
        padding = self._tokenizer.padding or {}
        own = padding.get("pad_id")
        self._left = str(about.get("padding_side") or padding.get("direction")).lower() == "left"
        stated = inside.get("pad_token_id")
        self._pad = next((n for n in (token, own, stated) if isinstance(n, int) and n >= 0), 0)
        self._tokenizer.no_padding()
        frame = self._tokenizer.encode("").tokens
        # NLLB's tokenizers name a language, English, before or behind the text.
        self._language = next((at for at in (0, -1) if frame and _LANGUAGE.fullmatch(frame[at])), None)
        if self._language is None and "nllb" in f"{about.get('tokenizer_class')} {layout.title()}".lower():
            raise ModelUnavailableError(
                f"{str(path)!r} puts no language before a text, and NLLB would take all for English; save it "
                "again with transformers 5, or run the model as open_clip:"
            )
        self._tokenizer.enable_truncation(self._length)
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        """``{"input_ids", "attention_mask"}``, ``(n, length)`` each."""
        clean = [text[: 40 * self._length].encode("utf-8", "replace").decode("utf-8") for text in texts]
        with self._lock:
            tokens = [
                each.ids for each in self._tokenizer.encode_batch([self._clean(text) for text in clean])
            ]
        if self._language is not None:
            for own, text in zip(tokens, clean, strict=True):
                spoken = self._tokenizer.token_to_id(flores_code(text))
                own[self._language] = own[self._language] if spoken is None else spoken
        width = self._length if self._full else max(1, *map(len, tokens))
        ids = np.full((len(tokens), width), self._pad, np.int64)
        mask = np.zeros((len(tokens), width), np.int64)
        for row, own in enumerate(tokens):
            place = slice(width - len(own), width) if self._left else slice(0, len(own))
            ids[row, place] = own
            mask[row, slice(None) if self._unmasked else place] = 1
        feed = {"input_ids": ids, "attention_mask": mask}
        wanted = {name: rows for name, rows in feed.items() if name in self._names}
        return wanted or {"input_ids": ids}


def cleaner(inside: Mapping[str, Any], about: Mapping[str, Any], *, siglip: bool, lower: bool) -> Clean:
    """Return the cleaning of a text before its tokenizer, from the text part of a model's configuration
    (``inside``) and its tokenizer's (``about``).
    """
    options = inside.get("tokenizer_kwargs") or {}
    stated = options.get("clean") if isinstance(options, Mapping) else None
    if stated == "canonicalize":
        return canonical
    if stated == "lower":
        return lambda text: _basic(text).lower()
    if stated == "whitespace":
        return _basic
    if siglip and about.get("tokenizer_class") in ("SiglipTokenizer", "SiglipTokenizerFast"):
        # As the library's Python tokenizer: an underscore goes like the other signs.
        return lambda text: " ".join(text.lower().translate(_NO_PUNCTUATION).split())
    gemma = siglip and str(about.get("tokenizer_class", "")).startswith(("Gemma", "Siglip2"))
    if lower or gemma or about.get("do_lower_case"):
        return str.lower
    return lambda text: text


def canonical(text: str) -> str:
    """Lower case, without punctuation, spaces squeezed; "_" is a space (open_clip's "canonicalize")."""
    return " ".join(_basic(text).replace("_", " ").translate(_NO_PUNCTUATION).lower().split())


def _basic(text: str) -> str:
    return " ".join(html.unescape(html.unescape(text)).split())
