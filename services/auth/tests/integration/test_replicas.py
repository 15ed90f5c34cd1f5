"""Several replicas of auth over one database: races, rotation and revocation between them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import httpx2
import jwt
import pytest
import structlog

from auth.settings import AuthSettings
from auth_testing.app import MakeSettings, StartAuth
from auth_testing.replica import StartReplica, running_replica
from parley.security.jwks import KeySet
from parley.security.tokens import TokenVerifier
from parley_testing import eventually
from parley_testing.faults.processes import resident_bytes
from parley_testing.http.client import open_http

pytestmark = pytest.mark.integration
log = structlog.get_logger()

PASSWORD = "correct horse battery staple"
HEALTH_P99 = 0.05
TOKEN, ME = "/api/v1/auth/token", "/api/v1/auth/me"
FAST_ROTATION = {"SIGNING_KEY_PUBLISH_AHEAD": "3", "SIGNING_KEY_POLL": "0.3"}

Pair = tuple[httpx2.AsyncClient, httpx2.AsyncClient]


@pytest.fixture(scope="module")
async def settings(make_settings: MakeSettings) -> AuthSettings:
    return await make_settings(signing_key_publish_ahead=3, signing_key_poll=0.3)


@pytest.fixture(scope="module")
async def pair(settings: AuthSettings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Clients of two processes over one database, which change their signing keys fast."""
    folder = tmp_path_factory.mktemp("auth")
    async with (
        running_replica(settings, folder, **FAST_ROTATION) as (one, _),
        running_replica(settings, folder, **FAST_ROTATION) as (other, _),
    ):
        yield one, other


async def log_in(client: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    await client.post("/api/v1/auth/register", json={"username": name, "password": PASSWORD})
    found = await client.post(TOKEN, data={"grant_type": "password", "username": name, "password": PASSWORD})
    assert found.status_code == 200, found.text
    tokens: dict[str, Any] = found.json()
    return tokens


async def refresh(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": token})


async def call_me(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.get(ME, headers={"Authorization": f"Bearer {token}"})


async def test_a_hundred_refreshes_at_once_over_two_replicas_have_one_successor(
    settings: AuthSettings, start: StartAuth
) -> None:
    async with start(settings) as here, start(settings) as there:
        await assert_one_successor(here.client, there.client)


async def assert_one_successor(one: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    """Refresh one token many times at once over both replicas, then an old one, which ends the session."""
    tokens = await log_in(one, "racer")
    token, first = tokens["refresh_token"], tokens["refresh_token"]
    for _ in range(2):
        answers = await asyncio.gather(*(refresh((one, other)[n % 2], token) for n in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        successors = {answer.json()["refresh_token"] for answer in answers}
        assert len(successors) == 1
        token = successors.pop()
    access = answers[0].json()["access_token"]
    assert (await call_me(other, access)).status_code == 200
    assert (await refresh(one, first)).json()["error"] == "invalid_grant"
    refused = await call_me(other, access)
    assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
    assert (await refresh(other, token)).json()["error"] == "invalid_grant"


@pytest.mark.chaos
async def test_two_key_rotations_under_load_reject_no_token(
    settings: AuthSettings, start: StartAuth, pair: Pair
) -> None:
    one, other = pair
    async with start(settings) as operator:
        verifiers = [_verifier(client) for client in (one, other)]
        accepted, kids, done = 0, set(), asyncio.Event()

        async def load(number: int) -> None:
            nonlocal accepted
            tokens = await log_in(one, f"loader-{number}")
            while not done.is_set():
                found = await refresh((one, other)[number % 2], tokens["refresh_token"])
                assert found.status_code == 200, found.text
                tokens = found.json()
                kids.add(_kid(tokens["access_token"]))
                for verifier in verifiers * 10:
                    await verifier.verify(tokens["access_token"])
                    accepted += 1

        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(load(number))
            for rotation in range(2):
                await operator.services.keys.rotate()
                await eventually(partial(_has, kids, rotation + 2), within=60)
            await eventually(lambda: accepted >= 1_000, within=120)
            done.set()
        assert len(kids) == 3
        assert len((await one.get("/.well-known/jwks.json")).json()["keys"]) == 3


def _verifier(client: httpx2.AsyncClient) -> TokenVerifier:
    """Return a verifier as other services have it, with a JWKS cache of one second and no token cache."""

    async def fetch() -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await client.get("/.well-known/jwks.json")).json()
        return found

    return TokenVerifier(KeySet(fetch, lifetime=1, cooldown=1), issuer="http://localhost:8000", cache_size=0)


def _has(found: set[str], count: int) -> bool:
    return len(found) == count


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.alone
@pytest.mark.chaos
async def test_fifty_concurrent_logins_stall_neither_the_event_loop_nor_exhaust_memory(
    make_settings: MakeSettings, replica: StartReplica
) -> None:
    workers = max(1, (os.cpu_count() or 2) - 1)
    async with replica(await make_settings()) as (client, pid):
        await log_in(client, "crowd")
        before, rounds = resident_bytes(pid), []
        for _ in range(3):  # a machine busy with other things may spoil one or two
            quiet, _ = await _probe(client, pid, asyncio.gather(asyncio.sleep(1)))
            logins = asyncio.gather(*(_log_in_once(client) for _ in range(50)))
            busy, peak = await _probe(client, pid, logins)
            rounds.append((busy - quiet, peak))
            if busy - quiet <= HEALTH_P99:
                break
    fastest, growth = min(added for added, _ in rounds), max(peak for _, peak in rounds) - before
    log.info("measured", health_p99_added_ms=round(fastest * 1e3, 1), growth_mib=round(growth / 2**20, 1))
    assert fastest <= HEALTH_P99
    assert growth <= (workers * 19 + 20) * 2**20


async def _log_in_once(client: httpx2.AsyncClient) -> None:
    form = {"grant_type": "password", "username": "crowd", "password": PASSWORD}
    assert (await client.post(TOKEN, data=form)).status_code == 200


async def _probe(client: httpx2.AsyncClient, pid: int, until: "asyncio.Future[Any]") -> tuple[float, int]:
    """Request /health until a future is done; returns the p99 in seconds and the peak memory in bytes."""
    delays, peak = [], 0
    async with open_http(str(client.base_url)) as prober:
        while not until.done():
            began = time.perf_counter()
            assert (await prober.get("/health")).status_code == 200
            delays.append(time.perf_counter() - began)
            peak = max(peak, resident_bytes(pid))
            await asyncio.sleep(0.002)
    await until
    return sorted(delays)[int(len(delays) * 0.99)], peak
