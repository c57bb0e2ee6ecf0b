"""Which client speaks to which provider, and what its tokens cost. Knows the providers' classes and no keys:
those are handed in."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

Provider: TypeAlias = Literal["openai", "anthropic", "google"]
KEY_NAMES: dict[Provider, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""The environment variables in which each provider's own tools look for a key, best first."""


def open_model(provider: Provider, name: str, *, key: str, base_url: str | None = None) -> Model:
    """A model of a hosted provider. ``base_url`` replaces the provider's own address (a proxy)."""
    if provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(name, provider=AnthropicProvider(api_key=key, base_url=base_url))
    if provider == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(name, provider=GoogleProvider(api_key=key, base_url=base_url))
    return open_server(name, base_url or "https://api.openai.com/v1", key=key)


def open_server(name: str, base_url: str, *, key: str | None = None) -> Model:
    """A model of an OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, LM Studio.

    ``base_url`` ends with the version (``http://localhost:11434/v1``). Servers without keys take any.
    """
    # The client's own default key is that of OpenAI, from the environment: it must not go to strangers.
    client = AsyncOpenAI(base_url=base_url, api_key=key or "none", organization="", project="")
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def price_of(provider: Provider, name: str) -> Callable[[int, int], float | None]:
    """US dollars for so many input and output tokens, by the price list that genai-prices carries; None when
    it does not know the model."""

    def price(given: int, made: int) -> float | None:
        try:
            found = calc_price(
                PricedUsage(input_tokens=given, output_tokens=made), name, provider_id=provider
            )
        except LookupError:
            return None
        return float(found.total_price)

    return price


def free(given: int, made: int) -> float | None:
    """A model on the user's own machine costs nothing."""
    return 0.0
