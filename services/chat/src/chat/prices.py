"""What a turn costs: the operator's price, else the bundled price list, else unknown."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from parley_events.models import Usage

LOCAL = "local"
MILLION = Decimal(1_000_000)
PLACES = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, and which list says so."""

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None
    version: str

    def of(self, usage: Usage) -> Decimal:
        """Return the cost of a usage; cached tokens cost the full price where no other is known."""
        cached = self.cached_input_per_million
        rate = self.input_per_million if cached is None else cached
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        total = (
            fresh * self.input_per_million
            + usage.cached_tokens * rate
            + usage.completion_tokens * self.output_per_million
        )
        return (total / MILLION).quantize(PLACES)


@lru_cache(maxsize=256)
def listed_price(provider: str, provider_model: str) -> Price | None:
    """Return the price of the bundled list, or None when it does not know the model."""
    if provider == LOCAL or "." in provider:
        # The list knows providers by name, not by host; loading it costs memory.
        return None
    import genai_prices

    def cost(**tokens: int) -> Decimal:
        usage = genai_prices.Usage(**tokens)
        return Decimal(genai_prices.calc_price(usage, model_ref=provider_model, provider_id=provider).total_price)

    # Small counts: some models have other prices for long prompts.
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
