"""Vision-language models behind an API: OpenAI, Anthropic, Google, any OpenAI-compatible server, and Ollama.

``pydantic-ai`` speaks their protocols. Here is what is ours: evidence becomes numbered text and images of
the size that the budget chose, the stream becomes pieces, and what went wrong becomes one clear line.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

from pydantic_ai import direct
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelHTTPError,
    UserError,
)
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from askpix.core.errors import (
    AuthError,
    EmptyReplyError,
    GenerationError,
    LimitError,
    ModelUnavailableError,
    NoSightError,
)
from askpix.core.types import ImageRecord, Message, Sent, Usage
from askpix.generation.generators.async_stream import StreamBridge
from askpix.generation.generators.base import MAX_OUTPUT, Piece, VisionGenerator
from askpix.generation.generators.image_payload import ImageOf, render
from askpix.generation.generators.messages import Film, break_marks, build_turns
from askpix.generation.generators.thoughts import ThoughtFilter
from askpix.generation.prompting.budget import ModelLimits, Plan

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Model]]
"""A model with a client of its own for one request: nothing is left open between questions."""
_log = logging.getLogger(__name__)
PriceOf = Callable[[int, int], float | None]
"""US dollars for so many input and output tokens; None when nobody knows."""

_UNAUTHORISED = 401
_NO_ACCESS = 403
_NOT_FOUND = 404
_TOO_LARGE = 413
_TOO_MANY = 429
_NO_IMAGES = re.compile(
    r"(image|vision|multi-?modal|picture)[^.]{0,80}not (be )?(support|allow|enabl|accept)|mmproj"
    r"|not (a )?(support|vision|multi-?modal)[^.]{0,40}(image|vision|model)",
    re.IGNORECASE,
)
"""Pattern of errors of servers whose model takes text only, as llama.cpp, vLLM and Ollama word them."""
_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|(exceed|longer than|maximum)[^.]{0,60}context"
    r"|context (size|length|window)[^.]{0,40}exceed|prompt is too long",
    re.IGNORECASE,
)
"""Pattern of errors for a request over the context, by llama.cpp, OpenAI, vLLM, Ollama and Anthropic."""
_NO_MEMORY = re.compile(
    r"out of memory|(system|enough|insufficient) memory|unable to allocate", re.IGNORECASE
)
"""Pattern of Ollama's error for a model that, with its context, does not fit this machine."""
_SMALLER = 0.6
"""Share of the tokens that overflowed to try next: counts before a request are estimates."""
_KEPT = 200
"""Characters of a provider's own message that are passed on."""


class Host(Protocol):
    """A server that says how much it holds."""

    def window(self) -> int | None:
        """Return the tokens that it holds for the model, in and out; None where it does not say."""
        ...

    def forget(self) -> None:
        """Have it asked again."""
        ...

    def shrink(self) -> bool:
        """Make it hold less; False where that cannot be."""
        ...


class _OverflowError(Exception):
    def __init__(self, plan: Plan, *, of_memory: bool = False) -> None:
        super().__init__(f"{plan.tokens} tokens are too many")
        self.plan = plan
        self.of_memory = of_memory


@dataclass(frozen=True, slots=True)
class Waits:
    """Timeouts of a model, in seconds, and how often it is asked again after a passing error."""

    first_s: float = 120.0
    """Timeout for the first word: a local server may have to load the model."""
    total_s: float = 600.0
    retries: int = 3


class HostedGenerator(VisionGenerator):
    """A generator behind an API. Thread-safe; ``close`` an iterator early to stop the model."""

    def __init__(
        self,
        open_model: Opener,
        *,
        model_id: str,
        limits: ModelLimits,
        image_of: ImageOf,
        price_of: PriceOf,
        max_tokens: int,
        max_output: int = MAX_OUTPUT,
        sees: bool = True,
        thinks: bool = False,
        server: Host | None = None,
        waits: Waits = Waits(),
        marks: Sequence[str] = (),
        takes_schemas: bool = False,
    ) -> None:
        """See ``VisionGenerator``; ``price_of`` is asked for input and output tokens, ``server`` for its
        window; ``marks`` are what the server would read as more than text (``break_marks``);
        ``takes_schemas``: it holds its model to a schema."""
        super().__init__(
            model_id=model_id,
            limits=limits,
            image_of=image_of,
            max_tokens=max_tokens,
            max_output=max_output,
            sees=sees,
        )
        self.thinks = thinks
        self._server = server
        self._open_model = open_model
        self._price_of = price_of
        self._waits = waits
        self._marks = marks
        self._takes_schemas = takes_schemas
        self._schema: Mapping[str, Any] | None = None
        self._bridge: StreamBridge[Piece] = StreamBridge()

    @property
    def window(self) -> int | None:
        """See ``VisionGenerator``."""
        return None if self._server is None else self._server.window()

    def price(self, plan: Plan, /) -> float | None:
        """The most a request with this plan costs, in US dollars; None when the price is not known."""
        return self._price_of(plan.tokens, self.most_output)

    def held_to(self, schema: Mapping[str, Any], /) -> Self:
        """See ``Generator``; one that the server does not understand raises ``GenerationError`` when used."""
        if not self._takes_schemas:
            return self
        other = copy(self)
        other._schema = schema
        return other

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        """The answer as it is written; usage comes last.

        Raises ``GenerationError`` (it failed, or took too long), ``EmptyReplyError`` (no answer),
        ``AuthError`` (the key), ``LimitError`` (its limits, or ours), ``ModelUnavailableError`` (no such
        model or server).
        """
        try:
            yield from self._generate(messages, self.plan(messages))
        except _OverflowError as overflow:
            _log.info("the question overflows %r: it is asked once more, smaller", self.model_id)
            if self._server is not None and not overflow.of_memory:
                self._server.forget()
            plan = self.plan(messages, within=int(_SMALLER * overflow.plan.tokens))
            try:
                yield from self._generate(messages, plan)
            except _OverflowError as error:
                of = "the memory of the server that runs " if error.of_memory else ""
                raise LimitError(
                    f"the question is too large for {of}{self.model_id!r}; ask about fewer images (--top-k)"
                ) from error

    def _generate(self, messages: Sequence[Message], plan: Plan) -> Iterator[Piece]:
        request, plan = _request(messages, plan, self.image_of, self.limits, self._marks)
        _log.info("asking %r: about %d tokens, %d of images", self.model_id, plan.tokens, plan.image_tokens)
        settings = ModelSettings(
            max_tokens=self.most_output, timeout=self._waits.total_s, max_retries=self._waits.retries
        )
        if self.thinks:
            settings["thinking"] = "low"  # left out where the model's effort cannot be set
        if self._schema is not None:
            asked = {"type": "json_schema", "json_schema": {"name": "reply", "schema": self._schema}}
            settings["extra_body"] = {"response_format": asked}
        try:
            yield from self._bridge.iterate(lambda: self._stream(request, settings, plan))
        except TimeoutError as error:
            raise GenerationError(
                f"{self.model_id!r} took longer than {self._waits.first_s:g} s to begin or "
                f"{self._waits.total_s:g} s to end; ask again, or choose another --generator"
            ) from error
        except (AgentRunError, UserError) as error:
            raise _translated(error, self.model_id) from error

    async def _stream(
        self, request: list[ModelMessage], settings: ModelSettings, plan: Plan
    ) -> AsyncIterator[Piece]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        begun = False
        written = False
        thoughts = ThoughtFilter(inside=self.starts_in_thought)
        try:
            async with (
                asyncio.timeout(self._waits.first_s) as clock,
                self._open_model() as model,
                direct.model_request_stream(model, request, model_settings=settings) as stream,
            ):
                async for event in stream:
                    if not begun and isinstance(event, PartStartEvent):
                        begun = True  # thoughts are a beginning too
                        clock.reschedule(began + self._waits.total_s)
                    if text := thoughts.feed(_text_of(event)):
                        self._check_thoughts(thoughts)
                        written |= not text.isspace()
                        yield Piece(text)
                whole = stream.get()
                self._check_end(whole)
                self._check_thoughts(thoughts)
                self.thinks |= thoughts.thought or any(isinstance(part, ThinkingPart) for part in whole.parts)
                cut = whole.finish_reason == "length"
                rest = thoughts.close(whole=not cut)
                if not written and not rest.strip():
                    raise self._empty(settings["max_tokens"] if cut else None)
                if rest:
                    yield Piece(rest)
                usage = stream.usage
                counted = usage() if callable(usage) else usage
                made = sum(
                    len(part.content) for part in whole.parts if isinstance(part, TextPart | ThinkingPart)
                )
                yield Piece("", self._usage(counted, plan, made), cut=cut)
        except ModelHTTPError as error:
            if not written:
                self._check_fit(error, plan)
            raise

    def _check_fit(self, error: ModelHTTPError, plan: Plan) -> None:
        said = f"{error} {error.body}"
        if _OVERFLOW.search(said):
            raise _OverflowError(plan) from error
        if _NO_MEMORY.search(said) and self._server is not None and self._server.shrink():
            raise _OverflowError(plan, of_memory=True) from error

    def _check_thoughts(self, thoughts: ThoughtFilter) -> None:
        self.starts_in_thought |= thoughts.unopened
        if thoughts.spilled:
            raise GenerationError(
                f"{self.model_id!r} wrote its thoughts into the answer; ask again: their mark is known now"
            )

    def _empty(self, limit: int | None) -> EmptyReplyError:
        why = "ended its reply" if limit is None else f"used up the {limit} tokens it may write"
        return EmptyReplyError(
            f"{self.model_id!r} {why} before it wrote an answer; ask again, or choose another --generator"
        )

    def _check_end(self, whole: ModelResponse) -> None:
        """A stream that just stops is half an answer, whatever the client makes of it."""
        said = (whole.provider_details or {}).get("finish_reason")
        if said is None:
            raise GenerationError(f"the answer of {self.model_id!r} was cut off; ask again")
        if whole.finish_reason == "content_filter":
            raise GenerationError(f"{self.model_id!r} withheld its answer ({said})")

    def _usage(self, counted: RequestUsage, plan: Plan, written: int) -> Usage:
        given = counted.input_tokens or plan.tokens
        made = counted.output_tokens or -(-written // 4)
        return Usage(
            input_tokens=given,
            image_tokens=plan.image_tokens,
            output_tokens=made,
            cost_usd=self._price_of(given, made),
            estimated=not counted.input_tokens,
            sent=plan.sent,
        )


def _text_of(event: Any) -> str:
    """The words of the answer in an event; thoughts are not part of it."""
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _request(
    messages: Sequence[Message],
    plan: Plan,
    image_of: ImageOf,
    limits: ModelLimits,
    marks: Sequence[str],
) -> tuple[list[ModelMessage], Plan]:
    """Our messages as pydantic-ai's, and the plan as it was carried out (``build_turns``)."""

    def show(sent: Sent, record: ImageRecord) -> BinaryContent:
        data = render(sent, record, image_of, max_bytes=limits.bytes)
        detail = {"detail": limits.detail} if limits.detail else None
        return BinaryContent(data, media_type="image/jpeg", vendor_metadata=detail)

    turns, plan = build_turns(messages, plan, show)
    found: list[ModelMessage] = []
    for turn in turns:
        parts = [break_marks(part, marks) if isinstance(part, str) else part for part in turn.parts]
        texts = [part for part in parts if isinstance(part, str)]
        if turn.role == "assistant":
            found.append(ModelResponse(parts=[TextPart(text) for text in texts]))
        elif turn.role == "system":
            found.append(ModelRequest(parts=[SystemPromptPart(text) for text in texts]))
        else:
            content: list[UserContent] = [part for part in parts if not isinstance(part, Film)]
            found.append(ModelRequest(parts=[UserPromptPart(content)]))
    return found, plan


def _translated(error: Exception, model_id: str) -> Exception:
    """Translate what a provider or its client raised into one line."""
    said = " ".join(str(error).split())[:_KEPT]
    if isinstance(error, ModelHTTPError):
        code = error.status_code
        if code not in (_UNAUTHORISED, _NO_ACCESS, _TOO_MANY) and _NO_IMAGES.search(str(error.body)):
            return NoSightError(f"{model_id!r} takes no images: {said}")
        if code == _UNAUTHORISED:
            return AuthError(f"{model_id!r} does not accept the key; check its environment variable")
        if code == _NO_ACCESS:
            return AuthError(f"the key may not use {model_id!r}: {said}")
        if code == _NOT_FOUND:
            return ModelUnavailableError(f"there is no model {model_id!r} at its provider or server: {said}")
        if code == _TOO_MANY:
            return LimitError(f"{model_id!r} is over its rate limit or out of credit; wait, or take another")
        if code == _TOO_LARGE:
            return LimitError(f"the question is too large for {model_id!r}; ask about fewer images (--top-k)")
        return GenerationError(f"{model_id!r} failed with status {code}: {said}")
    if isinstance(error, ModelAPIError):
        return GenerationError(f"cannot reach {model_id!r}: {said}; is it running, and the address right?")
    return GenerationError(f"{model_id!r} failed: {said}")
