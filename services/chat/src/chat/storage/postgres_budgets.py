"""Budgets in Postgres."""

from collections.abc import Sequence
from uuid import UUID

from chat.admission.budgets import BudgetUse
from chat.storage.postgres_turns import PostgresTurnStore

_USE = """
SELECT period, tokens, cost, reserved_tokens, reserved_cost FROM budgets
WHERE user_id = $1 AND period = ANY ($2::text[])"""


class PostgresBudgetStore:
    """Budget usage, in the database of the turns."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def use(self, user_id: UUID, periods: Sequence[str]) -> dict[str, BudgetUse]:
        """Return what is used and reserved, by period."""
        async with self._turns.connection(queued=True) as connection:
            rows = await connection.fetch(_USE, user_id, list(periods))
        return {period: BudgetUse(*use) for period, *use in rows}
