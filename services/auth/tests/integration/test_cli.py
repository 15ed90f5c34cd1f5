"""The command line, and accounts made by the launcher."""

import re
import secrets
from typing import Any

import bcrypt
import pytest

from auth import cli
from auth.wiring import open_offline

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"


async def test_an_administrator_is_made_on_the_machine_and_then_out_of_an_account(auth: Any) -> None:
    found = cli.parser().parse_args(["create-admin", "root"])
    async with open_offline(auth.settings) as offline:
        said = await cli.create_admin(offline, found)
        assert "the password is unchanged" in await cli.create_admin(offline, found)
    password = said.rpartition("Password: ")[2]
    form = {"grant_type": "password", "username": "root", "password": password}
    assert "admin" in (await auth.client.post("/api/v1/auth/token", data=form)).json()["scope"]


async def test_a_password_is_reset_on_the_machine(auth: Any) -> None:
    person = await auth.person()
    async with open_offline(auth.settings) as offline:
        said = await cli.reset_password(offline, cli.parser().parse_args(["reset-password", person.username]))
        with pytest.raises(LookupError):
            await cli.reset_password(offline, cli.parser().parse_args(["reset-password", "nobody"]))
    token = re.search(r"prs_\S+", said)
    assert token
    body = {"reset_token": token[0], "new_password": "another long enough sentence"}
    assert (await auth.client.post("/api/v1/auth/password-reset", json=body)).status_code == 204


async def test_keys_are_rotated_on_the_machine_and_followed_by_what_runs(auth: Any) -> None:
    async with open_offline(auth.settings) as offline:
        said = await cli.rotate_keys(offline, cli.parser().parse_args(["rotate-keys"]))
    await auth.wired.keys.refresh()
    published = [key["kid"] for key in (await auth.client.get("/.well-known/jwks.json")).json()["keys"]]
    assert len(published) == 2
    assert published[1] in said


async def test_the_demo_account_is_made_once(auth: Any) -> None:
    first = await auth.wired.accounts.ensure(username="Demo", email="demo@example.org", password=PASSWORD)
    again = await auth.wired.accounts.ensure(username="demo", email="demo@example.org", password="ignored " * 3)
    assert first.id == again.id
    form = {"grant_type": "password", "username": "demo", "password": PASSWORD}
    assert (await auth.client.post("/api/v1/auth/token", data=form)).status_code == 200


async def test_an_imported_bcrypt_hash_opens_the_account_and_is_replaced(auth: Any) -> None:

    person = await auth.person()
    imported = bcrypt.hashpw(b"an imported password", bcrypt.gensalt(4)).decode()
    await auth.rows("UPDATE users SET password_hash = $2 WHERE username = $1 RETURNING id", person.username, imported)
    assert (await person.login("an imported password")).status_code == 200
    (row,) = await auth.rows("SELECT password_hash FROM users WHERE username = $1", person.username)
    assert row["password_hash"].startswith("$argon2id$")
    assert (await person.login("an imported password")).status_code == 200


def test_what_is_wrong_is_one_line_and_exit_1(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for name, value in (
        ("AUTH_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/auth"),
        ("REDIS_URL", "redis://127.0.0.1:1/0"),
        ("AUTH_SECRET_KEY", secrets.token_hex(32)),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        cli.run(["rotate-keys"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "parley-auth: The account database cannot be reached (ConnectionRefusedError).\n"
