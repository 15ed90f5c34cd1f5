"""Reports of what a person's turns used."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from history.conversations.schemas import UsageGroup, UsageReport
from history.conversations.store import Grouping, UsageQuery, UsageStore
from parley.errors import FieldError, ValidationFailed

DEFAULT_DAYS = 30
MOST_DAYS = 366


class UsageService:
    """Reports usage."""

    def __init__(self, store: UsageStore) -> None:
        """Take what sums the turns."""
        self._store = store

    async def report(
        self, user_id: UUID, since: date | None, until: date | None, group: Grouping, tz: str
    ) -> UsageReport:
        """Return the usage by group and in all; raises ValidationFailed for a range or zone that makes no sense."""
        if tz not in await self._store.zones():
            raise ValidationFailed([FieldError("/tz", "invalid_value", "Must be the IANA name of a time zone.")])
        try:
            until = until or (since + timedelta(days=DEFAULT_DAYS) if since else await self._tomorrow(tz))
            since = since or until - timedelta(days=DEFAULT_DAYS)
        except OverflowError:
            raise _bad_range() from None
        if not timedelta(0) < until - since <= timedelta(days=MOST_DAYS):
            raise _bad_range()
        query = UsageQuery(user_id, since, until, tz, group)
        groups = await self._store.groups(query)
        data = every_day(groups, since, until) if group == "day" else groups
        total = await self._store.total(query)
        return UsageReport(from_=str(since), to=str(until), tz=tz, group=group, data=data, total=total)

    async def _tomorrow(self, tz: str) -> date:
        return await self._store.today(tz) + timedelta(days=1)


def every_day(groups: list[UsageGroup], since: date, until: date) -> list[UsageGroup]:
    """Return a group for each day from ``since`` to (without) ``until``."""
    known = {group.key: group for group in groups}
    days = (str(since + timedelta(days=n)) for n in range((until - since).days))
    return [known.get(day) or _nothing(day) for day in days]


def _bad_range() -> ValidationFailed:
    return ValidationFailed([FieldError("/to", "invalid_range", f"Must be after `from`, by at most {MOST_DAYS} days.")])


def _nothing(day: str) -> UsageGroup:
    return UsageGroup(
        key=day,
        turns=0,
        prompt_tokens=0,
        completion_tokens=0,
        total_tokens=0,
        estimated_turns=0,
        cost=Decimal(0),
    )
