"""The price of a model, and the cost of an answer."""

from dataclasses import dataclass
from decimal import Decimal

from parley_events.parts import Usage

MILLION = Decimal(1_000_000)
PLACES = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; ``version`` names the price list."""

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None
    version: str

    def of(self, usage: Usage) -> Decimal:
        """Return the cost in US dollars. Cached tokens cost the input price if the price list has no cached price."""
        cached = self.cached_input_per_million
        rate = self.input_per_million if cached is None else cached
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        total = (
            fresh * self.input_per_million
            + usage.cached_tokens * rate
            + usage.completion_tokens * self.output_per_million
        )
        return (total / MILLION).quantize(PLACES)
