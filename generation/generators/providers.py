"""Hosted providers: which client speaks to which model, and what its tokens cost.

The clients come with an extra, so they are imported where one is opened.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from askpix.core.errors import AuthError
from askpix.core.machine import is_loopback
from askpix.generation.generators.base import GeneratorKind, GeneratorOptions
from askpix.generation.prompting.budget import limits_of
from askpix.retrieval.model_hub.registry import ModelFact

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI
    from pydantic_ai.models import Model

    from askpix.generation.generators.hosted import HostedGenerator, Opener

Provider: TypeAlias = Literal["openai", "anthropic", "google"]
_NO_TAGS = ("\0think", "\0/think")
"""Tags that no reply holds: thoughts in the text are told apart by ``ThoughtFilter``, also amid a piece."""
_NEWER_OPENAI = re.compile(r"gpt-([6-9]|\d\d)")
"""Later than the client's own list: room for thoughts does no harm where there are none."""
_RESPONSES_ONLY = re.compile(r".*\b(pro|codex|cyber|rosalind|law|research|daybreak|computer-use)\b")
"""OpenAI's models that its chat completions do not serve, by its list of models and their pages."""

_log = logging.getLogger(__name__)


def open_model(provider: Provider, name: str, *, key: str, base_url: str | None = None) -> Opener:
    """A model of a hosted provider. ``base_url`` replaces the provider's own address (a proxy)."""
    if provider == "anthropic":
        return _anthropic(name, key, base_url)
    if provider == "google":
        return _google(name, key, base_url)
    return _openai(name, key, base_url or "https://api.openai.com/v1")


def _openai(name: str, key: str, base_url: str) -> Opener:
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with _openai_client(key, base_url) as client:
            provider = OpenAIProvider(openai_client=client)
            if _RESPONSES_ONLY.match(name):
                kept = OpenAIResponsesModelSettings(openai_store=False)
                yield OpenAIResponsesModel(name, provider=provider, settings=kept)
            else:
                profile = OpenAIModelProfile(thinking_tags=_NO_TAGS)
                yield OpenAIChatModel(name, provider=provider, profile=profile)

    return opened


def open_server(
    name: str, base_url: str, *, key: str | None = None, extra_body: dict[str, object] | None = None
) -> Opener:
    """A model of an OpenAI-compatible server: vLLM, SGLang, llama.cpp, LM Studio.

    ``base_url`` ends with the version (``http://localhost:8000/v1``). Servers without keys take any.
    ``extra_body``: what goes into a request beside OpenAI's fields.
    """
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.settings import ModelSettings

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with _openai_client(key or "none", base_url) as client:
            profile = OpenAIModelProfile(
                thinking_tags=_NO_TAGS,
                openai_chat_supports_max_completion_tokens=False,  # older servers know no other limit
            )
            settings = ModelSettings(extra_body=extra_body) if extra_body else None
            provider = OpenAIProvider(openai_client=client)
            yield OpenAIChatModel(name, provider=provider, profile=profile, settings=settings)

    return opened


def _openai_client(key: str, base_url: str) -> AsyncOpenAI:
    from openai import AsyncOpenAI, Omit

    # The client's own defaults are OpenAI's, from the environment: they must not go to strangers.
    left_out: dict[str, Any] = dict.fromkeys(("OpenAI-Organization", "OpenAI-Project"), Omit())
    return AsyncOpenAI(
        base_url=base_url, api_key=key, default_headers=left_out, http_client=direct_client(base_url)
    )


def _anthropic(name: str, key: str, base_url: str | None) -> Opener:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with AsyncAnthropic(
            api_key=key, base_url=base_url, http_client=direct_client(base_url)
        ) as client:
            yield AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    return opened


def _google(name: str, key: str, base_url: str | None) -> Opener:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with direct_client(base_url) or nullcontext() as client:
            provider = GoogleProvider(api_key=key, base_url=base_url, http_client=client)
            async with GoogleModel(name, provider=provider) as model:
                yield model

    return opened


def thinks_before(provider: Provider, name: str) -> bool:
    """Return whether a hosted model thinks before it answers unless told otherwise."""
    if provider == "google":
        from pydantic_ai.providers.google import GoogleProvider

        return bool((GoogleProvider.model_profile(name) or {}).get("supports_thinking"))
    if provider == "anthropic":
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return bool((AnthropicProvider.model_profile(name) or {}).get("thinking_enabled_by_default"))
    from pydantic_ai.providers.openai import OpenAIProvider

    known = bool((OpenAIProvider.model_profile(name) or {}).get("thinking_enabled_by_default"))
    return known or _NEWER_OPENAI.match(name) is not None


def direct_client(base_url: str | None) -> httpx2.AsyncClient | None:
    """A client that goes straight to a server on this machine; None for others, which a proxy may lead to."""
    if not on_this_machine(base_url or ""):
        return None
    import httpx2

    # More specific than the environment's proxies, so these win. Timeouts are the request's own.
    return httpx2.AsyncClient(mounts={"http://": None, "https://": None}, timeout=None)


def on_this_machine(url: str) -> bool:
    """Return whether a URL leads to this machine."""
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


def _hosted(
    generator_id: str,
    name: str,
    model: Opener,
    price: Callable[[int, int], float | None],
    options: GeneratorOptions,
    *,
    thinks: bool = False,
) -> HostedGenerator:
    from askpix.generation.generators.hosted import HostedGenerator

    return HostedGenerator(
        model,
        model_id=generator_id,
        limits=limits_of(name),
        image_of=options.image_of,
        price_of=price,
        max_tokens=options.max_tokens,
        thinks=thinks,
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
        price = price_of(provider, name)
        thinks = thinks_before(provider, name)
        return _hosted(f"{provider}:{name}", name, model, price, options, thinks=thinks)

    fact = ModelFact(
        id=f"{provider}:MODEL",
        role="generator",
        licence="hosted",
        languages=("*",),
        notes="images leave this machine, for money",
    )
    return GeneratorKind(
        reference="MODEL",
        modules=("pydantic_ai",),
        install="pip install 'askpix[hosted]'",
        open=load,
        facts=lambda: (fact,),
        unset=lambda options: None if key(options) else f"no key: set {' or '.join(variables)}",
    )


OPENAI = _provider("openai", "OPENAI_API_KEY")
ANTHROPIC = _provider("anthropic", "ANTHROPIC_API_KEY")
GOOGLE = _provider("google", "GOOGLE_API_KEY", "GEMINI_API_KEY")
