"""Fixtures for a broker that tests may kill, freeze and fill."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aio_pika import connect

from parley.ids import new_id
from parley.messaging.rabbit_bus import RabbitBus, open_rabbit
from parley.observability.metrics import Metrics
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.cloudevents import CloudEvent, from_headers
from parley_testing.backends.shared_servers import SharedBackends

OpenBus = Callable[..., AbstractAsyncContextManager[RabbitBus]]
Take = Callable[[str], Awaitable[list[str]]]


@pytest.fixture(scope="session")
async def broker(backends: SharedBackends) -> EmbeddedRabbitMQ:
    node = await backends.private_rabbitmq()
    await age_topology(node)
    return node


async def age_topology(node: EmbeddedRabbitMQ) -> None:
    """Declare the topology and wait until RabbitMQ 3.10 no longer loses it when killed."""
    async with open_rabbit(node.url, service="test", queue_type="classic", metrics=Metrics("test", "0", "-")):
        await asyncio.sleep(2)


@pytest.fixture
def open_bus(broker: EmbeddedRabbitMQ, metrics: Metrics) -> OpenBus:
    @asynccontextmanager
    async def opened(url: str = "") -> AsyncIterator[RabbitBus]:
        bus = RabbitBus(
            url or broker.url,
            service="test",
            queue_type="classic",
            metrics=metrics,
            startup_timeout=3,
            finish_timeout=1,
        )
        async with bus.running():
            yield bus

    return opened


@pytest.fixture
async def own_bus(open_bus: OpenBus) -> AsyncIterator[RabbitBus]:
    async with open_bus() as bus:
        yield bus


@pytest.fixture
def queue() -> str:
    return f"test-{new_id()}"


@pytest.fixture
def take_all(broker: EmbeddedRabbitMQ) -> Take:
    """Return the ids of the events that wait in a queue."""

    async def take(queue: str) -> list[str]:
        async with await connect(broker.url, timeout=10) as connection:
            channel = await connection.channel()
            found = []
            waiting = await channel.get_queue(queue)
            while message := await waiting.get(fail=False, timeout=10):
                await message.ack()
                found.append(str(message.headers["ce-id"]))
            return found

    return take


async def get_one(broker: EmbeddedRabbitMQ, queue: str) -> tuple[CloudEvent, dict[str, object], str | None]:
    """Take an event out of a queue; return it with its headers and the id of its message."""
    async with await connect(broker.url, timeout=10) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue(queue)).get(timeout=10)
        await message.ack()
        return from_headers(message.headers, message.body), dict(message.headers), message.message_id
