"""Floods from one address: connections, pipelined requests, unfinished heads, WebSocket frames and wrong passwords."""

import asyncio
import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.process.descriptors import raise_descriptor_limit
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.faults.processes import resident_bytes
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.security.bystander import Bystander, watch
from parley_testing.security.raw_http import send_raw
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.chaos]

GATEWAYS, ADDRESSES, CONNECTIONS = 4, 50, 10_000
HOSTILE = "127.0.0.2"
QUIET = [f"127.0.1.{number}" for number in range(1, ADDRESSES)]
QUIET_CONNECTIONS = 40
"""Open connections of each quiet address, over all gateways."""
RESERVED_FILES = 500
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
PIPELINES, PIPELINE_BYTES = 40, 262_144
MAX_GROWTH, MAX_KEPT = 50, 25
"""MiB that a flood may take, and that the gateway may keep."""
MAX_P99 = 100.0
FRAMES, MAX_FRAMES = 2_000, 310
"""Frames that are sent, and what the default limits allow: a burst of 100, and 10 a second meanwhile."""
RATE_LIMITED = 4429

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
async def stack(
    backends: SharedBackends, provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SeparateStack]:
    """The product in separate processes, with the default limits of users."""
    urls = BackendUrls(await backends.database_url(), await backends.redis_url(), await backends.amqp_url())
    settings = {"ANONYMOUS_RATE_LIMIT": "1000000", "RATE_LIMIT_PATIENCE": "1"}
    folder: Path = tmp_path_factory.mktemp("floods")
    async with SeparateStack(folder, urls, provider.base_url, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
async def gateways(stack: SeparateStack) -> AsyncIterator[list[ServiceProcess]]:
    first = stack.gateways[0]
    twins = [first.twin(f"flooded-{number}") for number in range(1, GATEWAYS)]
    try:
        await asyncio.gather(*(twin.start() for twin in twins))
        yield [first, *twins]
    finally:
        await asyncio.gather(*(twin.stop() for twin in twins))


@pytest.fixture
async def user(stack: SeparateStack) -> AsyncIterator[UserClient]:
    async with open_http(stack.gateways[0].url) as http:
        yield await register(http)


@pytest.fixture
async def bystander(stack: SeparateStack) -> AsyncIterator[Bystander]:
    async with watch(stack.gateways[0].url, "/health", {}) as watching:
        yield watching


async def open_from(source: str, url: str) -> Streams | None:
    address = urlsplit(url)
    with contextlib.suppress(OSError):
        return await asyncio.open_connection(address.hostname, address.port, local_addr=(source, 0))
    return None


async def status_over(streams: Streams | None) -> int:
    """Return the status of a request over an open connection, or 0 if the connection was refused or closed."""
    if streams is None:
        return 0
    reader, writer = streams
    try:
        writer.write(HEALTH)
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
        return int(head[9:12])
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return 0


async def close_all(opened: list[Streams | None]) -> None:
    for streams in opened:
        if streams is not None:
            streams[1].transport.abort()
    await asyncio.sleep(0)


async def test_one_hostile_address_of_fifty_refuses_nobody_else(gateways: list[ServiceProcess]) -> None:
    files = raise_descriptor_limit()
    if files < CONNECTIONS + RESERVED_FILES:
        pytest.skip(f"{CONNECTIONS} connections need more open files than {files}")
    urls = [gateway.url for gateway in gateways]
    quiet = await asyncio.gather(
        *(open_from(source, urls[n % GATEWAYS]) for source in QUIET for n in range(QUIET_CONNECTIONS))
    )
    hostile: list[Streams | None] = []
    try:
        before = Counter(await asyncio.gather(*map(status_over, quiet)))
        for _ in range(0, CONNECTIONS - len(quiet), 200):
            hostile += await asyncio.gather(*(open_from(HOSTILE, urls[n % GATEWAYS]) for n in range(200)))
        during = Counter(await asyncio.gather(*map(status_over, quiet)))
        new = await asyncio.gather(*(open_from(source, url) for source in QUIET for url in urls))
        fresh = Counter(await asyncio.gather(*map(status_over, new)))
        refused = Counter(await asyncio.gather(*map(status_over, hostile)))
        await close_all(new)
    finally:
        await close_all([*quiet, *hostile])
    print(f"\nconnection flood: {len(hostile)} from one address, answers to it {dict(refused)}; {len(QUIET)} others:"
          f" before {dict(before)}, during {dict(during)}, new connections {dict(fresh)}")  # fmt: skip
    assert refused[httpx2.codes.OK] <= 256 * GATEWAYS
    assert set(before) == set(during) == set(fresh) == {200}


async def test_pipelined_requests_take_little_memory_and_delay_nobody(
    stack: SeparateStack, bystander: Bystander
) -> None:
    gateway = stack.gateways[0]
    await bystander.measure()
    before, most = resident_bytes(gateway.child.pid) >> 20, 0
    count = PIPELINE_BYTES // len(HEALTH)
    flood = asyncio.gather(
        *(send_raw(gateway.url, HEALTH * count, within=20, source=HOSTILE) for _ in range(PIPELINES))
    )
    while not flood.done():
        most = max(most, resident_bytes(gateway.child.pid) >> 20)
        await asyncio.sleep(0.05)
    answers = Counter(status for answer in await flood for status in answer.statuses)
    measured = await bystander.measure()
    kept = resident_bytes(gateway.child.pid) >> 20
    memory = f"memory {before} MiB, at most {most}, then {kept}"
    print(
        f"\npipelining: {PIPELINES} x {count} requests: {dict(answers)}; {memory}; bystander p99 {measured.p99:.0f} ms"
    )
    assert measured.failures == 0
    assert measured.p99 <= MAX_P99
    assert most - before <= MAX_GROWTH
    assert kept - before <= MAX_KEPT


async def test_unfinished_heads_and_bodies_delay_nobody(stack: SeparateStack, bystander: Bystander) -> None:
    url = stack.gateways[0].url
    await bystander.measure()
    starts = [b"G", b"GET /health HTTP/1.1\r\nHost: a\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000]
    body = (
        b"POST /api/v1/auth/register HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n"
    )
    answers = await asyncio.gather(
        *(send_raw(url, data, within=40, source=HOSTILE) for data in [*starts, body] for _ in range(60))
    )
    measured = await bystander.measure()
    closed = sum(answer.closed for answer in answers)
    print(f"\nslow clients: {closed} of {len(answers)} were closed; bystander p99 {measured.p99:.0f} ms")
    assert closed == len(answers)
    assert measured.failures == 0
    assert measured.p99 <= MAX_P99


async def test_websocket_frames_beyond_the_limit_close_the_socket(stack: SeparateStack, user: UserClient) -> None:
    address = f"ws{stack.gateways[0].url.removeprefix('http')}/api/v1/chat/ws"
    answered = 0
    async with connect(address, additional_headers=user.headers, proxy=None, compression=None) as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
        with contextlib.suppress(ConnectionClosed):
            for number in range(FRAMES):
                await socket.send(json.dumps({"type": "turn.cancel", "ref": str(number), "turn_id": str(new_id())}))
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
                answered += 1
        print(f"\nWebSocket flood: {answered} of {FRAMES} frames were carried out, closed with {socket.close_code}")
        assert socket.close_code == RATE_LIMITED
    assert answered <= MAX_FRAMES


async def test_a_flood_of_wrong_passwords_locks_neither_the_owner_nor_others_out(
    stack: SeparateStack, user: UserClient
) -> None:
    """Attack one account from many sources while its owner, who is known to the server, logs in."""
    async with open_http(stack.gateways[0].url, timeout=60) as http:
        form = {"grant_type": "password", "username": user.username}
        guesses = (http.post("/api/v1/auth/token", data={**form, "password": secrets.token_hex()}) for _ in range(200))
        statuses = Counter(response.status_code for response in await asyncio.gather(*guesses))
        other = await register(http)

    async def usable() -> bool:
        return (await user.request("GET", "/api/v1/auth/me")).status_code == httpx2.codes.OK

    await eventually(usable)
    print(f"\npassword flood: {dict(statuses)}")
    assert set(statuses) <= {400, 429, 503}
    assert statuses[429] > statuses[400]
    assert other.tokens
