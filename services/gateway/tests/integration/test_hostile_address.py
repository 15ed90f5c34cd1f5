"""One hostile address among 50, in front of four gateway processes: the other 49 see no refusal.

The scale fits two processors and 20,000 descriptors: a quarter of 10,000 connections from honest addresses, and as many
attempts of the hostile one as a process has connections.
"""

import asyncio
import contextlib
from collections import Counter

import pytest

from gateway_testing.process import GatewayProcess, RunGatewayProcess
from parley_testing.http.scripted_server import respond

pytestmark = pytest.mark.integration

HONEST_ADDRESSES, EACH = 49, 12
HOSTILE_ATTEMPTS, BATCH = 1000, 200
LIMITS = {"MAX_CONNECTIONS": 1000, "MAX_CONNECTIONS_PER_ADDRESS": 256}
FLOOD = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" * 200
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(gateway: GatewayProcess, address: str) -> Connection:
    return await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=(address, 0))


async def attack(gateway: GatewayProcess, opened: list[asyncio.StreamWriter]) -> None:
    """Open connections, send requests without reading, and keep everything open."""
    for _ in range(HOSTILE_ATTEMPTS):
        with contextlib.suppress(OSError):
            _, writer = await connect(gateway, "127.0.1.1")
            writer.write(FLOOD)
            opened.append(writer)


async def ask(gateway: GatewayProcess, address: str, opened: list[asyncio.StreamWriter]) -> str:
    """Send one request on a connection that stays open, and return the status."""
    async with asyncio.timeout(60):
        reader, writer = await connect(gateway, address)
        opened.append(writer)
        writer.write(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        return (await reader.readline()).decode().split()[1]


async def serve_honest(gateway: GatewayProcess, opened: list[asyncio.StreamWriter]) -> Counter[str]:
    """Send the requests of all honest addresses, one on each connection. Return how often each status was received."""
    found = Counter[str]()
    addresses = [f"127.0.2.{number + 1}" for number in range(HONEST_ADDRESSES)] * EACH
    for start in range(0, len(addresses), BATCH):
        asked = (ask(gateway, address, opened) for address in addresses[start : start + BATCH])
        found.update(await asyncio.gather(*asked))
    return found


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.chaos)])
async def test_49_addresses_see_no_refusal_while_one_floods_every_gateway(
    run_process: RunGatewayProcess, count: int
) -> None:
    opened: list[asyncio.StreamWriter] = []
    async with contextlib.AsyncExitStack() as stack:
        running = [run_process(respond(200, b"{}"), **LIMITS) for _ in range(count)]
        gateways = await asyncio.gather(*(stack.enter_async_context(each) for each in running))
        attacks = [asyncio.create_task(attack(gateway, opened)) for gateway in gateways]
        try:
            found = await asyncio.gather(*(serve_honest(gateway, opened) for gateway in gateways))
            await asyncio.gather(*attacks)
            found += await asyncio.gather(*(serve_honest(gateway, opened) for gateway in gateways))
        finally:
            for task in attacks:
                task.cancel()
            for writer in opened:
                writer.close()
        assert found == [Counter({"200": HONEST_ADDRESSES * EACH})] * (2 * count)
