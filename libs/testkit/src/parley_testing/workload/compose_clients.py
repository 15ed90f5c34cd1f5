"""Clients of a compose project: through its proxy, and streams that a fault interrupts."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpx2

from parley.ids import new_id
from parley_testing.http.client import UserClient
from parley_testing.waiting import eventually
from parley_testing.workload.turns import AnsweredTurn, ResumingReader

SERVICES = ("gateway", "gateway-2", "auth", "chat", "history", "history-worker", "webhooks")
STORES = ("postgres", "redis", "rabbitmq")
UNAVAILABLE = (
    httpx2.codes.BAD_GATEWAY,
    httpx2.codes.SERVICE_UNAVAILABLE,
    httpx2.codes.GATEWAY_TIMEOUT,
)
"""Statuses on which a client retries while a container is away."""
RETRY_TIMEOUT = 120.0
TOKENS = 40


def tls() -> ssl.SSLContext:
    """Trust any certificate: the one of the test is signed by itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextlib.asynccontextmanager
async def open_edge(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=tls()) as client:
        yield client


def numbered(count: int) -> str:
    return " ".join(f"t{i}" for i in range(1, count + 1))


def is_prefix_of_numbers(text: str) -> bool:
    """Return whether the text is t1, t2 and so on, with no token lost or repeated."""
    return text.split() == [f"t{i}" for i in range(1, len(text.split()) + 1)]


async def streams_during(
    users: Sequence[UserClient], gateways: Sequence[httpx2.AsyncClient], fault: Callable[[], Awaitable[object]],
    *, rate: int = 10, tokens: int = TOKENS,
) -> list[AnsweredTurn]:  # fmt: skip
    """Cause the fault while each user reads a stream to its end, resuming where it breaks."""
    readers = [
        ResumingReader(user, gateways, retry_timeout=RETRY_TIMEOUT, retried_statuses=UNAVAILABLE) for user in users
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(reader.read(f"{new_id()} [[fake tokens={tokens} rate={rate}]]")) for reader in readers
        ]
        await eventually(lambda: all(reader.text for reader in readers), within=30)
        await fault()
    return [task.result() for task in tasks]
