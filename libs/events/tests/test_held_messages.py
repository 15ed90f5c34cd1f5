"""Messages that a consumer holds: counted by bytes."""

from parley_events.consuming.held_messages import REDUCED_FOR, HeldMessages


def test_messages_are_taken_up_to_the_limit_of_bytes() -> None:
    held = HeldMessages(prefetch=100, max_bytes=10)
    assert [held.take(tag, 4) for tag in (1, 2, 3)] == [True, True, False]
    assert (held.size, held.prefetch, held.is_given_up) == (8, 2, True)


def test_nothing_is_taken_from_a_channel_that_was_given_up() -> None:
    held = HeldMessages(prefetch=100, max_bytes=10)
    assert [held.take(tag, 6) for tag in (1, 2)] == [True, False]
    held.release(1)
    assert not held.take(3, 1)
    held.start()
    assert held.take(1, 1)


def test_acknowledged_messages_make_room() -> None:
    held = HeldMessages(prefetch=100, max_bytes=10)
    for tag in (1, 2, 3):
        held.take(tag, 3)
    held.release(2)
    assert held.size == 6
    held.release(3, multiple=True)
    held.release(3, multiple=True)
    assert held.size == 0
    assert held.take(4, 10)


def test_one_message_may_be_larger_than_the_limit() -> None:
    held = HeldMessages(prefetch=100, max_bytes=10)
    assert held.take(1, 50)
    assert not held.take(2, 1)
    assert held.prefetch == 1


def test_the_usual_prefetch_returns_after_many_messages() -> None:
    held = HeldMessages(prefetch=3, max_bytes=10)
    held.take(1, 6)
    held.take(2, 6)
    held.start()
    for tag in range(REDUCED_FOR):
        assert held.take(tag, 1)
        held.release(tag)
    assert not held.take(REDUCED_FOR, 1)
    assert held.prefetch == 3
