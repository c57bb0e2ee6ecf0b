"""Hosted providers and OpenAI-compatible servers: which client speaks to which, and what its tokens cost.

The clients come with an extra, so they are imported where one is opened.
"""

from __future__ import annotations

import json
import logging
import re
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from askpix.core.errors import AuthError, ModelUnavailableError
from askpix.core.machine import is_loopback
from askpix.generation.generators.base import GeneratorKind, GeneratorOptions
from askpix.generation.prompting.budget import limits_of
from askpix.retrieval.model_hub.registry import ModelFact

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model

    from askpix.generation.generators.hosted import HostedGenerator, Opener

Provider: TypeAlias = Literal["openai", "anthropic", "google"]
_PROBE_S = 0.5
_MAX_LIST = 1 << 20
_NO_TAGS = ("\0think", "\0/think")
"""What no reply holds: thoughts in the text are told apart by ``ThoughtFilter``, also amid a piece."""
_NEWER_OPENAI = re.compile(r"gpt-([6-9]|\d\d)")
"""Later than the client's own list: room for thoughts does no harm where there are none."""
_OLLAMA_WINDOW = 4096
"""Its documented default, ``OLLAMA_CONTEXT_LENGTH``; more only where it finds much GPU memory."""
_ASKED = 32
"""Models of one server that are asked what they can."""
_TRIED = 3
"""Models of one server whose sight is tried for ``auto``."""

_log = logging.getLogger(__name__)


def open_model(provider: Provider, name: str, *, key: str, base_url: str | None = None) -> Opener:
    """A model of a hosted provider. ``base_url`` replaces the provider's own address (a proxy)."""
    if provider == "anthropic":
        return _anthropic(name, key, base_url)
    if provider == "google":
        return _google(name, key, base_url)
    return open_server(name, base_url or "https://api.openai.com/v1", key=key, hosted=True)


def open_server(name: str, base_url: str, *, key: str | None = None, hosted: bool = False) -> Opener:
    """A model of an OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, LM Studio.

    ``base_url`` ends with the version (``http://localhost:11434/v1``). Servers without keys take any.
    ``hosted``: it is OpenAI's.
    """
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        # The client's own defaults are OpenAI's, from the environment: they must not go to strangers.
        async with AsyncOpenAI(
            base_url=base_url,
            api_key=key or "none",
            organization="",
            project="",
            http_client=_direct_client(base_url),
        ) as client:
            profile = OpenAIModelProfile(thinking_tags=_NO_TAGS)
            if not hosted:  # Ollama and older servers know no other limit
                profile["openai_chat_supports_max_completion_tokens"] = False
            yield OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client), profile=profile)

    return opened


def _anthropic(name: str, key: str, base_url: str | None) -> Opener:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with AsyncAnthropic(
            api_key=key, base_url=base_url, http_client=_direct_client(base_url)
        ) as client:
            yield AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    return opened


def _google(name: str, key: str, base_url: str | None) -> Opener:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with _direct_client(base_url) or nullcontext() as client:
            provider = GoogleProvider(api_key=key, base_url=base_url, http_client=client)
            async with GoogleModel(name, provider=provider) as model:
                yield model

    return opened


def thinks_before(provider: Provider, name: str) -> bool:
    """Whether a hosted model thinks before it answers unless told otherwise."""
    if provider == "google":
        from pydantic_ai.providers.google import GoogleProvider

        return bool((GoogleProvider.model_profile(name) or {}).get("supports_thinking"))
    if provider == "anthropic":
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return bool((AnthropicProvider.model_profile(name) or {}).get("thinking_enabled_by_default"))
    from pydantic_ai.providers.openai import OpenAIProvider

    known = bool((OpenAIProvider.model_profile(name) or {}).get("thinking_enabled_by_default"))
    return known or _NEWER_OPENAI.match(name) is not None


def _direct_client(base_url: str | None) -> httpx2.AsyncClient | None:
    """A client that goes straight to a server on this machine; None for others, which a proxy may lead to."""
    if not _on_this_machine(base_url or ""):
        return None
    import httpx2

    # More specific than the environment's proxies, so these win. Timeouts are the request's own.
    return httpx2.AsyncClient(mounts={"http://": None, "https://": None}, timeout=None)


def _on_this_machine(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def price_of(provider: Provider, name: str) -> Callable[[int, int], float | None]:
    """US dollars for so many input and output tokens, by the price list that genai-prices carries; None when
    it does not know the model."""
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    def price(given: int, made: int) -> float | None:
        try:
            found = calc_price(
                PricedUsage(input_tokens=given, output_tokens=made), name, provider_id=provider
            )
        except LookupError:
            _log.debug("no price is known of %s:%s", provider, name)
            return None
        return float(found.total_price)

    return price


def free(given: int, made: int) -> float | None:
    """A model on the user's own machine costs nothing."""
    return 0.0


def unknown_price(given: int, made: int) -> float | None:
    """Nobody says what another's server takes for its tokens."""
    return None


def local_models(servers: Sequence[str]) -> Iterator[str]:
    """Yield ``MODEL@URL`` of what the servers on this machine offer, a few models each.

    Servers that do not answer are left out, and so are other machines: ``auto`` sends no image off this one.
    """
    for url in servers:
        if _on_this_machine(url):
            yield from (f"{name}@{url}" for name in _sighted(url))


def _sighted(url: str) -> list[str]:
    """Names of models of a server that may see, best first: Ollama says which, of others a few are tried."""
    names = sorted(_listed(url), key=_looks_blind)
    root = url.rstrip("/").removesuffix("/v1")
    if not names or "version" not in _asked(root, "/api/version"):
        return names[:_TRIED]
    shown = {name: _asked(root, "/api/show", body={"model": name}) for name in names[:_ASKED]}
    here = [name for name in shown if not (_in_the_cloud(name) or shown[name].get("remote_host"))]
    told = [name for name in here if isinstance(shown[name].get("capabilities"), list)]
    if told:
        return [name for name in told if "vision" in shown[name]["capabilities"]]
    return here[:_TRIED]


def _in_the_cloud(name: str) -> bool:
    """Whether Ollama passes a model's requests on to its own servers."""
    return name.endswith(("-cloud", ":cloud"))


def _looks_blind(name: str) -> bool:
    hints = ("vl", "vision", "llava", "gemma3", "gemma-3", "internvl", "pixtral", "minicpm-v", "moondream")
    return not any(hint in name.lower() for hint in hints)


def window_of(name: str, url: str, *, key: str | None = None) -> int | None:
    """Return how many tokens a server holds for a model, in and out; None where it does not say.

    vLLM and SGLang list it (``max_model_len``), llama.cpp tells it in ``/props``. Ollama drops without a word
    what does not fit; its window is that of the running model, the model's own ``num_ctx``, else the default.
    """
    listed = _asked(url, "/models", key)
    if not listed:
        return None
    row = next((row for row in _rows(listed, "data") if row.get("id") == name), {})
    if held := _count(row.get("max_model_len")):
        return held
    root = url.rstrip("/").removesuffix("/v1")
    props = _asked(root, "/props", key)
    settings = props.get("default_generation_settings")
    if isinstance(settings, dict) and (held := _count(settings.get("n_ctx"))):
        return held
    if "version" not in _asked(root, "/api/version", key):
        return None
    names, running = (name, f"{name}:latest"), _rows(_asked(root, "/api/ps", key), "models")
    if held := next(
        (_count(each.get("context_length")) for each in running if each.get("name") in names), None
    ):
        return held
    shown = str(_asked(root, "/api/show", key, {"model": name}).get("parameters") or "")
    own = re.search(r"^num_ctx\s+(\d+)", shown, re.MULTILINE)
    return int(own[1]) if own else _OLLAMA_WINDOW


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 1 else None


def _rows(reply: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = reply.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _asked(url: str, path: str, key: str | None = None, body: Any = None) -> dict[str, Any]:
    """Return what a server says of itself; nothing where it says none in time."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        # Its scheme is http(s); what is on this machine is asked without a proxy.
        request = urllib.request.Request(url.rstrip("/") + path, data, headers)  # noqa: S310
        handlers = [urllib.request.ProxyHandler({})] if _on_this_machine(url) else []
        with urllib.request.build_opener(*handlers).open(request, timeout=_PROBE_S) as reply:
            told: Any = json.loads(reply.read(_MAX_LIST))
    except (OSError, ValueError, HTTPException) as error:
        _log.debug("nothing at %r: %s", url + path, error)
        return {}
    return told if isinstance(told, dict) else {}


def _listed(url: str) -> list[str]:
    rows = _rows(_asked(url, "/models"), "data")
    names = [row["id"] for row in rows if isinstance(row.get("id"), str) and row.get("owned_by") != "askpix"]
    return [name for name in names if "embed" not in name.lower()]


def _hosted(
    generator_id: str,
    name: str,
    model: Opener,
    price: Callable[[int, int], float | None],
    options: GeneratorOptions,
    *,
    thinks: bool = False,
    window: int | None = None,
) -> HostedGenerator:
    from askpix.generation.generators.hosted import HostedGenerator

    return HostedGenerator(
        model,
        model_id=generator_id,
        limits=limits_of(name),
        picture_of=options.picture_of,
        price_of=price,
        max_tokens=options.max_tokens,
        thinks=thinks,
        window=window,
    )


def _provider(provider: Provider, *variables: str) -> GeneratorKind:
    """Return the kind of a provider's models; ``variables`` are where its tools look for a key."""

    def key(options: GeneratorOptions) -> str | None:
        return next(filter(None, map(options.environment.get, variables)), None)

    def load(name: str, options: GeneratorOptions) -> HostedGenerator:
        found = key(options)
        if found is None:
            raise AuthError(f"{provider}:{name} needs a key: set {' or '.join(variables)}")
        base_url = options.environment.get(f"{provider.upper()}_BASE_URL") or None
        model = open_model(provider, name, key=found, base_url=base_url)
        price, thinks = price_of(provider, name), thinks_before(provider, name)
        return _hosted(f"{provider}:{name}", name, model, price, options, thinks=thinks)

    fact = ModelFact(
        id=f"{provider}:MODEL",
        role="generator",
        licence="hosted",
        languages=("*",),
        notes="pictures leave this machine, for money",
    )
    return GeneratorKind(
        reference="MODEL",
        modules=("pydantic_ai",),
        install="pip install 'askpix[hosted]'",
        open=load,
        facts=lambda: (fact,),
        unset=lambda options: None if key(options) else f"no key: set {' or '.join(variables)}",
    )


def _open_server(reference: str, options: GeneratorOptions) -> HostedGenerator:
    name, at, url = reference.rpartition("@")
    generator_id = f"openai-compatible:{reference}"
    if not at or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ModelUnavailableError(
            f"{generator_id!r} names no server; write openai-compatible:MODEL@http://HOST:PORT/v1"
        )
    price = free if _on_this_machine(url) and not _in_the_cloud(name) else unknown_price
    model = open_server(name, url, key=options.server_key)
    window = window_of(name, url, key=options.server_key)
    return _hosted(generator_id, name, model, price, options, window=window)


OPENAI = _provider("openai", "OPENAI_API_KEY")
ANTHROPIC = _provider("anthropic", "ANTHROPIC_API_KEY")
GOOGLE = _provider("google", "GOOGLE_API_KEY", "GEMINI_API_KEY")
SERVER = GeneratorKind(
    reference="MODEL@URL",
    modules=("pydantic_ai",),
    install="pip install 'askpix[hosted]'",
    open=_open_server,
    facts=lambda: (
        ModelFact(
            id="openai-compatible:MODEL@URL",
            role="generator",
            licence="its own",
            languages=("*",),
            notes="any server that speaks OpenAI's protocol",
        ),
    ),
    found=lambda options: local_models(options.servers),
)
