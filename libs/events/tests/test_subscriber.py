"""Subscriber: typed handlers, unknown types, replay, and the permissions it needs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aio_pika import Message, connect
from aio_pika.exceptions import AMQPError

from parley.ids import new_id
from parley.messaging.rabbit_bus import RabbitBus
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationDeleted, UserErased
from parley_events.subscriber import Subscriber
from parley_events.subscription import Rejected
from parley_events.topology import TopologyError
from parley_testing.contracts.bus import make_event, publish_until_confirmed
from parley_testing.faults import processes
from parley_testing.waiting import eventually

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def erased(version: int = 1, time: datetime = NOW) -> CloudEvent:
    data = UserErased(user_id=new_id(), erasure_id="e", at=NOW)
    return replace(make_event("user.erased"), data=data.model_dump_json().encode(), version=version, time=time)


class ErasureHandler:
    def __init__(self, subscriber: Subscriber) -> None:
        self.events: list[CloudEvent] = []
        self.data: list[UserErased] = []
        subscriber.on(UserErased)(self.handle)

    async def handle(self, data: UserErased, event: CloudEvent) -> None:
        self.data.append(data)
        self.events.append(event)

    @property
    def ids(self) -> list[str]:
        return [str(event.id) for event in self.events]


@asynccontextmanager
async def running(subscriber: Subscriber) -> AsyncIterator[None]:
    task = asyncio.create_task(subscriber.run())
    try:
        async with asyncio.timeout(10):
            await subscriber.consuming.wait()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_handler_is_called_with_the_model_and_the_envelope() -> None:
    subscriber = Subscriber("amqp://localhost", "sub.team.erasures")
    handler, event = ErasureHandler(subscriber), erased()
    await subscriber.handle(event)
    assert handler.events == [event]
    assert str(handler.data[0].user_id) == orjson.loads(event.data)["user_id"]


async def test_an_unknown_type_or_version_is_skipped() -> None:
    subscriber = Subscriber("amqp://localhost", "sub.team.erasures")
    handler = ErasureHandler(subscriber)
    await subscriber.handle(erased(version=2))
    await subscriber.handle(make_event("user.updated"))
    assert not handler.events


async def test_unknown_members_are_ignored_and_missing_members_reject_the_event() -> None:
    subscriber = Subscriber("amqp://localhost", "sub.team.erasures")
    handler, event = ErasureHandler(subscriber), erased()
    await subscriber.handle(replace(event, data=orjson.dumps({**event.json(), "added": 1})))
    assert len(handler.data) == 1
    with pytest.raises(Rejected):
        await subscriber.handle(replace(event, data=b"{}"))


def test_a_queue_without_the_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="sub"):
        Subscriber("amqp://localhost", "history.turns")


@pytest.mark.integration
async def test_a_subscriber_gets_the_events_that_it_has_handlers_for(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    subscriber = Subscriber(broker.url, f"sub.{queue}")
    handler, event = ErasureHandler(subscriber), erased()
    async with running(subscriber):
        await own_bus.publish(make_event("conversation.deleted"))
        await own_bus.publish(event)
        await eventually(lambda: handler.events == [event])


@pytest.mark.integration
async def test_events_published_while_the_subscriber_is_stopped_are_delivered_later(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    subscriber = Subscriber(broker.url, f"sub.{queue}")
    handler, event = ErasureHandler(subscriber), erased()
    async with running(subscriber):
        pass
    await own_bus.publish(event)
    async with running(subscriber):
        await eventually(lambda: handler.events == [event])


@pytest.mark.integration
async def test_a_replay_continues_at_the_offset_where_the_last_one_ended(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ
) -> None:
    subscriber = Subscriber(broker.url, "sub.replay")
    handler = ErasureHandler(subscriber)
    end = await subscriber.replay("first", idle=1)
    before = len(handler.events)
    events = [erased() for _ in range(20)]
    for event in events:
        await own_bus.publish(event)
    after = await subscriber.replay(end, idle=1)
    assert handler.ids[before:] == [str(event.id) for event in events]
    assert after == end + 20
    assert await subscriber.replay(after, idle=0.5) == after
    assert len(handler.events) == before + 20


@pytest.mark.integration
async def test_a_replay_since_a_time_skips_older_events(own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> None:
    subscriber = Subscriber(broker.url, "sub.replay")
    handler = ErasureHandler(subscriber)
    since = datetime.now(UTC) + timedelta(days=1)
    old, new = erased(time=since - timedelta(hours=1)), erased(time=since)
    await own_bus.publish(old)
    await own_bus.publish(new)
    await subscriber.replay(since - timedelta(days=1, seconds=30), idle=1)
    assert str(new.id) in handler.ids
    handler.events.clear()
    await subscriber.replay("first", idle=1)
    assert {str(old.id), str(new.id)} <= set(handler.ids)


@pytest.mark.integration
@pytest.mark.chaos
async def test_a_replay_continues_after_the_broker_was_killed_without_repeating_events(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ
) -> None:
    subscriber = Subscriber(broker.url, "sub.replay")
    start = await subscriber.replay("first", idle=1)
    events = [erased() for _ in range(400)]
    for event in events:
        await publish_until_confirmed(own_bus, event)
    handled: list[str] = []
    killed = asyncio.Event()

    async def handle(_data: UserErased, event: CloudEvent) -> None:
        handled.append(str(event.id))
        if len(handled) == 50:
            await processes.restart(broker, port=broker.port)
            killed.set()

    subscriber.on(UserErased)(handle)
    await subscriber.replay(start, idle=2)
    assert killed.is_set()
    assert handled == [str(event.id) for event in events]


@pytest.mark.integration
async def test_a_replay_without_an_event_log_is_an_error(own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> None:
    await broker.ctl("add_vhost", "empty")
    await broker.ctl("set_permissions", "-p", "empty", "parley", ".*", ".*", ".*")
    try:
        with pytest.raises(TopologyError, match=r"no queue parley\.log"):
            await Subscriber(broker.url + "empty", "sub.replay").replay("first", idle=1)
    finally:
        await broker.ctl("delete_vhost", "empty")


@pytest.mark.integration
async def test_a_failing_handler_ends_the_replay_and_names_the_offset(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ
) -> None:
    subscriber = Subscriber(broker.url, "sub.replay")

    @subscriber.on(ConversationDeleted)
    async def fail(_data: ConversationDeleted, _event: CloudEvent) -> None:
        raise ConnectionError("of the handler")

    data = ConversationDeleted(conversation_id=new_id(), user_id=new_id(), deleted_at=NOW, purge_after=NOW)
    start = await Subscriber(broker.url, "sub.other").replay("first", idle=1)
    await own_bus.publish(replace(make_event("conversation.deleted"), data=data.model_dump_json().encode()))
    with pytest.raises(ConnectionError, match="of the handler") as failure:
        await subscriber.replay(start, idle=1)
    assert failure.value.__notes__ == [f"at offset {start} of parley.log"]


@pytest.mark.integration
async def test_a_subscriber_needs_only_the_documented_permissions(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    await broker.ctl("add_user", "external", "secret")
    try:
        await broker.ctl("set_permissions", "external", r"^sub\.", r"^sub\.", r"^(sub\.|parley\.(events|log)$)")
        url = broker.url.replace(broker.url.partition("//")[2].partition("@")[0], "external:secret")
        subscriber = Subscriber(url, f"sub.{queue}")
        handler, event = ErasureHandler(subscriber), erased()
        async with running(subscriber):
            await own_bus.publish(event)
            await eventually(lambda: handler.events == [event])
        await subscriber.replay("first", idle=1)
        assert handler.ids.count(str(event.id)) == 2
        async with await connect(url, timeout=10) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("parley.events", ensure=False)
            with pytest.raises(AMQPError):
                await exchange.publish(Message(b"{}"), "user.erased", timeout=5)
    finally:
        await broker.ctl("delete_user", "external")
