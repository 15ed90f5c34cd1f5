"""Idle Redis sockets that are reset, as load balancers do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway_testing.process import RunGatewayProcess
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.faults.tcp_proxy import TcpProxy
from parley_testing.http.scripted_server import respond

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

REQUESTS, RESETS = 48, 3


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "valkey", tcp=True) as server:
        yield server


async def test_resets_of_idle_sockets_fail_no_request(run_process: RunGatewayProcess, redis: EmbeddedValkey) -> None:
    parts = urlsplit(redis.url)
    async with TcpProxy("127.0.0.1", redis.port) as proxy:
        url = parts._replace(netloc=parts.netloc.replace(str(redis.port), str(proxy.port))).geturl()
        async with run_process(respond(), REDIS_URL=url, RATE_LIMIT_PATIENCE=5) as gateway, gateway.client() as client:
            users = [gateway.bearer() for _ in range(REQUESTS)]

            async def ask(number: int) -> str:
                stream = number % 2
                path = "/api/v1/chat/stream" if stream else "/api/v1/models"
                response = await client.request("POST" if stream else "GET", path, headers=users[number])
                return f"{response.status_code} {response.text[:100]}" if response.status_code != 200 else "200"

            async def connected() -> bool:
                # After a reset of a call, the gateway connects again a second later at the earliest.
                await client.get("/api/v1/models", headers=gateway.bearer())
                return proxy.open_connections > 0

            for _ in range(RESETS):
                assert await asyncio.gather(*map(ask, range(REQUESTS))) == ["200"] * REQUESTS
                await eventually(connected)
                proxy.cut()
            assert await asyncio.gather(*map(ask, range(REQUESTS))) == ["200"] * REQUESTS
            assert proxy.counters.cut >= RESETS
