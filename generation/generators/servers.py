"""Servers of models: which they are, what they hold, which of their models see.

vLLM, SGLang, llama.cpp, LM Studio and their kin speak OpenAI's protocol; Ollama is asked by its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from askpix.core.errors import ModelUnavailableError
from askpix.generation.generators.base import MAX_OUTPUT, GeneratorKind, GeneratorOptions
from askpix.generation.generators.providers import direct_client, on_this_machine, open_server
from askpix.generation.prompting.budget import limits_of
from askpix.retrieval.model_hub.registry import ModelFact

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from askpix.generation.generators.hosted import HostedGenerator

_PROBE_S = 0.5
_NAMED_PROBE_S = 3.0
"""Timeouts, in seconds, for a server that may be there and for one that was named."""
_MAX_LIST = 1 << 20
_SMALLEST_CONTEXT = 4096
"""Window that Ollama and LM Studio give a model where nobody asks for more; both cut longer requests
silently.
"""
_ASKED = 32
"""Models of one server that are asked what they can."""
_TRIED = 3
"""Models of one server whose sight is tried for ``auto`` where it does not say which see."""
_TEMPLATE_SERVERS = ("vllm", "sglang", "llamacpp")
"""Who serves (``owned_by``) and passes ``chat_template_kwargs`` on to the template of the model."""
_NO_THOUGHTS = {"enable_thinking": False}
"""Qwen 3.5, GLM-V, Gemma 4, MiniCPM-V: the switch in their chat templates. Others have no such variable."""

_SEEING = (
    *(
        "vl",
        "vision",
        "llava",
        "gemma3",
        "gemma-3",
        "gemma4",
        "gemma-4",
        "qwen3.5",
        "qwen3.6",
        "glm-4",
        "pixtral",
    ),
    *("minicpm-v", "moondream", "mistral", "llama4", "llama-4"),
)
"""Parts of names of models that see, to be tried first where a server does not say which do."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """Facts that a server tells of one of its models."""

    window: int | None = None
    """Tokens that it holds, in and out; None where it does not say."""
    protocol: str = "openai"
    context: int | None = None
    """Ollama: the length of context to ask for."""
    think: bool | str | None = None
    """Ollama: how much it is to think; None for a model that cannot."""
    takes_template_options: bool = False
    settled: bool = True
    """False for a model that is not loaded yet: it may get another window then."""


class ModelServer:
    """One model of a server, which is asked what it holds when that is first needed and once it answers."""

    def __init__(self, name: str, url: str, *, key: str | None = None, needed: int = 0) -> None:
        """``url`` ends with the version; ``needed`` are the tokens of the longest question and its answer."""
        self.name = name
        self.url = url
        self._key = key
        self._needed = needed
        self._known: Served | None = None

    def ask(self) -> Served:
        """Return what the server says; nothing, and it is asked again, while it does not answer."""
        if self._known is not None:
            return self._known
        try:
            served = self._asked()
        except _SilentError as silent:
            _log.debug("nothing is known of %r yet: %s", self.name, silent)
            return Served()
        if served.settled:
            self._known = served
        return served

    def window(self) -> int | None:
        """Return the tokens that it holds, in and out; None while or where it does not say."""
        return self.ask().window

    def forget(self) -> None:
        """Have it asked again: it was started anew with less."""
        self._known = None

    def shrink(self) -> bool:
        """Ask for half the context from now on; False where that is no use."""
        known = self.ask()
        if known.context is None or known.context <= _SMALLEST_CONTEXT:
            return False
        half = max(_SMALLEST_CONTEXT, known.context // 2)
        _log.info("%r does not fit the memory with %d tokens of context", self.name, known.context)
        self._known = replace(known, context=half, window=half)
        return True

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Model]:
        """Open the model for one request."""
        known = await asyncio.to_thread(self.ask)
        if known.protocol == "openai":
            extra: dict[str, object] = {"chat_template_kwargs": _NO_THOUGHTS}
            more = extra if known.takes_template_options else None
            async with open_server(self.name, self.url, key=self._key, extra_body=more)() as model:
                yield model
            return
        import httpx2

        from askpix.generation.generators.ollama import OllamaModel

        async with direct_client(self.url) or httpx2.AsyncClient() as client:
            yield OllamaModel(
                self.name,
                url=_root(self.url),
                client=client,
                key=self._key,
                context=known.context,
                think=known.think,
            )

    def _asked(self) -> Served:
        """Raises ``_SilentError``."""
        listed = _asked(self.url, "/models", self._key)
        row = next((row for row in _rows(listed, "data") if row.get("id") == self.name), {})
        template = row.get("owned_by") in _TEMPLATE_SERVERS
        # vLLM and SGLang list it.
        if window := _count(row.get("max_model_len")):
            return Served(window, takes_template_options=template)
        if "version" in _asked(_root(self.url), "/api/version", self._key):
            shown = _asked(_root(self.url), "/api/show", self._key, {"model": self.name})
            if isinstance(shown.get("details"), dict):
                return self._of_ollama(shown)
        studio = _rows(_asked(_root(self.url), "/api/v0/models", self._key), "data")
        if mine := next((each for each in studio if each.get("id") == self.name), {}):
            window = _count(mine.get("loaded_context_length"))
            return Served(window or _SMALLEST_CONTEXT, settled=window is not None)
        # llama.cpp tells that of one of its slots.
        props = _asked(_root(self.url), "/props", self._key)
        settings = props.get("default_generation_settings")
        window = _count(settings.get("n_ctx")) if isinstance(settings, dict) else None
        return Served(window, takes_template_options=template)

    def _of_ollama(self, shown: dict[str, Any]) -> Served:
        """The length of context is what the user set, else what is needed or, if more, what runs already: it
        would be loaded anew with another. It is at most what the model was made for."""
        facts = shown.get("model_info")
        facts = facts if isinstance(facts, dict) else {}
        kind = str(facts.get("general.architecture") or "")
        trained = _count(facts.get(f"{kind}.context_length"))
        can = shown.get("capabilities")
        think: bool | str | None = None
        if isinstance(can, list) and "thinking" in can:
            think = "low" if kind.startswith("gptoss") or kind == "gpt-oss" else False
        if in_the_cloud(self.name) or shown.get("remote_host"):
            return Served(trained, "ollama", think=think)
        own = re.search(r"^num_ctx\s+(\d+)", str(shown.get("parameters") or ""), re.MULTILINE)
        if own:
            wanted = int(own[1])
        else:
            names = (self.name, f"{self.name}:latest")
            running = _rows(_asked(_root(self.url), "/api/ps", self._key), "models")
            held = [_count(each.get("context_length")) for each in running if each.get("name") in names]
            steps = -(-self._needed // _SMALLEST_CONTEXT)
            wanted = max(_SMALLEST_CONTEXT, steps * _SMALLEST_CONTEXT, *(count or 0 for count in held))
        context = min(wanted, trained or wanted)
        return Served(context, "ollama", context, think)


def local_models(servers: Sequence[str]) -> Iterator[str]:
    """Yield ``MODEL@URL`` of what the servers on this machine offer.

    Servers that do not answer are left out, and so are other machines: ``auto`` sends no image off this one.
    """
    for url in servers:
        if on_this_machine(url):
            yield from (f"{name}@{url}" for name in _sighted(url))


def _sighted(url: str) -> list[str]:
    """Names of models of a server that see, best first; where it does not say which do, a few to be tried."""
    rows = _rows(_heard(url, "/models"), "data")
    rows = [row for row in rows if isinstance(row.get("id"), str) and row.get("owned_by") != "askpix"]
    rows = [row for row in rows if "embed" not in row["id"].lower() and _takes_images(row) is not False]
    names = sorted((row["id"] for row in rows), key=_looks_blind)
    if not names:
        return []
    if "version" in _heard(_root(url), "/api/version"):
        shown = {name: _heard(_root(url), "/api/show", {"model": name}) for name in names[:_ASKED]}
        names = [name for name in shown if not (in_the_cloud(name) or shown[name].get("remote_host"))]
        told = [name for name in names if isinstance(shown[name].get("capabilities"), list)]
        return [name for name in told if "vision" in shown[name]["capabilities"]] if told else names[:_TRIED]
    if studio := _rows(_heard(_root(url), "/api/v0/models"), "data"):
        seeing = {row.get("id") for row in studio if row.get("type") == "vlm"}
        return [name for name in names if name in seeing][:_ASKED]
    return names[:_TRIED]


def _takes_images(row: dict[str, Any]) -> bool | None:
    """Return whether a model is listed as one that takes images, as llama.cpp does; None where nothing is
    said.
    """
    architecture = row.get("architecture")
    takes = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return "image" in takes if isinstance(takes, list) else None


def in_the_cloud(name: str) -> bool:
    """Return whether Ollama passes a model's requests on to its own servers."""
    return name.endswith(("-cloud", ":cloud"))


def _looks_blind(name: str) -> bool:
    return not any(hint in name.lower() for hint in _SEEING)


class _SilentError(Exception):
    """A server did not answer in time, or not at all."""


def _heard(url: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return what a server that may be there says of itself; nothing where there is none."""
    try:
        return _asked(url, path, None, body, timeout_s=_PROBE_S)
    except _SilentError as silent:
        _log.debug("%s", silent)
        return {}


def _asked(
    url: str, path: str, key: str | None = None, body: Any = None, *, timeout_s: float = _NAMED_PROBE_S
) -> dict[str, Any]:
    """Return what a server says at a path, nothing where it knows none. Raises ``_SilentError``."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        # Its scheme is http(s); what is on this machine is asked without a proxy.
        request = urllib.request.Request(url.rstrip("/") + path, data, headers)  # noqa: S310
        handlers = [urllib.request.ProxyHandler({})] if on_this_machine(url) else []
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as reply:
            told: Any = json.loads(reply.read(_MAX_LIST))
    except urllib.error.HTTPError as error:
        error.close()
        return {}
    except (OSError, HTTPException) as error:
        raise _SilentError(f"nothing at {url + path!r}: {error}") from error
    except ValueError as error:  # no JSON, or no address
        _log.debug("nothing to be read at %r: %s", url + path, error)
        return {}
    return told if isinstance(told, dict) else {}


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 1 else None


def _rows(reply: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = reply.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def free(given: int, made: int) -> float | None:
    """A model on the user's own machine costs nothing."""
    return 0.0


def unknown_price(given: int, made: int) -> float | None:
    """Nobody says what another's server takes for its tokens."""
    return None


def _open(reference: str, options: GeneratorOptions) -> HostedGenerator:
    from askpix.generation.generators.hosted import HostedGenerator

    name, at, url = reference.rpartition("@")
    generator_id = f"openai-compatible:{reference}"
    if not at or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ModelUnavailableError(
            f"{generator_id!r} names no server; write openai-compatible:MODEL@http://HOST:PORT/v1"
        )
    server = ModelServer(name, url, key=options.server_key, needed=options.max_tokens + MAX_OUTPUT)
    return HostedGenerator(
        server.open,
        model_id=generator_id,
        limits=limits_of(name),
        image_of=options.image_of,
        price_of=free if on_this_machine(url) and not in_the_cloud(name) else unknown_price,
        max_tokens=options.max_tokens,
        server=server,
    )


SERVER = GeneratorKind(
    reference="MODEL@URL",
    modules=("pydantic_ai",),
    install="pip install 'askpix[hosted]'",
    open=_open,
    facts=lambda: (
        ModelFact(
            id="openai-compatible:MODEL@URL",
            role="generator",
            licence="its own",
            languages=("*",),
            notes="any server that speaks OpenAI's protocol, and Ollama",
        ),
    ),
    found=lambda options: local_models(options.servers),
)
