"""Accounts over HTTP, on real backends."""

import pytest

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"


async def test_a_registered_person_logs_in_and_reads_their_account(auth):
    person = await auth.person()
    found = await person.call("GET", "/api/v1/auth/me")
    assert found.status_code == 200
    assert found.json()["username"] == person.username
    assert found.json()["last_login_at"] is not None
    assert found.json()["scopes"] == ["account", "chat:write", "events:read", "history:read", "history:write"]
    assert [name for name, _ in await auth.events(person.id)] == ["user.registered"]
