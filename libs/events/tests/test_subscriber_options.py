"""Options of a subscriber, and registration of its handlers."""

from typing import Any

import pytest

from parley_events import CloudEvent, Subscriber, TurnEnded, TurnRedacted
from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import Recorder, subscriber_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": "analytics"}, "does not start with 'sub.'"),
        ({"queue": "sub." + "é" * 120}, "longer than 240 bytes"),
        ({"prefetch": 0}, "`prefetch` is 0. It must be from 1 to 65535."),
        ({"prefetch": 65_536}, "`prefetch` is 65536."),
        ({"workers": 0}, "`workers` is 0. It must be at least 1, or None"),
    ],
)
def test_an_option_with_which_no_event_could_be_handled_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Subscriber("amqp://broker/", **{"queue": "sub.team.q", **options})


@pytest.mark.parametrize(
    "url", ["", "broker", "http://broker/", "amqp://", "amqp://broker:x/", "amqp://[::1/", "amqp://a/,amqp://:5672/"]
)
def test_an_address_that_can_never_be_connected_to_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="The URL of RabbitMQ is invalid"):
        Subscriber(url, "sub.team.q")


def test_the_longest_name_of_a_queue_and_the_largest_prefetch_are_accepted() -> None:
    Subscriber("amqp://broker/", "sub." + "q" * 236, prefetch=65_535, workers=1)


def test_a_second_handler_of_a_model_is_refused_because_the_first_would_get_no_events() -> None:
    subscriber = subscriber_of(InProcessBus(), Recorder())
    with pytest.raises(ValueError, match="TurnEnded already has a handler"):

        @subscriber.on(TurnEnded, where=lambda turn: turn.status == "failed")
        async def count(_turn: TurnEnded, _event: CloudEvent) -> None: ...


def test_models_without_a_common_type_may_each_have_a_handler() -> None:
    subscriber = subscriber_of(InProcessBus(), Recorder())
    subscriber.on(TurnRedacted)(Recorder())
    assert "conversation.turn.redacted" in subscriber.names()
