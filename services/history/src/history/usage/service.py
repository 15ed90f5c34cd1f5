"""Usage service: reports of tokens and cost."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from history.usage.schemas import AdminUsageGroup, AdminUsageReport, UsageGroup, UsageReport
from history.usage.store import Grouping, UsageQuery, UsageStore, UsernameSource
from parley.errors import ValidationFailed
from parley.field_errors import FieldError

DEFAULT_DAYS = 30
MAX_DAYS = 366


class UsageService:
    """Reports the usage of turns."""

    def __init__(self, store: UsageStore, names: UsernameSource) -> None:
        self._store, self._names = store, names

    async def report(
        self,
        user_id: UUID | None,
        since: date | None,
        until: date | None,
        group: Grouping,
        tz: str,
        *,
        model: str | None = None,
    ) -> UsageReport:
        """Return the usage by group and in total, of all users without ``user_id``.

        Raises ValidationFailed for an invalid range or time zone.
        """
        if tz not in await self._store.zones():
            raise ValidationFailed([FieldError("/tz", "invalid_value", "Must be the IANA name of a time zone.")])
        try:
            until = until or (since + timedelta(days=DEFAULT_DAYS) if since else await self._tomorrow(tz))
            since = since or until - timedelta(days=DEFAULT_DAYS)
        except OverflowError:
            raise _bad_range() from None
        if not timedelta(0) < until - since <= timedelta(days=MAX_DAYS):
            raise _bad_range()
        query = UsageQuery(user_id, since, until, tz, group, model)
        groups = await self._store.groups(query)
        data = _fill_days(groups, since, until) if group == "day" else groups
        total = await self._store.total(query)
        return UsageReport(from_=str(since), to=str(until), tz=tz, group=group, data=data, total=total)

    async def admin_report(
        self,
        user_id: UUID | None,
        since: date | None,
        until: date | None,
        group: Grouping,
        tz: str,
        *,
        model: str | None,
        token: str,
    ) -> AdminUsageReport:
        """Return the usage of all users, or of one, with user names when the groups are users.

        ``token``: the administrator's. Raises ValidationFailed like ``report``.
        """
        found = await self.report(user_id, since, until, group, tz, model=model)
        ids = [UUID(each.key) for each in found.data if each.key] if group == "user" else []
        names = await self._names.usernames(ids, token) if ids else {}
        data = [
            AdminUsageGroup(**dict(each), username=names.get(UUID(each.key)) if ids and each.key else None)
            for each in found.data
        ]
        return AdminUsageReport(**{**dict(found), "data": data})

    async def _tomorrow(self, tz: str) -> date:
        return await self._store.today(tz) + timedelta(days=1)


def _fill_days(groups: list[UsageGroup], since: date, until: date) -> list[UsageGroup]:
    known = {group.key: group for group in groups}
    days = (str(since + timedelta(days=n)) for n in range((until - since).days))
    return [known.get(day) or _empty_day(day) for day in days]


def _bad_range() -> ValidationFailed:
    return ValidationFailed([FieldError("/to", "invalid_range", f"Must be 1 to {MAX_DAYS} days after `from`.")])


def _empty_day(day: str) -> UsageGroup:
    return UsageGroup(
        key=day,
        turns=0,
        prompt_tokens=0,
        completion_tokens=0,
        total_tokens=0,
        estimated_turns=0,
        cost=Decimal(0),
    )
