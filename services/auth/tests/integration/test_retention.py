"""Retention: what auth deletes by itself."""

import pytest

from auth_testing.app import MakeSettings, StartAuth
from parley_testing import eventually

pytestmark = pytest.mark.integration


async def test_published_events_are_deleted_after_a_day(make_settings: MakeSettings, start: StartAuth) -> None:
    settings = await make_settings()
    async with start(settings) as auth:
        old, recent = await auth.person(), await auth.person()

        async def all_published() -> bool:
            return not await auth.rows("SELECT FROM outbox WHERE sent_at IS NULL")

        await eventually(all_published)
        await auth.rows("UPDATE outbox SET sent_at = now() - interval '25 hours' WHERE subject = $1", old.id)
    async with start(settings) as auth:

        async def deleted() -> bool:
            return not await auth.events(old.id)

        await eventually(deleted)
        assert await auth.events(recent.id)
