"""OpenAI's shapes for questions and embeddings: what their clients send, and what they expect back."""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from askpix.api.schemas import results
from askpix.core.errors import BadQueryError
from askpix.core.types import Message

PREFIX = "askpix/"
_REMEMBERED = 40
_LONGEST_TURN = 4_000
"""Turns that a question may lean on, and characters of each."""
_MAX_TEXT = 10_000
_MAX_IMAGES = 64
_PIECES = re.compile(r"\S+\s*|\s+")


class _In(BaseModel):
    """Clients send many options that mean nothing here (temperature, tools ...): they are passed over."""

    model_config = ConfigDict(extra="allow")


class ImageUrl(_In):
    """An image in a message: a data URI, or the id of an image here."""

    url: str


class Part(_In):
    """A piece of a message."""

    type: Annotated[str, Field(max_length=50)]
    text: Annotated[str, Field(max_length=10_000)] | None = None
    image_url: ImageUrl | None = None


class ChatMessage(_In):
    """A turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Annotated[str, Field(max_length=100_000)] | Annotated[list[Part], Field(max_length=100)] | None
    ) = None


class ChatIn(_In):
    """``POST /v1/chat/completions``."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": "askpix/default",
                    "messages": [{"role": "user", "content": "What is the total on the hotel receipt?"}],
                }
            ]
        },
    )
    model: Annotated[str, Field(max_length=500)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None


class EmbeddingsIn(_In):
    """``POST /v1/embeddings``; a text, a data URI of an image, or a list of these.

    Texts are 10,000 characters at most, images 64.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "askpix/default", "input": ["a dog on the beach"]}]},
    )
    model: Annotated[str, Field(max_length=500)]
    input: str | Annotated[list[str], Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] = "float"

    @model_validator(mode="after")
    def _bounded(self) -> "EmbeddingsIn":
        if any(len(text) > _MAX_TEXT for text in self.inputs if not is_image(text)):
            raise ValueError(f"a text to embed is over the limit of {_MAX_TEXT} characters; shorten it")
        if sum(map(is_image, self.inputs)) > _MAX_IMAGES:
            raise ValueError(f"more than {_MAX_IMAGES} images to embed; send them in several requests")
        return self

    @property
    def inputs(self) -> list[str]:
        """The inputs as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


@dataclass(frozen=True, slots=True)
class Question:
    """Question of the last user turn."""

    text: str
    image: str | None


def is_image(text: str) -> bool:
    """Return whether an input is an image in a data URI."""
    return text.startswith("data:image/")


def question_of(messages: list[ChatMessage]) -> Question:
    """The words and the image of the last user turn. Raises ``BadQueryError``."""
    asked = next((message for message in reversed(messages) if message.role == "user"), None)
    if asked is None:
        raise BadQueryError("no message of a user to answer")
    if not isinstance(asked.content, list):
        return Question(_worded(asked.content), None)
    texts = [part.text for part in asked.content if part.text]
    images = [part.image_url.url for part in asked.content if part.image_url]
    if len(images) > 1:
        raise BadQueryError("one image a question; several are not compared yet")
    return Question(_worded(" ".join(texts), images), images[0] if images else None)


def history_of(messages: list[ChatMessage]) -> list[Message]:
    """Return the turns before the last user turn, of user and assistant: text only, the latest ones.

    What a client's system turn demands is left out: it would speak over the rules that keep answers true.
    """
    last = max((at for at, message in enumerate(messages) if message.role == "user"), default=0)
    turns: list[Message] = []
    for message in messages[:last]:
        if message.role in ("user", "assistant"):
            role: Literal["user", "assistant"] = "user" if message.role == "user" else "assistant"
            content = message.content
            if isinstance(content, list):
                content = " ".join(part.text for part in content if part.text)
            turns.append(Message(role, (content or "")[:_LONGEST_TURN]))
    return turns[-_REMEMBERED:]


def _worded(text: str | None, images: list[str] | None = None) -> str:
    if not (text or "").strip() and not images:
        raise BadQueryError("the last message of the user is empty")
    return (text or "").strip()


def message_of(answer: results.Answer, *, base_url: str) -> dict[str, Any]:
    """The assistant's turn: the checked answer, its sources below it, and each source as an annotation."""
    text = answer.answer
    sources: list[str] = []
    annotations: list[dict[str, Any]] = []
    for citation in answer.citations:
        name = citation.uri.removeprefix("upload:").rpartition("/")[2] or citation.uri
        page = f", page {citation.page}" if citation.page else ""
        quote = f': "{citation.quote}"' if citation.quote else ""
        marker = f"[{citation.marker}]"
        sources.append(f"{marker} {name}{page}{quote}")
        at = text.find(marker)
        annotations.append(
            {
                "type": "url_citation",
                "url_citation": {
                    "url": f"{base_url}/v1/images/{citation.id}/file",
                    "title": name + page,
                    "start_index": max(at, 0),
                    "end_index": at + len(marker) if at >= 0 else len(text),
                },
                **results.to_json(citation),
            }
        )
    content = text + ("\n\n" + "\n".join(sources) if sources else "")
    return {"role": "assistant", "content": content, "refusal": None, "annotations": annotations}


def completion(model: str, message: Mapping[str, Any], answer: results.Answer) -> dict[str, Any]:
    """``chat.completion``."""
    return {
        **_head(model, "chat.completion"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage(answer),
    }


def chunks(
    model: str, message: Mapping[str, Any], answer: results.Answer, *, with_usage: bool
) -> Iterator[dict[str, Any]]:
    """``chat.completion.chunk``s. Only what was checked is sent: a claim cannot be taken back."""
    head = _head(model, "chat.completion.chunk")

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _PIECES.findall(message["content"]):
        yield chunk({"content": piece})
    if message["annotations"]:
        yield chunk({"annotations": message["annotations"]})
    yield chunk({}, "stop")
    if with_usage:
        yield {**head, "choices": [], "usage": usage(answer)}


def usage(answer: results.Answer) -> dict[str, int]:
    """Tokens, as the generator counted them."""
    taken = answer.usage.input_tokens + answer.usage.image_tokens
    written = answer.usage.output_tokens
    return {"prompt_tokens": taken, "completion_tokens": written, "total_tokens": taken + written}


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}
