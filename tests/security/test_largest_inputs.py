"""The largest inputs, while a bystander measures its own requests."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.security.bystander import Bystander, Responsiveness, watch
from parley_testing.security.largest_inputs import FILES, QUICK, Attack
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.telemetry.cpu_time import main_thread_time

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

MAX_P99 = 100.0
"""Milliseconds that the bystander's slowest hundredth may take, unless it took half of that before the attack."""
ATTEMPTS = 5
"""Attempts for a busy machine. What an input costs is the same each time."""
QUIET_SECONDS = 0.5


async def frames(user: UserClient) -> list[int]:
    """Send the largest frames over WebSockets, and return the codes with which those were closed."""
    address = f"ws{str(user.http.base_url).rstrip('/').removeprefix('http')}/api/v1/chat/ws"
    found = []
    for body in (json.dumps("x" * 1_000_000), "[" + "{}," * 19_000 + "{}]", "[" + "1," * 400_000 + "1]", "[" * 900_000):
        async with connect(address, additional_headers=user.headers, proxy=None, compression=None) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.recv()
                await socket.send(f'{{"type":"turn.create","ref":"a","body":{body}}}')
                async with asyncio.timeout(20):
                    await socket.recv()
        found.append(socket.close_code or 0)
    return found


ATTACKS: dict[str, Attack] = {**QUICK, "frames": frames}


@pytest.fixture(scope="module")
async def http(embedded: EmbeddedStack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(embedded.url, timeout=150) as client:
        yield client


@pytest.fixture(scope="module")
async def attacker(http: httpx2.AsyncClient) -> UserClient:
    return await register(http)


@pytest.fixture(scope="module")
async def bystander(embedded: EmbeddedStack) -> AsyncIterator[Bystander]:
    async with open_http(embedded.url) as client:
        user = await register(client)
    async with watch(embedded.url, "/api/v1/auth/me", user.headers) as watching:
        yield watching


async def undisturbed(bystander: Bystander) -> Responsiveness:
    await bystander.measure()
    await asyncio.sleep(QUIET_SECONDS)  # there is no event to wait for: this is the period that is measured
    return await bystander.measure()


async def assert_undisturbed(
    name: str, attack: Attack, attacker: UserClient, bystander: Bystander, stack: EmbeddedStack
) -> None:
    tries = []
    for _ in range(ATTEMPTS):
        before, began = await undisturbed(bystander), main_thread_time(stack.child.pid)
        statuses = Counter(await attack(attacker))
        during = await bystander.measure()
        # Other work on the machine delays the bystander too, so the limit grows as the services wait for a processor.
        limit = max(MAX_P99, 2 * before.p99) * main_thread_time(stack.child.pid).slowdown_since(began)
        measured = f"p99 {during.p99:.0f} ms (allowed {limit:.0f}, before {before.p99:.0f})"
        print(f"\n{name}: bystander {measured}, {during.requests} requests; attack answered with {dict(statuses)}")
        assert during.failures == 0, during.statuses
        assert {status for status in statuses if 500 <= status < 600} <= {503}
        if during.p99 <= limit:
            return
        tries.append(f"p99 {during.p99:.0f} ms, allowed {limit:.0f} ms")
    pytest.fail(f"{name} delay a bystander: {tries}")


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_bystander_is_not_delayed_by(
    name: str, attacker: UserClient, bystander: Bystander, embedded: EmbeddedStack
) -> None:
    await assert_undisturbed(name, ATTACKS[name], attacker, bystander, embedded)


@pytest.mark.chaos
@pytest.mark.parametrize("name", FILES)
async def test_a_bystander_is_not_delayed_by_an_import_of(
    name: str, attacker: UserClient, bystander: Bystander, embedded: EmbeddedStack
) -> None:
    make, kind = FILES[name]
    body = make()

    async def import_file(user: UserClient) -> list[int]:
        response = await user.request("POST", "/api/v1/conversations/import", content=body, headers=kind)
        return [response.status_code]

    await assert_undisturbed(name, import_file, attacker, bystander, embedded)
