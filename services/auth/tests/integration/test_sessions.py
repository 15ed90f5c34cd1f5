"""Session routes, and revocations in Redis."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from auth.audit.model import SYSTEM
from auth.revocations.redis_cache import RedisRevocationCache
from auth.revocations.service import RevocationService
from auth_testing.app import GATEWAY_SECRET, RunningAuth
from parley.storage.redis import RedisClient, open_redis
from parley_testing import eventually

pytestmark = pytest.mark.integration

SESSIONS, ME = "/api/v1/auth/sessions", "/api/v1/auth/me"


@pytest.fixture(scope="module")
async def redis(auth: RunningAuth) -> AsyncIterator[RedisClient]:
    async with open_redis(auth.settings.redis_url.get_secret_value(), timeout=5) as client:
        yield client


async def test_sessions_are_listed_newest_first(auth: RunningAuth) -> None:
    person = await auth.person()
    headers = {"user-agent": "Mozilla/5.0", "x-forwarded-for": "198.51.100.9, 203.0.113.7"}
    form = {"grant_type": "password", "username": person.username, "password": "correct horse battery staple"}
    await auth.client.post("/api/v1/auth/token", data=form, headers=headers)
    body = (await person.call("GET", SESSIONS)).json()
    newest, oldest = body["data"]
    assert body["next_cursor"] is None
    assert (newest["current"], newest["user_agent"], newest["ip"]) == (False, "Mozilla/5.0", "203.0.113.7")
    assert (oldest["current"], oldest["id"], oldest["client_id"]) == (True, person.claims["sid"], "parley-web")
    assert set(newest) == {
        *("id", "current", "client_id", "user_agent", "ip", "created_at", "last_used_at", "expires_at")
    }


async def test_the_session_list_is_paged_with_cursors(auth: RunningAuth) -> None:
    person = await auth.person()
    for _ in range(4):
        await person.other_login()
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = (await person.call("GET", SESSIONS, params=query)).json()
        seen += [session["id"] for session in body["data"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert len(set(seen)) == len(seen) == 5
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "", "AAAA", "A" * 43, "A" * 500, "💥"])
async def test_a_forged_cursor_is_refused(auth: RunningAuth, cursor: str) -> None:
    person = await auth.person()
    found = await person.call("GET", SESSIONS, params={"cursor": cursor})
    assert (found.status_code, found.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "101", "x"])
async def test_a_limit_out_of_range_is_refused(auth: RunningAuth, limit: str) -> None:
    person = await auth.person()
    assert (await person.call("GET", SESSIONS, params={"limit": limit})).status_code == 422


async def test_a_session_ends_once_and_is_not_found_afterwards(auth: RunningAuth) -> None:
    person = await auth.person()
    other = await person.other_login()
    path = f"{SESSIONS}/{other.claims['sid']}"
    assert (await person.call("DELETE", path)).status_code == 204
    assert (await person.call("DELETE", path)).status_code == 404
    assert (await other.call("GET", ME)).json()["code"] == "session_revoked"
    assert (await person.call("DELETE", f"{SESSIONS}/current")).status_code == 204
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"


async def test_all_other_sessions_end(auth: RunningAuth) -> None:
    person = await auth.person()
    others = [await person.other_login() for _ in range(2)]
    assert (await person.call("DELETE", SESSIONS)).status_code == 204
    assert (await person.call("GET", ME)).status_code == 200
    assert {(await other.call("GET", ME)).status_code for other in others} == {401}


@pytest.mark.parametrize(
    "session", ["rubbish", "01A200A7-0000-7000-8000-000000000001", "01a200a7-0000-7000-8000-000000000001"]
)
async def test_an_unknown_session_is_not_found(auth: RunningAuth, session: str) -> None:
    person = await auth.person()
    assert (await person.call("DELETE", f"{SESSIONS}/{session}")).status_code == 404


async def test_a_logout_returns_after_the_revocation_is_in_redis(auth: RunningAuth, redis: RedisClient) -> None:
    person = await auth.person()
    await auth.client.post("/api/v1/auth/revoke", data={"token": person.tokens["refresh_token"]})
    key = f"parley:revoked:{person.claims['sid']}"
    assert await redis.exists(key)
    assert 900 < await redis.ttl(key) <= 900 + 120
    assert await redis.exists("parley:revocations")


async def test_revocations_that_redis_lost_are_written_again(auth: RunningAuth, redis: RedisClient) -> None:
    person = await auth.person()
    await auth.client.post("/api/v1/auth/revoke", data={"token": person.tokens["refresh_token"]})
    await redis.flushall()
    await eventually(lambda: redis.exists("parley:revocations"), within=20)
    assert await redis.exists(f"parley:revoked:{person.claims['sid']}")


async def test_unpushed_revocations_are_pushed_in_the_background(auth: RunningAuth, redis: RedisClient) -> None:
    person = await auth.person()
    await auth.services.stores.sessions.end_all(UUID(person.id), "logout", SYSTEM)
    await eventually(lambda: redis.exists(f"parley:revoked:{person.claims['sid']}"), within=20)
    await eventually(lambda: is_marked(auth, person.claims["sid"]))


async def test_a_replica_that_starts_copies_marked_revocations_without_writing_them_again(
    auth: RunningAuth, redis: RedisClient
) -> None:
    person = await auth.person()
    session = person.claims["sid"]
    await auth.services.stores.sessions.end_all(UUID(person.id), "logout", SYSTEM)
    await eventually(lambda: is_marked(auth, session), within=20)
    version = "SELECT xmin::text FROM revocations WHERE subject = $1"
    before = await auth.rows(version, session)
    await redis.delete(f"parley:revoked:{session}")
    await RevocationService(auth.services.stores.revocations, RedisRevocationCache(redis)).synchronise()
    assert await redis.exists(f"parley:revoked:{session}")
    assert await auth.rows(version, session) == before


async def is_marked(auth: RunningAuth, session: str) -> bool:
    return bool(await auth.rows("SELECT FROM revocations WHERE pushed AND subject = $1", session))


async def service_token(auth: RunningAuth) -> str:
    form = {"grant_type": "client_credentials", "client_id": "parley-gateway", "client_secret": GATEWAY_SECRET}
    found: str = (await auth.client.post("/api/v1/auth/token", data=form)).json()["access_token"]
    return found


async def check(auth: RunningAuth, token: str, **body: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    found: httpx2.Response = await auth.client.post("/internal/revocations/check", json=body, headers=headers)
    return found


async def test_a_gateway_checks_revocations_without_redis(auth: RunningAuth) -> None:
    gone, here, disabled = [await auth.person() for _ in range(3)]
    admin = await auth.person(admin=True)
    await gone.call("DELETE", f"{SESSIONS}/current")
    await admin.call("PATCH", f"/api/v1/admin/users/{disabled.id}", json={"status": "disabled"})
    token = await service_token(auth)
    issued = disabled.claims["iat"]
    found = await check(
        auth,
        token,
        sessions=[gone.claims["sid"], here.claims["sid"], "rubbish"],
        users={disabled.id: issued, here.id: issued},
    )
    assert found.json() == {"revoked_sessions": [gone.claims["sid"]], "revoked_users": [disabled.id]}
    later = await check(auth, token, users={disabled.id: issued + 60})
    assert later.json() == {"revoked_sessions": [], "revoked_users": []}


async def test_revocation_checks_are_limited_in_size_and_to_services(auth: RunningAuth) -> None:
    admin = await auth.person(admin=True)
    assert (await check(auth, admin.tokens["access_token"], sessions=[])).status_code == 403
    assert (await auth.client.post("/internal/revocations/check", json={})).status_code == 401
    assert (await check(auth, await service_token(auth), sessions=["x"] * 1001)).status_code == 422
    assert (await check(auth, await service_token(auth))).status_code == 200
