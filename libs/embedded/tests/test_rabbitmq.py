"""Embedded RabbitMQ: durability, suspension, control and shutdown."""

import asyncio
from pathlib import Path

import pytest
from aio_pika import DeliveryMode, Message, connect
from aio_pika.abc import AbstractChannel

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.pid_file import processes_in
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_embedded.sockets import accepts_connections
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

NO_TEXT = bytes(range(128, 256))


@pytest.fixture(scope="module")
async def node(backends: SharedBackends) -> EmbeddedRabbitMQ:
    return await backends.private_rabbitmq()


async def declare(node: EmbeddedRabbitMQ, queue: str) -> None:
    async with await connect(node.url, timeout=10) as connection:
        await (await connection.channel()).declare_queue(queue, durable=True)


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


async def test_a_confirmed_message_survives_a_kill_and_damaged_files_are_replaced(node: EmbeddedRabbitMQ) -> None:
    await declare(node, "kept")
    # Mnesia writes a declaration to the disk up to two seconds later, and a queue that is lost keeps no message.
    await node.ctl("eval", "catch mnesia:sync_log().")
    await publish(node, "kept", b"hello")
    await node.kill()
    for name, content in ((".erlang.cookie", b""), ("rabbitmq.conf", NO_TEXT), ("plugins", NO_TEXT)):
        (node.data_dir / name).unlink()
        (node.data_dir / name).write_bytes(content)
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


async def test_another_password_than_that_of_the_node_is_reported(node: EmbeddedRabbitMQ) -> None:
    stored = (node.data_dir / "password").read_text()
    (node.data_dir / "password").write_text("W" * len(stored))
    with pytest.raises(
        EmbeddedError, match=r"refuses the password in .*password.* Restore that file, or remove .*mnesia"
    ):
        await node.is_ready()
    (node.data_dir / "password").write_text(stored)


async def test_stop_ends_node_and_name_server_and_wipe_deletes_the_data(
    node: EmbeddedRabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(node, "lost", b"hello")
    port = node.port
    await node.stop()
    for program in ("beam.smp", "epmd", "erl_child_setup", "rabbitmq-server"):
        assert list(processes_in(node.data_dir, program)) == []
    assert not await accepts_connections(node.port)
    assert not await accepts_connections(node.name_server_port)
    await node.wipe()
    monkeypatch.setenv("OPENAI_API_KEY", "canary-7c1f")
    await node.start()
    assert "canary-7c1f" not in Path(f"/proc/{node.child.pid}/environ").read_text(), "a node needs no secrets"
    assert node.port == port
    assert await take(node, "lost") is None
