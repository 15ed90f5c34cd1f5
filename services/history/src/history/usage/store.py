"""Storage interface of usage."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol
from uuid import UUID

from history.usage.schemas import UsageGroup, UsageRow

Grouping = Literal["day", "model", "conversation", "provider", "user"]
OwnGrouping = Literal["day", "model", "conversation"]
AdminGrouping = Literal["user", "model", "day", "provider"]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A usage report: from a date (inclusive) to a date (exclusive) in a time zone, by group.

    Without ``user_id``, of all users; without ``model``, of all models.
    """

    user_id: UUID | None
    since: date
    until: date
    tz: str
    group: Grouping
    model: str | None = None


class UsernameSource(Protocol):
    """Finds user names, which history does not store."""

    async def usernames(self, user_ids: Collection[UUID], token: str) -> Mapping[UUID, str]:
        """Return user names by id with an administrator's token. Empty when auth is unavailable."""
        ...


class UsageStore(Protocol):
    """Sums over turns."""

    async def zones(self) -> frozenset[str]:
        """Return the names of the known time zones."""
        ...

    async def today(self, tz: str) -> date:
        """Return the current date in a time zone."""
        ...

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        """Return the usage by group."""
        ...

    async def total(self, query: UsageQuery) -> UsageRow:
        """Return the usage of all groups together."""
        ...
