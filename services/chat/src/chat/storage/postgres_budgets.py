"""Budgets in Postgres."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from chat.storage.postgres_turns import PostgresTurnStore

_SPENT = """
SELECT period, tokens + reserved_tokens AS tokens, cost + reserved_cost AS cost FROM budgets
WHERE user_id = $1 AND period = ANY ($2::text[])"""


class PostgresBudgetStore:
    """Budget usage, in the database of the turns."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def spent(self, user_id: UUID, periods: Sequence[str]) -> dict[str, tuple[int, Decimal]]:
        """Return used plus reserved tokens and cost, by period."""
        async with self._turns.connection(queued=True) as connection:
            rows = await connection.fetch(_SPENT, user_id, list(periods))
        return {row["period"]: (row["tokens"], row["cost"]) for row in rows}
