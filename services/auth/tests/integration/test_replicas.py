"""Two auth processes over one database: races, rotation and revocation between replicas."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from parley.testing import eventually
from parley.tokens import KeySet, TokenVerifier

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"
TOKEN, ME = "/api/v1/auth/token", "/api/v1/auth/me"
PROGRAM = """
import sys
from parley import server
from parley.bus.memory import MemoryBus
from parley.settings import load_or_exit
from auth.main import create_app
from auth.settings import AuthSettings
from auth.wiring import wire
settings = load_or_exit(AuthSettings)
app = create_app(settings, wire=lambda s, r: wire(s, r, bus=MemoryBus()))
sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
"""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def replica(settings: Any, folder: Path, **more: str) -> AsyncIterator[tuple[httpx2.AsyncClient, int]]:
    """Run one auth process; yields a client of it and its process id."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "HOME"}},
        "AUTH_DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "AUTH_SECRET_KEY": settings.auth_secret_key.get_secret_value(),
        "REGISTRATION": "open",
        "PORT": str(port),
        "ADMIN_PORT": "0",
        "LOG_LEVEL": "warning",
        **more,
    }
    with (folder / f"auth-{port}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, env=environment, stdout=log, stderr=log
        )
    limits = httpx2.Limits(max_connections=60)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client:
            await eventually(lambda: _is_ready(client), within=30)
            yield client, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx2.TransportError:
        return False


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


async def test_a_hundred_refreshes_at_once_over_two_processes_have_one_successor(
    make_settings: Any, tmp_path: Path
) -> None:
    settings = await make_settings()
    async with replica(settings, tmp_path) as (one, _), replica(settings, tmp_path) as (other, _):
        tokens = await log_in(one, "racer")
        token, first = tokens["refresh_token"], tokens["refresh_token"]
        for _ in range(5):
            answers = await asyncio.gather(*(refresh((one, other)[n % 2], token) for n in range(100)))
            assert {answer.status_code for answer in answers} == {200}
            successors = {answer.json()["refresh_token"] for answer in answers}
            assert len(successors) == 1
            token = successors.pop()
        access = answers[0].json()["access_token"]
        assert (await call_me(other, access)).status_code == 200
        assert (await refresh(one, first)).json()["error"] == "invalid_grant"
        began = time.monotonic()
        refused = await call_me(other, access)
        assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
        assert time.monotonic() - began < 1
        assert (await refresh(other, token)).json()["error"] == "invalid_grant"


async def test_three_key_rotations_under_load_reject_no_token(make_settings: Any, start: Any, tmp_path: Path) -> None:
    fast = {"SIGNING_KEY_PUBLISH_AHEAD": "3", "SIGNING_KEY_POLL": "0.3"}
    settings = await make_settings(signing_key_publish_ahead=3, signing_key_poll=0.3)
    async with (
        start(settings) as operator,
        replica(settings, tmp_path, **fast) as (one, _),
        replica(settings, tmp_path, **fast) as (other, _),
    ):
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
            for number in range(4):
                group.create_task(load(number))
            for rotation in range(3):
                await operator.wired.keys.rotate()
                await eventually(lambda n=rotation: len(kids) == n + 2, within=30)
            await eventually(lambda: accepted >= 10_000, within=60)
            done.set()
        assert len(kids) == 4
        assert len((await one.get("/.well-known/jwks.json")).json()["keys"]) == 4


def _verifier(client: httpx2.AsyncClient) -> TokenVerifier:
    """A verifier as other services have it, but with a cache of one second and nothing remembered."""

    async def fetch() -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await client.get("/.well-known/jwks.json")).json()
        return found

    return TokenVerifier(KeySet(fetch, lifetime=1, cooldown=1), issuer="http://localhost:8000", cache_size=0)


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_fifty_log_ins_at_once_neither_stall_the_loop_nor_eat_the_memory(
    make_settings: Any, tmp_path: Path, record_property: Any
) -> None:
    settings = await make_settings()
    async with replica(settings, tmp_path) as (client, pid):
        await log_in(client, "crowd")
        before, delays, peak = _resident(pid), [], 0
        form = {"grant_type": "password", "username": "crowd", "password": PASSWORD}
        async with httpx2.AsyncClient(base_url=client.base_url, timeout=30) as prober:
            logins = asyncio.gather(*(client.post(TOKEN, data=form) for _ in range(50)))
            while not logins.done():
                began = time.perf_counter()
                assert (await prober.get("/health")).status_code == 200
                delays.append(time.perf_counter() - began)
                peak = max(peak, _resident(pid))
                await asyncio.sleep(0.002)
            assert {answer.status_code for answer in await logins} == {200}
        workers = max(1, (os.cpu_count() or 2) - 1)
        delays.sort()
        record_property("health_p99_ms", delays[int(len(delays) * 0.99)] * 1e3)
        record_property("growth_mib", (peak - before) / 2**20)
        assert delays[int(len(delays) * 0.99)] <= 0.05
        assert peak - before <= (workers * 19 + 20) * 2**20


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
