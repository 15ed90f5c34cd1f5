"""Usage sums in Postgres."""

from datetime import date
from decimal import Decimal
from typing import Any

from history.database import Database, Row
from history.usage.schemas import UsageGroup, UsageRow
from history.usage.store import Grouping, UsageQuery

MAX_GROUPS = 1000
"""Groups in a report, most tokens first. The total includes the groups that are left out."""

_ZONES = "SELECT name FROM pg_timezone_names WHERE name !~ '^(posix|right)/|^(posixrules|localtime|Factory)$'"
_TODAY = "SELECT (now() AT TIME ZONE $1)::date"
_SUMS = """count(*) AS turns, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens, coalesce(sum(total_tokens), 0) AS total_tokens,
    count(*) FILTER (WHERE estimated) AS estimated_turns, sum(cost) FILTER (WHERE total_tokens > 0 OR cost > 0) AS cost
FROM turns
WHERE status <> 'running' AND finish_reason IS DISTINCT FROM 'inserted' AND ($4::text IS NULL OR model = $4)
  AND finished_at >= $1::date::timestamp AT TIME ZONE $3 AND finished_at < $2::date::timestamp AT TIME ZONE $3"""
_OF_USER = "AND user_id = $5"
_KEYS: dict[Grouping, str] = {
    "day": "to_char(finished_at AT TIME ZONE $3, 'YYYY-MM-DD')",
    "model": "model",
    "conversation": "conversation_id::text",
    "provider": "provider",
    "user": "user_id::text",
}


class PostgresUsageStore:
    """Usage sums over the ``turns`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._zones: frozenset[str] = frozenset()

    async def zones(self) -> frozenset[str]:
        """Return the names of the known time zones. They are cached: Postgres reads the zone files for each query."""
        if not self._zones:
            self._zones = frozenset(row["name"] for row in await self._database.fetch(_ZONES))
        return self._zones

    async def today(self, tz: str) -> date:
        """Return the current date in a time zone."""
        found: date = await self._database.value(_TODAY, tz)
        return found

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        """Return the usage by group."""
        turns, arguments = _turns(query)
        statement = (
            f"SELECT {_KEYS[query.group]} AS key, {turns} GROUP BY 1 ORDER BY total_tokens DESC, 1 LIMIT {MAX_GROUPS}"
        )
        rows = await self._database.fetch(statement, *arguments)
        return [UsageGroup(key=row["key"], **_sums(row)) for row in rows]

    async def total(self, query: UsageQuery) -> UsageRow:
        """Return the usage of all groups together."""
        turns, arguments = _turns(query)
        row = await self._database.row(f"SELECT {turns}", *arguments)
        return UsageRow(**_sums(row))


def _turns(query: UsageQuery) -> tuple[str, list[Any]]:
    """Return the sums over the turns of a report, and the arguments of the statement."""
    arguments = [query.since, query.until, query.tz, query.model]
    return (_SUMS, arguments) if query.user_id is None else (f"{_SUMS} {_OF_USER}", [*arguments, query.user_id])


def _sums(row: Row) -> dict[str, Any]:
    # Turns without tokens cost nothing, also those of a model whose price is not known.
    cost = Decimal(0) if row["cost"] is None and not row["total_tokens"] else row["cost"]
    names = ("turns", "prompt_tokens", "completion_tokens", "total_tokens", "estimated_turns")
    return {**{name: row[name] for name in names}, "cost": cost}
