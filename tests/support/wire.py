"""A server that speaks what OpenAI, Anthropic, Google and Ollama speak, down to the events of their streams.

Shapes as their references document them: chat completions, responses, messages, streamGenerateContent, and
Ollama's chat. It answers what ``say`` gives for the texts and pictures of a request, and misbehaves as told.
"""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from askpix.core.types import Box, Evidence, Hit, ImageRecord, Message, TextLine
from askpix.generation.prompting.prompt import build_messages
from tests.support.fakes import picture


@dataclass
class Asked:
    """A request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    system: str
    texts: list[str]
    pictures: list[Image.Image]


Say = Callable[[Asked], Sequence[str]]


@dataclass
class Ollama:
    """Ollama's own API with one model: as its api/types.go and server/routes.go have it since 0.12.6."""

    name: str = "tiny-vl:latest"
    trained: int = 131_072
    default: int = 4_096
    """Context of a model that nobody asks more for."""
    loaded: int | None = None
    """Context of the running model."""
    memory: int = 1 << 30
    """The largest context that it can hold."""
    capabilities: list[str] | None = field(default_factory=lambda: ["completion", "vision"])
    parameters: str = 'stop                           "<end>"'
    kind: str = "qwen3vl"
    loads: list[int] = field(default_factory=list)
    """The contexts that it was loaded with, in their order."""

    def get(self, path: str) -> dict[str, Any] | None:
        if path == "/api/version":
            return {"version": "0.40.2"}
        if path == "/api/ps":
            running = {"name": self.name, "model": self.name, "size_vram": 1, "context_length": self.loaded}
            return {"models": [running] if self.loaded else []}
        if path == "/v1/models":
            row = {"id": self.name, "object": "model", "created": 1, "owned_by": "library"}
            return {"object": "list", "data": [row]}
        return None

    def show(self) -> dict[str, Any]:
        facts = {"general.architecture": self.kind, f"{self.kind}.context_length": self.trained}
        shown: dict[str, Any] = {
            "parameters": self.parameters,
            "details": {"family": self.kind},
            "model_info": facts,
        }
        return shown if self.capabilities is None else {**shown, "capabilities": self.capabilities}

    def take(self, body: dict[str, Any]) -> tuple[int, dict[str, Any] | int]:
        """Load the model as asked; return a status with its error, or 200 with the tokens that it reads."""
        context = min(body["options"].get("num_ctx") or self.default, self.trained)
        if context > self.memory:
            return 500, {"error": "model requires more system memory (9.1 GiB) than is available (3.2 GiB)"}
        if context != self.loaded:
            self.loads.append(context)
            self.loaded = context
        if body.get("think") and "thinking" not in (self.capabilities or ()):
            return 400, {"error": f'"{self.name}" does not support thinking'}
        tokens = sum(
            len(each["content"]) // 4 + 300 * len(each.get("images", ())) for each in body["messages"]
        )
        if tokens < context:
            return 200, tokens
        if body.get("truncate") is False:
            inner = {
                "code": 400,
                "message": f"request ({tokens} tokens) exceeds the available context size ({context} tokens)",
                "type": "exceed_context_size_error",
            }
            return 400, {"error": json.dumps({"error": inner})}
        return 200, context


@dataclass
class Wire:
    """What the server does, and what it was asked."""

    say: Say = field(default=lambda asked: ["ok"])
    statuses: list[int] = field(default_factory=list)
    """Of the next replies; 200 when there is none left."""
    error: dict[str, Any] | None = None
    """What a status other than 200 says."""
    first_after_s: float = 0.0
    cut_after: int | None = None
    """Pieces after which the connection is cut."""
    pause_s: float = 0.0
    says: dict[str, Any] = field(default_factory=dict)
    """What it answers at other paths (``/props``, ``/api/show``); 404 where it has none."""
    show: Callable[[str], dict[str, Any]] | None = None
    """What Ollama's ``/api/show`` tells of a model."""
    models: list[str] = field(default_factory=lambda: ["tiny-vl"])
    owner: str = "someone"
    """Of its models, as it lists them: vLLM, SGLang and llama.cpp say who they are."""
    ollama: Ollama | None = None
    count_tokens: bool = True
    thoughts: Sequence[str] = ()
    """Sent apart from the answer, before it, as reasoning parts."""
    thought_field: str = "reasoning_content"
    """Where chat completions have them: vLLM since 0.13 and Ollama say ``reasoning``."""
    ends: str | None = None
    """Why the model stopped (``length``, in OpenAI's words); None: it was done."""
    asked: list[Asked] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away in the middle of an answer."""
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        ollama = self.server.wire.ollama
        if ollama and (told := ollama.get(self.path)):
            self._json(200, told)
            return
        if self.path != "/v1/models" or self.path in self.server.wire.says:
            said = self.server.wire.says.get(self.path)
            self._json(404 if said is None else 200, said)
            return
        rows = [
            {"id": name, "object": "model", "owned_by": self.server.wire.owner}
            for name in self.server.wire.models
        ]
        self._json(200, {"object": "list", "data": rows})

    def do_POST(self) -> None:
        wire = self.server.wire
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if wire.ollama and self.path == "/api/show":
            self._json(200, wire.ollama.show())
            return
        if self.path.startswith("/api/") and self.path != "/api/chat":
            show = self.server.wire.show
            if show and self.path == "/api/show":
                self._json(200, show(body["model"]))
            else:
                self.do_GET()
            return
        asked = _understood(self.path, dict(self.headers.items()), body)
        wire.asked.append(asked)
        status = wire.statuses.pop(0) if wire.statuses else 200
        if status != 200:
            error = wire.error or {"type": "some_error", "message": f"said {status} to you", "code": status}
            self._json(status, {"error": error})
            return
        given = 900
        if self.path == "/api/chat" and wire.ollama:
            status, taken = wire.ollama.take(body)
            if not isinstance(taken, int):
                self._json(status, taken)
                return
            given = taken
        time.sleep(wire.first_after_s)
        pieces = list(wire.say(asked))
        makers = {
            "chat/completions": _openai,
            "/responses": _responses,
            "/messages": _anthropic,
            "/api/chat": lambda pieces, wire: _ollama(pieces, wire, given),
        }
        make = next((maker for part, maker in makers.items() if part in self.path), _google)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for number, (event, at_piece) in enumerate(make(pieces, wire)):
                if at_piece and wire.cut_after is not None and number > wire.cut_after:
                    self.connection.close()
                    return
                self.wfile.write(event.encode())
                self.wfile.flush()
                if at_piece:
                    time.sleep(wire.pause_s)
        except OSError:
            wire.gone.set()

    def _json(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """On a free port of this machine; use as a context manager."""

    daemon_threads = True

    def __init__(self, wire: Wire) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wire = wire
        wire.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *args: Any) -> None:
        self.shutdown()
        self.server_close()


def _understood(path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
    asked = Asked(path, {k.lower(): v for k, v in headers.items()}, body, "", [], [])
    if "contents" in body:  # Google
        asked.system = "".join(part["text"] for part in body.get("systemInstruction", {}).get("parts", []))
        parts = [part for content in body["contents"] for part in content["parts"]]
        for part in parts:
            if "text" in part:
                asked.texts.append(part["text"])
            elif "inlineData" in part:
                asked.pictures.append(_picture(part["inlineData"]["data"]))
        return asked
    system = body.get("system", "") or body.get("instructions", "")
    asked.system = system if isinstance(system, str) else "".join(part["text"] for part in system)
    for message in body.get("messages") or body["input"]:
        content = message["content"]
        asked.pictures += [_picture(data) for data in message.get("images", ())]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if message["role"] == "system":
                asked.system += part["text"]
            elif part["type"] in ("text", "input_text"):
                asked.texts.append(part["text"])
            elif part["type"] == "image_url":
                asked.pictures.append(_picture(part["image_url"]["url"].partition("base64,")[2]))
            elif part["type"] == "input_image":
                asked.pictures.append(_picture(part["image_url"].partition("base64,")[2]))
            elif part["type"] == "image":
                asked.pictures.append(_picture(part["source"]["data"]))
    return asked


def _picture(data: str) -> Image.Image:
    # Google's client writes the URL-safe alphabet.
    image = Image.open(io.BytesIO(base64.b64decode(data.replace("-", "+").replace("_", "/"))))
    image.load()
    return image


def _event(content: Any, name: str | None = None) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {content if isinstance(content, str) else json.dumps(content)}\n\n"


def _openai(pieces: Sequence[str], wire: Wire) -> Iterator[tuple[str, bool]]:
    def chunk(**more: Any) -> str:
        shape = {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "tiny-vl",
            "choices": [],
        }
        return _event({**shape, **more})

    def choice(delta: dict[str, Any], end: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": end}]

    yield chunk(choices=choice({"role": "assistant", "content": ""})), False
    for piece in wire.thoughts:
        yield chunk(choices=choice({wire.thought_field: piece})), False
    for piece in pieces:
        yield chunk(choices=choice({"content": piece})), True
    yield chunk(choices=choice({}, wire.ends or "stop")), False
    if wire.count_tokens:
        yield chunk(usage={"prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912}), False
    yield _event("[DONE]"), False


def _responses(pieces: Sequence[str], wire: Wire) -> Iterator[tuple[str, bool]]:
    """As the reference of OpenAI's Responses API has its events."""
    number = 0

    def event(kind: str, **more: Any) -> str:
        nonlocal number
        number += 1
        return _event({"type": f"response.{kind}", "sequence_number": number, **more}, f"response.{kind}")

    def response(status: str, output: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
        return {
            "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "tiny-vl",
            "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "incomplete_details": None, "error": None, "instructions": None, "metadata": {}, **more,
        }  # fmt: skip

    yield event("created", response=response("in_progress")), False
    items: list[dict[str, Any]] = []
    if wire.thoughts:
        thought: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": []}
        yield event("output_item.added", output_index=0, item=thought), False
        at = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
        empty = {"type": "summary_text", "text": ""}
        yield event("reasoning_summary_part.added", **at, part=empty), False
        for piece in wire.thoughts:
            yield event("reasoning_summary_text.delta", **at, delta=piece), False
        items.append({**thought, "summary": [{"type": "summary_text", "text": "".join(wire.thoughts)}]})
        yield event("output_item.done", output_index=0, item=items[-1]), False
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": [],
    }  # fmt: skip
    index = len(items)
    if pieces:
        yield event("output_item.added", output_index=index, item=message), False
        at = {"item_id": "msg_1", "output_index": index, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield event("content_part.added", **at, part=part), False
        for piece in pieces:
            yield event("output_text.delta", **at, delta=piece, logprobs=[]), True
        items.append({**message, "status": "completed", "content": [{**part, "text": "".join(pieces)}]})
        yield event("output_item.done", output_index=index, item=items[-1]), False
    usage = {
        "input_tokens": 900, "output_tokens": 12, "total_tokens": 912,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    more: dict[str, Any] = {"usage": usage} if wire.count_tokens else {}
    if wire.ends:
        more["incomplete_details"] = {"reason": "max_output_tokens"}
    status = "incomplete" if wire.ends else "completed"
    yield event(status, response=response(status, items, **more)), False


def _ollama(pieces: Sequence[str], wire: Wire, given: int) -> Iterator[tuple[str, bool]]:
    def line(message: dict[str, Any], **more: Any) -> str:
        shape = {"model": "tiny-vl", "created_at": "2026-11-23T10:00:00Z", "done": False}
        return (
            json.dumps({**shape, "message": {"role": "assistant", "content": "", **message}, **more}) + "\n"
        )

    for piece in wire.thoughts:
        yield line({"thinking": piece}), False
    for piece in pieces:
        yield line({"content": piece}), True
    counts = {"prompt_eval_count": given, "eval_count": 12, "total_duration": 1} if wire.count_tokens else {}
    yield line({}, done=True, done_reason=wire.ends or "stop", **counts), False


def _anthropic(pieces: Sequence[str], wire: Wire) -> Iterator[tuple[str, bool]]:
    usage = {"input_tokens": 900 if wire.count_tokens else 0, "output_tokens": 1}
    message = {
        "id": "m1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    yield _event({"type": "message_start", "message": message}, "message_start"), False
    thinking = [("thinking", {"thinking": "", "signature": ""}, wire.thoughts)] if wire.thoughts else []
    for index, (kind, empty, said) in enumerate([*thinking, ("text", {"text": ""}, pieces)]):
        start = {"type": "content_block_start", "index": index, "content_block": {"type": kind, **empty}}
        yield _event(start, "content_block_start"), False
        for piece in said:
            delta = {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": f"{kind}_delta", kind: piece},
            }
            yield _event(delta, "content_block_delta"), kind == "text"
        yield _event({"type": "content_block_stop", "index": index}, "content_block_stop"), False
    last = {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens" if wire.ends else "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 12},
    }
    yield _event(last, "message_delta"), False
    yield _event({"type": "message_stop"}, "message_stop"), False


def _google(pieces: Sequence[str], wire: Wire) -> Iterator[tuple[str, bool]]:
    parts: list[dict[str, Any]] = [{"text": piece, "thought": True} for piece in wire.thoughts]
    parts += [{"text": piece} for piece in pieces]
    for number, part in enumerate(parts, start=1):
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
        reply: dict[str, Any] = {
            "candidates": [candidate],
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r1",
        }
        if number == len(parts):
            candidate["finishReason"] = "MAX_TOKENS" if wire.ends else "STOP"
            if wire.count_tokens:
                reply["usageMetadata"] = {
                    "promptTokenCount": 900,
                    "candidatesTokenCount": 12,
                    "totalTokenCount": 912,
                }
        yield _event(reply), not part.get("thought")


def photo(record: ImageRecord, min_side: int | None) -> Image.Image:
    """A red picture for the receipt, a blue one for others."""
    return picture("red" if record.id == "r" else "blue", size=(record.width, record.height))


def evidence() -> list[Evidence]:
    """A receipt that holds the answer, and a photo."""
    line = TextLine("GRAND TOTAL 67.85", Box(100, 900, 500, 930))
    red = ImageRecord("r", "/scans/receipt.png", "page", 800, 1200, page=1)
    blue = ImageRecord("b", "/photos/sea.jpg", "photo", 400, 300)
    return [Evidence(1, Hit(1, red, 1.0), (line,)), Evidence(2, Hit(2, blue, 0.5))]


def asked_messages() -> list[Message]:
    """A question about them, as it goes to a generator."""
    return build_messages("What is the grand total?", evidence())
