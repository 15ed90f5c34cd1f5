"""`parley events` on RabbitMQ: its subcommands, and what the broker user of a team cannot do."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import get_args

import pytest
from aio_pika import ExchangeType, Message, connect
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from typer.testing import CliRunner, Result

from parley.ids import new_id
from parley.messaging.rabbit_bus import RabbitBus
from parley.observability.metrics import Metrics
from parley_cli.commands.events_access import broker_commands
from parley_cli.commands.events_broker import check_reachable
from parley_cli.main import build
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events import CloudEvent, Subscriber, TurnEnded, UserErased
from parley_events.queue_tools import depths
from parley_events.testing import sample
from parley_events.topology import QueueType
from parley_testing.backends.rabbitmq_fixtures import broker, open_bus, own_bus
from parley_testing.contracts.subscriber import SequenceRecorder, running
from parley_testing.stacks.commands import command_path
from parley_testing.waiting import eventually

__all__ = ["broker", "open_bus", "own_bus"]

pytestmark = pytest.mark.integration
QUEUE_BYTES = 100_000
Attempt = Callable[[AbstractChannel], Awaitable[object]]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("test", "0", "unknown")


async def create_user(broker: EmbeddedRabbitMQ, *types: str) -> str:
    """Create the user of a new team with the printed commands; return the team's name."""
    name = f"t{new_id().hex[:12]}"
    create, *others = broker_commands(name, types, may_replay=not types, queue_bytes=QUEUE_BYTES)
    await broker.ctl(*create, "secret")
    # The limits of the user and its queues need no second try for a team with chosen types.
    await asyncio.gather(*(broker.ctl(*command) for command in (others[:2] if types else others)))
    return name


@pytest.fixture(scope="module")
async def team(broker: EmbeddedRabbitMQ) -> str:
    return await create_user(broker)


def url_of(broker: EmbeddedRabbitMQ, user: str, password: str = "secret") -> str:
    return f"amqp://{user}:{password}@127.0.0.1:{broker.port}/"


def attempts(team: str) -> dict[str, Attempt]:
    """Return what the user of a team must not be able to do."""
    other = "sub.other.turns"

    async def publish(channel: AbstractChannel, exchange: str, key: str) -> None:
        await (await channel.get_exchange(exchange, ensure=False)).publish(Message(b"{}"), key, timeout=5)

    async def bind(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(f"sub.{team}.x", durable=True)
        await queue.bind("parley.dead", "#")

    async def consume(channel: AbstractChannel, queue: str) -> None:
        await channel.set_qos(prefetch_count=1)
        await (await channel.get_queue(queue, ensure=False)).consume(_ignore)

    async def purge(channel: AbstractChannel, queue: str) -> None:
        await (await channel.get_queue(queue, ensure=False)).purge()

    return {
        "publish an event": lambda channel: publish(channel, "parley.events", "user.erased"),
        "publish a dead letter": lambda channel: publish(channel, "parley.dead", "user.erased"),
        "forge into another team's queue": lambda channel: channel.default_exchange.publish(Message(b"{}"), other),
        "read another team's queue": lambda channel: consume(channel, other),
        "purge another team's queue": lambda channel: purge(channel, other),
        "delete another team's queue": lambda channel: channel.queue_delete(other),
        "declare another team's queue": lambda channel: channel.declare_queue("sub.other.new", durable=True),
        "declare a queue of a team with a longer name": lambda channel: channel.declare_queue(f"sub.{team}x.q"),
        "declare a queue without a team": lambda channel: channel.declare_queue(""),
        "forge by dead letters": lambda channel: channel.declare_queue(
            f"sub.{team}.forge", arguments={"x-dead-letter-exchange": "parley.events"}
        ),
        "delete the log": lambda channel: channel.queue_delete("parley.log"),
        "purge the log": lambda channel: purge(channel, "parley.log"),
        "read a service's queue": lambda channel: consume(channel, "parley.dead"),
        "bind a service's exchange": bind,
        "delete the exchange": lambda channel: channel.exchange_delete("parley.events"),
        "replace the exchange": lambda channel: channel.declare_exchange("parley.new", ExchangeType.FANOUT),
    }


async def _ignore(_message: object) -> None:
    """Receive nothing."""


async def test_the_user_of_a_team_can_subscribe_and_replay_and_nothing_else(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, team: str
) -> None:
    async with await connect(broker.url, timeout=10) as connection:
        await (await connection.channel()).declare_queue("sub.other.turns", durable=True)
    subscribers = [
        Subscriber(url_of(broker, team), f"sub.{team}.{queue_type}", queue_type=queue_type)
        for queue_type in get_args(QueueType)
    ]
    handler, key = SequenceRecorder(poison=1), str(new_id())
    for subscriber in subscribers:
        subscriber.on(TurnEnded)(handler)
        async with running(subscriber):
            handler.handled.clear()
            await own_bus.publish(sample(TurnEnded, key=key, sequence=1))
            await own_bus.publish(sample(TurnEnded, key=key, sequence=2))
            await eventually(lambda: handler.handled == {key: [2]})
    assert await subscribers[0].replay("next", idle=10) > 0
    refused = []
    for name, attempt in attempts(team).items():
        async with await connect(url_of(broker, team), timeout=10) as connection:
            channel = await connection.channel()
            try:
                async with asyncio.timeout(10):
                    await attempt(channel)
            except AMQPError:
                refused.append(name)
    assert refused == list(attempts(team))


async def test_an_operator_policy_limits_queues_that_a_team_declares_without_a_limit(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, team: str
) -> None:
    async with await connect(url_of(broker, team), timeout=10) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(f"sub.{team}.own", durable=True)
        queue = await channel.declare_queue(f"sub.{team}.unbounded", durable=True)
        await queue.bind(exchange, "x")
        for _ in range(5):
            await exchange.publish(Message(bytes(QUEUE_BYTES // 2)), "x", timeout=5)
        again = await channel.declare_queue(f"sub.{team}.unbounded", durable=True)
        assert again.declaration_result.message_count == 2


async def test_a_team_with_chosen_types_cannot_bind_others_or_read_the_log(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ
) -> None:
    team = await create_user(broker, "conversation.turn.*")
    results = []
    for binding in ("conversation.turn.completed", "conversation.turn.*", "user.erased", "#", "conversation.#"):
        async with await connect(url_of(broker, team), timeout=10) as connection:
            queue = await (await connection.channel()).declare_queue(f"sub.{team}.types", durable=True)
            try:
                await queue.bind("parley.events", binding)
                results.append(True)
            except AMQPError:
                results.append(False)
    assert results == [True, True, False, False, False]
    async with await connect(url_of(broker, team), timeout=10) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        with pytest.raises(AMQPError):
            await (await channel.get_queue("parley.log", ensure=False)).consume(_ignore)


async def test_tail_ends_in_silence_when_nobody_reads_its_output(own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> None:
    await own_bus.publish(sample(TurnEnded, key=str(new_id())))
    reader, writer = os.pipe()
    os.close(reader)
    words = (command_path("parley"), "events", "tail", "--since", "first", "--url", broker.url)
    try:
        process = await asyncio.create_subprocess_exec(*words, stdout=writer, stderr=asyncio.subprocess.PIPE)
    finally:
        os.close(writer)
    _, said = await process.communicate()
    assert (process.returncode, said) == (1, b"")


async def test_the_subcommands_need_one_node_of_a_cluster(broker: EmbeddedRabbitMQ) -> None:
    away = url_of(broker, "nobody").replace(f":{broker.port}/", ":9/")
    for urls in (f"{away},{broker.url}", f"{broker.url},{away}"):
        await check_reachable(urls)
        with pytest.raises(ChannelNotFoundEntity):
            await depths(urls, "sub.nobody")


async def test_the_subcommands_show_move_and_count_events(own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> None:
    queue, key = f"sub.cli.{new_id()}", str(new_id())

    async def call(*arguments: str, status: int = 0) -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, build(), ["events", *arguments, "--url", broker.url])
        assert result.exit_code == status, result.output
        return result

    handler = SequenceRecorder(poison=1)
    subscriber = Subscriber(broker.url, queue)
    subscriber.on(TurnEnded)(handler)
    events: list[CloudEvent] = [sample(TurnEnded, key=key, sequence=number) for number in (1, 2)]
    async with running(subscriber):
        for event in [*events, sample(UserErased, key=key)]:
            await own_bus.publish(event)
        await eventually(lambda: handler.handled == {key: [2]})
        dead = await call("dead", "list", queue)
        assert f"rejected  {key} #1 Rejected: poison" in dead.stdout
        assert '"status":"completed"' in (await call("dead", "show", queue, str(events[0].id))).stdout
        handler.poison = 0
        assert "1 events are delivered again" in (await call("dead", "redrive", queue, "--all")).stdout
        await eventually(lambda: handler.handled == {key: [2, 1]})
        shown = await call(
            "tail", "--since", "first", "--until", "now", "--key", key, "--json", "--type", "conversation.#"
        )
        assert [json.loads(line)["id"] for line in shown.stdout.splitlines()] == [str(event.id) for event in events]
    assert f"was put into {queue}" in (await call("trigger", "conversation.turn.failed", "--to", queue)).stdout
    sent = await call("replay", "--since", "first", "--to", queue, "--key", key, "--type", "conversation.#")
    assert f"2 events were put into {queue}" in sent.stdout
    assert "        3 waiting   0 consumers" in (await call("lag", queue)).stdout
    missing = await call("lag", "sub.cli.none", status=1)
    assert "no such queue" in missing.stderr
