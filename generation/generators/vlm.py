"""A vision-language model of transformers in this process: loaded safely, then asked, one question at a time.

It generates in a thread of its own and its words come as they are made (``TextIteratorStreamer``). Whoever
stops reading stops it before its next token.
"""

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from askpix.core.errors import AskpixError, GenerationError, LimitError, ModelUnavailableError
from askpix.core.pretrained import (
    from_pretrained,
    import_torch,
    load_model,
    model_type,
    pick_device,
    pick_dtype,
)
from askpix.generation.generators.chat_templates import Turns, VlmPrompt

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8", "int4"]

_TURN_S = 0.05
"""Seconds between two checks of a waiting question for its cancellation."""
_LET_GO_S = 10.0
_KEPT = 200
_THOUGHT = "<think>"
_TAIL = 8
"""Mark that opens a thought at the end of a prompt, and the tokens there that are searched."""
_DEFAULT_SOFT_TOKENS = 280
_SOFT_TOKENS = 1120
"""Tokens of an image in Gemma 4: its default, and the most, which its card names for documents."""
_FOREIGN = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, ImportError)
"""Exceptions that processors and models raise over inputs they cannot take."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens that really went in and came out; ``images`` are those that stand for images."""

    given: int
    images: int
    made: int
    cut: bool = False
    """True if the text ended at its limit."""


@dataclass(slots=True)
class _Outcome:
    counted: Counted | None = None
    error: BaseException | None = None
    too_late: bool = False


class Vlm:
    """A loaded model. Thread-safe: a second question waits until the first is answered or cancelled."""

    def __init__(self, torch: Any, transformers: Any, model: Any, processor: Any, *, reference: str) -> None:
        self._torch = torch
        self._transformers = transformers
        self._model = model
        self._processor = processor
        self.reference = reference
        self.model_type = str(model.config.model_type)
        self._name = f"'transformers:{reference}'"
        self._prompt = VlmPrompt(processor, model_type=self.model_type, reference=reference)
        self._tokenizer = getattr(processor, "tokenizer", processor)
        text = model.config.get_text_config()
        self.context: int | None = getattr(text, "max_position_embeddings", None)
        """Tokens it was built for, in and out."""
        self._image_ids = _image_ids(model.config, processor)
        self.soft_tokens = _set_soft_tokens(processor)
        """Tokens of an image at most, where that is for the caller to choose (Gemma 4)."""
        self._lock = threading.Lock()
        _settle(model.generation_config, self._tokenizer)

    @classmethod
    def load(
        cls, reference: str, *, device: str = "auto", precision: Precision = "auto", name: str | None = None
    ) -> "Vlm":
        """The model in a directory or hub repository ``OWNER/NAME[@REVISION]``; ``name`` is what to call it.

        Raises ``ModelUnavailableError``: an extra is missing, it is not there or not whole, it sees no
        images, or it would have to run code of its own.
        """
        torch, transformers = import_torch(f"transformers:{reference}")
        where = pick_device(torch, device)
        kind, _ = model_type(transformers, reference)
        load = _loader(transformers, kind, reference).from_pretrained
        dtype = pick_dtype(torch, where, "auto" if precision in ("int8", "int4") else precision)
        processor = from_pretrained(transformers.AutoProcessor.from_pretrained, reference)
        if getattr(processor, "image_processor", None) is None:
            raise ModelUnavailableError(f"{reference!r} has no image processor: it takes no images")
        packed = _packed(transformers, precision, dtype)
        try:
            model = load_model(load, reference, device=where, dtype=dtype, packed=packed)
        except (RuntimeError, MemoryError) as error:
            if not _is_full(error):
                raise
            raise ModelUnavailableError(
                f"the memory of {where!r} does not hold {reference!r}; take a smaller model, or set "
                "ASKPIX_GENERATOR_PRECISION to int8 or int4"
            ) from error
        return cls(torch, transformers, model, processor, reference=name or reference)

    @property
    def answers_alone(self) -> bool:
        """True if it can only be asked a bare question about one image (PaliGemma)."""
        return self._prompt.answers_alone

    @property
    def takes_films(self) -> bool:
        """True if it takes the frames of a video as one (LLaVA-NeXT-Video)."""
        return self._prompt.takes_films

    @property
    def model(self) -> Any:
        """The model itself, to be looked at."""
        return self._model

    def write(
        self, turns: Turns, *, max_tokens: int, timeout_s: float, min_tokens: int = 0
    ) -> Generator[str | Counted, None, None]:
        """Yield the answer as it is generated, greedily, with at most ``max_tokens`` (and ``min_tokens``, to
        measure); the counts come last.

        Raises ``LimitError`` (longer than its context, or than the memory), ``GenerationError`` (it failed,
        or took longer than ``timeout_s`` seconds from its turn on).
        """
        streamer = self._transformers.TextIteratorStreamer(
            self._tokenizer, skip_prompt=True, skip_special_tokens=True
        )
        stop = threading.Event()
        outcome = _Outcome()
        work = threading.Thread(
            target=self._work,
            args=(turns, streamer, stop, outcome),
            kwargs={"max_tokens": max_tokens, "timeout_s": timeout_s, "min_tokens": min_tokens},
            name="vlm",
            daemon=True,
        )
        work.start()
        try:
            for text in streamer:
                if text:
                    yield text
            work.join()
        finally:
            stop.set()
            work.join(_LET_GO_S)
        if outcome.error is not None:
            raise self._translated(outcome.error) from outcome.error
        if outcome.too_late:
            raise GenerationError(
                f"{self._name} took longer than {timeout_s:g} s; ask about fewer images "
                "(--top-k), or take a smaller model"
            )
        assert outcome.counted is not None
        yield outcome.counted

    def write_all(self, questions: Sequence[Turns], *, max_tokens: int, timeout_s: float) -> list[str]:
        """Answers to several questions, made at once: for many short ones, such as captions.

        Greedy, as ``write``; the same words where arithmetic in batches rounds the same. When the memory does
        not hold them together they are made half by half. Raises as ``write``.
        """
        torch = self._torch
        until = time.monotonic() + timeout_s

        def ends(ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((ids.shape[0],), time.monotonic() > until, device=ids.device)

        try:
            with self._lock, torch.inference_mode():
                inputs = self._prompt.batch(questions).to(self._model.device, dtype=self._model.dtype)
                given = int(inputs["input_ids"].shape[1])
                if self.context is not None and given >= self.context:
                    raise LimitError(f"a question takes {given} tokens and {self._name} holds {self.context}")
                made = self._model.generate(
                    **inputs,
                    max_new_tokens=max_tokens
                    if self.context is None
                    else min(max_tokens, self.context - given),
                    do_sample=False,
                    stopping_criteria=self._transformers.StoppingCriteriaList([ends]),
                )
        except (*_FOREIGN, AskpixError, MemoryError) as error:
            if _is_full(error) and len(questions) > 1:
                half = len(questions) // 2
                left = [questions[:half], questions[half:]]
                return [
                    text
                    for part in left
                    for text in self.write_all(part, max_tokens=max_tokens, timeout_s=timeout_s)
                ]
            raise self._translated(error) from error
        if time.monotonic() > until:
            raise GenerationError(f"{self._name} took longer than {timeout_s:g} s; take fewer at once")
        texts = self._tokenizer.batch_decode(made[:, given:], skip_special_tokens=True)
        head = _THOUGHT if self._opens_thought(inputs["input_ids"][0]) else ""
        return [head + str(text) for text in texts]

    def _work(
        self,
        turns: Turns,
        streamer: Any,
        stop: threading.Event,
        outcome: _Outcome,
        *,
        max_tokens: int,
        timeout_s: float,
        min_tokens: int,
    ) -> None:
        try:
            while not self._lock.acquire(timeout=_TURN_S):
                if stop.is_set():
                    return
            try:
                self._generate(
                    turns,
                    streamer,
                    stop,
                    outcome,
                    max_tokens=max_tokens,
                    timeout_s=timeout_s,
                    min_tokens=min_tokens,
                )
            finally:
                self._lock.release()
        except BaseException as error:  # noqa: BLE001 - raised again on the reader's side
            outcome.error = error
        finally:
            streamer.on_finalized_text("", stream_end=True)

    def _generate(
        self,
        turns: Turns,
        streamer: Any,
        stop: threading.Event,
        outcome: _Outcome,
        *,
        max_tokens: int,
        timeout_s: float,
        min_tokens: int,
    ) -> None:
        torch = self._torch
        until = time.monotonic() + timeout_s

        def ends(ids: Any, scores: Any, **_: Any) -> Any:
            outcome.too_late = time.monotonic() > until
            return torch.full((ids.shape[0],), stop.is_set() or outcome.too_late, device=ids.device)

        inputs = self._prompt.inputs(turns).to(self._model.device, dtype=self._model.dtype)
        ids = inputs["input_ids"]
        given = int(ids.shape[1])
        if self._opens_thought(ids[0]):
            streamer.on_finalized_text(_THOUGHT)  # its reply only closes it
        room = max_tokens if self.context is None else min(max_tokens, self.context - given)
        if room < 1:
            raise LimitError(
                f"the question takes {given} tokens and {self._name} holds {self.context}; "
                "ask about fewer images (--top-k)"
            )
        with torch.inference_mode():
            made = self._model.generate(
                **inputs,
                streamer=streamer,
                max_new_tokens=room,
                min_new_tokens=min(min_tokens, room) or None,
                do_sample=False,
                stopping_criteria=self._transformers.StoppingCriteriaList([ends]),
            )
        images = sum(int((ids == number).sum()) for number in self._image_ids)
        length = int(made.shape[1]) - given
        end = self._model.generation_config.eos_token_id
        ends_with = {end} if isinstance(end, int) else set(end or ())
        outcome.counted = Counted(given, images, length, length >= room and int(made[0, -1]) not in ends_with)

    def _opens_thought(self, prompt: Any) -> bool:
        """Return whether a prompt ends within a thought, like those of models that always think."""
        return str(self._tokenizer.decode(prompt[-_TAIL:])).rstrip().endswith(_THOUGHT)

    def _translated(self, error: BaseException) -> BaseException:
        if isinstance(error, AskpixError):
            return error
        said = " ".join(str(error).split())[:_KEPT] or type(error).__name__
        if _is_full(error):
            return LimitError(
                f"the memory of {str(self._model.device)!r} does not hold this question for "
                f"{self._name}; ask about fewer images (--top-k), or take a smaller model"
            )
        if isinstance(error, _FOREIGN):
            return GenerationError(f"{self._name} failed: {said}")
        return error


def _is_full(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def _loader(transformers: Any, kind: str, reference: str) -> Any:
    """The class that loads this kind of model. Raises ``ModelUnavailableError`` for one without sight."""
    auto = transformers.models.auto.modeling_auto
    if kind in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return transformers.AutoModelForImageTextToText
    # Models of images and sound have a class of their own since transformers 5.
    if kind in getattr(auto, "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES", {}):
        return transformers.AutoModelForMultimodalLM
    raise ModelUnavailableError(
        f"{reference!r} is a {kind!r}, which does not write about images; name a vision-language model"
    )


def _packed(transformers: Any, precision: str, dtype: Any) -> Any:
    """Return the quantization of weights to 8 or 4 bits as they are loaded; None for none."""
    if precision not in ("int8", "int4"):
        return None
    if not transformers.utils.is_bitsandbytes_available() or not transformers.utils.is_accelerate_available():
        raise ModelUnavailableError(
            f"precision {precision!r} needs an extra: pip install 'askpix[quantized]'"
        )
    if precision == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def _image_ids(config: Any, processor: Any) -> set[int]:
    """The tokens in whose place an image's features stand."""
    holders = (config, getattr(config, "vision_config", None))
    names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
    found = {getattr(holder, name, None) for holder in holders for name in names}
    return {int(each) for each in found if each is not None} or {int(processor.image_token_id)}


def _set_soft_tokens(processor: Any) -> int | None:
    """Have images seen as large as the model can unless its files say otherwise; None without that choice."""
    images: Any = getattr(processor, "image_processor", None)
    chosen = getattr(images, "max_soft_tokens", None)
    if chosen == _DEFAULT_SOFT_TOKENS:
        chosen = images.max_soft_tokens = _SOFT_TOKENS
    return chosen if isinstance(chosen, int) else None


def _settle(options: Any, tokenizer: Any) -> None:
    """Greedy, whatever the checkpoint's own options are; they warn about each other otherwise."""
    options.do_sample = False
    options.temperature = options.top_p = options.top_k = None
    if options.eos_token_id is None:
        options.eos_token_id = tokenizer.eos_token_id
    if options.pad_token_id is None:
        end = options.eos_token_id
        options.pad_token_id = tokenizer.pad_token_id or (end[0] if isinstance(end, list) else end)
