"""Turns as a vision-language model of transformers reads them: by its processor's chat template, or by the
words that the few families without one were trained with.

A model's own marks in the words of images and people are broken up before they reach the tokenizer.
"""

from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from askpix.core.errors import ModelUnavailableError
from askpix.generation.generators.messages import Film, Turn, break_marks

Turns: TypeAlias = Sequence[Turn[Image.Image]]

_ROLE_WORDS = ("llava", "llava_next", "llava_next_video", "vipllava", "video_llava")
"""Trained on "USER: ... ASSISTANT:" (Liu et al. 2023, LLaVA-1.5)."""
ANSWERS_ALONE = ("paligemma",)
"""Trained to answer "answer en QUESTION" about one image with a word or two (Beyer et al. 2024): they know
no evidence, no rules and no citations."""
_FILMS = ("llava_next_video",)
"""Trained on the frames of a video as one input."""
_MARK_NAMES = ("image_token", "video_token", "audio_token", "boi_token", "eoi_token", "fake_image_token")
_SHORTEST_MARK = 3
_MAX_ASPECT = 100
"""Qwen's processors refuse shapes over 200 : 1; nobody sees anything in them."""


class VlmPrompt:
    """Makes the input tensors of one model's processor."""

    def __init__(self, processor: Any, *, model_type: str, reference: str) -> None:
        """Raises ``ModelUnavailableError`` when nobody knows how this model wants to be asked."""
        self._processor = processor
        self._type = model_type
        self.answers_alone = model_type in ANSWERS_ALONE
        self.takes_films = model_type in _FILMS and hasattr(processor, "video_token")
        tokenizer = getattr(processor, "tokenizer", processor)
        self._tokenizer = tokenizer
        # What is written goes on from the end: in a batch the shorter ones are filled up before their begin.
        tokenizer.padding_side = "left"
        self._chat = self._template() is not None
        if not (self._chat or self.answers_alone or model_type in _ROLE_WORDS):
            raise ModelUnavailableError(
                f"{reference!r} has no chat template: it cannot be asked a question; name a model that was "
                "trained on instructions"
            )
        self._eos = str(tokenizer.eos_token or "")
        self._marks = _marks(processor, tokenizer)

    def inputs(self, turns: Turns) -> Any:
        """The processor's tensors for these turns, images in their order."""
        clean = [Turn(turn.role, tuple(self._clean(part) for part in turn.parts)) for turn in turns]
        if self.answers_alone:
            return self._called(self._bare_question(clean), clean)
        if not self._chat:
            return self._called(self._with_role_words(clean), clean)
        try:
            return self._templated(clean)
        except import_module("jinja2").TemplateError:
            # Some templates refuse a turn of the system: the user says it then.
            return self._templated(_folded(clean))

    def batch(self, questions: Sequence[Turns]) -> Any:
        """The processor's tensors for several questions at once, padded on the left."""
        cleaned = [
            [Turn(turn.role, tuple(self._clean(part) for part in turn.parts)) for turn in turns]
            for turns in questions
        ]
        if self.answers_alone:
            return self._called_batch([self._bare_question(turns) for turns in cleaned], cleaned)
        if not self._chat:
            return self._called_batch([self._with_role_words(turns) for turns in cleaned], cleaned)
        try:
            return self._templated_batch(cleaned)
        except import_module("jinja2").TemplateError:
            return self._templated_batch([_folded(turns) for turns in cleaned])

    def _templated_batch(self, questions: Sequence[Turns]) -> Any:
        messages = [[{"role": turn.role, "content": _content(turn)} for turn in turns] for turns in questions]
        return self._processor.apply_chat_template(
            messages,
            chat_template=self._template(),
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
            enable_thinking=False,
        )

    def _called_batch(self, texts: Sequence[str], questions: Sequence[Turns]) -> Any:
        pictures = [
            [part for turn in turns for part in turn.parts if not isinstance(part, str | Film)]
            for turns in questions
        ]
        made = self._processor(text=list(texts), images=pictures if any(pictures) else None, padding=True)
        made.pop("labels", None)
        return made.convert_to_tensors("pt")

    def _clean(self, part: str | Image.Image | Film[Image.Image]) -> str | Image.Image | Film[Image.Image]:
        if isinstance(part, Film):
            return Film(tuple(_shown(frame) for frame in part.frames))
        return self._plain(part) if isinstance(part, str) else _shown(part)

    def _template(self) -> Any:
        """The processor's, else its tokenizer's, where some families keep it."""
        owners = (self._processor, self._tokenizer)
        return next((own.chat_template for own in owners if getattr(own, "chat_template", None)), None)

    def _templated(self, turns: Turns) -> Any:
        messages = [{"role": turn.role, "content": _content(turn)} for turn in turns]
        if any(isinstance(part, Film) for turn in turns for part in turn.parts):
            text = self._processor.apply_chat_template(
                messages,
                chat_template=self._template(),
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
            return self._called(str(text), turns)
        return self._processor.apply_chat_template(
            messages,
            chat_template=self._template(),
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            enable_thinking=False,
        )

    def _called(self, text: str, turns: Turns) -> Any:
        parts = [part for turn in turns for part in turn.parts]
        pictures = [part for part in parts if not isinstance(part, str | Film)]
        films = [_stacked(part.frames) for part in parts if isinstance(part, Film)]
        more: dict[str, Any] = {"videos": films, "do_sample_frames": False} if films else {}
        bos = str(self._tokenizer.bos_token or "")
        if films and bos and text.startswith(bos):
            more["add_special_tokens"] = False  # the template has said it
        # Tensors at the end: PaliGemma's processor makes labels for training beside, of arrays.
        made = self._processor(text=[text], images=pictures or None, **more)
        made.pop("labels", None)
        return made.convert_to_tensors("pt")

    def _with_role_words(self, turns: Turns) -> str:
        """``SYSTEM USER: <image>\\nTEXT ASSISTANT:``, as LLaVA-1.5 was trained."""
        said = []
        for turn in turns:
            parts = [p if isinstance(p, str) else self._mark(p) for p in turn.parts]
            text = "\n".join(parts)
            said.append({"system": text, "user": f"USER: {text}"}.get(turn.role) or self._answered(text))
        return " ".join([*said, "ASSISTANT:"])

    def _mark(self, part: Image.Image | Film[Image.Image]) -> str:
        processor = self._processor
        return str(processor.video_token if isinstance(part, Film) else processor.image_token)

    def _answered(self, text: str) -> str:
        return f"ASSISTANT: {text}{self._eos}"

    def _bare_question(self, turns: Turns) -> str:
        last = turns[-1].parts
        marks = "".join(self._processor.image_token for part in last if not isinstance(part, str))
        return f"{marks}answer en {last[-1]}"

    def _plain(self, text: str) -> str:
        return break_marks(text.encode("utf-8", "replace").decode(), self._marks)


def _marks(processor: Any, tokenizer: Any) -> list[str]:
    """Return the marks that the tokenizer or the processor treats as more than text, longest first."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    marks = {str(token.content) for token in added if token.special} | set(tokenizer.all_special_tokens)
    for owner in (processor, tokenizer):
        marks |= {str(getattr(owner, name)) for name in _MARK_NAMES if getattr(owner, name, None)}
    return sorted((mark for mark in marks if len(mark) >= _SHORTEST_MARK), key=len, reverse=True)


def _content(turn: Turn[Image.Image]) -> list[dict[str, Any]]:
    """Texts and images as templates take them; a line's end between them, as they add none."""
    content: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, Film):
            content.append({"type": "video"})
        elif not isinstance(part, str):
            content.append({"type": "image", "image": part})
        elif content and content[-1]["type"] == "text":
            content[-1]["text"] += f"\n\n{part}"
        else:
            content.append({"type": "text", "text": f"\n{part}" if content else part})
    for before, after in pairwise(content):
        if after["type"] != "text" and before["type"] == "text":
            before["text"] += "\n"
    return content


def _folded(turns: Turns) -> list[Turn[Image.Image]]:
    """Fold the system turn into the head of the user's first turn."""
    rules = tuple(part for turn in turns if turn.role == "system" for part in turn.parts)
    rest = [turn for turn in turns if turn.role != "system"]
    return [Turn(rest[0].role, (*rules, *rest[0].parts)), *rest[1:]]


def _shown(image: Image.Image) -> Image.Image:
    """RGB, and no thinner than processors accept."""
    least = max(1, max(image.size) // _MAX_ASPECT)
    size = (max(image.width, least), max(image.height, least))
    return (image if size == image.size else image.resize(size)).convert("RGB")


def _stacked(frames: Sequence[Image.Image]) -> Any:
    """``(n, height, width, 3)`` of one size: that of the first frame."""
    size = frames[0].size
    same = [frame if frame.size == size else frame.resize(size) for frame in frames]
    return np.stack([np.asarray(frame) for frame in same])
