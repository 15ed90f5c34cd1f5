"""Accounts that are not created through the API: the demo account and imported password hashes."""

import bcrypt
import pytest

from auth_testing.app import RunningAuth

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"


async def test_the_demo_account_is_created_once(auth: RunningAuth) -> None:
    first = await auth.services.accounts.ensure(username="Demo", email="demo@example.org", password=PASSWORD)
    again = await auth.services.accounts.ensure(username="demo", email="demo@example.org", password="ignored " * 3)
    assert first.id == again.id
    form = {"grant_type": "password", "username": "demo", "password": PASSWORD}
    assert (await auth.client.post("/api/v1/auth/token", data=form)).status_code == 200


async def test_an_imported_bcrypt_hash_logs_in_and_is_replaced(auth: RunningAuth) -> None:
    person = await auth.person()
    imported = bcrypt.hashpw(b"an imported password", bcrypt.gensalt(4)).decode()
    await auth.rows("UPDATE users SET password_hash = $2 WHERE username = $1 RETURNING id", person.username, imported)
    assert (await person.login("an imported password")).status_code == 200
    (row,) = await auth.rows("SELECT password_hash FROM users WHERE username = $1", person.username)
    assert row["password_hash"].startswith("$argon2id$")
    assert (await person.login("an imported password")).status_code == 200
