"""Keyed dispatcher: order within a key, retries with growing delays, dead letters, and shutdown."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import pytest

from parley_events import CloudEvent, Rejected
from parley_events.consuming.dispatcher import KeyedDispatcher
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT, FailurePolicy
from parley_events.subscription import Subscription
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeMessage
from parley_testing.virtual_time import virtual_time


class HandlerOutage(Exception):
    pass


class ScriptedHandler:
    """Records events and times, and fails as told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.sequences: list[int] = []
        self.times: list[float] = []

    async def __call__(self, event: CloudEvent) -> None:
        self.sequences.append(event.sequence)
        self.times.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)


def dispatcher_of(handler: Callable[[CloudEvent], Awaitable[None]], max_attempts: int = 3) -> KeyedDispatcher:
    return KeyedDispatcher(
        Subscription("q", ("#",), handler, max_attempts=max_attempts), FailurePolicy((HandlerOutage,))
    )


async def dispatch(dispatcher: KeyedDispatcher, *messages: FakeMessage) -> None:
    for message in messages:
        await dispatcher.dispatch(message.as_incoming())


@virtual_time
async def test_a_message_is_acknowledged_after_its_handler_has_returned() -> None:
    may_return = asyncio.Event()

    async def handler(_event: CloudEvent) -> None:
        await may_return.wait()

    message = FakeMessage(make_event())
    await dispatch(dispatcher_of(handler), message)
    await asyncio.sleep(1)
    assert message.outcome == "pending"
    may_return.set()
    await asyncio.sleep(1)
    assert message.outcome == "acknowledged"


@virtual_time
async def test_a_failing_event_is_retried_before_the_later_events_of_its_key() -> None:
    handler = ScriptedHandler(ValueError(), ValueError())
    messages = [FakeMessage(make_event(sequence=number)) for number in (1, 2)]
    await dispatch(dispatcher_of(handler), *messages)
    await asyncio.sleep(10)
    assert handler.sequences == [1, 1, 1, 2]
    assert [message.outcome for message in messages] == ["acknowledged", "acknowledged"]


@virtual_time
async def test_a_failing_key_does_not_delay_other_keys() -> None:
    async def handler(event: CloudEvent) -> None:
        if event.partition_key == "bad":
            raise HandlerOutage

    bad, good = FakeMessage(make_event(key="bad")), FakeMessage(make_event(key="good"))
    dispatcher = dispatcher_of(handler)
    await dispatch(dispatcher, bad, good)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (bad.outcome, good.outcome) == ("pending", "acknowledged")
    await dispatcher.stop(1)


@virtual_time
async def test_the_delays_between_attempts_double_up_to_two_seconds() -> None:
    handler = ScriptedHandler(*(HandlerOutage() for _ in range(7)))
    await dispatch(dispatcher_of(handler), FakeMessage(make_event()))
    await asyncio.sleep(60)
    delays = [round(later - earlier, 3) for earlier, later in zip(handler.times, handler.times[1:], strict=False)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@virtual_time
async def test_an_event_is_dead_lettered_after_its_last_attempt() -> None:
    handler, message = ScriptedHandler(*(ValueError() for _ in range(3))), FakeMessage(make_event())
    await dispatch(dispatcher_of(handler), message)
    await asyncio.sleep(60)
    assert (len(handler.sequences), message.outcome) == (3, "dead-lettered")


@virtual_time
async def test_an_outage_uses_up_no_attempts() -> None:
    handler, message = ScriptedHandler(*(HandlerOutage() for _ in range(20))), FakeMessage(make_event())
    await dispatch(dispatcher_of(handler, max_attempts=1), message)
    await asyncio.sleep(60)
    assert (len(handler.sequences), message.outcome) == (21, "acknowledged")


@virtual_time
async def test_a_rejected_event_is_dead_lettered_without_a_retry() -> None:
    handler, message = ScriptedHandler(Rejected("never")), FakeMessage(make_event())
    await dispatch(dispatcher_of(handler), message)
    await asyncio.sleep(0.05)
    assert (len(handler.sequences), message.outcome) == (1, "dead-lettered")


@virtual_time
async def test_a_handler_that_hangs_is_cancelled_and_its_attempt_counts() -> None:
    async def handler(_event: CloudEvent) -> None:
        await asyncio.Event().wait()

    message = FakeMessage(make_event())
    await dispatch(dispatcher_of(handler, max_attempts=2), message)
    await asyncio.sleep(2 * HANDLER_TIMEOUT)
    assert message.outcome == "pending"
    await asyncio.sleep(1)
    assert message.outcome == "dead-lettered"


@virtual_time
async def test_a_malformed_message_is_dead_lettered_and_observed() -> None:
    outcomes: list[tuple[str, CloudEvent | None]] = []
    subscription = Subscription("q", ("#",), ScriptedHandler())
    dispatcher = KeyedDispatcher(
        subscription, FailurePolicy(), on_outcome=lambda outcome, event: outcomes.append((outcome, event))
    )
    message = FakeMessage(make_event())
    del message.headers["ce-type"]
    await dispatch(dispatcher, message)
    assert message.outcome == "dead-lettered"
    assert outcomes == [("dead", None)]


@virtual_time
async def test_every_attempt_is_observed() -> None:
    outcomes: list[str] = []
    subscription = Subscription("q", ("#",), ScriptedHandler(ValueError()))
    dispatcher = KeyedDispatcher(
        subscription, FailurePolicy(), on_outcome=lambda outcome, _event: outcomes.append(outcome)
    )
    await dispatch(dispatcher, FakeMessage(make_event()))
    await asyncio.sleep(1)
    assert outcomes == ["retried", "handled"]


@virtual_time
async def test_an_event_whose_channel_is_closed_is_left_to_its_next_delivery() -> None:
    handler, message = ScriptedHandler(*(HandlerOutage() for _ in range(100))), FakeMessage(make_event())
    await dispatch(dispatcher_of(handler), message)
    await asyncio.sleep(1)
    message.channel.lose()
    await asyncio.sleep(10)
    attempts = len(handler.sequences)
    await asyncio.sleep(10)
    assert (len(handler.sequences), message.outcome) == (attempts, "pending")


@virtual_time
async def test_stopping_lets_the_running_handler_finish_and_starts_no_other() -> None:
    handled: list[int] = []

    async def handler(event: CloudEvent) -> None:
        await asyncio.sleep(5)
        handled.append(event.sequence)

    messages = [FakeMessage(make_event(sequence=number)) for number in (1, 2)]
    dispatcher = dispatcher_of(handler)
    await dispatch(dispatcher, *messages)
    await asyncio.sleep(1)
    await dispatcher.stop(10)
    assert handled == [1]
    assert [message.outcome for message in messages] == ["acknowledged", "pending"]


@virtual_time
async def test_stopping_cancels_a_handler_that_takes_too_long() -> None:
    async def handler(_event: CloudEvent) -> None:
        await asyncio.sleep(50)

    message, dispatcher = FakeMessage(make_event()), dispatcher_of(handler)
    await dispatch(dispatcher, message)
    await asyncio.sleep(1)
    await dispatcher.stop(10)
    assert message.outcome == "pending"
    assert asyncio.get_running_loop().time() == pytest.approx(11)


@virtual_time
async def test_a_handler_runs_in_a_new_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def handler(_event: CloudEvent) -> None:
        seen.append(variable.get())

    def with_service() -> contextvars.Context:
        context = contextvars.Context()
        context.run(variable.set, "of the service")
        return context

    variable.set("of the connection")
    subscription = Subscription("q", ("#",), handler)
    await dispatch(KeyedDispatcher(subscription, FailurePolicy()), FakeMessage(make_event()))
    await dispatch(KeyedDispatcher(subscription, FailurePolicy(), new_context=with_service), FakeMessage(make_event()))
    await asyncio.sleep(1)
    assert seen == ["unset", "of the service"]
