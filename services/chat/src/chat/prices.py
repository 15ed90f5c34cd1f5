"""What a turn costs: the operator's price, else the bundled price list, else unknown."""

from dataclasses import dataclass
from decimal import Decimal

from parley_events.models import Usage

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
