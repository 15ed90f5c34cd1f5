"""Bounds of the audit log: what the owner of an account can add, and how long entries are kept."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from auth.audit.postgres import MAX_OWN_ENTRIES
from auth_testing.app import MakeSettings, Person, RunningAuth, StartAuth
from parley import times
from parley.ids import first_id, new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration

KEYS, ME = "/api/v1/auth/api-keys", "/api/v1/auth/me"
_ENTRY = """
INSERT INTO audit_log (id, at, action, actor_type, actor_id, target_type, target_id)
VALUES ($1, $2, $3, 'user', $4, 'user', $5)"""


async def add_entries(
    auth: RunningAuth, action: str, person: Person, count: int, *, by: Person | None = None, at: datetime | None = None
) -> None:
    """Add entries about an account that it, or ``by``, has caused; a log-in has no actor."""
    actor = None if action == "session.new_device" else UUID((by or person).id)
    moment = at or times.now()
    ids = [new_id() if at is None else UUID(int=first_id(at).int + number) for number in range(count)]
    async with auth.connection() as connection:
        await connection.executemany(_ENTRY, [(each, moment, action, actor, person.id) for each in ids])


async def test_an_account_creates_a_bounded_number_of_keys_in_a_day(auth: RunningAuth) -> None:
    person, other = await auth.person(), await auth.person()
    await add_entries(auth, "apikey.created", person, MAX_OWN_ENTRIES - 1)
    body = {"name": "ci", "scopes": ["chat:write"]}
    made = await person.call("POST", KEYS, json=body, headers={"Idempotency-Key": "once"})
    assert made.status_code == 201, made.text
    refused = await person.call("POST", KEYS, json=body)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    assert (await person.call("POST", KEYS, json=body, headers={"Idempotency-Key": "once"})).status_code == 201
    assert (await person.call("DELETE", f"{KEYS}/{made.json()['id']}")).status_code == 204
    assert (await other.call("POST", KEYS, json=body)).status_code == 201


async def test_an_account_changes_its_profile_a_bounded_number_of_times_in_a_day(auth: RunningAuth) -> None:
    person, admin = await auth.person(), await auth.person(admin=True)
    await add_entries(auth, "user.updated", person, MAX_OWN_ENTRIES, by=admin)
    assert (await person.call("PATCH", ME, json={"display_name": "Ada"})).status_code == 200
    await add_entries(auth, "user.updated", person, MAX_OWN_ENTRIES)
    refused = await person.call("PATCH", ME, json={"display_name": "Bea"})
    assert refused.status_code == 429
    assert (await person.call("GET", ME)).json()["display_name"] == "Ada"
    changed = await admin.call("PATCH", f"/api/v1/admin/users/{person.id}", json={"display_name": "Cleo"})
    assert changed.status_code == 200


async def test_an_account_logs_in_from_a_bounded_number_of_new_devices_in_a_day(auth: RunningAuth) -> None:
    person = await auth.person()
    await add_entries(auth, "session.new_device", person, MAX_OWN_ENTRIES)
    assert (await person.login(client_id="another")).status_code == 429
    assert (await person.login()).status_code == 200


async def test_entries_of_yesterday_do_not_count(auth: RunningAuth) -> None:
    person = await auth.person()
    await add_entries(auth, "user.updated", person, MAX_OWN_ENTRIES, at=times.now() - timedelta(hours=25))
    assert (await person.call("PATCH", ME, json={"display_name": "Ada"})).status_code == 200


async def test_entries_are_deleted_after_the_retention_time(make_settings: MakeSettings, start: StartAuth) -> None:
    settings = await make_settings(audit_retention_days=40)
    async with start(settings) as auth:
        old, recent = await auth.person(), await auth.person()
        await add_entries(auth, "user.updated", old, 1100, at=times.now() - timedelta(days=41))
        await add_entries(auth, "user.updated", recent, 3, at=times.now() - timedelta(days=39))
    async with start(settings) as auth:

        async def deleted() -> bool:
            return not await auth.rows("SELECT FROM audit_log WHERE at < now() - interval '40 days'")

        await eventually(deleted)
        kept = await auth.rows("SELECT FROM audit_log WHERE target_id = $1 AND action = 'user.updated'", recent.id)
        assert len(kept) == 3
