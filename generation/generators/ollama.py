"""Ollama by its own API: with the context that a question needs, and refusing what does not fit in it.

Its OpenAI endpoint takes no length of context. It runs a model with a default, of 4,096 tokens where there is
no large graphics card, and drops from the front what is longer: the best hits, without a word.
"""

import json
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    SystemPromptPart,
    TextPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from askpix.core.errors import GenerationError

_MAX_LINE = 1 << 20
_IMAGE_MARK = re.compile(r"\[(?=img)", re.IGNORECASE)
"""``[img-0]`` is where Ollama puts an image into a prompt: no text may say so."""


class OllamaModel(Model):
    """A model of an Ollama server; it is only ever asked for a stream.

    ``context`` is its length of context (None: the server's business), ``think`` what goes into the request's
    field of this name (None: nothing, it cannot think).
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        client: httpx2.AsyncClient,
        key: str | None,
        context: int | None,
        think: bool | str | None,
    ) -> None:
        super().__init__()
        self._name = name
        self._url = url
        self._client = client
        self._context = context
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._think = {} if think is None else {"think": think}

    @property
    def model_name(self) -> str:
        """Name and tag of the model."""
        return self._name

    @property
    def system(self) -> str:
        """The name of the back end."""
        return "ollama"

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open the stream of a reply. Raises ``ModelHTTPError`` and ``ModelAPIError``."""
        settings = model_settings or {}
        timeout: Any = settings.get("timeout")
        options = {"num_predict": settings.get("max_tokens"), "num_ctx": self._context}
        body = {
            "model": self._name,
            "messages": _messages(messages),
            "stream": True,
            "truncate": False,  # refused with status 400 instead, from 0.12.6 on
            "shift": False,
            "options": {name: value for name, value in options.items() if value},
            **self._think,
        }
        try:
            async with self._client.stream(
                "POST",
                f"{self._url}/api/chat",
                json=body,
                headers=self._headers,
                timeout=timeout,
            ) as reply:
                if reply.status_code != httpx2.codes.OK:
                    said = await anext(_lines(reply), "")
                    raise ModelHTTPError(reply.status_code, self._name, _error_of(said))
                yield _Stream(
                    model_request_parameters,
                    reply=reply,
                    name=self._name,
                    url=self._url,
                    context=self._context,
                )
        except httpx2.HTTPError as error:
            raise ModelAPIError(self._name, str(error) or type(error).__name__) from error

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return a whole reply."""
        async with self.request_stream(messages, model_settings, model_request_parameters) as stream:
            async for _ in stream:
                pass
            return stream.get()


@dataclass
class _Stream(StreamedResponse):
    """A reply as it is written: a line of JSON for each bit of it, the last with the counts."""

    reply: httpx2.Response = field(kw_only=True)
    name: str = field(kw_only=True)
    url: str = field(kw_only=True)
    context: int | None = field(kw_only=True)
    began: datetime = field(default_factory=lambda: datetime.now(UTC), kw_only=True)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        async for line in _lines(self.reply):
            row = _object(line)
            if row.get("error"):
                raise ModelHTTPError(httpx2.codes.INTERNAL_SERVER_ERROR, self.name, row["error"])
            said = row.get("message")
            said = said if isinstance(said, dict) else {}
            if thought := said.get("thinking"):
                for event in self._parts_manager.handle_thinking_delta(
                    vendor_part_id="thinking", content=str(thought)
                ):
                    yield event
            if text := said.get("content"):
                for event in self._parts_manager.handle_text_delta(
                    vendor_part_id="content", content=str(text)
                ):
                    yield event
            if row.get("done") is True:
                self._finish(row)
                return

    def _finish(self, row: Mapping[str, Any]) -> None:
        given = row.get("prompt_eval_count")
        made = row.get("eval_count")
        given = given if isinstance(given, int) else 0
        made = made if isinstance(made, int) else 0
        if self.context is not None and given >= self.context:
            raise GenerationError(
                f"this Ollama left out a part of the question to fit {self.context} tokens; update Ollama"
            )
        self._usage = RequestUsage(input_tokens=given, output_tokens=made)
        why = row.get("done_reason", "stop")  # servers before 0.3 give none
        self.provider_details = {"finish_reason": why or None}
        self.finish_reason = "length" if why == "length" else "stop"

    async def close_stream(self) -> None:
        """Let go of the connection; the server stops writing then."""
        await self.reply.aclose()

    @property
    def model_name(self) -> str:
        """The model's name and tag."""
        return self.name

    @property
    def provider_name(self) -> str:
        """The name of the back end."""
        return "ollama"

    @property
    def provider_url(self) -> str:
        """The address of the server."""
        return self.url

    @property
    def timestamp(self) -> datetime:
        """Moment at which the reply was asked for."""
        return self.began


async def _lines(reply: httpx2.Response) -> AsyncGenerator[str]:
    """Yield the lines of a reply. Raises ``GenerationError`` for one without end."""
    held = b""
    async for piece in reply.aiter_bytes():
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(held) > _MAX_LINE:
            raise GenerationError("the server's reply is no stream of Ollama's; check its address")
    if held:
        yield held.decode("utf-8", "replace")


def _object(line: str) -> dict[str, Any]:
    try:
        row: Any = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _error_of(said: str) -> Any:
    return _object(said).get("error") or said


def _messages(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """The conversation as Ollama takes it."""
    found: list[dict[str, Any]] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, SystemPromptPart):
                found.append({"role": "system", "content": part.content})
            elif isinstance(part, TextPart):
                found.append({"role": "assistant", "content": part.content})
            elif isinstance(part, UserPromptPart):
                content = [part.content] if isinstance(part.content, str) else part.content
                found += [{"role": "user", **each} for each in _user_messages(content)]
    return found


def _user_messages(content: Sequence[UserContent]) -> list[dict[str, Any]]:
    """Texts and images in their order, each image in a message of its own: where a template puts those of a
    message that has words too is its business. Ollama's OpenAI endpoint takes them apart in the same way."""
    found: list[dict[str, Any]] = []
    for part in content:
        if isinstance(part, BinaryContent):
            found.append({"content": "", "images": [b64encode(part.data).decode("ascii")]})
        elif isinstance(part, str):
            text = _IMAGE_MARK.sub("[ ", part)
            if found and "images" not in found[-1]:
                found[-1]["content"] += f"\n\n{text}"
            else:
                found.append({"content": text})
    return found
