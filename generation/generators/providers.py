"""Which client speaks to which provider, and what its tokens cost. Knows the providers' classes and no keys:
those are handed in."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, TypeAlias

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

_log = logging.getLogger(__name__)
Provider: TypeAlias = Literal["openai", "anthropic", "google"]
Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Model]]
"""A model with a client of its own for one request: nothing is left open between questions."""
KEY_NAMES: dict[Provider, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""The environment variables in which each provider's own tools look for a key, best first."""


def open_model(provider: Provider, name: str, *, key: str, base_url: str | None = None) -> Opener:
    """A model of a hosted provider. ``base_url`` replaces the provider's own address (a proxy)."""
    if provider == "anthropic":
        return _anthropic(name, key, base_url)
    if provider == "google":
        return _google(name, key, base_url)
    return open_server(name, base_url or "https://api.openai.com/v1", key=key)


def open_server(name: str, base_url: str, *, key: str | None = None) -> Opener:
    """A model of an OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, LM Studio.

    ``base_url`` ends with the version (``http://localhost:11434/v1``). Servers without keys take any.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        # The client's own defaults are OpenAI's, from the environment: they must not go to strangers.
        async with AsyncOpenAI(
            base_url=base_url, api_key=key or "none", organization="", project=""
        ) as client:
            yield OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))

    return opened


def _anthropic(name: str, key: str, base_url: str | None) -> Opener:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with AsyncAnthropic(api_key=key, base_url=base_url) as client:
            yield AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    return opened


def _google(name: str, key: str, base_url: str | None) -> Opener:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    @asynccontextmanager
    async def opened() -> AsyncIterator[Model]:
        async with GoogleModel(name, provider=GoogleProvider(api_key=key, base_url=base_url)) as model:
            yield model

    return opened


def price_of(provider: Provider, name: str) -> Callable[[int, int], float | None]:
    """US dollars for so many input and output tokens, by the price list that genai-prices carries; None when
    it does not know the model."""

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
