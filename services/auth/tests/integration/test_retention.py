"""Retention: what auth deletes by itself."""

from uuid import UUID

import pytest

from auth_testing.app import MakeSettings, StartAuth
from parley_testing import eventually

pytestmark = pytest.mark.integration

MORE_THAN_A_BATCH = 1100
_ENDED_SESSIONS = """
INSERT INTO sessions (id, user_id, client_id, scopes, expires_at, idle_expires_at, current_digest, revoked_at)
SELECT gen_random_uuid(), $1, 'parley-web', '{}', now() + interval '30 days', now() + interval '14 days', '',
    now() - interval '25 hours'
FROM generate_series(1, $2)"""
_REVOCATIONS = """
INSERT INTO revocations (kind, subject, not_before, expires_at)
SELECT 'session', gen_random_uuid(), 0, now() - interval '1 second' FROM generate_series(1, $1)"""


async def test_all_that_is_over_is_deleted_in_one_round(make_settings: MakeSettings, start: StartAuth) -> None:
    settings = await make_settings()
    async with start(settings) as auth:
        person = await auth.person()
        await auth.rows(_ENDED_SESSIONS, UUID(person.id), MORE_THAN_A_BATCH)
        await auth.rows(_REVOCATIONS, MORE_THAN_A_BATCH)
    async with start(settings) as auth:

        async def deleted() -> bool:
            return not await auth.rows("SELECT FROM revocations WHERE expires_at < now()")

        await eventually(deleted)
        assert [str(row["id"]) for row in await auth.rows("SELECT id FROM sessions")] == [person.claims["sid"]]


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
