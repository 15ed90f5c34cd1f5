"""Prices of models from the bundled list of genai-prices."""

from decimal import Decimal
from functools import lru_cache

from chat.price import Price

LOCAL = "local"


@lru_cache(maxsize=256)
def listed_price(provider: str, provider_model: str) -> Price | None:
    """Return the price from the bundled list, or None if the list does not have the model."""
    if provider == LOCAL or "." in provider:
        # The list identifies providers by name, not by host. Loading it costs memory.
        return None
    import genai_prices

    def cost(**tokens: int) -> Decimal:
        usage = genai_prices.Usage(**tokens)
        return Decimal(genai_prices.calc_price(usage, model_ref=provider_model, provider_id=provider).total_price)

    # Small counts, because some models have higher prices for long prompts.
    thousand = 1000
    try:
        price = cost(input_tokens=thousand) * thousand
        cached = cost(input_tokens=thousand, cache_read_tokens=thousand) * thousand
        output = cost(output_tokens=thousand) * thousand
    except (LookupError, ValueError):
        return None
    return Price(price, output, None if cached == price else cached, f"genai-prices {_version()}")


def _version() -> str:
    from importlib.metadata import version

    return version("genai-prices")
