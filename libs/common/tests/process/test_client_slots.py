"""Slots that clients take: how many, and who is refused."""

import contextlib

import pytest

from parley.errors import Overloaded
from parley.process.client_slots import ClientSlots


def test_a_client_with_its_share_is_refused_while_others_are_not() -> None:
    slots = ClientSlots(3, 1, "Too many.", retry_after=7)
    with slots.take("ada"):
        with pytest.raises(Overloaded) as refused, slots.take("ada"):
            pass
        with slots.take("bob"):
            pass
    assert (refused.value.detail, refused.value.headers) == ("Too many.", {"Retry-After": "7"})
    with slots.take("ada"):
        pass


def test_the_process_itself_may_take_every_slot_and_no_more() -> None:
    slots = ClientSlots(2, 1, "Too many.")
    with contextlib.ExitStack() as taken:
        for _ in range(2):
            taken.enter_context(slots.take(None))
        for client in (None, "ada"):
            with pytest.raises(Overloaded), slots.take(client):
                pass
