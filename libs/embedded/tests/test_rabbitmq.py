"""Embedded RabbitMQ: durability, suspension, control and shutdown."""

import asyncio

import pytest
from aio_pika import DeliveryMode, Message, connect
from aio_pika.abc import AbstractChannel

from parley_embedded.process.pid_file import processes_in
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_embedded.sockets import accepts_connections
from parley_testing.backends.shared import SharedBackends

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def node(backends: SharedBackends) -> EmbeddedRabbitMQ:
    return await backends.private_rabbitmq()


async def publish(node: EmbeddedRabbitMQ, queue: str, body: bytes) -> None:
    async with await connect(node.url, timeout=10) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True)
        message = Message(body, delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue, timeout=10)


async def take(node: EmbeddedRabbitMQ, queue: str) -> bytes | None:
    async with await connect(node.url, timeout=10) as connection:
        channel: AbstractChannel = await connection.channel()
        found = await (await channel.declare_queue(queue, durable=True)).get(fail=False, timeout=10)
        if found is None:
            return None
        await found.ack()
        return found.body


async def test_a_confirmed_message_survives_a_kill(node: EmbeddedRabbitMQ) -> None:
    await publish(node, "kept", b"hello")
    await node.kill()
    await node.start()
    assert await take(node, "kept") == b"hello"


async def test_clients_of_a_frozen_node_wait(node: EmbeddedRabbitMQ) -> None:
    node.freeze()
    publishing = asyncio.create_task(publish(node, "frozen", b"late"))
    done, _ = await asyncio.wait([publishing], timeout=0.3)
    assert not done
    node.resume()
    await asyncio.wait_for(publishing, 20)


async def test_rabbitmqctl_controls_the_node(node: EmbeddedRabbitMQ) -> None:
    await node.ctl("set_vm_memory_high_watermark", "absolute", "300MB")
    assert "parley" in await node.ctl("list_users")


async def test_stop_ends_node_and_name_server_and_wipe_deletes_the_data(node: EmbeddedRabbitMQ) -> None:
    await publish(node, "lost", b"hello")
    port = node.port
    await node.stop()
    for program in ("beam.smp", "epmd", "erl_child_setup", "rabbitmq-server"):
        assert list(processes_in(node.data_dir, program)) == []
    assert not await accepts_connections(node.port)
    assert not await accepts_connections(node._epmd_port)
    await node.wipe()
    await node.start()
    assert node.port == port
    assert await take(node, "lost") is None
