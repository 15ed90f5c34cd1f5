"""Behaviour without Redis, startup failures, and secrets in logs."""

import asyncio
import base64
import secrets
from pathlib import Path

import pytest

from auth_testing.app import MakeSettings, StartAuth
from auth_testing.replica import StartReplica
from parley.config.settings import SettingsError
from parley_testing import eventually
from parley_testing.faults.read_only import read_only_database

pytestmark = pytest.mark.integration

NOWHERE = "redis://127.0.0.1:1/0"
TOKEN, ME = "/api/v1/auth/token", "/api/v1/auth/me"


async def test_login_logout_and_throttling_work_without_redis(make_settings: MakeSettings, start: StartAuth) -> None:
    async with start(await make_settings(redis_url=NOWHERE)) as auth:
        person = await auth.person()
        assert (await person.call("GET", ME)).status_code == 200
        assert (await person.call("DELETE", "/api/v1/auth/sessions/current")).status_code == 204
        assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
        answers = [(await person.login("wrong")).status_code for _ in range(6)]
        assert answers == [400] * 5 + [429]


async def test_startup_fails_with_another_secret_key(make_settings: MakeSettings, start: StartAuth) -> None:
    settings = await make_settings()
    async with start(settings):
        pass
    other = base64.b64encode(secrets.token_bytes(32)).decode()
    changed = await make_settings(database_url=settings.database_url.get_secret_value(), auth_secret_key=other)
    with pytest.raises(SettingsError, match="AUTH_SECRET_KEY: cannot decrypt"):
        async with start(changed):
            pass


async def test_no_secret_reaches_the_log(make_settings: MakeSettings, replica: StartReplica, tmp_path: Path) -> None:
    password, wrong = f"canary-{secrets.token_hex(8)}", f"canary-{secrets.token_hex(8)}"
    name = f"user-{secrets.token_hex(4)}"
    address = f"{name}@example.org"
    settings = await make_settings()
    async with replica(settings, LOG_LEVEL="debug") as (client, _):
        body = {"username": name, "email": address, "password": password}
        await client.post("/api/v1/auth/register", json=body)
        await client.post("/api/v1/auth/register", json=body | {"scopes": [wrong]})
        await client.post(
            "/api/v1/auth/register", content=f'{{"password": "{wrong}"', headers={"content-type": "application/json"}
        )
        await client.post(TOKEN, data={"grant_type": "password", "username": name, "password": wrong})
        form = {"grant_type": "password", "username": address, "password": password}
        tokens = (await client.post(TOKEN, data=form)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        key = (await client.post("/api/v1/auth/api-keys", json={"name": "ci"}, headers=headers)).json()["key"]
        await client.get(f"{ME}?access_token={tokens['access_token']}")
        again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        successor = (await client.post(TOKEN, data=again)).json()
        await client.post(TOKEN, data=again | {"refresh_token": successor["refresh_token"]})
        assert (await client.post(TOKEN, data=again)).json()["error"] == "invalid_grant"
        await client.post("/api/v1/auth/revoke", data={"token": tokens["access_token"]})
        await asyncio.sleep(0)
    (log,) = tmp_path.glob("auth-*.log")
    text = log.read_text()
    assert '"route":"/api/v1/auth/token"' in text
    secret_key = settings.auth_secret_key.get_secret_value()
    canaries = [password, wrong, address, name, key, secret_key, *(str(v) for v in tokens.values() if len(str(v)) > 40)]
    canaries.append(successor["refresh_token"])
    assert [canary for canary in canaries if canary in text] == []


async def test_a_read_only_database_refuses_logins_with_503_until_a_writer_is_there(
    make_settings: MakeSettings, start: StartAuth
) -> None:
    settings = await make_settings()
    async with start(settings) as auth:
        person = await auth.person()

        async def refused() -> bool:
            return bool((await person.login()).status_code == 503)

        async def accepted() -> bool:
            return bool((await person.login()).status_code == 200)

        async def readable() -> bool:
            return bool((await person.call("GET", ME)).status_code == 200)

        async with read_only_database(settings.database_url.get_secret_value()):
            await eventually(refused)
            response = await person.login()
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            await eventually(readable)  # not at once: the refused write has discarded the connections
        await eventually(accepted)
