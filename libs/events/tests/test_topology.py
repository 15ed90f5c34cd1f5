"""Queue arguments of external subscribers, and errors of declarations."""

from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from parley_events.topology import (
    TopologyError,
    external_subscriber_queue_arguments,
    side_queue_arguments,
    topology_error,
)


def test_a_queue_of_an_external_subscriber_is_limited_and_has_one_active_consumer() -> None:
    assert external_subscriber_queue_arguments("classic", "sub.q") == {
        "x-queue-type": "classic",
        "x-max-length-bytes": 500_000_000,
        "x-single-active-consumer": True,
    }


def test_a_quorum_queue_of_an_external_subscriber_has_its_own_delivery_limit_and_dead_letters() -> None:
    arguments = external_subscriber_queue_arguments("quorum", "sub.q")
    assert arguments["x-delivery-limit"] == 20
    assert (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]) == ("sub.q.kit", "dead")


def test_parked_events_and_dead_letters_are_refused_when_full_instead_of_dropped() -> None:
    for single_active in (True, False):
        arguments = side_queue_arguments("classic", single_active=single_active)
        assert arguments["x-overflow"] == "reject-publish"


def test_a_refused_declaration_names_the_reason_and_the_remedy() -> None:
    error = topology_error(ChannelPreconditionFailed("inequivalent arg 'x-max-length'"))
    assert isinstance(error, TopologyError)
    assert "inequivalent arg" in str(error)
    assert "Delete the conflicting queue or exchange" in str(error)


def test_an_entity_that_is_not_found_is_not_a_conflict() -> None:
    error = ChannelNotFoundEntity("NOT_FOUND")
    assert topology_error(error) is error
